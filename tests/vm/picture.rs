//! What a terminal shows as an SVG, for documentation: its characters as text, on a grid that holds with any font, and its
//! eight colours. Which screens are shown is the journeys'; those that move are `film`'s.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use vt100::Color;

/// A cell, in pixels, with a font of 14; where in it the characters stand; and the space around all of them.
const WIDTH: f32 = 8.4;
pub const HEIGHT: u16 = 17;
const BASE: u16 = 13;
pub const MARGIN: u16 = 8;

const PAPER: &str = "#16181d";
const INK: &str = "#d4d7dd";
const EIGHT: [&str; 8] = ["#454b55", "#ef6b73", "#8cc265", "#e5b567", "#6cb2eb", "#c792ea", "#5cc8d7", INK];

/// Characters that look the same, from a column on.
struct Run {
    column: u16,
    text: String,
    look: (Color, Color, bool, bool, bool),
}

/// A screen as it is.
pub fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let lines = (0..rows.get()).map(|y| {
        let line = row(screen, y);
        if line.is_empty() {
            line
        } else {
            format!("<g transform=\"translate(0 {})\">{line}</g>\n", y * HEIGHT)
        }
    });
    sheet((columns.get(), rows.get()), "", &lines.collect::<String>())
}

/// The paper that rows are put on; each is [`HEIGHT`] below the one before.
pub fn sheet((columns, rows): (u16, u16), style: &str, body: &str) -> String {
    let (width, height) = (f32::from(columns) * WIDTH + f32::from(2 * MARGIN), rows * HEIGHT + 2 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height}\" width=\"{width:.0}\" \
         height=\"{height}\">\n<style>text{{white-space:pre}}{style}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"5\" fill=\"{PAPER}\"/>\n\
         <g transform=\"translate({MARGIN} {top})\" fill=\"{INK}\" font-size=\"14\" xml:space=\"preserve\" \
         font-family=\"Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace\">\n{body}</g>\n</svg>\n",
        top = MARGIN + BASE,
    )
}

/// One row of a screen, the feet of its characters at 0; nothing, if nothing is to be seen.
pub fn row(screen: &vt100::Screen, y: u16) -> String {
    let mut svg = String::new();
    for Run { column, text, look: (fg, bg, bold, underlined, inverse) } in runs(screen, y) {
        let (ink, paper) =
            if inverse { (colour(bg, PAPER), colour(fg, INK)) } else { (colour(fg, INK), colour(bg, PAPER)) };
        let (x, length) = (f32::from(column) * WIDTH, text.chars().count() as f32 * WIDTH);
        if paper != PAPER {
            let y = -i32::from(BASE);
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{length:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
            );
        }
        if text.trim().is_empty() {
            continue;
        }
        let fill = if ink == INK { String::new() } else { format!(" fill=\"{ink}\"") };
        let bold = if bold { " font-weight=\"bold\"" } else { "" };
        let line = if underlined { " text-decoration=\"underline\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = write!(svg, "<text x=\"{x:.1}\" textLength=\"{length:.1}\"{fill}{bold}{line}>{text}</text>");
    }
    svg
}

/// Without the blanks between them, so that no font moves what stands in columns.
fn runs(screen: &vt100::Screen, y: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..screen.size().1.get() {
        let Some(cell) = screen.cell(y, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
        let look = (cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.underline(), cell.inverse());
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some(run) if run.look == look && !(text != " " && run.text.ends_with("   ")) => run.text += text,
            _ => runs.push(Run { column, text: text.to_owned(), look }),
        }
    }
    for run in runs.iter_mut().filter(|run| colour(run.look.1, PAPER) == PAPER && !run.look.4) {
        run.text.truncate(run.text.trim_end().len());
    }
    runs.retain(|run| !run.text.is_empty());
    runs
}

fn colour(of: Color, default: &str) -> String {
    match of {
        Color::Default => default.to_owned(),
        Color::Idx(n @ 0..16) => EIGHT[usize::from(n % 8)].to_owned(),
        // xterm's cube of 6 x 6 x 6, and its greys.
        Color::Idx(n @ 16..232) => {
            let part = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let [r, g, b] = [(n - 16) / 36, (n - 16) / 6 % 6, (n - 16) % 6].map(part);
            format!("#{r:02x}{g:02x}{b:02x}")
        }
        Color::Idx(n) => format!("#{0:02x}{0:02x}{0:02x}", 8 + 10 * (n - 232)),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// Keeps a picture as target/screens/NAME.
pub fn keep(name: &str, svg: &str) {
    assert_well_formed(svg);
    let folder = folder();
    std::fs::write(folder.join(name), svg).expect("writing a picture");
}

/// Where pictures go.
pub fn folder() -> PathBuf {
    let folder = crate::lab::made("lab").with_file_name("screens");
    std::fs::create_dir_all(&folder).expect("a directory for pictures");
    folder
}

/// Held against a parser of XML.
pub fn assert_well_formed(svg: &str) {
    let mut parser = Command::new("python3");
    parser.args(["-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.stdin.buffer)"]);
    let mut parser = parser.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python3 runs");
    // One that gave up early says why.
    drop(parser.stdin.take().expect("its input").write_all(svg.as_bytes()));
    let said = parser.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{}\n{svg}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn a_picture_has_the_characters_and_the_colours_of_the_screen() {
    let mut screen = crate::screen::Screen::new(3, 20);
    screen.take(b"\x1b[1ma<b\x1b[m  &   z\r\n\x1b[0;31mred \x1b[0;7m in \x1b[m");
    let picture = svg(screen.vt());
    assert_well_formed(&picture);
    for part in [
        "<text x=\"0.0\" textLength=\"25.2\" font-weight=\"bold\">a&lt;b</text>",
        // Blanks before it are its own; those that could move something are none.
        "textLength=\"25.2\">  &amp;</text><text x=\"75.6\" textLength=\"8.4\">z</text></g>",
        "<g transform=\"translate(0 17)\"><text x=\"0.0\" textLength=\"25.2\" fill=\"#ef6b73\">red</text>",
        "<rect x=\"33.6\" y=\"-13\" width=\"33.6\" height=\"17\" fill=\"#d4d7dd\"/>",
        "<text x=\"33.6\" textLength=\"33.6\" fill=\"#16181d\"> in </text></g>",
    ] {
        assert!(picture.contains(part), "{part} in {picture}");
    }
    assert_eq!(picture.matches("<g ").count(), 3, "nothing for the last row: {picture}");
}

#[test]
#[should_panic(expected = "mismatched tag")]
fn a_picture_that_is_no_xml_is_none() {
    assert_well_formed("<svg><g></svg>");
}
