//! What the menu looks like: a list of entries, what the selected one would do, and what happens next.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Fact, Menu, MenuModel, Mood, Outcome};
use crate::tui::countdown::Shown;
use crate::tui::keys::{self, Command};
use crate::tui::page::{self, Head};
use crate::tui::{Look, text};

/// Entries of a page, for the keys that move by one.
pub const PAGE: usize = 8;

/// Lines the facts of an entry should have, before a long list takes them.
const DETAIL: u16 = 10;

/// Facts that are locations: host and file name are what a person looks for.
const LOCATIONS: &[&str] = &["from", "or from", "root", "kernel", "initrd", "modules"];

/// From this width on the facts stand beside the list.
const WIDE: u16 = 120;

/// From this height on there is room for the place of the catalog; below it, why that is believed goes to the head.
const WITH_SOURCE: u16 = 16;

/// A line of the list.
enum Item<'a> {
    Group(&'a str),
    /// Before a heading; goes where the list does not fit.
    Gap,
    /// After a group, before entries that are in none: without it they would look like its own.
    End,
    Row(usize),
}

pub fn draw(menu: &Menu, frame: &mut Frame, look: &Look) {
    let model = &menu.model;
    let mut head = Head { title: model.title.clone(), facts: model.header.clone() };
    if frame.area().height < WITH_SOURCE && !model.trust.is_empty() {
        // Cut rather than left out, and with it everything else.
        let room = usize::from(frame.area().width).saturating_sub(text::width(&head.title) + 4);
        head.facts.insert(0, text::clip_middle(&model.trust, room));
    }
    let legend = legend(menu, look, frame.area().width);
    let under = under_head(menu, look, frame.area());
    let mut area = page::frame_with(frame, look, &head, under, legend);
    let buffer = frame.buffer_mut();
    if area.height >= 4 {
        area.height -= 1;
        page::put(buffer, Rect { y: area.bottom(), height: 1, ..area }, status(menu, look, area.width));
    }
    let (list, detail) = halves(menu, buffer, look, area);
    draw_list(menu, buffer, look, list);
    draw_detail(menu, buffer, look, detail);
}

fn legend(menu: &Menu, look: &Look, cells: u16) -> Line<'static> {
    let mut line = page::legend(look, keys::MENU, &menu.unavailable(), cells.saturating_sub(6));
    if menu.model.preview {
        line.spans.extend([Span::styled("q", look.key()), Span::raw(" quit")]);
    }
    line
}

/// Where the catalog came from and why it is believed, and the first notice; where there is room for one of them only, the notice.
fn under_head(menu: &Menu, look: &Look, area: Rect) -> Vec<[Span<'static>; 2]> {
    let model = &menu.model;
    let mut lines = Vec::new();
    if let Some(first) = model.notices.first() {
        let more = match model.notices.len() {
            1 => "(!)".to_owned(),
            n => format!("(! all {n})"),
        };
        lines.push([Span::styled(format!(" ! {first}"), look.warn()), Span::styled(more, look.key())]);
    }
    if area.height >= WITH_SOURCE && !model.source.is_empty() {
        lines.splice(0..0, source(model, usize::from(area.width)));
    }
    lines
}

/// In one line, or in two where both have no room in one. The place may say it all, as that of the built-in catalog does.
fn source(model: &MenuModel, cells: usize) -> Vec<[Span<'static>; 2]> {
    let (source, trust) = (&model.source, &model.trust);
    let line = |said: &str| {
        [Span::raw(format!(" {}", text::clip_middle(said, cells.saturating_sub(2)))), Span::raw("")]
    };
    if source.starts_with(trust) {
        vec![line(source)]
    } else if text::width(source) + text::width(trust) + 4 <= cells {
        vec![[Span::raw(format!(" {source}")), Span::raw(trust.clone())]]
    } else {
        vec![line(source), line(trust)]
    }
}

/// List and facts side by side, or one above the other. How much each gets depends on the catalog and the console,
/// never on what is selected: the picture does not jump.
fn halves(menu: &Menu, buffer: &mut Buffer, look: &Look, area: Rect) -> (Rect, Rect) {
    if area.width >= WIDE {
        let left = (area.width / 2).min(90);
        let right = Rect { x: area.x + left, width: area.width - left, ..area };
        return (Rect { width: left, ..area }, right);
    }
    if area.height < 5 {
        return (area, Rect { height: 0, ..area });
    }
    let wanted = items(menu, true).len() as u16;
    let list = wanted.min((area.height - 1).saturating_sub(DETAIL).max((area.height - 1).div_ceil(2)));
    let middle = page::row(area, area.y + list);
    page::rule(buffer, middle, look);
    if wanted > list && area.width > 30 {
        let place = format!(" {} of {} ", menu.selected + 1, menu.model.rows.len());
        let width = place.len() as u16;
        page::put(buffer, Rect { x: middle.right() - width - 3, width, ..middle }, place);
    }
    let below = list + 1;
    (
        Rect { height: list, ..area },
        Rect { y: area.y + below, height: area.height.saturating_sub(below), ..area },
    )
}

fn items(menu: &Menu, with_groups: bool) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut group: Option<&str> = None;
    for (index, row) in menu.model.rows.iter().enumerate() {
        if with_groups && row.group.as_deref() != group {
            group = row.group.as_deref();
            if index > 0 {
                items.push(if group.is_some() { Item::Gap } else { Item::End });
            }
            items.extend(group.map(Item::Group));
        }
        items.push(Item::Row(index));
    }
    items
}

fn draw_list(menu: &Menu, buffer: &mut Buffer, look: &Look, area: Rect) {
    if menu.model.rows.is_empty() {
        page::put(buffer, page::row(area, area.y), " The catalog has no entries.");
        return;
    }
    let height = usize::from(area.height);
    // Headings are the first thing to go where the list does not fit.
    let mut items = items(menu, true);
    if items.len() > height {
        items.retain(|i| !matches!(i, Item::Gap));
    }
    if items.len() > height && height < 8 {
        items.retain(|i| matches!(i, Item::Row(_)));
    }
    let selected = items.iter().position(|i| matches!(i, Item::Row(r) if *r == menu.selected)).unwrap_or(0);
    // The selected one in the middle, as far as the ends allow: no state to keep, the same on every console.
    let top = selected.saturating_sub(height / 2).min(items.len().saturating_sub(height));
    let (above, below) = (top, items.len().saturating_sub(top + height));
    for (line, item) in items.iter().skip(top).take(height).enumerate() {
        let at = page::row(area, area.y + line as u16);
        match item {
            Item::Gap | Item::End => {}
            Item::Group(name) => {
                let name = text::clip(name, usize::from(area.width.saturating_sub(2)));
                page::put(buffer, at, Line::styled(format!(" {name}"), look.label()));
            }
            Item::Row(index) => draw_row(menu, buffer, look, at, *index),
        }
        let arrow = match line {
            0 if above > 0 => "^",
            _ if line + 1 == height && below > 0 => "v",
            _ => continue,
        };
        page::put(buffer, Rect { width: 1.min(at.width), ..at }, Span::styled(arrow, look.key()));
    }
}

fn draw_row(menu: &Menu, buffer: &mut Buffer, look: &Look, at: Rect, index: usize) {
    let Some(row) = menu.model.rows.get(index) else { return };
    let selected = index == menu.selected;
    let is_default = row.entry.is_some() && row.entry == menu.model.default;
    let mark = match (&row.outcome, is_default) {
        (Outcome::Plan(_), true) => " *",
        (Outcome::Plan(_), false) => "  ",
        (_, true) => "x*",
        (_, false) => "x ",
    };
    let digit = if index < 9 { (index + 1).to_string() } else { " ".into() };
    let cursor = if selected { '>' } else { ' ' };
    let left = format!(" {cursor}{mark} {digit}  {}", row.title);
    // The title comes first: a reason that does not fit beside it is said below, for the selected one.
    let room = usize::from(at.width).saturating_sub(text::width(&left) + 4);
    let (remark, mood) =
        Some(row.remark(true)).filter(|(r, _)| text::width(r) <= room).unwrap_or(row.remark(false));
    let remark = text::clip(&remark, usize::from(at.width) / 2);
    let (left_style, right_style) = match selected {
        true => (look.selected(), look.selected()),
        false => (Style::new(), style(look, mood)),
    };
    if selected {
        // One cell of the edge stays free on both sides.
        let bar = Rect { x: at.x + 1, width: at.width.saturating_sub(2), ..at };
        buffer.set_style(bar.intersection(buffer.area), look.selected());
    }
    page::split(
        buffer,
        Rect { width: at.width.saturating_sub(1), ..at },
        Span::styled(left, left_style),
        Span::styled(remark, right_style),
    );
    if selected && at.width > 0 && at.height > 0 {
        // The bar begins a cell from the edge, as it ends.
        buffer.set_style(Rect { width: 1, ..at }, Style::reset());
    }
}

fn style(look: &Look, mood: Mood) -> Style {
    match mood {
        Mood::Plain => Style::new(),
        Mood::Good => look.good(),
        Mood::Warn => look.warn(),
        Mood::Bad => look.bad(),
    }
}

fn draw_detail(menu: &Menu, buffer: &mut Buffer, look: &Look, area: Rect) {
    let Some(row) = menu.model.rows.get(menu.selected) else { return };
    let cells = usize::from(area.width);
    let mut facts = row.facts();
    let help = row.help.as_deref().unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    let height = usize::from(area.height);
    if height >= 7 {
        let title = text::clip(&row.title, cells.saturating_sub(2));
        lines.push(Line::styled(format!(" {title}"), look.title()));
        let room = height.saturating_sub(6).clamp(1, 6);
        let help = text::wrap(help, cells.saturating_sub(2).min(76));
        lines.extend(help.into_iter().take(room).map(|l| Line::from(format!(" {l}"))));
        if height > 12 {
            lines.push(Line::default());
        }
    }
    let room = height - lines.len();
    while facts.len() > room {
        let Some(most) = facts.iter().map(|f| f.rank).max() else { break };
        let Some(at) = facts.iter().rposition(|f| f.rank == most) else { break };
        facts.remove(at);
    }
    let spare = room - facts.len();
    lines.extend(facts.iter().flat_map(|f| fact_lines(look, f, cells, spare)));
    page::lines(buffer, area, lines);
}

/// A fact in one line where room is short; a reason is never cut where there is more.
fn fact_lines(look: &Look, fact: &Fact, cells: usize, spare: usize) -> Vec<Line<'static>> {
    let room = cells.saturating_sub(page::LABEL + 1);
    let value = match fact.mood {
        Mood::Bad | Mood::Warn if spare > 0 => fact.value.clone(),
        _ if fact.label == "carried" && spare > 0 => fact.value.clone(),
        _ if LOCATIONS.contains(&fact.label) || fact.mood == Mood::Good => {
            text::clip_middle(&fact.value, room)
        }
        _ => text::clip(&fact.value, room),
    };
    page::fact(look, fact.label, &value, style(look, fact.mood), cells)
}

/// What happens next, in the longest words that fit.
fn status(menu: &Menu, look: &Look, cells: u16) -> Line<'static> {
    let room = usize::from(cells).saturating_sub(2);
    let title = menu.default_row().map_or("", |r| r.title.as_str());
    let quoted = |before: &str, after: &str| {
        let left = room.saturating_sub(text::width(before) + text::width(after) + 2);
        (left >= text::width(title).min(12))
            .then(|| format!("{before}\"{}\"{after}", text::clip(title, left)))
    };
    let idle = text::span(menu.model.idle);
    let said = match (menu.asked, menu.countdown.shown()) {
        (Some(Command::Reboot), _) => "Press r again to reboot, any other key not to.".into(),
        (Some(_), _) => "Press p again to power off, any other key not to.".into(),
        (None, Shown::Counting { seconds, .. }) if menu.model.default.is_none() => {
            format!("No key for {idle}: goes on by itself in {seconds} s - any key stops")
        }
        (None, Shown::Stopped { .. }) if menu.model.default.is_none() => {
            format!("Stopped. Goes on by itself after {idle} without a key.")
        }
        (None, Shown::Nothing) if menu.model.timeout.is_some() && menu.model.default.is_none() => {
            "The default entry cannot be used: choose one.".into()
        }
        (None, Shown::Counting { seconds, rearmed: false }) => {
            quoted("Booting ", &format!(" in {seconds} s - any key stops"))
                .unwrap_or_else(|| format!("Booting in {seconds} s - any key stops"))
        }
        (None, Shown::Counting { seconds, rearmed: true }) => {
            quoted(&format!("No key for {idle}: booting "), &format!(" in {seconds} s - any key stops"))
                .unwrap_or_else(|| format!("No key: boots in {seconds} s, any key stops"))
        }
        (None, Shown::Stopped { .. }) => quoted("Stopped. ", &format!(" boots after {idle} without a key."))
            .unwrap_or_else(|| format!("Stopped. Boots after {idle} idle.")),
        (None, Shown::Nothing) => "Choose an entry: Enter boots it.".into(),
    };
    let counting = matches!(menu.countdown.shown(), Shown::Counting { .. }) || menu.asked.is_some();
    let style = if counting { look.warn().patch(look.title()) } else { Style::new() };
    Line::from(Span::styled(format!(" {}", text::clip(&said, room)), style))
}
