//! One answer, given on one thread and taken on another: what somebody who was asked for something comes back with. How
//! many answers, or pieces of one, get from thread to thread is for channels (`std::sync::mpsc`), which bring 6 KB of
//! code for each kind of answer; this brings less than one.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::Duration;

/// Where the answer will be.
#[derive(Debug)]
pub struct Answer<T>(Arc<Place<T>>);

/// Who will give it.
#[derive(Debug)]
pub struct Giver<T>(Arc<Place<T>>);

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It may still come.
    Yet,
    /// Whoever was to give it is gone, or gave it and it was taken.
    Ever,
}

#[derive(Debug)]
struct Place<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    given: Option<T>,
    giver_gone: bool,
    asker_gone: bool,
}

/// Both ends.
pub fn pair<T>() -> (Giver<T>, Answer<T>) {
    let state = Mutex::new(State { given: None, giver_gone: false, asker_gone: false });
    let place = Arc::new(Place { state, changed: Condvar::new() });
    (Giver(Arc::clone(&place)), Answer(place))
}

/// Does `work` on a thread called `name`, which nobody has to wait for.
///
/// # Errors
/// A thread that cannot be started.
pub fn ask<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Answer<T>> {
    let (giver, answer) = pair();
    begin(name, Box::new(move || giver.give(work())))?;
    Ok(answer)
}

/// Does `work` on a thread called `name`, which ends before the scope does.
///
/// # Errors
/// A thread that cannot be started.
pub fn ask_within<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<Answer<T>> {
    let (giver, answer) = pair();
    let work: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || giver.give(work()));
    Builder::new().name(name.into()).spawn_scoped(scope, work)?;
    Ok(answer)
}

/// Starts a thread that nobody has to wait for. Boxed: the code that starts one is there once, not for each kind of work.
///
/// # Errors
/// A thread that cannot be started.
pub fn begin(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    Builder::new().name(name.into()).spawn(work).map(drop)
}

impl<T> Giver<T> {
    /// Gives it, and does not wait: what nobody takes is dropped with the later of both ends.
    pub fn give(self, answer: T) {
        // Whoever waits for it is woken when this end goes, which is now.
        self.0.lock().given = Some(answer);
    }

    /// Gives it into a hand, and waits until it is taken. What comes back is what nobody waits for any more: it is dropped
    /// on this side, which counts where letting go of it may take its time.
    pub fn hand_over(self, answer: T) -> Option<T> {
        let mut state = self.0.lock();
        state.given = Some(answer);
        self.0.changed.notify_one();
        let nobody_took_it = |state: &mut State<T>| state.given.is_some() && !state.asker_gone;
        let waited = self.0.changed.wait_while(state, nobody_took_it);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.given.take()
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.lock().giver_gone = true;
        self.0.changed.notify_one();
    }
}

impl<T> Answer<T> {
    /// The answer, when it is there.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn try_take(&self) -> Result<T, NoAnswer> {
        self.take_within(Duration::ZERO)
    }

    /// Waits for it so long.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn take_within(&self, within: Duration) -> Result<T, NoAnswer> {
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), within, |state| state.is_awaited());
        self.taken(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits for it until it comes, or never will.
    pub fn take(self) -> Option<T> {
        let waited = self.0.changed.wait_while(self.0.lock(), |state| state.is_awaited());
        self.taken(waited.unwrap_or_else(PoisonError::into_inner)).ok()
    }

    fn taken(&self, mut state: MutexGuard<'_, State<T>>) -> Result<T, NoAnswer> {
        let none = if state.giver_gone { NoAnswer::Ever } else { NoAnswer::Yet };
        let answer = state.given.take().ok_or(none)?;
        self.0.changed.notify_one();
        Ok(answer)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.lock().asker_gone = true;
        self.0.changed.notify_one();
    }
}

impl<T> Place<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn is_awaited(&self) -> bool {
        self.given.is_none() && !self.giver_gone
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yet => "no answer",
            Self::Ever => "its thread ended without a word",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread::{scope, spawn};
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    /// Does `wait` on a thread, and `then` once that thread sleeps (proc_pid_stat(5)); what both came to.
    fn once_asleep<A: Send, B>(wait: impl FnOnce() -> A + Send, then: impl FnOnce() -> B) -> (A, B) {
        let (tell, hear) = channel();
        scope(|scope| {
            let waiter = scope.spawn(move || {
                tell.send(rustix::thread::gettid()).unwrap();
                wait()
            });
            let stat = format!("/proc/self/task/{}/stat", hear.recv().unwrap());
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                std::thread::yield_now();
            }
            let then = then();
            (waiter.join().unwrap(), then)
        })
    }

    /// Says when it is dropped, and on which thread.
    struct Dropped(std::sync::mpsc::Sender<std::thread::ThreadId>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[test]
    fn what_was_given_first_is_taken_once() {
        let (giver, answer) = pair();
        giver.give(7);
        assert_eq!(answer.try_take(), Ok(7));
        assert_eq!(answer.try_take(), Err(NoAnswer::Ever));
        let (giver, answer) = pair();
        giver.give(8);
        assert_eq!((answer.take_within(LONG), answer.take()), (Ok(8), None));
    }

    #[test]
    fn whoever_waits_is_woken_by_the_answer() {
        let (giver, answer) = pair();
        assert_eq!(once_asleep(move || answer.take(), || giver.give(7)).0, Some(7));
        let (giver, answer) = pair();
        let begun = Instant::now();
        assert_eq!(once_asleep(move || answer.take_within(LONG), || giver.give(8)).0, Ok(8));
        assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn whoever_waits_is_woken_when_nobody_is_left_to_give_it() {
        let (giver, answer) = pair::<()>();
        assert_eq!(once_asleep(move || answer.take(), || drop(giver)).0, None);
        let (giver, answer) = pair::<()>();
        assert_eq!(once_asleep(move || answer.take_within(LONG), || drop(giver)).0, Err(NoAnswer::Ever));
    }

    #[test]
    fn an_answer_that_is_late_is_told_from_one_that_never_comes() {
        let (giver, answer) = pair();
        let begun = Instant::now();
        assert_eq!(answer.try_take(), Err(NoAnswer::Yet));
        assert_eq!(answer.take_within(Duration::from_millis(20)), Err(NoAnswer::Yet));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        giver.give(7);
        assert_eq!(answer.try_take(), Ok(7));
    }

    #[test]
    fn what_is_handed_over_is_waited_with_until_it_is_taken() {
        let (giver, answer) = pair();
        let (back, taken) = once_asleep(move || giver.hand_over(7), || answer.take_within(LONG));
        assert_eq!((back, taken), (None, Ok(7)));
        assert_eq!(answer.take(), None);
    }

    #[test]
    fn what_nobody_waits_for_any_more_comes_back_to_whoever_hands_it_over() {
        let (told, drops) = channel();
        let (giver, answer) = pair();
        let made = Dropped(told.clone());
        let (there, ()) = once_asleep(
            move || {
                drop(giver.hand_over(made));
                std::thread::current().id()
            },
            || drop(answer),
        );
        assert_eq!(drops.recv().unwrap(), there);
        let (giver, answer) = pair();
        drop(answer);
        assert!(giver.hand_over(Dropped(told)).is_some());
    }

    #[test]
    fn what_is_given_to_nobody_is_dropped() {
        let (told, drops) = channel();
        let (giver, answer) = pair();
        drop(answer);
        giver.give(Dropped(told.clone()));
        assert!(drops.try_recv().is_ok());
        let (giver, answer) = pair();
        giver.give(Dropped(told));
        assert!(drops.try_recv().is_err());
        drop(answer);
        assert!(drops.try_recv().is_ok());
    }

    #[test]
    fn work_on_a_thread_of_its_own_is_answered() {
        let name = || std::thread::current().name().map(str::to_owned);
        assert_eq!(ask("asked", name).unwrap().take(), Some(Some("asked".into())));
        let mut seen = 0;
        let answer = scope(|scope| ask_within(scope, "within", || seen += 1).unwrap());
        assert_eq!((answer.take(), seen), (Some(()), 1));
        let (giver, answer) = pair();
        begin("begun", Box::new(move || giver.give(name()))).unwrap();
        assert_eq!(spawn(|| answer.take()).join().unwrap(), Some(Some("begun".into())));
    }
}
