//! Words and numbers as a screen shows them: wrapped, cut to fit, with units. What is said is the screens'.

use std::time::Duration;

use ratatui::text::Span;

/// Bytes with the unit that leaves two to four digits: `512 B`, `1.5 MiB`, `51 MiB`.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" || value >= 99.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Bytes of a whole, the unit once where it is the same: `22.9 of 51.2 MiB`.
pub fn share(done: u64, all: u64) -> String {
    let (done, all) = (bytes(done), bytes(all));
    match (done.split_once(' '), all.split_once(' ')) {
        (Some((number, one)), Some((_, two))) if one == two => format!("{number} of {all}"),
        _ => format!("{done} of {all}"),
    }
}

/// A span of time in at most two units: `9 s`, `2 min 5 s`, `1 h 20 min`. Whole units, parts of a second rounded up.
pub fn span(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// `1 mirror`, `2 mirrors`.
pub fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Cells a text takes.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text without what would move the cursor or end a line.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One line cut at its end to fit.
pub fn clip(text: &str, cells: usize) -> String {
    let text = tame(text);
    if width(&text) <= cells {
        return text;
    }
    let dots = if cells > 4 { ".." } else { "" };
    let mut out = take(text.chars(), cells.saturating_sub(dots.len()));
    out.truncate(out.trim_end().len());
    out + dots
}

/// One line cut in its middle: of a URL or a path the host and the file name are what a person looks for.
pub fn clip_middle(text: &str, cells: usize) -> String {
    let text = tame(text);
    if width(&text) <= cells || cells < 12 {
        return clip(&text, cells);
    }
    let head = take(text.chars(), (cells - 2) * 2 / 5);
    let tail = take(text.chars().rev(), cells - 2 - width(&head));
    format!("{head}..{}", tail.chars().rev().collect::<String>())
}

fn take(chars: impl Iterator<Item = char>, cells: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in chars {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > cells {
            break;
        }
        out.push(c);
    }
    out
}

/// Lines of at most so many cells, broken between words, and within a word only where it is longer than a line.
/// An empty line stays one.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines = Vec::new();
    for paragraph in text.trim_end().lines() {
        let paragraph = tame(paragraph);
        let indent: String = paragraph.chars().take_while(|c| *c == ' ').take(cells / 2).collect();
        let mut line = indent.clone();
        for word in paragraph.split_whitespace() {
            let gap = usize::from(!line.trim().is_empty());
            if width(&line) + gap + width(word) <= cells {
                line.push_str(&" ".repeat(gap));
                line.push_str(word);
                continue;
            }
            if gap == 1 {
                lines.push(std::mem::replace(&mut line, indent.clone()));
            }
            let mut rest = word.to_owned();
            while width(&line) + width(&rest) > cells {
                let piece = take(rest.chars(), cells - width(&line));
                if piece.is_empty() {
                    // A character wider than the line: nothing that fits it.
                    break;
                }
                rest.drain(..piece.len());
                lines.push(std::mem::replace(&mut line, indent.clone()) + &piece);
            }
            line.push_str(&rest);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_units() {
        let said: Vec<String> =
            [0, 1023, 1024, 1536, 53_721_901, 229_000_000, 3 << 40].iter().map(|n| bytes(*n)).collect();
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "51.2 MiB", "218 MiB", "3.0 TiB"]);
        let said: Vec<String> =
            [0, 59, 60, 125, 3600, 4800].iter().map(|s| span(Duration::from_secs(*s))).collect();
        assert_eq!(said, ["0 s", "59 s", "1 min", "2 min 5 s", "1 h", "1 h 20 min"]);
        assert_eq!(span(Duration::from_millis(8_001)), "9 s");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        assert_eq!(clip("rescue", 6), "rescue");
        assert_eq!(clip("rescue console", 9), "rescue..");
        assert_eq!(clip("rescue", 2), "re");
        assert_eq!(clip("rescue", 0), "");
        assert_eq!(clip("a\x1b[2Jb\n", 20), "a [2Jb ");
        assert_eq!(
            clip_middle("http://10.0.2.2:8080/images/rescue.tar.zst", 30),
            "http://10.0..es/rescue.tar.zst"
        );
        assert_eq!(width(&clip("\u{5bbf}\u{820e}\u{5bbf}\u{820e}", 7)), 6);
    }

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        assert_eq!(wrap("a shell, and tools", 8), ["a shell,", "and", "tools"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("one\n\n  two three", 7), ["one", "", "  two", "  three"]);
        assert_eq!(wrap("\u{5bbf}", 1), ["\u{5bbf}"], "never loops");
        assert!(wrap("", 10).is_empty());
    }
}
