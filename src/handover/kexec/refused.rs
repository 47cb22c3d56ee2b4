//! [`Refused`]: why the kernel did not load a kernel, in words. Its errnos are few and each means several things
//! (kernel/kexec_file.c, kernel/kexec_core.c, fs/kernel_read_file.c, arch/x86/kernel/kexec-bzimage64.c,
//! crypto/asymmetric_keys/verify_pefile.c).

use std::fmt;
use std::fs;

use nix::errno::Errno;

/// Why a kernel was not loaded. `Display` is one line without the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The errno's name; absent when it was not the kernel that refused.
    pub errno: Option<String>,
    /// What it means here.
    pub words: String,
    /// The way out.
    pub hint: &'static str,
    /// What the kernel wrote into its log meanwhile, oldest first.
    pub kernel_log: Vec<String>,
}

impl Refused {
    pub(super) fn by_kernel(errno: Errno, kernel_log: Vec<String>) -> Self {
        let (words, hint) = match errno {
            Errno::EPERM => not_permitted(
                fs::read_to_string("/proc/sys/kernel/kexec_load_disabled").ok().as_deref(),
                fs::read_to_string("/sys/kernel/security/lockdown").ok().as_deref(),
            ),
            other => meaning(other),
        };
        Self { errno: Some(format!("{errno:?}")), words: words.into(), hint, kernel_log }
    }

    pub(super) fn without_effect(why: String, kernel_log: Vec<String>) -> Self {
        let words = format!("the kernel took it, but nothing is loaded: {why}");
        Self {
            errno: None,
            words,
            hint: "try again; if it stays so, the kernel's log may say more",
            kernel_log,
        }
    }

    pub(super) fn nul_in_command_line() -> Self {
        let words = "the command line has a NUL byte in it".into();
        Self { errno: None, words, hint: "write it as text", kernel_log: Vec::new() }
    }

    pub(super) fn command_line(length: usize, most: usize) -> Self {
        let words =
            format!("the command line is too long: {length} bytes, this kernel takes {most} by kexec");
        Self { errno: None, words, hint: "shorten it", kernel_log: Vec::new() }
    }

    pub(super) fn memory(words: String) -> Self {
        Self { errno: None, words, hint: MEMORY, kernel_log: Vec::new() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kexec_file_load: ")?;
        if let Some(errno) = &self.errno {
            write!(f, "{errno}: ")?;
        }
        f.write_str(&self.words)?;
        for (n, line) in self.kernel_log.iter().enumerate() {
            let before = if n == 0 { "; the kernel says: " } else { " / " };
            write!(f, "{before}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

type Meaning = (&'static str, &'static str);

/// Which of the three locks it was, by what the kernel says of two of them.
fn not_permitted(disabled: Option<&str>, lockdown: Option<&str>) -> Meaning {
    if disabled.is_some_and(|value| value.trim() == "1") {
        return (
            "kexec is switched off until the next reboot (kernel.kexec_load_disabled is 1)",
            "find what sets this sysctl in the first stage, or boot the entry from the firmware",
        );
    }
    if lockdown.is_some_and(|modes| modes.contains('[') && !modes.contains("[none]")) {
        return (
            "the running kernel is locked down (Secure Boot) and takes only kernels signed with a key it knows",
            "use a kernel signed for this machine, or switch Secure Boot off",
        );
    }
    meaning(Errno::EPERM)
}

const SIGNED: &str =
    "use a kernel signed with a key this machine knows, or a first kernel that asks for none";
const MEMORY: &str =
    "give the machine more memory, or load less: a smaller initrd, or the archive fetched again";

/// What an errno of kexec_file_load(2) means, and the way out.
fn meaning(errno: Errno) -> Meaning {
    match errno {
        Errno::EPERM => (
            "not permitted: no CAP_SYS_BOOT, kernel.kexec_load_disabled, or a kernel that is locked down",
            "let the first stage run as root, without that sysctl, without lockdown",
        ),
        Errno::ENOEXEC => (
            "not an image this kernel can start: no 64-bit bzImage, for another machine, cut short, without \
             five-level paging on a machine that runs with it, or 64-bit on 32-bit EFI",
            "use a 64-bit bzImage of Linux 4.17 or newer; on old images no5lvl on the first command line helps",
        ),
        Errno::EKEYREJECTED => ("its signature does not fit its bytes, or its key is not trusted", SIGNED),
        Errno::ENOKEY => ("it is signed with a key this kernel does not have", SIGNED),
        Errno::ENODATA => ("it has no signature, and this kernel wants one", SIGNED),
        Errno::ENOPKG => ("it is signed in a way this kernel cannot check", SIGNED),
        Errno::EBADMSG | Errno::ELIBBAD | Errno::EMSGSIZE => ("its signature is damaged", SIGNED),
        Errno::EACCES => (
            "the integrity policy (IMA appraisal) does not allow these files",
            "give them a signature the policy accepts, or use a first stage without that policy",
        ),
        Errno::EINVAL => (
            "the kernel or the initrd is empty or no plain file, they take more than half of the memory, or the \
             command line is too long",
            "look at their sizes; if they are right, load less or give the machine more memory",
        ),
        Errno::EADDRNOTAVAIL => ("no stretch of memory in one piece is long enough", MEMORY),
        Errno::ENOMEM => ("out of memory", MEMORY),
        Errno::EFBIG => ("the kernel or the initrd is larger than 4 GiB, the most a kernel reads", MEMORY),
        Errno::EBUSY => ("another load is under way", "wait for it, then try again"),
        Errno::ETXTBSY => ("the kernel or the initrd is open for writing", "close it, or hand over a copy"),
        Errno::EIO => ("the kernel or the initrd could not be read to its end", "fetch it again"),
        Errno::EBADF => ("the kernel or the initrd is not open for reading", "open it for reading"),
        Errno::ENOSYS | Errno::EOPNOTSUPP => (
            "the running kernel cannot do it (built without CONFIG_KEXEC_FILE)",
            "use a first kernel with CONFIG_KEXEC_FILE, as distributions' are",
        ),
        other => (other.desc(), "the kernel's log may say more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_the_call_has_a_meaning_of_its_own_and_a_way_out() {
        let part_of: &[(Errno, &str)] = &[
            (Errno::EPERM, "CAP_SYS_BOOT"),
            (Errno::ENOEXEC, "64-bit bzImage"),
            (Errno::EKEYREJECTED, "signature"),
            (Errno::ENOKEY, "key"),
            (Errno::ENODATA, "no signature"),
            (Errno::ENOPKG, "cannot check"),
            (Errno::EBADMSG, "signature is damaged"),
            (Errno::ELIBBAD, "signature is damaged"),
            (Errno::EMSGSIZE, "signature is damaged"),
            (Errno::EACCES, "IMA"),
            (Errno::EINVAL, "half of the memory"),
            (Errno::EADDRNOTAVAIL, "one piece"),
            (Errno::ENOMEM, "out of memory"),
            (Errno::EFBIG, "4 GiB"),
            (Errno::EBUSY, "another load"),
            (Errno::ETXTBSY, "open for writing"),
            (Errno::EIO, "could not be read"),
            (Errno::EBADF, "not open for reading"),
            (Errno::ENOSYS, "CONFIG_KEXEC_FILE"),
            (Errno::EOPNOTSUPP, "CONFIG_KEXEC_FILE"),
        ];
        for (errno, part) in part_of {
            let (words, hint) = meaning(*errno);
            assert!(words.contains(part), "{errno:?}: {words}");
            assert!(hint.len() > 10, "{errno:?}: {hint}");
        }
        assert_eq!(
            meaning(Errno::ENOTTY).0,
            "Not a typewriter",
            "what nobody foresaw keeps the system's words"
        );
    }

    #[test]
    fn a_lock_that_can_be_seen_is_named_alone() {
        let words = |disabled, lockdown| not_permitted(disabled, lockdown).0;
        assert!(words(Some("1\n"), Some("[none] integrity")).contains("kexec_load_disabled is 1"));
        assert!(
            words(Some("0\n"), Some("none [integrity] confidentiality"))
                .contains("locked down (Secure Boot)")
        );
        assert!(words(Some("0\n"), Some("[none] integrity confidentiality")).contains("CAP_SYS_BOOT"));
        assert!(words(None, None).contains("CAP_SYS_BOOT"));
    }

    #[test]
    fn a_refusal_is_one_line_with_the_kernels_own_words() {
        let log = vec!["kexec-bzImage64: one".to_owned(), "two".to_owned()];
        let refused = Refused::by_kernel(Errno::EBUSY, log);
        assert_eq!(
            refused.to_string(),
            "kexec_file_load: EBUSY: another load is under way; the kernel says: kexec-bzImage64: one / two"
        );
        let silent = Refused::without_effect("it says 0".into(), Vec::new());
        assert_eq!(
            silent.to_string(),
            "kexec_file_load: the kernel took it, but nothing is loaded: it says 0"
        );
    }
}
