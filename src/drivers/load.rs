//! Puts modules into the running kernel, with the parameters the kernel command line has for them. Which ones is
//! `index`'s answer, when is `mod`'s.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use super::index::Module;

/// What came of loading one module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Outcome {
    /// It is in the kernel now.
    Loaded,
    /// It was there before.
    Already,
    /// It found nothing to drive (ENODEV): no failure.
    NoDevice,
    /// What went wrong, in words.
    Failed(String),
}

/// A module that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Loaded {
    pub module: String,
    /// The modalias that asked for it; absent: it was asked for by name.
    pub device: Option<String>,
    pub outcome: Outcome,
}

/// What the kernel command line says about modules: `NAME.PARAMETER=VALUE` and `modprobe.blacklist=A,B`
/// (modprobe(8)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    parameters: HashMap<String, String>,
    blacklist: HashSet<String>,
}

/// Parameters a module gets before those of the command line, of which the kernel takes the last. Many drivers stop
/// their watchdog when the machine reboots, and a kexec is a reboot to them (`watchdog_stop_on_reboot` in
/// drivers/watchdog/watchdog_core.c): one that watches over a boot is to go on over the jump.
const OURS: &[(&str, &str)] = &[("watchdog", "stop_on_reboot=0")];

impl Settings {
    /// Reads a kernel command line; words it does not know are not its own.
    pub fn parse(cmdline: &str) -> Self {
        let mut settings = Self::default();
        for word in words(cmdline) {
            let word = unquoted(word);
            let Some((module, parameter)) = word.split_once('.') else { continue };
            if module.is_empty() || module.contains('=') || parameter.is_empty() {
                continue;
            }
            if module == "modprobe" {
                let list = parameter.strip_prefix("blacklist=").unwrap_or_default();
                settings.blacklist.extend(
                    list.trim_matches('"').split(',').filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")),
                );
                continue;
            }
            let all = settings.parameters.entry(module.replace('-', "_")).or_default();
            if !all.is_empty() {
                all.push(' ');
            }
            all.push_str(parameter);
        }
        settings
    }

    /// All that is said to a module when it is loaded.
    fn said_to(&self, module: &str) -> String {
        let ours = OURS.iter().filter(|(name, _)| *name == module).map(|(_, parameters)| *parameters);
        ours.chain(self.parameters.get(module).map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Whether a device must not load this module by itself; by name it still may be.
    pub fn forbids(&self, module: &str) -> bool {
        self.blacklist.contains(module)
    }
}

/// Splits as the kernel does (`next_arg` in lib/cmdline.c): at white space outside double quotes. They stay: the kernel
/// splits a module's parameters again.
fn words(cmdline: &str) -> Vec<&str> {
    let mut quoted = false;
    let outside = |c: char| {
        quoted ^= c == '"';
        !quoted && c.is_ascii_whitespace()
    };
    cmdline.split(outside).filter(|w| !w.is_empty()).collect()
}

/// A word that is quoted as a whole (`"a.b=c d"`) is the same as one whose value is (`a.b="c d"`).
fn unquoted(word: &str) -> Cow<'_, str> {
    let Some(inner) = word.strip_prefix('"') else { return word.into() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    match inner.split_once('=') {
        Some((name, value)) if value.contains(|c: char| c.is_ascii_whitespace()) => {
            format!("{name}=\"{value}\"").into()
        }
        _ => inner.into(),
    }
}

/// Loads one module whose dependencies are there already.
pub fn load_one(dir: &Path, module: &Module, settings: &Settings) -> Outcome {
    // Reading a whole file only to hear EEXIST costs time; built-in modules have no initstate.
    if Path::new("/sys/module").join(&module.name).join("initstate").exists() {
        return Outcome::Already;
    }
    let path = dir.join(&module.path);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) => return Outcome::Failed(format!("opening {}: {e}", path.display())),
    };
    let Ok(parameters) = CString::new(settings.said_to(&module.name)) else {
        return Outcome::Failed("its parameters have a NUL in them".into());
    };
    outcome(finit_module(file, &parameters, flags(&module.path)))
}

/// The kernel unpacks `.ko.xz` and the like itself when it can (MODULE_INIT_COMPRESSED_FILE, Linux 5.17).
fn flags(path: &str) -> ModuleInitFlags {
    const COMPRESSED: u32 = 4;
    if path.ends_with(".ko") {
        ModuleInitFlags::empty()
    } else {
        ModuleInitFlags::from_bits_retain(COMPRESSED)
    }
}

fn outcome(result: nix::Result<()>) -> Outcome {
    let text = match result {
        Ok(()) => return Outcome::Loaded,
        Err(Errno::EEXIST) => return Outcome::Already,
        Err(Errno::ENODEV) => return Outcome::NoDevice,
        Err(Errno::ENOENT) => {
            "it uses a symbol that nothing loaded has: a module it depends on is missing".into()
        }
        Err(Errno::ENOEXEC) => "not a module for this kernel: it was built for another release".into(),
        Err(Errno::EKEYREJECTED | Errno::ENOKEY) => {
            "its signature is not by a key this kernel trusts (Secure Boot)".into()
        }
        Err(e) => e.desc().to_owned(),
    };
    Outcome::Failed(text)
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Loaded => write!(f, "{}: loaded", self.module)?,
            Outcome::Already => write!(f, "{}: there already", self.module)?,
            Outcome::NoDevice => write!(f, "{}: found no device", self.module)?,
            Outcome::Failed(cause) => write!(f, "{}: {cause}", self.module)?,
        }
        self.device.as_ref().map_or(Ok(()), |device| write!(f, " (for {device})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_blacklist_come_from_the_kernel_command_line() {
        let settings = Settings::parse(
            "console=ttyS0 nvme-core.io_timeout=5 usbcore.quirks=\"a b\" nvme_core.x modprobe.blacklist=nouveau,snd-x \
             root=tmpfs:http://a.b/c.tar rd.neednet=1 ip=10.0.0.1 .x x. url=http://1.2.3.4/",
        );
        assert_eq!(settings.parameters["nvme_core"], "io_timeout=5 x");
        assert_eq!(settings.parameters["usbcore"], "quirks=\"a b\"");
        assert!(settings.forbids("nouveau") && settings.forbids("snd_x") && !settings.forbids("nvme_core"));
        let mut known: Vec<&String> = settings.parameters.keys().collect();
        known.sort();
        assert_eq!(known, ["nvme_core", "rd", "usbcore"]);
    }

    #[test]
    fn a_quoted_value_is_still_one_value_when_the_kernel_splits_it_again() {
        let of = |cmdline| Settings::parse(cmdline).parameters["m"].clone();
        assert_eq!(of("\"m.p=a b\" m.q=1"), "p=\"a b\" q=1");
        assert_eq!(of("\"m.p=a\" m.q=\"b\""), "p=a q=\"b\"");
        assert_eq!(of("m.p=x\" \"y"), "p=x\" \"y");
        assert_eq!(of("\"m.p=a b"), "p=\"a b\"", "a quote nobody closed ends with the line");
        assert!(Settings::parse("modprobe.blacklist=\"a,b\"").forbids("b"));
    }

    #[test]
    fn a_watchdog_goes_on_over_a_jump_unless_the_command_line_says_otherwise() {
        let of = |cmdline| Settings::parse(cmdline).said_to("watchdog");
        assert_eq!(of("quiet"), "stop_on_reboot=0");
        assert_eq!(of("watchdog.stop_on_reboot=1"), "stop_on_reboot=0 stop_on_reboot=1");
        assert_eq!(Settings::parse("").said_to("e1000"), "");
    }

    #[test]
    fn no_device_is_no_failure_and_there_already_is_success() {
        assert_eq!(outcome(Err(Errno::ENODEV)), Outcome::NoDevice);
        assert_eq!(outcome(Err(Errno::EEXIST)), Outcome::Already);
        assert!(matches!(outcome(Err(Errno::ENOENT)), Outcome::Failed(text) if text.contains("symbol")));
    }

    #[test]
    fn a_missing_file_is_named() {
        let module = Module { name: "nosuch_module".into(), path: "kernel/nosuch.ko".into() };
        let dir = tempfile::tempdir().unwrap();
        let Outcome::Failed(text) = load_one(dir.path(), &module, &Settings::default()) else { panic!() };
        assert!(text.contains("kernel/nosuch.ko: No such file"), "{text}");
    }
}
