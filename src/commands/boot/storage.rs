//! Encrypted devices that a boot needs: opened before it loads, with a passphrase from whoever is at a console. What
//! lies on what is `volumes`'.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::course::{self, Ended};
use super::source;
use super::words::Word;
use super::worker::Story;
use crate::answer::{self, Answer, NoAnswer};
use crate::fetch::Location;
use crate::handover::Handover;
use crate::load::{Failure, Phase};
use crate::plan::Plan;
use crate::tui::passphrase::{Passphrase, PassphraseAnswer};
use crate::volumes::{self, Assembly, Locked, NotOpened, Volume};

/// So long a device that is named may take to appear: USB disks need 5 s and more, what lies on a RAID array that lacks
/// disks 10 s longer.
const APPEARS: Duration = Duration::from_secs(30);

/// How often it is looked for.
const ROUND: Duration = Duration::from_millis(250);

/// A passphrase that is wrong so often is another one.
const TRIES: u32 = 3;

/// What takes no longer is not worth a screen.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Trying a passphrase takes seconds (argon2), on a slow machine many; a disk that is dead, for ever.
const OPENS: Duration = Duration::from_secs(120);

/// A program that is told to stop has so long for it.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Somebody who sees the question has at least so long.
const LEAST: Duration = Duration::from_secs(10);

/// Why a device stays locked.
enum Shut {
    /// A person left.
    Left,
    Failed(Failure),
}

/// What looking for a device came to.
enum Looked {
    Found(Box<Locked>),
    /// It is open, or nobody wants it any more.
    Nothing,
    /// It did not appear.
    Missing,
    /// Why there will be none.
    Broken(String),
}

impl Story {
    /// Opens what the command line names and what the plan lies on. The end of the attempt if that is not to be.
    pub fn unlock(&mut self, plan: &Plan, attempt: &course::Attempt) -> Option<Ended<Handover>> {
        if self.params.assembly.without_luks {
            return None;
        }
        match self.unlock_all(plan, attempt.patience) {
            Ok(()) => None,
            Err(Shut::Left) => Some(Ended::Stopped),
            Err(Shut::Failed(failure)) => Some(self.failed(attempt, failure)),
        }
    }

    fn unlock_all(&mut self, plan: &Plan, patience: Option<Duration>) -> Result<(), Shut> {
        for word in self.params.assembly.luks.clone() {
            if let Some(locked) = self.look_for(&word)? {
                self.ask_for(&locked, patience)?;
            }
        }
        let on = plan.artifacts().into_iter().flat_map(|artifact| &artifact.locations);
        let mut looked_at: Vec<&Volume> = Vec::new();
        for volume in on.filter_map(volume) {
            if looked_at.contains(&volume) {
                continue;
            }
            looked_at.push(volume);
            match self.what_locks(volume, patience)? {
                Some(Some(locked)) => self.ask_for(&locked, patience)?,
                Some(None) => {}
                // Looking at the next one would take as long; whoever reads from it says what is the matter.
                None => break,
            }
        }
        Ok(())
    }

    /// Whether the device is encrypted is learned by reading from it, and from all others: one that hangs is left to
    /// whoever needs it.
    fn what_locks(
        &mut self,
        volume: &Volume,
        patience: Option<Duration>,
    ) -> Result<Option<Option<Locked>>, Shut> {
        Word::Doing(format!("looking at {volume}")).say();
        let most = patience.map_or(APPEARS, |left| APPEARS.min(left.max(LEAST)));
        let facts = source::header(&self.network, &self.fetcher);
        let mut screen = Passphrase::looking_at(&volume.to_string(), most, facts);
        let volume = volume.clone();
        self.meanwhile(&mut screen, Some(most), move |_| volumes::locked_by(&volume))
    }

    /// The device that `rd.luks.uuid=` names, once it is there; nothing if it is open.
    fn look_for(&mut self, word: &str) -> Result<Option<Locked>, Shut> {
        Word::Doing(format!("waiting for the encrypted device {word}")).say();
        let named = format!("rd.luks.uuid={word}");
        let mut screen =
            Passphrase::looking_for(&named, APPEARS, source::header(&self.network, &self.fetcher));
        let assembly = self.params.assembly.clone();
        let word = word.to_owned();
        let looked =
            self.meanwhile(&mut screen, Some(APPEARS * 2), move |go_on| look(&word, &assembly, go_on))?;
        let failed = |cause: String| Failure::because(Phase::Fetch, &named, cause);
        let silent = || Looked::Broken("a disk does not answer".to_owned());
        match looked.unwrap_or_else(silent) {
            Looked::Found(locked) => Ok(Some(*locked)),
            Looked::Nothing => Ok(None),
            Looked::Broken(why) => Err(Shut::Failed(failed(why))),
            Looked::Missing => {
                let why = format!("no encrypted device has this UUID after {} s", APPEARS.as_secs());
                let hint = "blkid says which there are; the drivers of disks come with --drivers storage";
                Err(Shut::Failed(failed(why).hint(hint)))
            }
        }
    }

    /// Asks until the device is open.
    fn ask_for(&mut self, locked: &Locked, patience: Option<Duration>) -> Result<(), Shut> {
        let device = locked.device().path.display().to_string();
        Word::Doing(format!("waiting for the passphrase of {device}")).say();
        let patience = patience.map(|left| left.max(LEAST));
        let failed = |cause: String| Failure::because(Phase::Fetch, &device, cause);
        if !volumes::can_open() {
            let failure = failed("it is encrypted, and there is no cryptsetup in this initrd".into());
            return Err(Shut::Failed(failure.hint("bootjack initrd --with cryptsetup puts it in")));
        }
        let mut screen =
            Passphrase::new(locked, TRIES, patience, source::header(&self.network, &self.fetcher));
        loop {
            let answered = self.consoles.ask(&mut screen, &mut |_| None);
            self.touched(answered.console);
            match answered.answer {
                PassphraseAnswer::Open => {}
                PassphraseAnswer::Leave | PassphraseAnswer::Done => return Err(Shut::Left),
                PassphraseAnswer::TimeUp => {
                    let seconds = patience.unwrap_or_default().as_secs();
                    let failure = failed(format!("nobody typed its passphrase in {seconds} s"));
                    return Err(Shut::Failed(failure.hint("it is asked for at every console")));
                }
            }
            let (secret, device_of) = (screen.opening(), locked.clone());
            let open = move |go_on: &dyn Fn() -> ControlFlow<()>| volumes::open(&device_of, &secret, go_on);
            let why = match self.meanwhile(&mut screen, Some(OPENS), open)? {
                Some(Ok(())) => return Ok(()),
                Some(Err(NotOpened::Stopped)) => return Err(Shut::Left),
                None => {
                    let why = format!("opening it was not done after {} s", OPENS.as_secs());
                    return Err(Shut::Failed(failed(why)));
                }
                Some(Err(NotOpened::WrongPassphrase)) => "no key with this passphrase".to_owned(),
                Some(Err(NotOpened::Failed(words))) => return Err(Shut::Failed(failed(words))),
            };
            log::warn!("{device}: {why}");
            if !screen.refused(&why) {
                let failure = failed(format!("{why}, {TRIES} times"));
                return Err(Shut::Failed(failure.hint("Enter asks again")));
            }
        }
    }

    /// Does something in a thread of its own while the screen is shown; Esc stops it, and one that a dead disk holds is
    /// not waited for. Nothing if it took longer than `within`.
    fn meanwhile<T: Send + 'static>(
        &mut self,
        screen: &mut Passphrase,
        within: Option<Duration>,
        work: impl FnOnce(&dyn Fn() -> ControlFlow<()>) -> T + Send + 'static,
    ) -> Result<Option<T>, Shut> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let work = move || {
            let go_on = || match told.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            work(&go_on)
        };
        let finished = answer::ask("storage", work)
            .map_err(|e| Shut::Failed(Failure::new(Phase::Worker, "starting a thread", e)))?;
        // Most of what is asked is known at once: no screen for that.
        if let Ok(value) = finished.take_within(AT_ONCE) {
            return Ok(Some(value));
        }
        let shown = self.show(screen, within, &finished);
        stop.store(true, Ordering::Relaxed);
        match shown {
            Shown::Arrived(value) => Ok(Some(value)),
            Shown::TimeUp => Ok(None),
            Shown::Left => {
                // What a program did half is undone by then.
                let _late = finished.take_within(LETTING_GO);
                Err(Shut::Left)
            }
        }
    }

    /// Shows the screen until something arrives.
    fn show<T>(
        &mut self,
        screen: &mut Passphrase,
        within: Option<Duration>,
        finished: &Answer<T>,
    ) -> Shown<T> {
        let (begun, mut shown) = (Instant::now(), Shown::Left);
        let answered = self.consoles.ask(screen, &mut |_| match finished.try_take() {
            Ok(value) => {
                shown = Shown::Arrived(value);
                Some(PassphraseAnswer::Done)
            }
            Err(NoAnswer::Yet) if within.is_none_or(|within| begun.elapsed() < within) => None,
            Err(NoAnswer::Yet) => {
                shown = Shown::TimeUp;
                Some(PassphraseAnswer::Done)
            }
            Err(NoAnswer::Ever) => Some(PassphraseAnswer::Done),
        });
        self.touched(answered.console);
        shown
    }
}

/// What a screen ended with.
enum Shown<T> {
    Arrived(T),
    TimeUp,
    /// A person left, or nothing will ever come.
    Left,
}

fn volume(location: &Location) -> Option<&Volume> {
    match location {
        Location::Volume { volume, .. } => Some(volume),
        _ => None,
    }
}

/// Looks for the device round by round, putting together what it may lie on.
fn look(word: &str, assembly: &Assembly, go_on: &dyn Fn() -> ControlFlow<()>) -> Looked {
    let until = Instant::now() + APPEARS;
    let inside = Volume::Uuid(word.strip_prefix("luks-").unwrap_or(word).to_owned());
    while go_on().is_continue() {
        if volumes::is_open(word) {
            return Looked::Nothing;
        }
        match volumes::locked(word) {
            Ok(Some(locked)) => return Looked::Found(Box::new(locked)),
            Ok(None) => {}
            Err(why) => return Looked::Broken(why.to_string()),
        }
        if Instant::now() >= until {
            return Looked::Missing;
        }
        if let Err(e) = volumes::assemble(assembly, &inside, go_on) {
            return Looked::Broken(e.to_string());
        }
        std::thread::park_timeout(ROUND);
    }
    Looked::Nothing
}
