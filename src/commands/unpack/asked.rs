//! `bootjack unpack --cmdline`: the root that the kernel command line asks for, inside somebody else's initrd. The words
//! are `cmdline`'s, the arithmetic is `plan`'s, the work is `load`'s; when it is asked for is up to the glue in `initrd/`.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Directory, failure_of, only_root, stop_on_signals, tell};
use crate::catalog::Entry;
use crate::cmdline::{Params, RootSource, RootWord};
use crate::commands::boot::beginning::{complaint, make_fetcher};
use crate::commands::output;
use crate::commands::progress::Progress;
use crate::fetch::Location;
use crate::load::{self, Failure, Fetched, Loader, ModulesOfRoot, Phase, Report};
use crate::machine::Machine;
use crate::net;
use crate::plan::{self, ModulesFrom, RootPlan, Step};
use crate::verify::Trust;
use crate::volumes::Volume;

/// Exit status where the command line asks for no root of ours: the initrd goes on as if we were not there.
pub const NOT_OURS: u8 = 3;

/// How long silence is borne where `bootjack.retry_for=` says nothing.
const RETRY_FOR: Duration = Duration::from_secs(300);

/// What failures are said of.
const CMDLINE: &str = "the kernel command line";

/// An archive that the command line asks for.
pub struct Asked {
    params: Params,
    entry: Entry,
    locations: Vec<Location>,
}

/// Reads a command line; nothing if it asks for no archive. A directory that the host shares is none: an initrd that can
/// mount one does so itself.
///
/// # Errors
/// The file cannot be read, or the root is asked for in wrong words.
pub fn read(file: &Path) -> Result<Option<Asked>, Failure> {
    let text = fs::read(file).map_err(|e| Failure::new(Phase::Plan, file.display().to_string(), e))?;
    let text = String::from_utf8_lossy(&text);
    let params = Params::parse(&text);
    let refused = params.root.as_ref().and_then(|root| root.as_ref().err());
    for problem in params.problems.iter().filter(|&problem| Some(problem) != refused) {
        eprintln!("bootjack: warning: {}", complaint(problem));
    }
    let locations = match &params.root {
        Some(Ok(RootWord { source: RootSource::Archive(locations), .. })) => locations.clone(),
        Some(Err(problem)) if names_an_archive(&text) => {
            let failure = Failure::because(Phase::Plan, CMDLINE, problem.to_string());
            return Err(Failure { hint: problem.hint.clone(), ..failure });
        }
        Some(_) | None => return Ok(None),
    };
    match params.root_entry() {
        Some(Ok(entry)) => Ok(Some(Asked { params, entry, locations })),
        Some(Err(problem)) => Err(Failure::because(Phase::Plan, CMDLINE, problem.to_string())),
        None => Ok(None),
    }
}

/// Whether a root that is refused would have been an archive. What is wrong with another is for others to say.
fn names_an_archive(text: &str) -> bool {
    let text = text.replace('"', "");
    let words = text.split_whitespace();
    let begins = ["root=tmpfs:", "rd.container.rootfs", "ramroot", "boot=ramdisk"];
    words.into_iter().any(|word| begins.iter().any(|begin| word.starts_with(begin)))
}

impl Asked {
    /// Says what the root needs, as assignments that a shell may `eval`.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn tell(&self) -> Result<ExitCode, Failure> {
        let remote = self.locations.iter().filter(|location| location.is_remote()).count();
        let network = match remote {
            0 => "no",
            all if all == self.locations.len() => "yes",
            // Another mirror does without.
            _ => "maybe",
        };
        let facts = format!(
            "BOOTJACK_ROOT={}\nBOOTJACK_NETWORK={network}\nBOOTJACK_DEVICES={}\n",
            quoted(&self.locations[0].to_string()),
            quoted(&self.devices().join(" "))
        );
        output::print(Phase::Plan, &facts)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Where udev puts the one block device that all depends on: any of these names will do.
    fn devices(&self) -> Vec<String> {
        match &self.locations[..] {
            [Location::Volume { volume, .. }] => names(volume),
            _ => Vec::new(),
        }
    }

    /// Unpacks it into a tmpfs that stays mounted at `dir`, or puts that over an image; after a failure nothing is mounted there.
    ///
    /// # Errors
    /// What went wrong.
    pub fn unpack(&self, dir: &Path) -> Result<Fetched, Failure> {
        let name = dir.display().to_string();
        only_root(&name)?;
        let mut plan = self.plan()?;
        self.params.complete(&mut plan, net::Config::parse(&self.params.network).0.bootif);
        if !self.params.mounts.is_empty() {
            eprintln!(
                "bootjack: warning: mount= and mount-ro= are for bootjack's own initrd: nothing is mounted"
            );
        }
        if plan.archive.trust == Trust::Unverified {
            eprintln!(
                "bootjack: warning: no rd.tmpfs.sha256= was given: {} is not verified",
                self.locations[0]
            );
        }
        let mut notices = Vec::new();
        let fetcher = make_fetcher(&self.params, &mut notices)?;
        notices.iter().for_each(|notice| eprintln!("bootjack: warning: {notice}"));
        let stop = stop_on_signals().map_err(|e| Failure::new(Phase::Unpack, &name, e))?;
        // Never over something that is there already.
        Directory::prepare(dir).map_err(|e| Failure::new(Phase::Unpack, &name, e))?;
        let progress = Mutex::new(Progress::in_lines("unpacking"));
        let on = |report: Report| -> ControlFlow<()> { tell(&progress, &stop, &report) };
        let retry_for = self.params.retry_for.unwrap_or(RETRY_FOR);
        let loader = Loader { fetcher: &fetcher, retry_for, on: &on };
        let failed = |error| {
            progress.lock().unwrap_or_else(PoisonError::into_inner).end();
            failure_of(error, &name)
        };
        let (root, came) = load::load_root_at(dir, &plan, &self.entry.id, &loader).map_err(failed)?;
        if plan.modules == ModulesFrom::Initrd && came.modules == Some(ModulesOfRoot::Missing) {
            load::copy_of_initrd(root.get()).map_err(failed)?;
        }
        let fitted = load::fit(root.get(), &plan).map_err(failed)?;
        fitted.in_words().iter().for_each(|warning| eprintln!("bootjack: warning: {warning}"));
        let Some(fetched) = came.artifacts.into_iter().next() else {
            return Err(Failure::because(Phase::Unpack, name, "nothing came"));
        };
        root.into_parts().0.keep();
        Ok(fetched)
    }

    fn plan(&self) -> Result<RootPlan, Failure> {
        let planned = plan::plan(&self.entry, &Machine::probe()).map_err(|refusal| Failure {
            hint: refusal.hint,
            ..Failure::because(Phase::Plan, self.locations[0].to_string(), refusal.cause)
        })?;
        match planned.step {
            Step::SwitchRoot(plan) => Ok(*plan),
            _ => Err(Failure::because(Phase::Plan, CMDLINE, "it asks for something else than a root")),
        }
    }
}

/// Links of udev's that may lead to a volume. UUIDs are compared without regard to case: udev writes them as they are on
/// the disk, in capitals for vfat.
fn names(volume: &Volume) -> Vec<String> {
    let below = |place: &str, name: &str| format!("/dev/disk/by-{place}/{}", encoded(name));
    let both =
        |place: &str, id: &str| vec![below(place, &id.to_lowercase()), below(place, &id.to_uppercase())];
    match volume {
        // udev makes no other names, and no shell stumbles over these.
        Volume::Device(path) => {
            let path = path.display().to_string();
            let plain = path.split('/').all(|part| encoded(part) == part);
            if plain { vec![path] } else { Vec::new() }
        }
        Volume::Label(name) => vec![below("label", name)],
        Volume::PartLabel(name) => vec![below("partlabel", name)],
        Volume::Uuid(id) => both("uuid", id),
        Volume::PartUuid(id) => both("partuuid", id),
    }
}

/// As udev names its links (`encode_devnode_name`): letters, digits, `#+-.:=@_` and whatever is not ASCII stay.
fn encoded(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || !c.is_ascii() || "#+-.:=@_".contains(c) {
            path.push(c);
        } else {
            path.push_str(&format!("\\x{:02x}", u32::from(c)));
        }
    }
    path
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udev_s_links_are_named_as_udev_names_them() {
        let of = |text: &str| names(&Volume::parse(text).unwrap());
        assert_eq!(of("/dev/mapper/vg-lv"), ["/dev/mapper/vg-lv"]);
        assert_eq!(of("/dev/a'b"), Vec::<String>::new());
        assert_eq!(of("LABEL=my images/1"), [r"/dev/disk/by-label/my\x20images\x2f1"]);
        assert_eq!(of("PARTLABEL=müll"), ["/dev/disk/by-partlabel/müll"]);
        assert_eq!(of("UUID=ABcd-12"), ["/dev/disk/by-uuid/abcd-12", "/dev/disk/by-uuid/ABCD-12"]);
        assert_eq!(of("PARTUUID=a1"), ["/dev/disk/by-partuuid/a1", "/dev/disk/by-partuuid/A1"]);
    }

    #[test]
    fn no_word_of_the_command_line_runs_in_a_shell() {
        let words = "a'b $(touch /tmp/x) `id` \\ \"";
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(words))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), words);
    }
}
