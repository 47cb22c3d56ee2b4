//! What all screens have in common: the head, the rules, the legend of keys, and lines that are cut instead of
//! overrun. A screen that is too small loses rules first, then the legend, then the head.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::keys::{Binding, Command};
use super::text;
use super::theme::Look;

/// The head of a screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Left: what this screen is about.
    pub title: String,
    /// Right: host, addresses, and what [`super::theme::Around`] has; the last ones go first when the room is small.
    pub facts: Vec<String>,
}

/// Screens lower than this do without rules.
const TALL: u16 = 16;

/// Draws head and foot; what is left is the screen's own.
pub fn frame(frame: &mut Frame, look: &Look, head: &Head, legend: Line<'static>) -> Rect {
    frame_with(frame, look, head, vec![], legend)
}

/// The same with more lines under the head.
pub fn frame_with(
    frame: &mut Frame,
    look: &Look,
    head: &Head,
    under: Vec<[Span<'static>; 2]>,
    legend: Line<'static>,
) -> Rect {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let (mut top, mut bottom) = (area.top(), area.bottom());
    if area.height >= 4 {
        head_line(buffer, row(area, top), look, head);
        top += 1;
        bottom -= 1;
        put(buffer, row(area, bottom), legend);
    }
    for [left, right] in under.into_iter().take(usize::from(area.height / 6)) {
        split(buffer, row(area, top), left, right);
        top += 1;
    }
    if area.height >= TALL {
        rule(buffer, row(area, top), look);
        top += 1;
        bottom -= 1;
        rule(buffer, row(area, bottom), look);
    }
    Rect { y: top, height: bottom.saturating_sub(top), ..area }
}

/// Lines that [`frame`] leaves of a console's height.
pub fn body(height: u16) -> u16 {
    match height {
        0..4 => height,
        4..TALL => height - 2,
        _ => height - 4,
    }
}

fn head_line(buffer: &mut Buffer, at: Rect, look: &Look, head: &Head) {
    let left = format!(" {}", head.title);
    let (warnings, around) = look.around.facts();
    let mut facts: Vec<String> =
        warnings.into_iter().chain(head.facts.iter().cloned()).chain(around).collect();
    let room = usize::from(at.width).saturating_sub(text::width(&left) + 3);
    while text::width(&facts.join("  ")) > room && facts.pop().is_some() {}
    split(
        buffer,
        at,
        Span::styled(left, look.title()),
        Span::styled(facts.join("  "), Style::new().remove_modifier(Modifier::BOLD)),
    );
}

/// One line of `area`, absolute; an empty one below its end.
pub fn row(area: Rect, y: u16) -> Rect {
    if y < area.top() || y >= area.bottom() {
        return Rect { height: 0, ..area };
    }
    Rect { y, height: 1, ..area }
}

/// A rule, one cell short of both edges.
pub fn rule(buffer: &mut Buffer, at: Rect, look: &Look) {
    let cells = usize::from(at.width.saturating_sub(2));
    put(buffer, at, Line::from(format!(" {}", look.rule().repeat(cells))).style(look.label()));
}

/// A line, cut at the edge.
pub fn put(buffer: &mut Buffer, at: Rect, line: impl Into<Line<'static>>) {
    if at.height > 0 && at.width > 0 {
        let line = line.into();
        buffer.set_style(Rect { width: 0, ..at }, line.style);
        buffer.set_line(at.x, at.y, &line, at.width);
    }
}

/// A text at the left, cut to leave the one at the right whole, which ends a cell before the edge.
pub fn split(buffer: &mut Buffer, at: Rect, left: Span<'static>, right: Span<'static>) {
    let right_cells = right.width();
    let room = usize::from(at.width).saturating_sub(if right_cells == 0 { 1 } else { right_cells + 2 });
    put(buffer, at, Span::styled(text::clip(&left.content, room), left.style));
    let x = usize::from(at.width).saturating_sub(right_cells + 1) as u16;
    if right_cells > 0 {
        put(buffer, Rect { x: at.x + x, width: at.width - x, ..at }, right);
    }
}

/// Lines from the top, as many as there is room for; how many were.
pub fn lines(buffer: &mut Buffer, area: Rect, lines: impl IntoIterator<Item = Line<'static>>) -> u16 {
    let mut used = 0;
    for line in lines.into_iter().take(usize::from(area.height)) {
        put(buffer, row(area, area.y + used), line);
        used += 1;
    }
    used
}

/// `Enter boot   s shell   ? help`: rows of a table that have a short word, as many as fit; the help always does.
pub fn legend(look: &Look, table: &[Binding], without: &[Command], cells: u16) -> Line<'static> {
    let rows: Vec<&Binding> =
        table.iter().filter(|b| !b.short.is_empty() && !without.contains(&b.command)).collect();
    let cost = |b: &Binding| b.name.len() + 1 + b.short.len() + 2;
    let help: usize = rows.iter().filter(|b| b.command == Command::Help).map(|b| cost(b)).sum();
    let mut left = usize::from(cells).saturating_sub(help);
    let mut spans = vec![Span::raw(" ")];
    for binding in rows {
        if binding.command != Command::Help {
            if cost(binding) > left {
                continue;
            }
            left -= cost(binding);
        }
        spans.push(Span::styled(binding.name, look.key()));
        spans.push(Span::raw(format!(" {}  ", binding.short)));
    }
    Line::from(spans)
}

/// `label     value`, wrapped under the value if that is longer than the line.
pub fn fact(look: &Look, label: &str, value: &str, style: Style, cells: usize) -> Vec<Line<'static>> {
    let room = cells.saturating_sub(LABEL + 1);
    text::wrap(value, room)
        .into_iter()
        .enumerate()
        .map(|(i, part)| {
            let label = if i == 0 { label } else { "" };
            Line::from(vec![
                Span::styled(format!(" {label:<w$}", w = LABEL - 1), look.label()),
                Span::styled(part, style),
            ])
        })
        .collect()
}

/// Cells of a label, with the space before it.
pub const LABEL: usize = 11;

/// A gauge of so many cells, with the share of it.
pub fn gauge(look: &Look, done: u64, total: Option<u64>, cells: usize) -> String {
    let [begin, full, empty, end] = look.gauge();
    let Some(total) = total.filter(|t| *t > 0) else {
        return String::new();
    };
    let percent = (u128::from(done.min(total)) * 100 / u128::from(total)) as usize;
    let room = cells.saturating_sub(begin.len() + end.len() + 6);
    let filled = room * percent / 100;
    format!("{begin}{}{}{end} {percent:>3} %", full.repeat(filled), empty.repeat(room - filled))
}
