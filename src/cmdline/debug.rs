//! What the command line says of failures, shells and talk: `panic=`, `rd.emergency=`, `rd.shell`, `rd.break`, `break=`,
//! `debug`, `quiet`. What a failure then leads to is the boot's.
//!
//! Sources: dracut.cmdline(7), initramfs-tools(7), the kernel's kernel-parameters.txt.

use super::words::Word;
use super::{BreakAt, CmdlineProblem, OnFailure, Params};
use crate::order;

/// dracut's places, then those of initramfs-tools, in the order of a boot.
const PLACES: &[(&str, BreakAt)] = &[
    ("cmdline", BreakAt::Start),
    ("pre-udev", BreakAt::Start),
    ("pre-trigger", BreakAt::Start),
    ("initqueue", BreakAt::BeforeRoot),
    ("pre-mount", BreakAt::BeforeRoot),
    ("pre-pivot", BreakAt::BeforeInit),
    ("cleanup", BreakAt::BeforeInit),
    ("top", BreakAt::Start),
    ("modules", BreakAt::Start),
    ("premount", BreakAt::BeforeRoot),
    ("mount", BreakAt::BeforeRoot),
    ("mountroot", BreakAt::BeforeRoot),
    ("bottom", BreakAt::BeforeInit),
    ("init", BreakAt::BeforeInit),
];

impl Params {
    /// Reads them all; the last of each counts, but every place of a shell.
    pub(super) fn failures_and_debug(&mut self, words: &[Word]) {
        self.panic = self.hinted(words, "panic", panic).flatten();
        self.emergency = self.hinted(words, "rd.emergency", emergency);
        self.rd_shell = self.hinted(words, "rd.shell", switch);
        let breaks = words.iter().filter(|w| matches!(w.name.as_str(), "rd.break" | "break"));
        for word in breaks {
            match places(word) {
                Ok(places) => self.break_at.extend(places),
                Err(problem) => self.problems.push(problem),
            }
        }
        order::by_key(&mut self.break_at, |place| *place);
        self.break_at.dedup();
        let said = |name: &str| words.iter().rfind(|w| w.name == name);
        self.quiet = said("quiet").is_some_and(|w| w.value.is_none());
        self.debug = said("debug").is_some_and(is_on) || said("rd.debug").is_some_and(is_on);
    }

    /// Whether nobody may have a shell: `panic=N`, as initramfs-tools has it, `rd.shell=0`, or `bootjack.shell=0`.
    pub fn forbids_shell(&self) -> bool {
        self.no_shell || self.rd_shell == Some(false) || self.panic.is_some()
    }

    /// The same once it is known whether a first stage handed the boot on: its `panic=` was then put there for the
    /// kernel, unless the first stage forbade shells too. Where there may be no shell, what asks for one is a problem.
    pub fn obeying(mut self, handed: bool) -> Self {
        if handed && !self.no_shell {
            self.panic = None;
        }
        if !self.forbids_shell() {
            return self;
        }
        let word = if self.no_shell { "bootjack.shell=0" } else { "rd.shell=0" };
        let why = self.panic.map_or(word.into(), |seconds| format!("panic={seconds}"));
        let asked = [
            ("bootjack.shell", std::mem::take(&mut self.shell)),
            ("rd.shell", self.rd_shell == Some(true)),
            ("rd.break", !std::mem::take(&mut self.break_at).is_empty()),
        ];
        self.rd_shell = Some(false);
        self.problems.extend(asked.into_iter().filter(|(_, asked)| *asked).map(|(word, _)| CmdlineProblem {
            word: word.into(),
            cause: format!("{why} forbids every shell"),
            hint: Some(format!("leave one of them out: {why} or {word}")),
        }));
        self
    }

    /// The value of the last word of this name; a wrong one is a problem with a way out.
    fn hinted<T>(&mut self, words: &[Word], name: &str, read: Reader<T>) -> Option<T> {
        let word = words.iter().rfind(|w| w.name == name)?;
        match read(word.value.as_deref().unwrap_or_default()) {
            Ok(value) => Some(value),
            Err((cause, hint)) => {
                let problem = word.problem(cause);
                self.problems.push(CmdlineProblem { hint: Some(hint.into()), ..problem });
                None
            }
        }
    }
}

/// A value from its text, or what is wrong with it and a right example.
type Reader<T> = fn(&str) -> Result<T, (&'static str, &'static str)>;

/// Seconds; 0 is no order: the kernel takes it for "stay".
fn panic(text: &str) -> Result<Option<i64>, (&'static str, &'static str)> {
    let wrong = ("is no number of seconds", "panic=30 reboots 30 s after a failure and forbids every shell");
    let seconds: i64 = text.parse().map_err(|_| wrong)?;
    Ok((seconds != 0).then_some(seconds))
}

/// dracut's `halt` leaves the power on; so does a screen that stays.
fn emergency(text: &str) -> Result<OnFailure, (&'static str, &'static str)> {
    match text {
        "reboot" => Ok(OnFailure::Reboot),
        "poweroff" => Ok(OnFailure::PowerOff),
        "halt" => Ok(OnFailure::Hold),
        _ => Err(("is neither reboot, poweroff nor halt", "rd.emergency=reboot")),
    }
}

/// dracut's way with a yes or no (`getargbool`), but for what is neither.
fn switch(text: &str) -> Result<bool, (&'static str, &'static str)> {
    match text {
        "" | "1" | "yes" | "on" | "true" => Ok(true),
        "0" | "no" | "off" | "false" => Ok(false),
        _ => Err(("is neither 0 nor 1", "rd.shell=0 forbids every shell")),
    }
}

/// A bare `rd.break` is dracut's last place, a bare `break` that of initramfs-tools.
fn places(word: &Word) -> Result<Vec<BreakAt>, CmdlineProblem> {
    let Some(text) = word.value.as_deref() else {
        let bare = if word.name == "break" { BreakAt::BeforeRoot } else { BreakAt::BeforeInit };
        return Ok(vec![bare]);
    };
    let place = |name: &str| PLACES.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
    let places: Option<Vec<BreakAt>> = text.split(',').map(place).collect();
    places.ok_or_else(|| {
        let names: Vec<&str> = PLACES.iter().map(|(name, _)| *name).collect();
        let hint = Some(format!("one or more of {}, such as {}=mount", names.join(", "), word.name));
        CmdlineProblem { hint, ..word.problem("names no place of a boot") }
    })
}

/// osbuild's initrd takes any value for yes, `0` too, which nobody means; initramfs-tools' value names a file.
fn is_on(word: &Word) -> bool {
    !matches!(word.value.as_deref(), Some("0" | "no" | "off"))
}

impl BreakAt {
    /// Where that is, for the person in the shell.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Start => "before the network and the drivers",
            Self::BeforeRoot => "before the root is made",
            Self::BeforeInit => "before init: the root is in /sysroot and may be changed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let problems = Params::parse(text).obeying(false).problems;
        problems.iter().map(|p| format!("{p} ({})", p.hint.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn every_word_of_the_ancestors_is_understood() {
        for (text, panic, emergency, shell, debug) in [
            ("", None, None, None, false),
            ("panic=5", Some(5), None, None, false),
            ("panic=-1", Some(-1), None, None, false),
            ("panic=0 debug=0", None, None, None, false),
            ("rd.emergency=reboot rd.shell", None, Some(OnFailure::Reboot), Some(true), false),
            ("rd.emergency=poweroff rd.shell=1", None, Some(OnFailure::PowerOff), Some(true), false),
            ("rd.emergency=halt rd.shell=0", None, Some(OnFailure::Hold), Some(false), false),
            ("debug", None, None, None, true),
            ("debug=1 rd.info", None, None, None, true),
            ("debug=vc quiet", None, None, None, true),
            ("rd.debug", None, None, None, true),
            ("rd.debug=0 debug=off", None, None, None, false),
        ] {
            let params = Params::parse(text);
            assert_eq!(
                (params.panic, params.emergency, params.rd_shell),
                (panic, emergency, shell),
                "{text}"
            );
            assert_eq!((params.debug, params.problems), (debug, vec![]), "{text}");
        }
        assert!(Params::parse("quiet").quiet && !Params::parse("quiet=1").quiet);
    }

    #[test]
    fn a_shell_comes_where_each_ancestor_has_it() {
        use BreakAt::{BeforeInit, BeforeRoot, Start};
        for (text, places) in [
            ("rd.break", vec![BeforeInit]),
            ("break", vec![BeforeRoot]),
            ("rd.break=cmdline", vec![Start]),
            ("rd.break=pre-udev rd.break=pre-trigger", vec![Start]),
            ("rd.break=initqueue", vec![BeforeRoot]),
            ("rd.break=pre-mount rd.break=pre-pivot", vec![BeforeRoot, BeforeInit]),
            ("rd.break=cleanup", vec![BeforeInit]),
            ("break=init,top,mount", vec![Start, BeforeRoot, BeforeInit]),
            ("break=premount", vec![BeforeRoot]),
            ("break=bottom break=modules", vec![Start, BeforeInit]),
            ("nobreak breakage=init", vec![]),
        ] {
            assert_eq!(Params::parse(text).break_at, places, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_word_and_a_right_one() {
        let places = "one or more of cmdline, pre-udev, pre-trigger, initqueue, pre-mount, pre-pivot, cleanup, top, \
                      modules, premount, mount, mountroot, bottom, init, such as";
        for (text, said) in [
            ("rd.break=sometime", format!("rd.break=sometime: names no place of a boot ({places} rd.break=mount)")),
            ("break=", format!("break=: names no place of a boot ({places} break=mount)")),
            ("break=init,soon", format!("break=init,soon: names no place of a boot ({places} break=mount)")),
            (
                "panic=soon",
                "panic=soon: is no number of seconds (panic=30 reboots 30 s after a failure and forbids every shell)"
                    .into(),
            ),
            ("rd.emergency=run", "rd.emergency=run: is neither reboot, poweroff nor halt (rd.emergency=reboot)".into()),
            ("rd.shell=maybe", "rd.shell=maybe: is neither 0 nor 1 (rd.shell=0 forbids every shell)".into()),
        ] {
            assert_eq!(told(text), [said]);
            let params = Params::parse(text);
            assert_eq!((params.panic, params.break_at, params.rd_shell), (None, vec![], None), "{text}");
        }
    }

    #[test]
    fn panic_and_rd_shell_forbid_every_shell_and_say_so() {
        for order in ["panic=5", "panic=-1", "bootjack.shell=0"] {
            let asks = format!("{order} rd.break break=top rd.shell");
            let params = Params::parse(&asks).obeying(false);
            assert!(params.forbids_shell() && !params.shell && params.break_at.is_empty(), "{asks}");
            assert_eq!(params.rd_shell, Some(false));
            assert_eq!(
                told(&asks),
                [
                    format!(
                        "rd.shell: {order} forbids every shell (leave one of them out: {order} or rd.shell)"
                    ),
                    format!(
                        "rd.break: {order} forbids every shell (leave one of them out: {order} or rd.break)"
                    ),
                ]
            );
        }
        // There a shell is wanted and not: the last word counts.
        for asks in
            ["rd.shell=0 rd.break break=top bootjack.shell", "rd.shell rd.shell=no break bootjack.shell"]
        {
            let params = Params::parse(asks).obeying(false);
            assert!(params.forbids_shell() && !params.shell && params.break_at.is_empty(), "{asks}");
            assert!(told(asks).iter().all(|told| told.contains("rd.shell=0 forbids every shell")), "{asks}");
            assert_eq!(told(asks).len(), 2, "{asks}");
        }
        assert!(!Params::parse("rd.shell=0 rd.shell").obeying(false).forbids_shell());
        assert_eq!(told("panic=5 bootjack.shell").len(), 1);
        assert!(!Params::parse("panic=5 bootjack.shell").obeying(false).shell);
        let free = Params::parse("panic=0 rd.break bootjack.shell").obeying(false);
        assert!(!free.forbids_shell() && free.shell && free.break_at == [BreakAt::BeforeInit]);
    }

    #[test]
    fn the_panic_that_a_first_stage_added_for_the_kernel_forbids_nothing() {
        let free = Params::parse("panic=30 rd.break").obeying(true);
        assert_eq!((free.panic, free.forbids_shell(), free.break_at.len()), (None, false, 1));
        let forbidden = Params::parse("panic=5 bootjack.shell=0 rd.break").obeying(true);
        assert_eq!(
            (forbidden.panic, forbidden.forbids_shell(), forbidden.break_at.len()),
            (Some(5), true, 0)
        );
    }
}
