//! Any screen as lines that scroll, without a control sequence: for logs, for screen readers, for terminals that have no
//! cursor to move. All of a screen is said when it comes; then only what changed in it, when it has stopped changing; what
//! only counts is said now and then. The keys are the same. When it is drawn, is the console's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::paint::nearest_ascii;
use super::{Look, Screen};

/// What changed is said when nothing has changed for so long: a line that is typed is not said letter by letter.
const SETTLED: Duration = Duration::from_millis(400);

/// What never settles is said this often all the same.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Numbers that run (a countdown, what has arrived) are said this often.
const COUNTS: Duration = Duration::from_secs(10);

/// Lines of a picture: as many as any screen has use for, so that nothing is out of sight.
const ROWS: u16 = 100;

/// What one console was told.
#[derive(Debug, Default)]
pub struct Plain {
    /// As it was said last.
    said: Vec<String>,
    /// As it is, where that is not what was said, and since when: at all, and unchanged.
    unsaid: Option<(Vec<String>, Instant, Instant)>,
    /// When numbers were said last.
    counted: Option<Instant>,
}

impl Plain {
    /// All of the screen is said with the next picture.
    pub fn begin(&mut self) {
        *self = Self::default();
    }

    /// Whether something is waiting to be said.
    pub fn is_late(&self) -> bool {
        self.unsaid.is_some()
    }

    /// What is to be said of a screen now, with the ends of the lines.
    pub fn say<S: Screen>(&mut self, screen: &S, look: Look, columns: u16, now: Instant) -> String {
        let lines = lines(screen, look, columns);
        let new = match self.said.is_empty() {
            true => {
                self.counted = Some(now);
                Some(lines.clone())
            }
            false => self.news(&lines, now),
        };
        let Some(new) = new else { return String::new() };
        let begins = self.said.is_empty();
        (self.said, self.unsaid) = (lines, None);
        let gap = if begins { "\r\n" } else { "" };
        let text: String = new.iter().map(|line| format!("{}\r\n", line.trim_start())).collect();
        format!("{gap}{text}")
    }

    /// The lines that are new, if it is time to say them.
    fn news(&mut self, lines: &[String], now: Instant) -> Option<Vec<String>> {
        if lines == self.said {
            self.unsaid = None;
            return None;
        }
        if masks(lines) == masks(&self.said) {
            self.unsaid = None;
            let due = self.counted.is_none_or(|at| now.duration_since(at) >= COUNTS);
            return due.then(|| {
                self.counted = Some(now);
                lines
                    .iter()
                    .zip(&self.said)
                    .filter(|(new, old)| new != old)
                    .map(|(new, _)| new.clone())
                    .collect()
            });
        }
        let (since, unchanged) = match &self.unsaid {
            Some((before, since, unchanged)) if masks(before) == masks(lines) => (*since, *unchanged),
            Some((_, since, _)) => (*since, now),
            None => (now, now),
        };
        self.unsaid = Some((lines.to_vec(), since, unchanged));
        let settled = now.duration_since(unchanged) >= SETTLED || now.duration_since(since) >= UNSETTLED;
        settled.then(|| added(&self.said, lines))
    }
}

/// The lines of `after` that are not in `before`, numbers apart; each as often as it is there once more. A row that is
/// selected no more is not new.
fn added(before: &[String], after: &[String]) -> Vec<String> {
    let mut known: HashMap<String, usize> = HashMap::new();
    for mask in masks(before) {
        let unselected = mask.trim_start_matches('>').trim_start().to_owned();
        if unselected != mask {
            *known.entry(unselected).or_default() += 1;
        }
        *known.entry(mask).or_default() += 1;
    }
    let new = |line: &&String| match known.get_mut(&mask(line)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    after.iter().filter(new).cloned().collect()
}

fn masks(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| mask(line)).collect()
}

/// A line without what runs in it: numbers, with the units that go with them, and gauges.
fn mask(line: &str) -> String {
    let runs = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '#' | '%');
    let word = |word: &str| match word {
        "B" | "KiB" | "MiB" | "GiB" | "B/s" | "KiB/s" | "MiB/s" | "GiB/s" | "s" | "min" | "h" => {
            "#".to_owned()
        }
        _ if word.chars().any(|c| c.is_ascii_digit()) || word.starts_with('[') => {
            word.chars().filter(|c| !runs(*c)).chain(['#']).collect()
        }
        _ => word.to_owned(),
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A screen's lines without rules and gaps, the keys last.
fn lines<S: Screen>(screen: &S, look: Look, columns: u16) -> Vec<String> {
    let mut lines = rows(screen, Look { colour: false, lines: false, ..look }, columns.clamp(40, 132), ROWS);
    if !look.utf8 {
        let ascii =
            |line: &String| line.chars().map(|c| if c.is_ascii() { c } else { nearest_ascii(c) }).collect();
        lines = lines.iter().map(ascii).collect();
    }
    // With so many rows the last one is the legend, on every screen.
    let keys = lines.pop().filter(|keys| !keys.trim().is_empty());
    let is_rule = |line: &str| line.trim_start().starts_with("---");
    let said = |line: &String| !line.trim().is_empty() && !is_rule(line);
    lines.into_iter().filter(said).chain(keys.map(|keys| format!("Keys: {}", keys.trim()))).collect()
}

/// A screen as text, so many cells wide and high.
pub fn rows<S: Screen>(screen: &S, look: Look, columns: u16, rows: u16) -> Vec<String> {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
    let Ok(frame) = terminal.draw(|frame| screen.draw(frame, &look));
    let line = |y| (0..columns).map(|x| frame.buffer[(x, y)].symbol()).collect::<String>();
    (0..rows).map(|y| line(y).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::page::put;
    use super::*;
    use ratatui::text::Line;

    /// Lines at the top, the keys at the foot.
    struct Text(Vec<&'static str>);

    impl Screen for Text {
        type Answer = ();

        fn on(&mut self, _: Event) -> Option<()> {
            None
        }

        fn draw(&self, frame: &mut ratatui::Frame, _: &Look) {
            let area = frame.area();
            for (y, line) in (0..).zip(&self.0) {
                put(frame.buffer_mut(), super::super::page::row(area, y), Line::from(*line));
            }
            put(frame.buffer_mut(), super::super::page::row(area, area.height - 1), Line::from(" q quit"));
        }
    }

    const LOOK: Look = Look { plain: true, ..Look::MONO };

    /// What is said at these times (ms) of these screens.
    fn said(story: &[(u64, &[&'static str])]) -> Vec<String> {
        let (mut plain, began) = (Plain::default(), Instant::now());
        let say = |(at, lines): &(u64, &[&'static str])| {
            plain.say(&Text(lines.to_vec()), LOOK, 80, began + Duration::from_millis(*at))
        };
        story.iter().map(say).collect()
    }

    #[test]
    fn a_screen_is_said_whole_without_rules_and_gaps_and_then_what_is_new_on_it() {
        let menu: &[&str] =
            &[" Rack", " ------ 1 of 2 --", "", " > * 1  B\u{fc}ro", "     2  Lab", " from a"];
        let moved: &[&str] =
            &[" Rack", " ------ 2 of 2 --", "", "   * 1  B\u{fc}ro", " >   2  Lab", " from b"];
        let told = said(&[(0, menu), (200, menu), (300, moved), (600, moved), (800, moved), (900, moved)]);
        assert_eq!(told[0], "\r\nRack\r\n> * 1  Buro\r\n2  Lab\r\nfrom a\r\nKeys: q quit\r\n");
        assert_eq!(told[1..], ["", "", "", ">   2  Lab\r\nfrom b\r\n", ""]);
    }

    #[test]
    fn numbers_that_run_are_said_now_and_then() {
        let told = said(&[
            (0, &["in 30 s"]),
            (1000, &["in 29 s"]),
            (9000, &["in 21 s"]),
            (10_000, &["in 20 s"]),
            (11_000, &["in 19 s"]),
            (11_100, &["stopped"]),
            (11_600, &["stopped"]),
        ]);
        assert_eq!(told[1..], ["", "", "in 20 s\r\n", "", "", "stopped\r\n"]);
        let gauge = said(&[
            (0, &["[##....]  30 %  9.1 MiB"]),
            (500, &["[####..]  60 %  1 GiB"]),
            (1000, &["[####..]  60 %  1 GiB"]),
        ]);
        assert_eq!(gauge[1..], ["", ""]);
    }

    #[test]
    fn what_never_settles_is_said_all_the_same_and_what_was_taken_back_is_not() {
        let told = said(&[
            (0, &["a"]),
            (300, &["ab"]),
            (600, &["abc"]),
            (900, &["abcd"]),
            (1200, &["x"]),
            (2400, &["y"]),
        ]);
        assert_eq!(told[1..], ["", "", "", "", "y\r\n"]);
        assert_eq!(said(&[(0, &["a"]), (300, &["ab"]), (600, &["a"]), (2000, &["a"])])[1..], ["", "", ""]);
    }

    #[test]
    fn of_lines_that_are_alike_each_is_said_that_came() {
        let told =
            said(&[(0, &["sector 1"]), (100, &["sector 1", "sector 2"]), (600, &["sector 1", "sector 2"])]);
        assert_eq!(told[2], "sector 2\r\n");
    }
}
