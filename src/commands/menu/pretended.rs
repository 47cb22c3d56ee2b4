//! The machine that a preview is for: this one, or one that somebody describes. What a boot would need of it is `plan`'s.

use serde_json::{Value, json};

use crate::catalog::{self, RootSize};
use crate::machine::Machine;
use crate::net::Mac;
use crate::plan::SECOND_KERNEL;
use crate::tui::text;

/// Another machine than this one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PretendArgs {
    /// As if on the machine whose network card has this address
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<Mac>,
    /// As if on a machine with so much memory: bytes with k, m or g
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// As if on a machine of this kind, as `uname -m` says
    #[arg(long, value_name = "ARCH", value_parser = arch)]
    arch: Option<&'static str>,
}

fn mac(text: &str) -> Result<Mac, String> {
    text.parse().map_err(|_| "no address such as 52:54:00:12:34:56".to_owned())
}

fn memory(text: &str) -> Result<u64, String> {
    match catalog::root_size(text) {
        Ok(RootSize::Bytes(bytes)) => Ok(bytes),
        _ => Err("no size such as 8g or 512m".to_owned()),
    }
}

fn arch(text: &str) -> Result<&'static str, String> {
    catalog::machine(text).map_err(|why| format!("it {why}"))
}

impl PretendArgs {
    /// Whether it is about another machine than this one.
    pub fn any(&self) -> bool {
        self.mac.is_some() || self.memory.is_some() || self.arch.is_some()
    }

    /// That machine. Of its memory a kernel and the initrd have their part before anything is fetched.
    pub fn machine(&self, here: Machine) -> Machine {
        let mut machine = here;
        if let Some(arch) = self.arch {
            arch.clone_into(&mut machine.arch);
        }
        if let Some(memory) = self.memory {
            machine.memory_total = memory;
            machine.memory_available =
                memory.saturating_sub(SECOND_KERNEL.saturating_add(machine.own_initrd));
        }
        machine
    }

    /// What its mirrors are turned by, where the catalog says `mirrors = "spread"`. A firmware with a UUID goes before an
    /// address, and nobody knows that one's here.
    pub fn number(&self, machine: &Machine) -> u64 {
        self.mac.map_or_else(|| machine.number(), |mac| Machine::number_of(&mac.to_string()))
    }

    /// For the head of the screen.
    pub fn facts(&self, machine: &Machine) -> Vec<String> {
        let mac = self.mac.map(|mac| mac.to_string());
        let memory = format!("{} of memory", text::bytes(machine.memory_total));
        let pretended = self.any().then(|| "PRETENDED".to_owned());
        pretended.into_iter().chain([machine.arch.clone(), memory]).chain(mac).collect()
    }

    /// For a script.
    pub fn as_json(&self, machine: &Machine) -> Value {
        json!({
            "pretended": self.any(),
            "arch": machine.arch,
            "memory_total": machine.memory_total,
            "memory_available": machine.memory_available,
            "mac": self.mac.map(|mac| mac.to_string()),
        })
    }

    /// A line before the plan, where it is not for this machine.
    pub fn as_text(&self, machine: &Machine) -> String {
        match self.any() {
            true => format!("pretended: {}\n", self.facts(machine)[1..].join(", ")),
            false => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn here() -> Machine {
        let uuid = Some("4c4c4544".to_owned());
        let (memory_total, memory_available) = (16 * GIB, 9 * GIB);
        Machine { arch: "x86_64".into(), uuid, memory_total, memory_available, ..Machine::default() }
    }

    #[test]
    fn without_a_word_it_is_this_machine() {
        let none = PretendArgs::default();
        assert_eq!(none.machine(here()), here());
        assert_eq!(none.number(&here()), here().number());
        assert_eq!(none.facts(&here()), ["x86_64", "16.0 GiB of memory"]);
        assert_eq!(none.as_text(&here()), "");
        assert_eq!(none.as_json(&here())["pretended"], false);
    }

    #[test]
    fn a_machine_is_what_was_said_of_it() {
        let args = PretendArgs {
            mac: Some(mac("52-54-00-AB-CD-EF").unwrap()),
            memory: Some(memory("2g").unwrap()),
            arch: Some(arch("aarch64").unwrap()),
        };
        let machine = args.machine(Machine { own_initrd: 10 << 20, ..here() });
        assert_eq!((&machine.arch[..], machine.memory_total), ("aarch64", 2 * GIB));
        assert_eq!(machine.memory_available, 2 * GIB - (58 << 20));
        let facts = ["PRETENDED", "aarch64", "2.0 GiB of memory", "52:54:00:ab:cd:ef"];
        assert_eq!(args.facts(&machine), facts);
        assert_eq!(args.as_text(&machine), "pretended: aarch64, 2.0 GiB of memory, 52:54:00:ab:cd:ef\n");
        let json = args.as_json(&machine);
        assert_eq!((&json["pretended"], &json["memory_total"]), (&true.into(), &(2 * GIB).into()));
        assert_eq!((&json["arch"], &json["mac"]), (&"aarch64".into(), &"52:54:00:ab:cd:ef".into()));
        // As the machine itself would turn them: by the address, as its kernel writes it.
        assert_eq!(args.number(&machine), Machine::number_of("52:54:00:ab:cd:ef"));
        assert_ne!(args.number(&machine), machine.number());
    }

    #[test]
    fn what_is_no_machine_is_refused() {
        assert!(mac("52:54:00:12:34").is_err() && mac("eth0").is_err());
        assert!(memory("60%").is_err() && memory("lots").is_err() && memory("0").is_err());
        assert_eq!(memory("512M"), Ok(512 << 20));
        assert_eq!(arch("amd64").unwrap_err(), "it is \"x86_64\" to kernels, as `uname -m` says");
    }
}
