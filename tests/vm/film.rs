//! What came over a serial line, with the time it came at, as one SVG that moves: the frames lie below each other, and
//! a style sheet moves them past the window. No script, no program to play it: a page shows it as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZero;
use std::time::Duration;

use crate::picture::{self, HEIGHT, MARGIN};

/// How much faster it all goes than it went, except where somebody is to read: the machine was an emulated one.
const HASTE: u32 = 3;

/// What comes in less time is one frame: the first of these with which it is not too large. A busy host lets more be seen.
const FRAMES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

/// Bytes that a page can be asked to load for it.
pub const LARGEST: usize = 200_000;

/// Waits are no longer than this.
const WAIT: Duration = Duration::from_millis(600);

/// How long the last frame stays before the first comes again.
const END: Duration = Duration::from_secs(5);

/// A recording.
pub struct Film<'a> {
    /// Rows and columns.
    pub size: (u16, u16),
    pub bytes: &'a [u8],
    /// When, and how many bytes there were then.
    pub arrived: &'a [(Duration, usize)],
    /// With so many bytes the picture stands still for so long at least.
    pub held: &'a [(usize, Duration)],
}

/// Rows, and how long they are seen.
#[derive(Debug, PartialEq)]
struct Frame {
    rows: Vec<String>,
    seen: Duration,
}

impl Film<'_> {
    fn frames(&self, least: Duration) -> Vec<Frame> {
        let [rows, columns] = [self.size.0, self.size.1].map(|n| NonZero::new(n).expect("a size"));
        let mut parser = vt100::Parser::new(rows, columns, 0);
        let (mut frames, mut from, mut passed) = (Vec::<Frame>::new(), 0, Duration::ZERO);
        for (n, (at, to)) in self.arrived.iter().enumerate() {
            parser.process(&self.bytes[from..*to]);
            let next = self.arrived.get(n + 1);
            passed += next.map_or(END, |(next, _)| (next.saturating_sub(*at) / HASTE).min(WAIT));
            let held =
                self.held.iter().filter(|(bytes, _)| from < *bytes && bytes <= to).map(|held| held.1).max();
            from = *to;
            if passed < least && held.is_none() {
                continue;
            }
            let seen = std::mem::take(&mut passed).max(held.unwrap_or_default());
            let rows = (0..rows.get()).map(|y| picture::row(parser.screen(), y)).collect();
            match frames.last_mut() {
                Some(last) if last.rows == rows => last.seen += seen,
                _ => frames.push(Frame { rows, seen }),
            }
        }
        frames
    }

    /// The whole of it. Where nothing moves, by wish of the reader too, the frame held longest is seen.
    pub fn svg(&self) -> String {
        let all = FRAMES.map(|least| self.svg_of(&self.frames(least)));
        let fits = all.iter().find(|svg| svg.len() < LARGEST);
        fits.unwrap_or(&all[FRAMES.len() - 1]).clone()
    }

    fn svg_of(&self, frames: &[Frame]) -> String {
        // So far apart that none is seen at the margin of another.
        let height = u32::from(self.size.0 * HEIGHT + 2 * MARGIN);
        let all: Duration = frames.iter().map(|frame| frame.seen).sum();
        let (mut moves, mut at) = (String::new(), Duration::ZERO);
        for (n, frame) in frames.iter().enumerate() {
            let percent = at.as_secs_f64() / all.as_secs_f64() * 100.0;
            let _ = write!(moves, "{percent:.2}%{{transform:translateY(-{}px)}}", n as u32 * height);
            at += frame.seen;
        }
        let longest = frames
            .iter()
            .enumerate()
            .take(frames.len().saturating_sub(1))
            .max_by_key(|(_, frame)| frame.seen);
        let still = longest.map_or(0, |(n, _)| n as u32 * height);
        let style = format!(
            "#film{{animation:film {:.1}s steps(1,end) infinite}}@keyframes film{{{moves}}}\
             @media (prefers-reduced-motion:reduce){{#film{{animation:none}}}}",
            all.as_secs_f64()
        );
        let body =
            format!("<g id=\"film\" transform=\"translate(0 -{still})\">\n{}</g>\n", reel(frames, height));
        picture::sheet((self.size.1, self.size.0), &style, &body)
    }
}

/// Each row once, and the frames that use it.
fn reel(frames: &[Frame], height: u32) -> String {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut rows, mut uses) = (String::new(), String::new());
    for (n, frame) in frames.iter().enumerate() {
        for (y, row) in frame.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let new = known.len();
            let id = *known.entry(row).or_insert_with(|| {
                let _ = writeln!(rows, "<g id=\"r{new}\">{row}</g>");
                new
            });
            let _ = write!(
                uses,
                "<use href=\"#r{id}\" y=\"{}\"/>",
                n as u32 * height + y as u32 * u32::from(HEIGHT)
            );
        }
        uses.push('\n');
    }
    format!("<defs>\n{rows}</defs>\n{uses}")
}

#[test]
fn a_film_shows_what_came_when_and_stands_still_where_it_is_held() {
    let at = Duration::from_millis;
    let film = Film {
        size: (2, 10),
        bytes: b"one\r\ntwo\x1b[H\x1b[2Jone",
        // Two that come at once; a wait for minutes; and the end.
        arrived: &[(at(0), 1), (at(10), 5), (at(400), 8), (at(200_000), 18)],
        held: &[(5, at(2500))],
    };
    let frames = film.frames(FRAMES[0]);
    let seen: Vec<Duration> = frames.iter().map(|frame| frame.seen).collect();
    assert_eq!(seen, [at(2500), WAIT, END]);
    assert!(frames[1].rows[1].contains(">two<") && frames[2].rows[1].is_empty(), "{frames:?}");
    let svg = film.svg();
    picture::assert_well_formed(&svg);
    assert_eq!(svg.matches(">one<").count(), 1, "a row is there once: {svg}");
    assert_eq!(svg.matches("href=\"#r0\"").count(), 3);
    assert!(svg.contains("30.86%{transform:translateY(-50px)}38.27%{transform:translateY(-100px)}"), "{svg}");
    assert!(svg.contains("8.1s steps(1,end) infinite"), "{svg}");
    assert!(film.frames(FRAMES[2]).len() < frames.len(), "longer frames are fewer");
}
