//! How a console looks: which characters it can draw and whether it has colours. A colour never says anything that
//! the text beside it does not say.

use ratatui::style::{Color, Modifier, Style};

/// What one console can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The eight colours of ECMA-48, used sparingly.
    pub colour: bool,
    /// Characters beyond ASCII arrive.
    pub utf8: bool,
    /// Lines and blocks are drawn; needs `utf8`.
    pub lines: bool,
    /// No cursor to move: what is shown scrolls (`plain.rs`).
    pub plain: bool,
    pub around: Around,
}

/// What every screen says in its head, whatever it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Consoles that show the same screen; 0: nobody wants to know.
    pub watching: u16,
    /// Minutes since midnight, UTC.
    pub minute: Option<u16>,
    /// Warnings in the log that nobody has looked at.
    pub warnings: u32,
}

impl Around {
    /// In words, the one that is missed least at the end.
    pub(super) fn facts(&self) -> (Option<String>, Vec<String>) {
        let warnings = (self.warnings > 0).then(|| format!("!{}", self.warnings));
        let watching = (self.watching > 0).then(|| format!("{} watch", self.watching));
        let time = self.minute.map(|minute| format!("{:02}:{:02} UTC", minute / 60, minute % 60));
        (warnings, watching.into_iter().chain(time).collect())
    }

    const NONE: Self = Self { watching: 0, minute: None, warnings: 0 };
}

impl Look {
    /// Plain ASCII with eight colours: right on a serial line, a VGA text screen and a terminal emulator.
    pub const ASCII: Self =
        Self { colour: true, utf8: false, lines: false, plain: false, around: Around::NONE };
    /// Plain ASCII without a colour.
    pub const MONO: Self =
        Self { colour: false, utf8: false, lines: false, plain: false, around: Around::NONE };
    /// For a terminal known to understand UTF-8.
    pub const UTF8: Self = Self { colour: true, utf8: true, lines: true, plain: false, around: Around::NONE };

    /// What the environment says of it: `NO_COLOR` (no-color.org), and a `TERM` known to have no colours or no cursor.
    pub fn from_env(self) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let term = std::env::var("TERM").unwrap_or_default();
        let mono = matches!(term.as_str(), "dumb" | "vt100" | "vt102" | "vt220" | "xterm-mono");
        let plain = self.plain || term == "dumb";
        Self { colour: self.colour && !no_colour && !mono, plain, ..self }
    }

    /// Whether the locale of a workstation's terminal is UTF-8 (locale(7): the first of these that is set).
    pub fn for_terminal() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|v| !v.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let utf8 = locale.ends_with("utf-8") || locale.ends_with("utf8");
        if utf8 { Self::UTF8 } else { Self::ASCII }.from_env()
    }

    /// What a rule across the screen is made of.
    pub fn rule(&self) -> &'static str {
        if self.lines { "\u{2500}" } else { "-" }
    }

    /// A gauge: begin, done, to do, end.
    pub fn gauge(&self) -> [&'static str; 4] {
        if self.lines { ["", "\u{2588}", "\u{2591}", ""] } else { ["[", "#", ".", "]"] }
    }

    pub fn title(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The name of a group, a column or a fact.
    pub fn label(&self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// A key in a legend.
    pub fn key(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn good(&self) -> Style {
        self.coloured(Color::Green)
    }

    pub fn warn(&self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub fn bad(&self) -> Style {
        self.coloured(Color::Red)
    }

    fn coloured(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_is_told_in_words_and_nothing_where_nobody_asked() {
        assert_eq!(Around::default().facts(), (None, vec![]));
        let around = Around { watching: 2, minute: Some(65), warnings: 3 };
        assert_eq!(around.facts(), (Some("!3".into()), vec!["2 watch".into(), "01:05 UTC".into()]));
    }

    #[test]
    fn a_look_without_colours_has_none() {
        for style in [Look::MONO.label(), Look::MONO.good(), Look::MONO.warn(), Look::MONO.bad()] {
            assert_eq!(style.fg, None);
        }
        assert_eq!(Look::ASCII.bad().fg, Some(Color::Red));
    }
}
