//! ratatui's cells become bytes for one terminal, few enough for 9600 baud and plain enough for any of them: the
//! eight colours as ECMA-48 numbers them (a terminal without 256 colours reads `38;5;11` as blinking), no character
//! beyond ASCII unless the console is known to show it, and never a byte in the last cell, which would scroll some.
//! Writing the bytes is the console's.

use std::convert::Infallible;
use std::io::Write;

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};

use super::text;
use super::theme::Look;

/// Our own modes, whatever was there before: character set ASCII in G0 and G0 in use, attributes off, no autowrap
/// (SeaBIOS leaves it off, others on), no origin mode, no scroll region, no cursor, brackets around what is pasted (xterm's
/// 2004; others pass over it); then an empty screen.
const TAKE: &[u8] = b"\x1b(B\x0f\x1b[m\x1b[?7l\x1b[?6l\x1b[r\x1b[?25l\x1b[?2004h\x1b[H\x1b[2J";

/// As a shell and a kernel expect it: attributes off, autowrap on, the cursor seen and on a new line at the bottom.
pub const GIVE_BACK: &[u8] = b"\x1b(B\x0f\x1b[m\x1b[r\x1b[?7h\x1b[?25h\x1b[?2004l\x1b[999;1H\r\n";

/// Where is the cursor, when sent as far as it goes? The answer is the size of the screen.
const ASK_SIZE: &[u8] = b"\x1b7\x1b[999;999H\x1b[6n\x1b8";

/// Collects the bytes of frames.
pub struct Paint {
    /// What the terminal has to be told and was not yet.
    pub out: Vec<u8>,
    /// In cells.
    pub size: Size,
    pub look: Look,
    /// With the next clearing the terminal is asked for its size.
    pub ask_size: bool,
}

/// Where the cursor is and how characters come out, within one frame.
struct Pen {
    at: Option<(u16, u16)>,
    style: (Color, Color, Modifier),
}

const PLAIN: (Color, Color, Modifier) = (Color::Reset, Color::Reset, Modifier::empty());

impl Paint {
    fn move_to(&mut self, pen: &Pen, x: u16, y: u16) {
        let absolute = format!("\x1b[{};{}H", y + 1, x + 1);
        let forward = |n: u16| match n {
            0 => String::new(),
            1 => "\x1b[C".to_owned(),
            n => format!("\x1b[{n}C"),
        };
        let relative = match pen.at {
            Some((px, py)) if py == y && px <= x => Some(forward(x - px)),
            Some((_, py)) if py < y && y - py <= 3 => {
                Some(format!("\r{}{}", "\n".repeat(usize::from(y - py)), forward(x)))
            }
            _ => None,
        };
        let shortest = relative.filter(|r| r.len() < absolute.len()).unwrap_or(absolute);
        self.out.extend_from_slice(shortest.as_bytes());
    }

    fn style(&mut self, (fg, bg, modifier): (Color, Color, Modifier)) {
        let mut codes = Vec::new();
        for (bit, code) in [(Modifier::BOLD, 1), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)] {
            if modifier.contains(bit) {
                codes.push(code);
            }
        }
        codes.extend(colour(fg).map(|n| 30 + n));
        codes.extend(colour(bg).map(|n| 40 + n));
        self.out.extend_from_slice(b"\x1b[");
        if !codes.is_empty() {
            let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
            self.out.extend_from_slice(b"0;");
            self.out.extend_from_slice(codes.join(";").as_bytes());
        }
        self.out.push(b'm');
    }

    fn symbol(&mut self, symbol: &str) -> usize {
        let cells = text::width(symbol).max(1);
        if self.look.utf8 || symbol.is_ascii() {
            self.out.extend_from_slice(symbol.as_bytes());
        } else {
            let plain = symbol.chars().next().map_or('?', nearest_ascii);
            (0..cells).for_each(|_| self.out.push(plain as u8));
        }
        cells
    }
}

/// The number of one of the eight colours.
fn colour(colour: Color) -> Option<u16> {
    const EIGHT: [Color; 8] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
    ];
    EIGHT.iter().position(|c| *c == colour).map(|n| n as u16)
}

/// What a catalog's author probably typed, for a console that shows ASCII only.
pub(super) fn nearest_ascii(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{b4}' => '\'',
        '\u{201c}'..='\u{201e}' | '\u{ab}' | '\u{bb}' => '"',
        '\u{2022}' | '\u{b7}' => '*',
        '\u{a0}' => ' ',
        '\u{e4}' | '\u{e0}'..='\u{e3}' | '\u{e5}' => 'a',
        '\u{e8}'..='\u{eb}' => 'e',
        '\u{ec}'..='\u{ef}' => 'i',
        '\u{f2}'..='\u{f6}' => 'o',
        '\u{f9}'..='\u{fc}' => 'u',
        '\u{e7}' => 'c',
        '\u{f1}' => 'n',
        '\u{df}' => 's',
        _ => '?',
    }
}

impl Backend for Paint {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut pen = Pen { at: None, style: PLAIN };
        for (x, y, cell) in content {
            if (x + 1, y + 1) >= (self.size.width, self.size.height) && y + 1 >= self.size.height {
                continue;
            }
            if pen.at != Some((x, y)) {
                self.move_to(&pen, x, y);
            }
            let style = (cell.fg, cell.bg, cell.modifier);
            if style != pen.style {
                self.style(style);
                pen.style = style;
            }
            let cells = self.symbol(cell.symbol()) as u16;
            pen.at = Some((x + cells, y));
        }
        if pen.style != PLAIN {
            self.style(PLAIN);
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.out.extend_from_slice(TAKE);
        if std::mem::take(&mut self.ask_size) {
            self.out.extend_from_slice(ASK_SIZE);
        }
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        self.clear()
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::default() })
    }

    // The cursor stays hidden from `clear` on: nothing to say, and no bytes for it in every frame.
    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> Result<(), Infallible> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Writes what fits now of `bytes`; how many were taken.
pub fn write_some(mut to: &std::fs::File, bytes: &[u8]) -> std::io::Result<usize> {
    loop {
        match to.write(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(0),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::style::Style;

    fn painted(look: Look, texts: &[(u16, u16, &str, Style)]) -> String {
        let size = Size { width: 20, height: 3 };
        let mut terminal = Terminal::new(Paint { out: vec![], size, look, ask_size: false }).unwrap();
        terminal.backend_mut().out.clear();
        terminal
            .draw(|f| {
                for (x, y, text, style) in texts {
                    f.buffer_mut().set_string(*x, *y, *text, *style);
                }
            })
            .unwrap();
        String::from_utf8(std::mem::take(&mut terminal.backend_mut().out)).unwrap()
    }

    #[test]
    fn moves_are_short_and_attributes_end_with_the_frame() {
        let plain = Style::new();
        let red = plain.fg(Color::Red);
        let texts = [(0, 0, "ab", plain), (10, 0, "c", red), (0, 1, "d", plain)];
        assert_eq!(painted(Look::ASCII, &texts), "\x1b[1;1Hab\x1b[8C\x1b[0;31mc\r\n\x1b[md");
        assert_eq!(painted(Look::ASCII, &[(3, 2, "x", red)]), "\x1b[3;4H\x1b[0;31mx\x1b[m");
    }

    #[test]
    fn the_last_cell_is_never_written() {
        assert_eq!(painted(Look::ASCII, &[(18, 2, "yz", Style::new())]), "\x1b[3;19Hy");
        assert_eq!(painted(Look::ASCII, &[(18, 1, "yz", Style::new())]), "\x1b[2;19Hyz");
    }

    #[test]
    fn an_ascii_console_gets_ascii_of_the_same_width() {
        let text = "Gr\u{f6}\u{df}e \u{2013} \u{5bbf}.";
        assert_eq!(painted(Look::ASCII, &[(0, 0, text, Style::new())]), "\x1b[1;1HGrose\x1b[C-\x1b[C??.");
        assert!(painted(Look::UTF8, &[(0, 0, text, Style::new())]).contains('\u{5bbf}'));
    }

    #[test]
    fn a_frame_without_a_change_is_no_bytes() {
        assert_eq!(painted(Look::ASCII, &[]), "");
    }
}
