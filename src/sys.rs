//! The few things only raw system calls do; the only `unsafe` of the program. What they are for is decided elsewhere.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::libc;
use rustix::ioctl::{Getter, Setter, Updater, ioctl, opcode};

/// Starts `command` as the leader of a session of its own with `tty` as its controlling terminal and standard
/// streams, so that job control works in it (credentials(7), tty(4)). Takes the command whole, so that no copy of the
/// terminal stays open here.
///
/// # Errors
/// Of opening the terminal (which must be a real one: the kernel gives `/dev/console` to nobody as a controlling
/// terminal) or of starting the program.
pub fn spawn_on_tty(mut command: Command, tty: &Path) -> io::Result<Child> {
    let terminal = open_tty(tty)?;
    command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
    // SAFETY: between fork and exec only async-signal-safe functions may run. The closure makes three plain system
    // calls (setsid, ioctl, rt_sigprocmask) on values it owns, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            nix::sys::signal::SigSet::empty().thread_set_mask()?;
            Ok(())
        });
    }
    command.spawn()
}

/// So many zeros, in memory of large pages where the kernel has them to spare: of four MiB in small ones it makes a
/// thousand, one by one (madvise(2), `MADV_HUGEPAGE`).
pub fn large_buffer(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    let page = rustix::param::page_size();
    let before = buffer.as_ptr().align_offset(page);
    if let Some(whole) = buffer.get_mut(before..) {
        let length = whole.len() / page * page;
        // SAFETY: the pages lie wholly in memory that is borrowed here alone. The advice changes how the kernel provides
        // them, not what is in them; a kernel without large pages refuses it, and nothing is lost.
        let _refused = unsafe { libc::madvise(whole.as_mut_ptr().cast(), length, libc::MADV_HUGEPAGE) };
    }
    buffer
}

/// Starts `command` so that it is told to end (SIGTERM) when the thread that started it does, whatever ended that
/// (prctl(2), PR_SET_PDEATHSIG), and so that it hears every signal.
///
/// # Errors
/// Of starting the program.
pub fn spawn_tied(command: &mut Command) -> io::Result<Child> {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe functions may run. The closure makes three plain system
    // calls (prctl, getppid, rt_sigprocmask) on values it owns, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            if nix::unistd::getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
            nix::sys::signal::SigSet::empty().thread_set_mask()?;
            Ok(())
        });
    }
    command.spawn()
}

fn open_tty(tty: &Path) -> io::Result<File> {
    let noctty = rustix::fs::OFlags::NOCTTY.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(noctty).open(tty)
}

/// kexec_file_load(2), which no crate wraps. `flags` are those of linux/kexec.h.
///
/// # Errors
/// Of the call.
pub fn kexec_file_load(
    kernel: Option<BorrowedFd<'_>>,
    initrd: Option<BorrowedFd<'_>>,
    cmdline: &CStr,
    flags: libc::c_int,
) -> nix::Result<()> {
    let number = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |fd| fd.as_raw_fd());
    let line = cmdline.to_bytes_with_nul();
    let (length, flags) = (line.len() as libc::c_ulong, libc::c_long::from(flags));
    // SAFETY: the kernel reads `length` bytes from `line`, which outlives the call, and writes nothing of this process;
    // the descriptors are borrowed for the call, or -1. Every argument has the width of a register.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            libc::c_long::from(number(kernel)),
            libc::c_long::from(number(initrd)),
            length,
            line.as_ptr(),
            flags,
        )
    };
    Errno::result(result).map(drop)
}

/// What a watchdog's driver says of it (`struct watchdog_info` of linux/watchdog.h).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WatchdogInfo {
    /// `WDIOF_*`.
    pub options: u32,
    pub firmware_version: u32,
    /// Text that ends with a NUL.
    pub identity: [u8; 32],
}

/// Asks the driver of an open watchdog who it is (WDIOC_GETSUPPORT).
///
/// # Errors
/// Those of ioctl(2): ENOTTY for what is no watchdog.
pub fn watchdog_info(device: impl AsFd) -> io::Result<WatchdogInfo> {
    type Ask = Getter<{ opcode::read::<WatchdogInfo>(b'W', 0) }, WatchdogInfo>;
    // SAFETY: linux/watchdog.h defines this request as _IOR('W', 0, struct watchdog_info): the kernel writes one such
    // structure, of which every bit pattern is valid.
    Ok(unsafe { ioctl(device, Ask::new()) }?)
}

/// The timeout of an open watchdog in seconds (WDIOC_GETTIMEOUT).
///
/// # Errors
/// Those of ioctl(2): EOPNOTSUPP where the driver does not know.
pub fn watchdog_timeout(device: impl AsFd) -> io::Result<u32> {
    type Ask = Getter<{ opcode::read::<i32>(b'W', 7) }, i32>;
    // SAFETY: linux/watchdog.h defines this request as _IOR('W', 7, int): the kernel writes one int.
    Ok(unsafe { ioctl(device, Ask::new()) }?.cast_unsigned())
}

/// Sets the timeout of an open watchdog, which also pets it; the seconds it came to (WDIOC_SETTIMEOUT).
///
/// # Errors
/// Those of ioctl(2): EINVAL for a timeout it cannot have, EOPNOTSUPP where it cannot be set.
pub fn set_watchdog_timeout(device: impl AsFd, seconds: u32) -> io::Result<u32> {
    let mut seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    // SAFETY: linux/watchdog.h defines this request as _IOWR('W', 6, int): the kernel reads and writes one int, which
    // lives until the call is over.
    unsafe { ioctl(device, Updater::<{ opcode::read_write::<i32>(b'W', 6) }, i32>::new(&mut seconds)) }?;
    Ok(seconds.cast_unsigned())
}

/// Whether writes to an open block device are refused (BLKROGET of linux/fs.h).
///
/// # Errors
/// Those of ioctl(2): ENOTTY for what is no block device.
pub fn is_read_only(device: impl AsFd) -> io::Result<bool> {
    type Ask = Getter<{ opcode::none(0x12, 94) }, i32>;
    // SAFETY: linux/fs.h defines this request as _IO(0x12, 94), block/ioctl.c answers with one int.
    Ok(unsafe { ioctl(device, Ask::new()) }? != 0)
}

/// Has the kernel refuse writes to an open block device, its own too, or take them again (BLKROSET).
///
/// # Errors
/// Those of ioctl(2): EACCES without CAP_SYS_ADMIN, ENOTTY for what is no block device.
pub fn set_read_only(device: impl AsFd, read_only: bool) -> io::Result<()> {
    // SAFETY: linux/fs.h defines this request as _IO(0x12, 93), block/ioctl.c reads one int, which lives until the call is
    // over.
    Ok(unsafe { ioctl(device, Setter::<{ opcode::none(0x12, 93) }, i32>::new(read_only.into())) }?)
}

/// The number of a loop device that no file is attached to, which is made where there is none (LOOP_CTL_GET_FREE of
/// loop(4)). Whoever is quicker may take it.
///
/// # Errors
/// Those of ioctl(2): ENOTTY for what is not /dev/loop-control.
pub fn free_loop(control: impl AsFd) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
    // SAFETY: linux/loop.h defines this request, which has no argument; what it answers is the return value.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    Ok(Errno::result(number)?.cast_unsigned())
}

/// `struct loop_config` of linux/loop.h, with the `struct loop_info64` that is in it.
#[repr(C)]
struct LoopConfig {
    file: u32,
    /// 0: 512 bytes.
    block_size: u32,
    /// Devices, inode, offset and size limit.
    numbers: [u64; 5],
    /// Number, and two of an encryption that is no more.
    more_numbers: [u32; 3],
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// Attaches a file to an open loop device, to be read alone, until the last user of the device is gone (LOOP_CONFIGURE,
/// Linux 5.8).
///
/// # Errors
/// Those of ioctl(2): EBUSY where a file is attached already, EINVAL on older kernels.
pub fn attach_loop(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    const READ_ONLY: u32 = 1;
    const AUTOCLEAR: u32 = 4;
    let config = LoopConfig {
        file: file.as_fd().as_raw_fd().cast_unsigned(),
        block_size: 0,
        numbers: [0; 5],
        more_numbers: [0; 3],
        flags: READ_ONLY | AUTOCLEAR,
        names: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: linux/loop.h defines this request, which reads one `struct loop_config`: it lives until the call is over, and
    // its descriptor is borrowed for as long.
    Ok(unsafe { ioctl(device, Setter::<0x4c0a, LoopConfig>::new(config)) }?)
}

/// Bytes that a terminal has taken and not sent yet (TIOCOUTQ of ioctl_tty(2)).
///
/// # Errors
/// Those of ioctl(2): ENOTTY for what is no terminal.
pub fn unsent(terminal: impl AsFd) -> io::Result<u32> {
    type Ask = Getter<{ nix::libc::TIOCOUTQ as rustix::ioctl::Opcode }, i32>;
    // SAFETY: the kernel writes one int (asm-generic/ioctls.h, drivers/tty/tty_ioctl.c).
    Ok(unsafe { ioctl(terminal, Ask::new()) }?.cast_unsigned())
}

/// What a backtrace is made with, in a build that has neither tables to walk the stack by nor names to print
/// (lab/build.sh): nothing, so that the linker leaves out the reader of debug information, 150 KB, and the walker.
#[cfg(no_unwinding)]
mod no_unwinding {
    use std::ffi::{c_int, c_void};

    /// `_URC_END_OF_STACK`.
    const END_OF_STACK: c_int = 5;

    type Trace = extern "C" fn(context: *mut c_void, argument: *mut c_void) -> c_int;

    // SAFETY: name and signature are those of the Itanium C++ ABI, level I of exception handling; an end reached at
    // once is an answer every caller has to expect.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Backtrace(_: Trace, _: *mut c_void) -> c_int {
        END_OF_STACK
    }

    // SAFETY: as above. Only the clean-up of a raised exception calls it, and nothing here raises any: a panic aborts.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume(_: *mut c_void) -> ! {
        std::process::abort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_program_on_a_tty_has_it_as_its_controlling_terminal() {
        let master =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "tty; : > /dev/tty && echo controlling"]);
        let mut child = spawn_on_tty(shell, Path::new(&name)).unwrap();
        let mut seen = String::new();
        let mut master = File::from(master);
        let mut buffer = [0; 256];
        // The read fails with EIO once the last descriptor of the other side is closed.
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        assert!(child.wait().unwrap().success());
        assert_eq!(seen, format!("{name}\r\ncontrolling\r\n"));
    }

    #[test]
    fn a_tied_program_ends_with_the_thread_that_started_it_and_hears_every_signal() {
        let mut told = Command::new("/bin/sh");
        told.args(["-c", "grep SigBlk /proc/self/status"]).stdout(std::process::Stdio::piped());
        let mut sleeper = Command::new("sleep");
        sleeper.arg("20");
        let (said, ended) = std::thread::spawn(move || {
            nix::sys::signal::SigSet::all().thread_block().unwrap();
            let said = spawn_tied(&mut told).unwrap().wait_with_output().unwrap().stdout;
            (said, spawn_tied(&mut sleeper).unwrap())
        })
        .join()
        .map(|(said, mut sleeper)| (String::from_utf8(said).unwrap(), sleeper.wait().unwrap()))
        .unwrap();
        assert_eq!(said.trim(), "SigBlk:\t0000000000000000");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(libc::SIGTERM));
    }

    #[test]
    fn a_kexec_that_cannot_be_is_an_error() {
        // Flags that do not exist: refused before anything is looked at, whatever this process may do.
        let refused = kexec_file_load(None, None, c"", 1 << 30).unwrap_err();
        assert!(matches!(refused, Errno::EPERM | Errno::EINVAL | Errno::ENOSYS), "{refused}");
    }

    #[test]
    fn a_loop_device_is_told_as_the_kernel_reads_it() {
        // linux/loop.h: 8 bytes, `struct loop_info64` of 232, and 64 that are reserved.
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(std::mem::offset_of!(LoopConfig, flags), 8 + 40 + 12);
        let null = File::open("/dev/null").unwrap();
        let no = |e: io::Error| e.raw_os_error() == Some(rustix::io::Errno::NOTTY.raw_os_error());
        assert!(free_loop(&null).is_err_and(no));
        assert!(attach_loop(&null, &null).is_err_and(no));
    }

    #[test]
    fn what_is_no_watchdog_is_not_taken_for_one() {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let no = |e: io::Error| e.raw_os_error() == Some(rustix::io::Errno::NOTTY.raw_os_error());
        assert!(watchdog_info(&null).is_err_and(no));
        assert!(watchdog_timeout(&null).is_err_and(no));
        assert!(set_watchdog_timeout(&null, 10).is_err_and(no));
    }
}
