//! Whether an archive travels through a kexec, or is fetched again after it: arithmetic on what is known before, asked
//! once more when the servers have said how much there is. Pure; carrying is `load`'s.

use std::fmt;

use super::{Refusal, mib};
use crate::catalog::Carry;
use crate::machine::Machine;

/// Percent of the memory that what is loaded may take: the kernel refuses more than half of it
/// (kernel/kexec_core.c, `sanity_check_segment_list`), and something must be left to unpack into.
const MOST_LOADED: u64 = 45;

/// The kernel reads no file of 4 GiB or more for a kexec (kernel/kexec_file.c), and a cpio counts in 32 bits.
const LONGEST_INITRD: u64 = 4 << 30;

/// How often an initrd exists while it is loaded: our file in memory, the kernel's copy of it, and the segments.
const COPIES: u64 = 3;

/// Boot parameters, page tables and the lists of pages, while a kernel is loaded.
const SUNDRIES: u64 = 4 << 20;

/// What a kernel takes in memory from the load on, before its file has said how much (`init_size` of its header): Debian's
/// 6.1 take 52 and 64 MiB, files of 14 and 8 MiB.
pub const KERNEL: u64 = 64 << 20;

/// What travels through a kexec, in bytes, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cargo {
    /// What the kernel takes in memory, which is more than its file.
    pub kernel: Option<u64>,
    /// The kernel's file.
    pub image: Option<u64>,
    /// All initrds together, with modules and the second stage, without the archive.
    pub initrd: Option<u64>,
    pub archive: Option<u64>,
}

/// How the root comes into the second stage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// In the initrd.
    Carried(Numbers),
    /// The second stage fetches it: why it is not carried.
    Again(String),
    /// Not decided before the servers have said how large things are.
    Unknown,
}

/// The arithmetic, for the screen and the report (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Numbers {
    pub kernel: u64,
    pub image: u64,
    pub initrd: u64,
    pub archive: u64,
    /// What the running kernel loads at most: 45 % of all memory.
    pub most: u64,
    pub available: u64,
}

impl Numbers {
    fn all(&self) -> u64 {
        self.kernel.saturating_add(self.initrd).saturating_add(self.archive)
    }

    /// Bytes of the largest archive that can be carried: of one whose size nobody said there may be so many.
    pub fn most_archive(&self) -> u64 {
        let by_share = self.most.saturating_sub(self.kernel.saturating_add(self.initrd));
        let by_length = LONGEST_INITRD.saturating_sub(self.initrd.saturating_add(1));
        let kernel = self.kernel.saturating_add(self.image.saturating_mul(COPIES - 1));
        let by_room = (self.available.saturating_sub(kernel.saturating_add(SUNDRIES)) / COPIES)
            .saturating_sub(self.initrd);
        by_share.min(by_length).min(by_room)
    }

    /// Why it cannot be loaded, if it cannot.
    fn fault(&self) -> Option<String> {
        let all = self.all();
        let travels = self.initrd.saturating_add(self.archive);
        // The kernel is placed once, with its own room, and is there twice as a file.
        let kernel = self.kernel.saturating_add(self.image.saturating_mul(COPIES - 1));
        let loading = travels.saturating_mul(COPIES).saturating_add(kernel).saturating_add(SUNDRIES);
        if all > self.most {
            Some(format!("{self} is more than the {} that a kexec may take here", mib(self.most)))
        } else if travels >= LONGEST_INITRD {
            Some(format!("{self}: the kernel loads no initrd of 4 GiB or more"))
        } else if loading > self.available {
            let (loading, available) = (mib(loading), mib(self.available));
            Some(format!("{self}; loading it takes the initrd {COPIES} times, {loading} of {available} free"))
        } else {
            None
        }
    }
}

/// `kernel 8 MiB + initrd 10 MiB + archive 50 MiB = 68 MiB`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {} + initrd {}", mib(self.kernel), mib(self.initrd))?;
        if self.archive > 0 {
            write!(f, " + archive {}", mib(self.archive))?;
        }
        write!(f, " = {}", mib(self.all()))
    }
}

/// Decides how the root of an entry comes into the second stage. `again` says why it cannot be fetched there, if it
/// cannot. Sizes that nobody knows leave it open.
///
/// # Errors
/// Neither way fits, or not the one that was asked for: with the numbers of it.
pub fn way(
    carry: Carry,
    again: Result<(), String>,
    cargo: &Cargo,
    machine: &Machine,
) -> Result<Way, Refusal> {
    let with = |archive: u64| numbers(cargo, archive, machine);
    let carried = match cargo.archive {
        Some(archive) => with(archive).map(|numbers| numbers.fault().map_or(Ok(numbers), Err)),
        None => None,
    };
    match (carry, carried) {
        (Carry::Auto | Carry::Yes, Some(Ok(numbers))) => Ok(Way::Carried(numbers)),
        (Carry::Yes, Some(Err(why))) => Err(refusal(format!("carry = \"yes\": {why}"), "carry = \"auto\"")),
        (Carry::Auto | Carry::Yes, None) => Ok(Way::Unknown),
        (Carry::Auto, Some(Err(why))) => fetched_again(why, again, with(0)),
        (Carry::No, _) => fetched_again("carry = \"no\"".into(), again, with(0)),
    }
}

/// Whether a kernel with its initrds alone can be loaded: as [`way`] for an entry without a root.
///
/// # Errors
/// It does not fit, with the numbers.
pub fn fits(cargo: &Cargo, machine: &Machine) -> Result<Option<Numbers>, Refusal> {
    let Some(numbers) = numbers(cargo, 0, machine) else { return Ok(None) };
    match numbers.fault() {
        Some(why) => Err(refusal(why, "a smaller initrd")),
        None => Ok(Some(numbers)),
    }
}

fn fetched_again(
    why_not_carried: String,
    again: Result<(), String>,
    without: Option<Numbers>,
) -> Result<Way, Refusal> {
    if let Err(why) = again {
        let cause = format!("{why_not_carried}; and it cannot be fetched again: {why}");
        return Err(refusal(cause, "a URL that the second stage can reach"));
    }
    match without.and_then(|numbers| numbers.fault()) {
        Some(why) => Err(refusal(format!("{why_not_carried}; fetched again: {why}"), "a smaller initrd")),
        None => Ok(Way::Again(why_not_carried)),
    }
}

fn numbers(cargo: &Cargo, archive: u64, machine: &Machine) -> Option<Numbers> {
    let most = machine.memory_total / 100 * MOST_LOADED;
    let available = machine.memory_available;
    let (kernel, image, initrd) = (cargo.kernel?, cargo.image.unwrap_or(0), cargo.initrd?);
    Some(Numbers { kernel, image, initrd, archive, most, available })
}

fn refusal(cause: String, better: &str) -> Refusal {
    Refusal { cause, hint: Some(format!("{better}, boot = \"switch-root\", or a machine with more memory")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn machine(total: u64, available: u64) -> Machine {
        Machine { memory_total: total * MIB, memory_available: available * MIB, ..Machine::default() }
    }

    fn cargo(archive: Option<u64>) -> Cargo {
        let (kernel, image) = (Some(8 * MIB), Some(2 * MIB));
        Cargo { kernel, image, initrd: Some(12 * MIB), archive: archive.map(|a| a * MIB) }
    }

    #[test]
    fn what_fits_is_carried_with_its_numbers() {
        let Ok(Way::Carried(numbers)) = way(Carry::Auto, Ok(()), &cargo(Some(80)), &machine(1000, 900))
        else {
            panic!("carried")
        };
        assert_eq!(numbers.to_string(), "kernel 8 MiB + initrd 12 MiB + archive 80 MiB = 100 MiB");
    }

    #[test]
    fn auto_fetches_again_what_is_too_much_and_says_the_numbers() {
        // 45 % of 1000 MiB are 450.
        let Ok(Way::Again(why)) = way(Carry::Auto, Ok(()), &cargo(Some(431)), &machine(1000, 2000)) else {
            panic!("fetched again")
        };
        assert!(why.contains("= 451 MiB is more than the 450 MiB"), "{why}");
        assert!(matches!(
            way(Carry::Auto, Ok(()), &cargo(Some(430)), &machine(1000, 2000)),
            Ok(Way::Carried(_))
        ));
        // 8 and 4, twice 2, and three times 12 + 81, are more than 294.
        let Ok(Way::Again(why)) = way(Carry::Auto, Ok(()), &cargo(Some(81)), &machine(1000, 294)) else {
            panic!("fetched again")
        };
        assert!(why.contains("295 MiB of 294 MiB free"), "{why}");
        assert!(matches!(
            way(Carry::Auto, Ok(()), &cargo(Some(81)), &machine(1000, 295)),
            Ok(Way::Carried(_))
        ));
    }

    #[test]
    fn yes_refuses_and_no_never_carries() {
        let refusal = way(Carry::Yes, Ok(()), &cargo(Some(431)), &machine(1000, 2000)).unwrap_err();
        assert!(refusal.cause.starts_with("carry = \"yes\": kernel 8 MiB"), "{refusal:?}");
        assert!(matches!(way(Carry::No, Ok(()), &cargo(Some(1)), &machine(1000, 900)), Ok(Way::Again(_))));
    }

    #[test]
    fn what_cannot_be_fetched_again_must_be_carried() {
        let only_here = || Err("it is in this initrd alone".to_owned());
        let refusal = way(Carry::Auto, only_here(), &cargo(Some(431)), &machine(1000, 2000)).unwrap_err();
        assert!(
            refusal.cause.ends_with("cannot be fetched again: it is in this initrd alone"),
            "{refusal:?}"
        );
    }

    #[test]
    fn an_initrd_of_four_gigabytes_is_never_loaded() {
        let huge = Cargo { archive: Some(LONGEST_INITRD), ..cargo(None) };
        let Ok(Way::Again(why)) = way(Carry::Auto, Ok(()), &huge, &machine(1 << 20, 1 << 20)) else {
            panic!("fetched again")
        };
        assert!(why.contains("4 GiB"), "{why}");
    }

    #[test]
    fn the_largest_archive_is_the_one_that_still_has_no_fault() {
        for (total, available) in [(1000, 2000), (1000, 295), (1 << 20, 1 << 20)] {
            let machine = machine(total, available);
            let most = numbers(&cargo(None), 0, &machine).unwrap().most_archive();
            assert_eq!(numbers(&cargo(None), most, &machine).unwrap().fault(), None, "{total} {available}");
            assert!(
                numbers(&cargo(None), most + COPIES, &machine).unwrap().fault().is_some(),
                "{total} {available}"
            );
        }
    }

    #[test]
    fn unknown_sizes_leave_it_open() {
        assert_eq!(way(Carry::Auto, Ok(()), &cargo(None), &machine(1000, 900)), Ok(Way::Unknown));
        assert_eq!(fits(&Cargo::default(), &machine(1000, 900)), Ok(None));
        assert!(fits(&cargo(None), &machine(40, 900)).is_err());
    }
}
