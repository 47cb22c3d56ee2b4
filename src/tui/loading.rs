//! Loading: what comes, from where, how fast, how long yet. Shows `load`'s reports and the time that goes by; the
//! only answer is to stop.

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::keys::{self, Command};
use super::log::LogView;
use super::page::{self, Head};
use super::pager::Pager;
use super::{Event, Look, Screen, text};
use crate::archive::Image;
use crate::catalog::Artifact;
use crate::fetch::Retrying;
use crate::load::Report;
use crate::plan::{KexecPlan, Plan, RootPlan, SharedPlan, Step, Way};
use crate::verify::Trust;

/// The rate is the mean over this long: steady enough to read, quick enough to show a stall.
const RATE_OVER: Duration = Duration::from_secs(4);

/// Silence is worth a word after so long.
const SILENCE: Duration = Duration::from_secs(2);

/// The answer: stop, and go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel;

/// The screen.
#[derive(Debug)]
pub struct Loading {
    title: String,
    facts: Vec<String>,
    artifacts: Vec<Part>,
    /// Since the load began.
    elapsed: Duration,
    /// Bytes of memory that are available now.
    free: Option<u64>,
    /// When, and what happened: one line each.
    log: Vec<String>,
    /// What is done when all is here.
    ending: Option<String>,
    over: Option<Pager>,
}

/// One thing that is fetched.
#[derive(Debug)]
struct Part {
    name: String,
    /// As the plan has it; absent for what the plan did not name.
    planned: Option<Artifact>,
    location: Option<String>,
    total: Option<u64>,
    fetched: u64,
    unpacked: u64,
    entries: u64,
    /// Time and bytes, newest last, over `RATE_OVER`.
    samples: VecDeque<(Duration, u64)>,
    /// When the last byte came, or the last try began.
    moved: Duration,
    state: State,
    /// It stays as it comes: nothing is unpacked.
    kept: bool,
    /// It turned out to be one, which is read in place.
    image: Option<Image>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Opening,
    Coming,
    /// The next try begins with the byte `from`.
    Retrying {
        error: String,
        attempt: u32,
        at: Duration,
        from: u64,
    },
    Done(Trust),
}

impl Loading {
    /// The screen of a plan; `facts` for its head.
    pub fn new(plan: &Plan, facts: Vec<String>) -> Self {
        let artifacts = match &plan.step {
            Step::SwitchRoot(root) => of_root(root),
            Step::Shared(shared) => vec![of_shared(shared)],
            Step::Run(job) => of_root(&job.root),
            Step::Kexec(kexec) => of_kexec(kexec),
            Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => vec![],
        };
        Self {
            title: plan.title.clone(),
            facts,
            artifacts,
            elapsed: Duration::ZERO,
            free: None,
            log: Vec::new(),
            ending: None,
            over: None,
        }
    }

    /// So many bytes of memory are available now.
    pub fn tell_free(&mut self, bytes: u64) {
        self.free = Some(bytes);
    }

    /// Takes what `load` reports.
    pub fn report(&mut self, report: Report) {
        let now = self.elapsed;
        match report {
            Report::Tick => {}
            Report::Opening { artifact, location } => {
                self.say(format!("{artifact}: opening {location}"));
                let part = self.part(&artifact);
                part.begin(now, location.to_string(), None);
                part.state = State::Opening;
            }
            Report::Started { location, bytes } => {
                if let Some(part) = self.current() {
                    part.begin(now, location.to_string(), bytes);
                    part.state = State::Coming;
                }
            }
            Report::Progress { fetched, unpacked, entries } => {
                if let Some(part) = self.current() {
                    part.progress(now, fetched, unpacked, entries);
                }
            }
            Report::Image(image) => {
                if let Some(part) = self.current() {
                    let what = format!("{}: {image}, read in place", part.name);
                    part.image = Some(image);
                    self.say(what);
                }
            }
            Report::Retrying(Retrying { location, error, attempt, wait, next, from, .. }) => {
                let on = if from > 0 { format!("; going on with {next}") } else { String::new() };
                self.say(format!("try {attempt} failed: {error} ({location}){on}"));
                if let Some(part) = self.current() {
                    match from {
                        0 => part.begin(now, location.to_string(), None),
                        _ => part.location = Some(next.to_string()),
                    }
                    part.state = State::Retrying { error, attempt, at: now + wait, from };
                }
            }
            Report::Verified { artifact, trust } => {
                self.say(match &trust {
                    Trust::Sha256(_) | Trust::Chunks(_) => format!("{artifact}: verified {trust}"),
                    Trust::Unverified => format!("{artifact}: complete, UNVERIFIED"),
                });
                self.part(&artifact).state = State::Done(trust);
            }
            Report::HandingOver { bytes } => {
                let what = format!("the kernel takes in {} for the second one", text::bytes(bytes));
                self.say(what.clone());
                self.ending = Some(what);
            }
        }
    }

    /// What happened so far, for a failure screen that follows.
    pub fn log(&self) -> &[String] {
        &self.log
    }

    fn say(&mut self, what: String) {
        self.log.push(format!("{:>5.1} s  {what}", self.elapsed.as_secs_f64()));
    }

    /// The part a report without a name is about: the last one that was begun.
    fn current(&mut self) -> Option<&mut Part> {
        let at = self.artifacts.iter().rposition(|p| !matches!(p.state, State::Waiting)).unwrap_or(0);
        self.artifacts.get_mut(at)
    }

    fn part(&mut self, name: &str) -> &mut Part {
        let at = self.artifacts.iter().position(|p| p.name == name).unwrap_or_else(|| {
            self.artifacts.push(Part::new(name, None));
            self.artifacts.len() - 1
        });
        &mut self.artifacts[at]
    }
}

/// The modules of a root come only if it turns out to have none.
fn of_root(root: &RootPlan) -> Vec<Part> {
    vec![Part::new("root", Some(root.archive.clone()))]
}

/// A shared root is there as soon as it is mounted: nothing is fetched, and nobody vouches for it.
fn of_shared(shared: &SharedPlan) -> Part {
    let (locations, trust) = (vec![shared.location()], Trust::Unverified);
    let root = Artifact {
        locations,
        trust,
        size: None,
        unpacked: None,
        entries: None,
        chunks: None,
        pins: vec![],
        connections: 1,
        drivers: None,
    };
    Part { kept: true, ..Part::new("root", Some(root)) }
}

/// In the order in which they are fetched; an archive that is fetched again after the kexec is none of them.
fn of_kexec(kexec: &KexecPlan) -> Vec<Part> {
    let mut parts = vec![Part::new("kernel", Some(kexec.kernel.clone()))];
    for (n, initrd) in (1..).zip(&kexec.initrd) {
        parts.push(Part::new(&format!("initrd {n}"), Some(initrd.artifact.clone())));
    }
    parts.extend(kexec.modules.iter().map(|modules| Part::new("modules", Some(modules.clone()))));
    if let (Some(root), Way::Carried(_) | Way::Unknown) = (&kexec.root, &kexec.way) {
        parts.push(Part::new("root", Some(root.archive.clone())));
    }
    parts.into_iter().map(|part| Part { kept: true, ..part }).collect()
}

impl Part {
    fn new(name: &str, planned: Option<Artifact>) -> Self {
        Self {
            name: name.to_owned(),
            total: planned.as_ref().and_then(|a| a.size),
            planned,
            location: None,
            fetched: 0,
            unpacked: 0,
            entries: 0,
            samples: VecDeque::new(),
            moved: Duration::ZERO,
            state: State::Waiting,
            kept: false,
            image: None,
        }
    }

    fn begin(&mut self, now: Duration, location: String, bytes: Option<u64>) {
        (self.fetched, self.unpacked, self.entries, self.moved) = (0, 0, 0, now);
        self.samples.clear();
        self.image = None;
        self.samples.push_back((now, 0));
        self.location = Some(location);
        self.total = self.planned.as_ref().and_then(|a| a.size).or(bytes);
    }

    fn progress(&mut self, now: Duration, fetched: u64, unpacked: u64, entries: u64) {
        let moved = fetched > self.fetched;
        if moved {
            self.moved = now;
        }
        (self.fetched, self.unpacked, self.entries) = (fetched, unpacked, entries);
        // Told while the next try is waited for, too.
        if moved && matches!(self.state, State::Opening | State::Retrying { .. }) {
            self.state = State::Coming;
        }
        // The clock of this screen stands between two ticks: the last report of a tick counts.
        match self.samples.back_mut() {
            Some(last) if last.0 == now => last.1 = fetched,
            _ => self.samples.push_back((now, fetched)),
        }
    }

    /// Bytes a second over the last while.
    fn rate(&self, now: Duration) -> Option<u64> {
        let (since, bytes) = self.samples.iter().find(|(t, _)| *t + RATE_OVER >= now).copied()?;
        let seconds = now.saturating_sub(since).as_secs_f64();
        (seconds >= 0.5).then(|| (self.fetched.saturating_sub(bytes) as f64 / seconds) as u64)
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|t| self.fetched >= t)
    }

    fn lines(&self, look: &Look, now: Duration, cells: usize) -> Vec<Line<'static>> {
        let room = cells.saturating_sub(page::LABEL + 1);
        let line = |label: &str, value: &str, style: Style| {
            page::fact(look, label, &text::clip(value, room), style, cells)
        };
        let from = self.location.clone().unwrap_or_else(|| self.first_location());
        let mut lines = vec![];
        let mirror = self.mirror();
        let from = text::clip_middle(&from, room.saturating_sub(text::width(&mirror)));
        lines.extend(line("from", &format!("{from}{mirror}"), Style::new()));
        let indent = " ".repeat(page::LABEL);
        let gauge = page::gauge(look, self.fetched, self.total, room.min(72));
        if !gauge.is_empty() {
            lines.push(Line::from(format!("{indent}{gauge}")));
        }
        let (amount, pace) = (self.amount_in_words(), self.pace_in_words(now));
        let both = [amount.as_str(), &pace].join(if pace.is_empty() { "" } else { ", " });
        if text::width(&both) <= room {
            lines.extend(line("fetched", &both, Style::new()));
        } else {
            lines.extend(line("fetched", &amount, Style::new()));
            lines.extend(line("", &pace, Style::new()));
        }
        let planned = self.planned.as_ref();
        let tree = planned.and_then(|a| a.unpacked);
        let tree = tree.map_or_else(|| text::bytes(self.unpacked), |t| text::share(self.unpacked, t));
        let of = planned.and_then(|a| a.entries).map(|t| format!(" of {t}")).unwrap_or_default();
        let mut unpacked = format!("{tree}, {}{of} files", self.entries);
        if text::width(&unpacked) > room {
            unpacked = format!("{tree}, {} files", self.entries);
        }
        match self.image {
            Some(image) => {
                lines.extend(line("image", &format!("{}, read in place", image.name()), Style::new()));
            }
            None if self.kept || planned.is_some_and(Artifact::is_image) => {}
            None => lines.extend(line("unpacked", &unpacked, Style::new())),
        }
        let (label, value, style) = self.state_in_words(look, now);
        // A reason is never cut; a digest may be.
        match &self.state {
            State::Retrying { .. } => lines.extend(page::fact(look, label, &value, style, cells)),
            State::Done(_) => lines.extend(line(label, &text::clip_middle(&value, room), style)),
            _ => lines.extend(line(label, &value, style)),
        }
        lines
    }

    /// What there is to say of one that is not begun, or done.
    fn in_one_line(&self, look: &Look, cells: usize) -> Option<Vec<Line<'static>>> {
        let room = cells.saturating_sub(page::LABEL + 1);
        let (what, style) = match &self.state {
            State::Waiting => {
                let size = self.total.map(|total| format!(" {}", text::bytes(total))).unwrap_or_default();
                (format!("waiting:{size} from {}", self.first_location()), Style::new())
            }
            State::Done(trust @ (Trust::Sha256(_) | Trust::Chunks(_))) => {
                (format!("{}, verified {trust}", text::bytes(self.fetched)), look.good())
            }
            State::Done(Trust::Unverified) => {
                (format!("{}, UNVERIFIED", text::bytes(self.fetched)), look.warn())
            }
            State::Opening | State::Coming | State::Retrying { .. } => return None,
        };
        Some(page::fact(look, &self.name, &text::clip_middle(&what, room), style, cells))
    }

    /// Whether its bytes are held against a chunk list as they come.
    fn by_chunks(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| planned.chunks.is_some())
    }

    fn first_location(&self) -> String {
        self.planned.as_ref().and_then(|a| a.locations.first()).map(ToString::to_string).unwrap_or_default()
    }

    fn mirror(&self) -> String {
        let Some(planned) = self.planned.as_ref().filter(|a| a.locations.len() > 1) else {
            return String::new();
        };
        let here = self.location.as_deref();
        match planned.locations.iter().position(|l| here == Some(l.to_string().as_str())) {
            Some(at) => format!(" ({} of {})", at + 1, planned.locations.len()),
            None => format!(" ({})", text::count(planned.locations.len(), "mirror")),
        }
    }

    fn amount_in_words(&self) -> String {
        match self.total {
            Some(total) => text::share(self.fetched, total),
            None => format!("{}, size unknown", text::bytes(self.fetched)),
        }
    }

    /// Rate and time left while bytes come; since when none does.
    fn pace_in_words(&self, now: Duration) -> String {
        let (State::Coming, Some(rate)) = (&self.state, self.rate(now)) else {
            return String::new();
        };
        let silent = now.saturating_sub(self.moved);
        if self.is_complete() {
            return "complete".into();
        }
        if silent >= SILENCE {
            return format!("no byte for {} s", silent.as_secs());
        }
        let left = self.total.and_then(|t| t.saturating_sub(self.fetched).checked_div(rate));
        let left = left.map(|s| format!(", {} left", text::span(Duration::from_secs(s.max(1)))));
        format!("{}/s{}", text::bytes(rate), left.unwrap_or_default())
    }

    fn state_in_words(&self, look: &Look, now: Duration) -> (&'static str, String, Style) {
        let unverified = || "UNVERIFIED: nothing to hold it against".to_owned();
        match (&self.state, self.planned.as_ref().map(|a| &a.trust)) {
            (State::Retrying { error, attempt, at, from }, _) => {
                let next = match (at.checked_sub(now).filter(|w| !w.is_zero()), from) {
                    (Some(wait), 0) => format!("next try in {}", text::span(wait)),
                    (None, 0) => "trying again now".into(),
                    (Some(wait), from) => {
                        format!("going on after {} in {}", text::bytes(*from), text::span(wait))
                    }
                    (None, from) => format!("going on after {} now", text::bytes(*from)),
                };
                ("failed", format!("try {attempt}: {error}; {next}"), look.warn())
            }
            (State::Done(trust @ (Trust::Sha256(_) | Trust::Chunks(_))), _) => {
                ("verified", trust.to_string(), look.good())
            }
            (State::Done(Trust::Unverified), _) => ("complete", unverified(), look.warn()),
            (State::Opening, _) => {
                let waited = now.saturating_sub(self.moved).as_secs();
                let waited = if waited > 0 { format!(" since {waited} s") } else { String::new() };
                ("opening", format!("waiting for the first byte{waited}"), Style::new())
            }
            (State::Waiting, _) => ("waiting", "its turn comes".into(), Style::new()),
            (State::Coming, Some(Trust::Unverified)) => ("digest", unverified(), look.warn()),
            (State::Coming, Some(trust @ (Trust::Sha256(_) | Trust::Chunks(_)))) if self.by_chunks() => {
                ("digest", format!("checked chunk by chunk: {trust}"), Style::new())
            }
            (State::Coming, Some(Trust::Chunks(list))) => ("digest", format!("chunks {list}"), Style::new()),
            (State::Coming, Some(Trust::Sha256(digest))) if self.is_complete() => {
                ("verifying", format!("sha256 {digest}"), Style::new())
            }
            (State::Coming, Some(Trust::Sha256(digest))) => {
                ("digest", format!("checked at the end: sha256 {digest}"), Style::new())
            }
            (State::Coming, None) => ("digest", "checked at the end".into(), Style::new()),
        }
    }
}

impl Screen for Loading {
    type Answer = Cancel;

    fn on(&mut self, event: Event) -> Option<Cancel> {
        let key = match event {
            Event::Tick(passed) => {
                self.elapsed += passed;
                return None;
            }
            Event::Key(key) => key,
        };
        if let Some(pager) = &mut self.over {
            if !pager.on(key) {
                self.over = None;
            }
            return None;
        }
        match keys::command(keys::LOADING, key) {
            Some(Command::Cancel) => return Some(Cancel),
            Some(Command::Help) => self.over = Some(Pager::help(keys::LOADING, &[])),
            Some(Command::Log) => self.over = Some(Pager::log()),
            _ => {}
        }
        None
    }

    fn takes_text(&self) -> bool {
        self.over.as_ref().is_some_and(Pager::takes_text)
    }

    fn log(&mut self) -> Option<&mut LogView> {
        self.over.as_mut()?.grows()
    }

    fn draw(&self, frame: &mut Frame, look: &Look) {
        if let Some(pager) = &self.over {
            return pager.draw(frame, look);
        }
        let cells = usize::from(frame.area().width);
        let mut facts = vec![text::span(Duration::from_secs(self.elapsed.as_secs()))];
        facts.extend(self.free.map(|free| format!("{} free", text::bytes(free))));
        facts.extend(self.facts.iter().cloned());
        let head = Head { title: format!("Loading \"{}\"", self.title), facts };
        let legend = page::legend(look, keys::LOADING, &[], frame.area().width);
        let area = page::frame(frame, look, &head, legend);
        let roomy = area.height >= 12;
        let mut lines = Vec::new();
        let several = self.artifacts.len() > 1;
        for part in &self.artifacts {
            // Of several only the one that is coming takes room.
            if let Some(line) = part.in_one_line(look, cells).filter(|_| several) {
                lines.extend(line);
                continue;
            }
            if roomy {
                lines.push(Line::default());
                lines.push(Line::styled(format!(" {}", part.name), look.title()));
            }
            lines.extend(part.lines(look, self.elapsed, cells));
        }
        if let Some(ending) = &self.ending {
            lines.push(Line::default());
            lines.push(Line::styled(format!(" {ending}"), look.title()));
        }
        // The newest of what happened, where there is room.
        let room = usize::from(area.height).saturating_sub(lines.len() + 2);
        if room > 0 && !self.log.is_empty() {
            lines.push(Line::default());
            for line in self.log.iter().skip(self.log.len().saturating_sub(room)) {
                let line = text::clip(line, cells.saturating_sub(2));
                lines.push(Line::from(Span::raw(format!(" {line}"))));
            }
        }
        page::lines(frame.buffer_mut(), area, lines);
    }
}
