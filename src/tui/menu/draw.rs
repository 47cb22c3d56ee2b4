//! What the menu looks like: a list of entries, what the selected one would do, and what happens next.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::list::{Item, Place, SEPARATOR};
use super::{Fact, Menu, MenuModel, Mood};
use crate::tui::countdown::Shown;
use crate::tui::field::Field;
use crate::tui::keys;
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

/// A line of the list as it is drawn.
enum Drawn<'a> {
    /// Before a heading; goes where the list does not fit.
    Gap,
    /// After a group, before entries that are in none: without it they would look like its own.
    End,
    Item(Item<'a>),
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
    // What is not there has a line that says so.
    let wanted = items(menu).len().max(1) as u16;
    let list = wanted.min((area.height - 1).saturating_sub(DETAIL).max((area.height - 1).div_ceil(2)));
    let middle = page::row(area, area.y + list);
    page::rule(buffer, middle, look);
    if wanted > list && area.width > 30 {
        let (at, all) = menu.list.position(&menu.model.rows);
        let place = format!(" {at} of {all} ");
        let width = place.len() as u16;
        page::put(buffer, Rect { x: middle.right() - width - 3, width, ..middle }, place);
    }
    let below = list + 1;
    (
        Rect { height: list, ..area },
        Rect { y: area.y + below, height: area.height.saturating_sub(below), ..area },
    )
}

fn items(menu: &Menu) -> Vec<Drawn<'_>> {
    let mut drawn = Vec::new();
    let mut in_group = false;
    for item in menu.list.items(&menu.model.rows) {
        match item {
            Item::Group { depth: 0, .. } if !drawn.is_empty() => drawn.push(Drawn::Gap),
            Item::Row(index) if in_group && menu.model.rows[index].group.is_none() => drawn.push(Drawn::End),
            _ => {}
        }
        in_group = match item {
            Item::Group { .. } => true,
            Item::Row(index) => menu.model.rows[index].group.is_some(),
        };
        drawn.push(Drawn::Item(item));
    }
    drawn
}

fn draw_list(menu: &Menu, buffer: &mut Buffer, look: &Look, area: Rect) {
    let height = usize::from(area.height);
    // Headings are the first thing to go where the list does not fit.
    let mut items = items(menu);
    if items.is_empty() {
        let why = if menu.model.rows.is_empty() {
            " The catalog has no entries."
        } else {
            " Nothing has these letters."
        };
        page::put(buffer, page::row(area, area.y), why);
        return;
    }
    if items.len() > height {
        items.retain(|i| !matches!(i, Drawn::Gap));
    }
    if items.len() > height && height < 8 {
        items.retain(|i| !matches!(i, Drawn::End | Drawn::Item(Item::Group { folded: None, .. })));
    }
    let is_selected = |i: &Drawn| matches!(i, Drawn::Item(item) if menu.list.is_at(*item));
    let selected = items.iter().position(is_selected).unwrap_or(0);
    // The selected one in the middle, as far as the ends allow: no state to keep, the same on every console.
    let top = selected.saturating_sub(height / 2).min(items.len().saturating_sub(height));
    let (above, below) = (top, items.len().saturating_sub(top + height));
    for (line, drawn) in items.iter().skip(top).take(height).enumerate() {
        let at = page::row(area, area.y + line as u16);
        match drawn {
            Drawn::Gap | Drawn::End => {}
            Drawn::Item(Item::Row(index)) => draw_row(menu, buffer, look, at, *index),
            Drawn::Item(Item::Group { path, depth, folded }) => {
                draw_group(menu, buffer, look, at, (path, *depth, *folded));
            }
        }
        let arrow = match line {
            0 if above > 0 => "^",
            _ if line + 1 == height && below > 0 => "v",
            _ => continue,
        };
        page::put(buffer, Rect { width: 1.min(at.width), ..at }, Span::styled(arrow, look.key()));
    }
}

/// A heading; a folded one is a line that can be selected.
fn draw_group(
    menu: &Menu,
    buffer: &mut Buffer,
    look: &Look,
    at: Rect,
    (path, depth, folded): (&str, usize, Option<usize>),
) {
    let name = path.rsplit(SEPARATOR).next().unwrap_or(path);
    let indent = "  ".repeat(depth);
    let Some(hidden) = folded else {
        let name = text::clip(&format!("{indent}{name}"), usize::from(at.width.saturating_sub(2)));
        return page::put(buffer, at, Line::styled(format!(" {name}"), look.label()));
    };
    let selected = *menu.list.place() == Place::Group(path.to_owned());
    let cursor = if selected { '>' } else { ' ' };
    let style = if selected { look.selected() } else { look.label() };
    let left = format!(" {cursor}{indent}[+] {name}");
    bar(buffer, look, at, selected);
    page::split(
        buffer,
        Rect { width: at.width.saturating_sub(1), ..at },
        Span::styled(left, style),
        Span::styled(format!("{hidden} folded"), style),
    );
    unbar(buffer, at, selected);
}

/// One cell of the edge stays free on both sides.
fn bar(buffer: &mut Buffer, look: &Look, at: Rect, selected: bool) {
    if selected {
        let bar = Rect { x: at.x + 1, width: at.width.saturating_sub(2), ..at };
        buffer.set_style(bar.intersection(buffer.area), look.selected());
    }
}

/// The bar begins a cell from the edge, as it ends.
fn unbar(buffer: &mut Buffer, at: Rect, selected: bool) {
    if selected && at.width > 0 && at.height > 0 {
        buffer.set_style(Rect { width: 1, ..at }, Style::reset());
    }
}

fn draw_row(menu: &Menu, buffer: &mut Buffer, look: &Look, at: Rect, index: usize) {
    let Some(row) = menu.model.rows.get(index) else { return };
    let selected = menu.list.row() == Some(index);
    let is_default = row.entry.is_some() && row.entry == menu.model.default;
    let mark = row.mark().map_or(" ".into(), |mark| mark.to_string());
    let star = if is_default { '*' } else { ' ' };
    let digits = menu.model.rows.len().min(99).to_string().len();
    let digit = if index < 99 { format!("{:>digits$}", index + 1) } else { " ".repeat(digits) };
    let hotkey = row.hotkey.map(|letter| format!(" [{letter}]")).unwrap_or_default();
    let cursor = if selected { '>' } else { ' ' };
    let left = format!(" {cursor}{mark}{star} {digit}  {}{hotkey}", row.title);
    // The title comes first: a reason that does not fit beside it is said below, for the selected one.
    let room = usize::from(at.width).saturating_sub(text::width(&left) + 4);
    let (remark, mood) =
        Some(row.remark(true)).filter(|(r, _)| text::width(r) <= room).unwrap_or(row.remark(false));
    let remark = text::clip(&remark, usize::from(at.width) / 2);
    let (left_style, right_style) = match selected {
        true => (look.selected(), look.selected()),
        false => (Style::new(), style(look, mood)),
    };
    bar(buffer, look, at, selected);
    page::split(
        buffer,
        Rect { width: at.width.saturating_sub(1), ..at },
        Span::styled(left, left_style),
        Span::styled(remark, right_style),
    );
    unbar(buffer, at, selected);
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
    let cells = usize::from(area.width);
    let Some(row) = menu.selected() else {
        if let Place::Group(path) = menu.list.place() {
            let said = [path.clone(), "Enter or Right shows what is in it.".into()];
            page::lines(buffer, area, said.map(|l| Line::from(format!(" {}", text::clip(&l, cells)))));
        }
        return;
    };
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

/// What is searched for, and how much of it there is.
fn searching(menu: &Menu, look: &Look, room: usize, field: &Field, typing: bool) -> Line<'static> {
    let (_, found) = menu.list.position(&menu.model.rows);
    let said = match typing {
        true => format!("  {found} found - Enter keeps them, Esc shows all"),
        false => format!("  {found} found - Esc shows all"),
    };
    let left = room.saturating_sub(text::width(&said) + 1);
    let mut spans = vec![Span::styled(" /", look.title())];
    spans.extend(field.line(look, left, typing).spans);
    spans.push(Span::raw(said));
    Line::from(spans)
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
    if let Some((field, typing)) = menu.list.query() {
        return searching(menu, look, room, field, typing);
    }
    let said = match menu.countdown.shown() {
        Shown::Counting { seconds, .. } if menu.model.default.is_none() => {
            format!("No key for {idle}: goes on by itself in {seconds} s - any key stops")
        }
        Shown::Stopped { .. } if menu.model.default.is_none() => {
            format!("Stopped. Goes on by itself after {idle} without a key.")
        }
        Shown::Nothing if menu.model.timeout.is_some() && menu.model.default.is_none() => {
            "The default entry cannot be used: choose one.".into()
        }
        Shown::Counting { seconds, rearmed: false } => {
            quoted("Booting ", &format!(" in {seconds} s - any key stops"))
                .unwrap_or_else(|| format!("Booting in {seconds} s - any key stops"))
        }
        Shown::Counting { seconds, rearmed: true } => {
            quoted(&format!("No key for {idle}: booting "), &format!(" in {seconds} s - any key stops"))
                .unwrap_or_else(|| format!("No key: boots in {seconds} s, any key stops"))
        }
        Shown::Stopped { .. } => quoted("Stopped. ", &format!(" boots after {idle} without a key."))
            .unwrap_or_else(|| format!("Stopped. Boots after {idle} idle.")),
        Shown::Nothing => "Choose an entry: Enter boots it.".into(),
    };
    let counting = matches!(menu.countdown.shown(), Shown::Counting { .. });
    let style = if counting { look.warn().patch(look.title()) } else { Style::new() };
    Line::from(Span::styled(format!(" {}", text::clip(&said, room)), style))
}
