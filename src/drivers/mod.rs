//! Kernel modules for the hardware found: coldplug once, hotplug ever after, and single ones by name. Which module
//! files an initrd holds is `commands::initrd`'s, who uses the same [`Index`].

mod index;
mod load;
mod pattern;
mod uevent;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use index::{Closure, Index, Module, Texts, module_name};
pub use load::{Loaded, Outcome, Settings};
use uevent::{Heard, Uevents, modaliases};

/// Where the kernel shows its devices.
const DEVICES: &str = "/sys/devices";

/// What no device asks for: the raw sockets of the DHCP client (a module on Debian's cloud kernel) and local ones.
const ALWAYS: &[&str] = &["af_packet", "unix"];

/// What coldplug came to. `drivers` goes on with [`Drivers::watch`].
#[derive(Debug)]
pub struct Coldplugged {
    /// How many different modaliases the machine has.
    pub devices: usize,
    /// How often new devices had appeared after loading.
    pub rounds: usize,
    /// Every module that was asked for, in order.
    pub loaded: Vec<Loaded>,
    pub drivers: Drivers,
}

/// The machine's modules and devices: what was seen and tried so far.
#[derive(Debug)]
pub struct Drivers {
    dir: PathBuf,
    index: Index,
    settings: Settings,
    events: Uevents,
    seen: HashSet<String>,
    tried: HashSet<String>,
}

/// Loads what the hardware asks for, again and again until no new device appears: a bus module brings devices that
/// ask for more. `modules_dir` is `/lib/modules/RELEASE`; `on` hears of each module as it is loaded.
///
/// Nothing is waited for: a device that a driver announces later (disks, USB) is [`Drivers::watch`]'s, and none is
/// missed in between because the ears are open before the first look.
///
/// # Errors
/// When there is no `modules.dep` or no uevent socket.
pub fn coldplug(modules_dir: &Path, on: &mut dyn FnMut(&Loaded)) -> io::Result<Coldplugged> {
    let mut drivers = Drivers::new(modules_dir)?;
    let mut loaded = Vec::new();
    let mut tell = |l: &Loaded| {
        on(l);
        loaded.push(l.clone());
    };
    for name in ALWAYS {
        drivers.load_named(name, None, &mut tell);
    }
    let mut rounds = 0;
    let mut fresh: Vec<String> = modaliases(Path::new(DEVICES)).into_iter().collect();
    while !fresh.is_empty() {
        rounds += 1;
        drivers.serve(&fresh, &mut tell);
        fresh = drivers.heard()?;
    }
    Ok(Coldplugged { devices: drivers.seen.len(), rounds, loaded, drivers })
}

/// Loads one module by name or alias (`overlay`, `fs-vfat`) with all it needs; returns what was done, also when
/// that is nothing (built in).
pub fn load(index: &Index, modules_dir: &Path, name: &str) -> Vec<Loaded> {
    let settings = Settings::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let closure = index.closure(&[name]);
    let unknown = closure.unknown.iter().map(|name| Loaded {
        module: name.clone(),
        device: None,
        outcome: Outcome::Failed("no such module for this kernel".into()),
    });
    let known = closure.modules.iter().map(|module| Loaded {
        module: module.name.clone(),
        device: None,
        outcome: load::load_one(modules_dir, module, &settings),
    });
    known.chain(unknown).collect()
}

impl Drivers {
    fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            index: Index::read(dir)?,
            settings: Settings::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default()),
            events: Uevents::open()?,
            seen: HashSet::new(),
            tried: HashSet::new(),
        })
    }

    /// The index coldplug used, for [`load()`].
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Goes on loading what later devices ask for, in a thread of its own that ends with the process.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(mut self, mut on: impl FnMut(&Loaded) + Send + 'static) -> io::Result<()> {
        let listen = move || {
            loop {
                let fresh = match self.events.next(true) {
                    Ok(Heard::Device(alias)) => vec![alias],
                    Ok(Heard::Overflow) => modaliases(Path::new(DEVICES)).into_iter().collect(),
                    Ok(Heard::Other | Heard::Nothing) => continue,
                    Err(e) => return log::error!("listening for new devices: {e}"),
                };
                self.serve(&fresh, &mut on);
            }
        };
        std::thread::Builder::new().name("drivers".into()).spawn(listen).map(drop)
    }

    /// Modaliases that were announced since the last look and are new.
    fn heard(&mut self) -> io::Result<Vec<String>> {
        let mut fresh = Vec::new();
        loop {
            match self.events.next(false)? {
                Heard::Device(alias) => fresh.push(alias),
                Heard::Overflow => fresh.extend(modaliases(Path::new(DEVICES))),
                Heard::Other => {}
                Heard::Nothing => break,
            }
        }
        fresh.retain(|alias| !self.seen.contains(alias));
        Ok(fresh)
    }

    fn serve(&mut self, aliases: &[String], on: &mut dyn FnMut(&Loaded)) {
        for alias in aliases {
            if !self.seen.insert(alias.clone()) {
                continue;
            }
            for name in self.index.matching(alias) {
                if !self.settings.forbids(&name) {
                    self.load_named(&name, Some(alias), on);
                }
            }
        }
    }

    fn load_named(&mut self, name: &str, device: Option<&str>, on: &mut dyn FnMut(&Loaded)) {
        if self.tried.contains(name) {
            return;
        }
        for module in self.index.closure(&[name]).modules {
            if self.tried.insert(module.name.clone()) {
                let outcome = load::load_one(&self.dir, &module, &self.settings);
                let loaded = Loaded { module: module.name, device: device.map(str::to_owned), outcome };
                match &loaded.outcome {
                    Outcome::Failed(_) => log::warn!("{loaded}"),
                    _ => log::debug!("{loaded}"),
                }
                on(&loaded);
            }
        }
    }
}
