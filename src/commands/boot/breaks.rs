//! Shells that interrupt a boot (`rd.break`, `break=`): where, and that leaving them goes on. What the operator left of a
//! root is looked at again, as if it had just come.

use std::fs;
use std::path::Path;

use super::course::Attempt;
use super::guard::Guard;
use super::words::Word;
use super::worker::Story;
use crate::cmdline::BreakAt;
use crate::commands::rescue;

/// The shell before everything: there is no screen yet, and the kernel's messages go on. One that cannot be had is a
/// notice. Says whether somebody was in it.
pub fn before_anything(guard: &Guard, notices: &mut Vec<String>) -> bool {
    if guard.password().is_some() {
        notices.push("rd.break: no shell before there is a screen to ask for the password on".into());
        return false;
    }
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    // The last one is /dev/console (Documentation/ABI/testing/sysfs-tty); tty0 is whatever is in front.
    let name = active.split_whitespace().last().map(|name| if name == "tty0" { "tty1" } else { name });
    let tty = Path::new("/dev").join(name.unwrap_or("console"));
    let about = said(BreakAt::Start);
    Word::Doing(format!("in a shell on {}", tty.display())).say();
    log::info!("{about}");
    let ended = rescue::shell(&tty, &about);
    match &ended {
        Ok(status) => log::info!("the shell on {} ended: {status}", tty.display()),
        Err(e) => notices.push(format!("rd.break: no shell on {}: {e:#}", tty.display())),
    }
    ended.is_ok()
}

fn said(at: BreakAt) -> String {
    format!("rd.break: {}; leaving this shell goes on", at.in_words())
}

impl Story {
    /// A shell on the kernel's own console, if one is wanted here and was not yet: whoever left it may have gone away,
    /// and a try of the machine's own must not wait for them. None to be had is a notice, and the boot goes on.
    pub fn break_at(&mut self, at: BreakAt, attempt: &Attempt) {
        if !attempt.breaks.contains(&at) || self.broke.contains(&at) {
            return;
        }
        self.broke.push(at);
        let about = said(at);
        log::info!("{about}");
        match self.shell_about(None, &about) {
            Ok(()) => {
                self.broken_into = true;
                if at == BreakAt::BeforeInit {
                    log::warn!("somebody was in the root: it may be another one than was verified");
                }
            }
            Err(failure) => {
                log::error!("rd.break: {failure}");
                self.notices.push(format!("rd.break: {failure}"));
            }
        }
    }
}
