//! Plan → a second kernel, loaded and ready to be jumped into: fetch and verify every part, build its initrd in memory,
//! hand both to the running kernel. Until then nothing of the old system is touched. The jump is the supervisor's.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{Came, Failure, Fetched, LoadError, Loader, Phase, ROOT, Report, bytes, modules, on_last, stage};
use crate::archive::carried::MemberWriter;
use crate::archive::newc;
use crate::catalog::{Artifact, Carry};
use crate::fetch::{self, Attempt, Event, Exhausted};
use crate::handover::kernel::Kernel;
use crate::handover::{Handover, LastWords, kexec};
use crate::machine::Machine;
use crate::plan::{Cargo, KexecPlan, Numbers, Refusal, Way, mib};
use crate::verify::Verified;

/// No kernel or initrd is larger: what a server that says no size may send at most.
const MOST: u64 = 2 << 30;

/// How often a part exists while it is loaded (`plan`'s arithmetic of carrying).
const COPIES: u64 = 3;

/// What the caller knows of the second stage: its words.
pub struct Second<'a> {
    /// The command line for this kernel, when the root comes in this way.
    pub cmdline: Cmdline<'a>,
    /// What the second stage is told: [`super::HANDOFF`].
    pub handoff: Told<'a>,
    /// Certificates that are not in the initrd's own place for them.
    pub ca: &'a [PathBuf],
}

/// The command line for a kernel, given what came for the kexec.
pub type Cmdline<'a> = &'a dyn Fn(&Kernel, &[Fetched], &Way) -> Result<String, Failure>;

/// Given what came for the kexec, the bytes of the hand-off.
pub type Told<'a> = &'a dyn Fn(&[Fetched], &Way) -> Result<Vec<u8>, Failure>;

/// Fetches all parts of a kexec and hands them to the kernel.
///
/// # Errors
/// [`LoadError`]; nothing is loaded then, and the memory of the parts is free again.
pub fn load_kexec(
    plan: &KexecPlan,
    id: &str,
    loader: &Loader<'_>,
    second: &Second<'_>,
) -> Result<(Handover, Came, Way), LoadError> {
    let mut parts = Parts { id, loader, came: Vec::new(), trusted: None };
    let mut kernel = parts.kernel(&plan.kernel)?;
    let initrd = parts.initrd(plan, &mut kernel, second.ca)?;
    let way = parts.carry(plan, &kernel, &initrd)?;
    if plan.root.is_some() && matches!(way, Way::Unknown) {
        let cause = "nobody says how large the archive is";
        return Err(LoadError::Failed(Failure::because(Phase::Plan, id, cause)));
    }
    if plan.has_second_stage() {
        let told = (second.handoff)(&parts.came, &way).map_err(LoadError::Failed)?;
        stage::handoff(&initrd, told)?;
    }
    let cmdline = (second.cmdline)(&kernel, &parts.came, &way).map_err(LoadError::Failed)?;
    if cmdline.len() > kernel.cmdline_max {
        let (has, most) = (cmdline.len(), kernel.cmdline_max);
        let cause = format!("its command line has {has} bytes, this kernel takes {most}");
        let failure = Failure::because(Phase::Plan, id, cause);
        return Err(LoadError::Failed(failure.hint("shorten cmdline, or name fewer mirrors")));
    }
    let (handover, came) = parts.hand_over(kernel, &initrd, &cmdline)?;
    Ok((handover, Came { artifacts: came, ..Came::default() }, way))
}

/// What has come so far.
struct Parts<'a> {
    id: &'a str,
    loader: &'a Loader<'a>,
    came: Vec<Fetched>,
    /// All that was fetched, verified together.
    trusted: Option<Verified<()>>,
}

impl Parts<'_> {
    fn kernel(&mut self, artifact: &Artifact) -> Result<Kernel, LoadError> {
        let file = bytes::in_memory("kernel")?;
        self.append(&file, artifact, "kernel")?;
        Kernel::open(file).map_err(|e| {
            let hint = e.hint;
            LoadError::Failed(Failure::because(Phase::Handover, self.id, e.to_string()).hint(hint))
        })
    }

    /// All initrds but for the archive: microcode, the given ones or bootjack itself, modules.
    fn initrd(&mut self, plan: &KexecPlan, kernel: &mut Kernel, ca: &[PathBuf]) -> Result<File, LoadError> {
        let file = bytes::in_memory("initrd")?;
        if plan.root.is_some() {
            stage::microcode(&file)?;
        }
        // That of a UKI is of use to a plain kernel alone; in either case it takes memory no longer.
        if let (None, Some(mut its_own)) = (&plan.root, kernel.initrd.take()) {
            let rewind = bytes::rewind(&mut its_own);
            rewind
                .and_then(|()| bytes::copy(&mut its_own, &mut &file))
                .map_err(|e| self.unwritten("initrd of the UKI", e))?;
        }
        for (n, initrd) in (1..).zip(&plan.initrd) {
            self.append(&file, &initrd.artifact, &format!("initrd {n}"))?;
        }
        if plan.root.is_some() && plan.initrd.is_empty() {
            // Drivers that were chosen for it are better than those that happen to be here.
            let release = kernel.release.as_deref().filter(|_| plan.modules.is_none());
            stage::own(&file, release, ca)?;
        }
        if let Some(artifact) = &plan.modules {
            self.append(&file, artifact, modules::MODULES)?;
        }
        Ok(file)
    }

    fn append(&mut self, file: &File, artifact: &Artifact, name: &str) -> Result<(), LoadError> {
        newc::pad(file).map_err(|e| self.unwritten(name, e))?;
        // More would take the machine's last memory before the arithmetic could say so.
        let most = MOST.min(Machine::probe().memory_available / COPIES);
        let (trusted, fetched) = bytes::append(file, artifact, name, most, self.loader)?;
        self.trust(trusted, fetched);
        Ok(())
    }

    fn trust(&mut self, trusted: Verified<()>, fetched: Fetched) {
        self.came.push(fetched);
        self.trusted = Some(match self.trusted.take() {
            Some(earlier) => earlier.and(trusted).map(drop),
            None => trusted,
        });
    }

    fn unwritten(&self, name: &str, error: std::io::Error) -> LoadError {
        bytes::unwritten(name, error)
    }

    /// Decides how the root gets into the second stage, now that sizes are known, and puts it into the initrd if it is
    /// carried.
    fn carry(&mut self, plan: &KexecPlan, kernel: &Kernel, initrd: &File) -> Result<Way, LoadError> {
        let length = bytes::end(initrd).map_err(|e| self.unwritten("initrd", e))?;
        let (memory, image) = (Some(kernel.memory), Some(kernel.bytes));
        let mut cargo = Cargo { kernel: memory, image, initrd: Some(length), archive: None };
        if let Some(root) = &plan.root {
            cargo.archive = match (root.archive.size, plan.carry) {
                (None, Carry::Auto | Carry::Yes) if plan.has_second_stage() => {
                    self.ask_length(&root.archive)?
                }
                (size, _) => size,
            };
        }
        // What has come is in memory already: once more of it is needed than of what is still to come.
        let machine = Machine::probe();
        let there = kernel.bytes.saturating_add(length);
        let before = machine.memory_available.saturating_add(there);
        let machine = Machine { memory_available: before, ..machine };
        let way = plan.way_with(&cargo, &machine).map_err(|refusal| self.refused(refusal))?;
        let (root, numbers) = match (&plan.root, way) {
            (Some(root), Way::Carried(numbers)) => (root, numbers),
            (Some(_), Way::Unknown) => {
                let why = "the server does not say how large the archive is";
                return match plan.carry {
                    Carry::Auto => {
                        let none = Cargo { archive: None, ..cargo };
                        plan.way_without(&none, &machine, why).map_err(|refusal| self.refused(refusal))
                    }
                    _ => Err(self.refused(Refusal {
                        cause: format!("carry = \"yes\": {why}"),
                        hint: Some("name its size in the catalog: bootjack pack prints it".into()),
                    })),
                };
            }
            (_, way) => return Ok(way),
        };
        self.carry_archive(&root.archive, initrd, &numbers)?;
        Ok(Way::Carried(numbers))
    }

    fn refused(&self, refusal: Refusal) -> LoadError {
        let failure = Failure::because(Phase::Plan, self.id, refusal.cause);
        LoadError::Failed(Failure { hint: refusal.hint, ..failure })
    }

    /// Asks the first mirror that answers how large the archive is.
    fn ask_length(&self, archive: &Artifact) -> Result<Option<u64>, LoadError> {
        let on = |event: Event| match event {
            Event::Tick => (self.loader.on)(Report::Tick),
            Event::Retry(what) => (self.loader.on)(Report::Retrying(*what)),
        };
        let fetcher = self.loader.fetcher.pinned(&archive.pins);
        let asked = fetch::drive(&archive.locations, self.loader.retry_for, &on, |attempt| {
            let location = attempt.location();
            let opening = Report::Opening { artifact: ROOT.into(), location: location.clone() };
            if (self.loader.on)(opening) == ControlFlow::Break(()) {
                return Err(Attempt::<Failure>::Stopped);
            }
            Ok(fetcher.open(location, attempt.timing(), &on)?.length)
        });
        asked.map_err(|why| match why {
            Exhausted::Stopped => LoadError::Stopped,
            why => LoadError::Failed(
                Failure::because(Phase::Fetch, self.id, why.to_string())
                    .hint("check the URL, the server and the network"),
            ),
        })
    }

    /// The archive as numbered members, so that the second stage can free each once it was read.
    fn carry_archive(
        &mut self,
        archive: &Artifact,
        initrd: &File,
        numbers: &Numbers,
    ) -> Result<(), LoadError> {
        let at = newc::pad(initrd).map_err(|e| self.unwritten(ROOT, e))?;
        let (trusted, fetched) =
            bytes::fetch(archive, ROOT, numbers.most_archive(), self.loader, &mut |archive| {
                bytes::cut(initrd, at)?;
                let mut members = MemberWriter::begin(initrd, stage::CARRIED)?;
                bytes::copy(archive, &mut members)?;
                members.finish().map(drop)
            })?;
        self.trust(trusted, fetched);
        Ok(())
    }

    /// Both to the kernel.
    fn hand_over(
        self,
        kernel: Kernel,
        initrd: &File,
        cmdline: &str,
    ) -> Result<(Handover, Vec<Fetched>), LoadError> {
        let length = bytes::end(initrd).map_err(|e| self.unwritten("initrd", e))?;
        let all = kernel.bytes.saturating_add(length);
        on_last(self.loader.on, Report::HandingOver { bytes: all });
        log::info!("{}: second kernel's command line: {cmdline}", self.id);
        let loaded = kexec::load(&kernel.file, (length > 0).then_some(initrd), cmdline).map_err(|e| {
            LoadError::Failed(Failure::because(Phase::Handover, self.id, e.to_string()).hint(e.hint))
        })?;
        let Some(trusted) = self.trusted else {
            let why = "nothing was fetched for it";
            return Err(LoadError::Failed(Failure::because(Phase::Handover, self.id, why)));
        };
        let name = kernel.release.as_deref().map_or_else(|| "a kernel".into(), |r| format!("Linux {r}"));
        let sizes = format!("{} of kernel, {} of initrd", mib(kernel.bytes), mib(length));
        let silence = kexec::silence(kernel.work.saturating_add(length));
        let consoles = crate::cmdline::consoles_of(cmdline);
        let words = LastWords { name, sizes, silence, consoles };
        Ok((Handover::kexec(trusted.map(|()| loaded), words), self.came))
    }
}
