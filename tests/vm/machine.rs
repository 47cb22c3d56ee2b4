//! A machine in QEMU, driven like one with a terminal on its serial line: look, type, wait; and a monitor for what a
//! hand would do to cables.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::film::Film;
use crate::lab::Kernel;
use crate::picture;
use crate::screen::Screen;

/// A whole journey must be over by then, on a busy host too (seconds).
const JOURNEY: u64 = 240;

/// Journeys with a second kernel: it unpacks itself and starts anew.
pub const TWO_KERNELS: u64 = 600;

/// Where Debian's ovmf leaves firmware and its variables.
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];

/// A kernel that panics ends the journey at once. Not `panic=-1`: that forbids a shell, here as in initramfs-tools.
const PANIC: &str = "sysctl.kernel.panic=-1";

pub const ENTER: &str = "\r";
pub const DOWN: &str = "\x1b[B";
pub const ESC: &str = "\x1b";

/// The machine to boot. What is not said is the small cloud machine with a virtio interface on a network that has
/// DHCP and reaches this host's loopback as 10.0.2.2.
pub struct Options<'a> {
    pub kernel: Kernel,
    pub initrd: &'a Path,
    /// Where the kernel speaks.
    pub console: &'a str,
    /// Further words of the kernel command line.
    pub append: &'a str,
    /// MiB.
    pub memory: u32,
    /// QEMU's words for the network.
    pub net: &'a [&'a str],
    /// QEMU's words for disks and what else there is.
    pub devices: &'a [&'a str],
    /// Boots from the interface's ROM instead: a directory with boot.ipxe.
    pub pxe: Option<&'a Path>,
    /// Rows and columns of the terminal.
    pub size: (u16, u16),
    /// UEFI firmware (OVMF) instead of a BIOS; its variables live as long as the machine.
    pub uefi: bool,
    /// A machine that reboots starts again; else it ends.
    pub reboots: bool,
    /// Seconds until the journey must be over.
    pub patience: u64,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            kernel: Kernel::Cloud,
            initrd: Path::new(""),
            console: "ttyS0",
            append: "",
            memory: 512,
            net: &["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0"],
            devices: &[],
            pxe: None,
            size: (24, 80),
            uefi: false,
            reboots: false,
            patience: JOURNEY,
        }
    }
}

/// A running machine; dropped, it is gone.
pub struct Vm {
    qemu: Child,
    serial: UnixStream,
    monitor: UnixStream,
    line: Arc<Line>,
    until: Instant,
    /// How much of the log earlier expectations have used up.
    seen: usize,
    /// Where a recording stands still: after so many bytes, for so long.
    held: Vec<(usize, Duration)>,
    /// Holds the sockets.
    _dir: tempfile::TempDir,
}

/// What came over the serial line, shared with the thread that listens.
struct Line {
    state: Mutex<(Screen, bool)>,
    news: Condvar,
}

impl Vm {
    pub fn boot(options: &Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listen = |name: &str| UnixListener::bind(dir.path().join(name)).expect("a socket");
        let (serial, monitor) = (listen("serial"), listen("monitor"));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-display", "none"]);
        if !options.reboots {
            qemu.arg("-no-reboot");
        }
        if options.uefi {
            let variables = dir.path().join("variables");
            std::fs::copy(OVMF[1], &variables).expect("ovmf is installed: lab/need.sh vm");
            let flash = |file: &str, more: &str| format!("if=pflash,format=raw,file={file}{more}");
            qemu.args(["-machine", "q35", "-drive", &flash(OVMF[0], ",readonly=on")]);
            qemu.args(["-drive", &flash(variables.to_str().expect("UTF-8"), "")]);
        }
        qemu.args(["-m", &format!("{}M", options.memory), "-nodefaults"]);
        for (name, use_it) in [("serial", "-serial"), ("monitor", "-monitor")] {
            let path = dir.path().join(name);
            qemu.arg("-chardev").arg(format!("socket,id={name},path={}", path.display()));
            qemu.args([use_it, &format!("chardev:{name}")]);
        }
        match options.pxe {
            // The firmware has no screen to write on: to the serial line, as -nographic does.
            Some(dir) => qemu.args(["-boot", "n", "-machine", "graphics=off", "-netdev"]).args([
                &format!("user,id=n0,bootfile=boot.ipxe,tftp={}", dir.display()),
                "-device",
                "virtio-net-pci,netdev=n0",
            ]),
            None => qemu
                .arg("-kernel")
                .arg(options.kernel.image())
                .arg("-initrd")
                .arg(options.initrd)
                .args(["-append", &format!("console={} {PANIC} {}", options.console, options.append)])
                .args(options.net),
        };
        qemu.args(options.devices).stdin(Stdio::null()).stdout(Stdio::null());
        let qemu = qemu.spawn().expect("qemu-system-x86_64 runs");
        // QEMU connects before it starts anything.
        let serial = serial.accept().expect("the serial line").0;
        let monitor = monitor.accept().expect("the monitor").0;
        let screen = Screen::new(options.size.0, options.size.1);
        let line = Arc::new(Line { state: Mutex::new((screen, false)), news: Condvar::new() });
        listen_to(serial.try_clone().expect("a second handle"), Arc::clone(&line));
        Self {
            qemu,
            serial,
            monitor,
            line,
            until: Instant::now() + Duration::from_secs(options.patience),
            seen: 0,
            held: Vec::new(),
            _dir: dir,
        }
    }

    /// Waits until `text` is on the screen, or was said since the last expectation.
    pub fn expect(&mut self, text: &str) {
        let seen = self.seen;
        let found = self.wait(|screen| {
            let said = screen.log[seen..].find(text).map(|at| seen + at + text.len());
            said.or_else(|| screen.text().contains(text).then_some(screen.log.len()))
        });
        match found {
            Ok(end) => self.seen = end,
            Err(why) => self.give_up(&format!("{why} while waiting for {text:?}")),
        }
    }

    /// Waits until all of these are on the screen at once, and the last one ends a line of it: with the lowest line that
    /// changes a picture is whole, since it is painted from top to bottom.
    pub fn see(&mut self, words: &[&str]) {
        let found = self.wait(|screen| {
            let text = screen.text();
            let there = words.iter().all(|word| text.contains(word));
            let whole = words.last().is_none_or(|last| text.lines().any(|line| line.ends_with(last)));
            (there && whole).then_some(screen.log.len())
        });
        match found {
            Ok(end) => self.seen = end,
            Err(why) => self.give_up(&format!("{why} while waiting to see {words:?}")),
        }
    }

    /// Waits until `text` was said so often, from the beginning on, and `then` after the last time. Of what a screen draws,
    /// `then` is one word: between words it moves the cursor.
    pub fn expect_times(&mut self, text: &str, times: usize, then: &str) {
        let found = self.wait(|screen| {
            let last = screen.log.match_indices(text).nth(times - 1)?.0;
            screen.log[last..].contains(then).then_some(())
        });
        if let Err(why) = found {
            self.give_up(&format!("{why} while waiting for {text:?} to be said {times} times, and {then:?}"));
        }
    }

    /// Waits until `text` is not on the screen any more.
    pub fn expect_gone(&mut self, text: &str) {
        if let Err(why) = self.wait(|screen| (!screen.text().contains(text)).then_some(())) {
            self.give_up(&format!("{why} while waiting for {text:?} to go"));
        }
    }

    /// Types; every byte travels alone over a serial line.
    pub fn type_keys(&mut self, keys: &str) {
        self.serial.write_all(keys.as_bytes()).expect("typing");
    }

    /// Says something to QEMU's monitor: `netdev_add …`, `set_link …`.
    pub fn monitor(&mut self, words: &str) {
        self.monitor.write_all(format!("{words}\n").as_bytes()).expect("the monitor listens");
    }

    /// What is on the screen now.
    pub fn screen(&self) -> String {
        self.line.state.lock().expect("the listener lives").0.text()
    }

    /// The same with its colours, as an SVG.
    pub fn picture(&self) -> String {
        picture::svg(self.line.state.lock().expect("the listener lives").0.vt())
    }

    /// A recording stands still for so long here, for whoever reads it. The machine does not.
    pub fn hold(&mut self, time: Duration) {
        let bytes = self.line.state.lock().expect("the listener lives").0.raw.len();
        self.held.push((bytes, time));
    }

    /// All that came until now, as one SVG that moves.
    pub fn film(&self) -> String {
        let state = self.line.state.lock().expect("the listener lives");
        let (rows, columns) = state.0.vt().size();
        let (bytes, arrived) = (&state.0.raw, &state.0.arrived);
        Film { size: (rows.get(), columns.get()), bytes, arrived, held: &self.held }.svg()
    }

    /// Everything that was said.
    pub fn log(&self) -> String {
        self.line.state.lock().expect("the listener lives").0.log.clone()
    }

    /// The same with every byte, control sequences too.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.line.state.lock().expect("the listener lives").0.raw).into_owned()
    }

    /// The rest of the line `FACT name …` of the busybox root.
    pub fn fact(&self, name: &str) -> String {
        let log = self.log();
        let line = log.lines().find_map(|l| l.split_once(&format!("FACT {name} ")));
        line.unwrap_or_else(|| panic!("no fact {name} in\n{log}")).1.to_owned()
    }

    /// Waits until the machine has switched itself off, or wanted to start again.
    pub fn wait_exit(&mut self) -> ExitStatus {
        // The line ends when QEMU does.
        if let Err(why) = self.wait_for_end() {
            self.give_up(&format!("{why} while waiting for the machine to end"));
        }
        self.qemu.wait().expect("QEMU ends")
    }

    fn wait_for_end(&self) -> Result<(), &'static str> {
        let state = self.line.state.lock().expect("the listener lives");
        let left = self.until.saturating_duration_since(Instant::now());
        let (state, _) =
            self.line.news.wait_timeout_while(state, left, |(_, ended)| !*ended).expect("the listener lives");
        if state.1 { Ok(()) } else { Err("time is up") }
    }

    fn wait<T>(&self, mut look: impl FnMut(&Screen) -> Option<T>) -> Result<T, &'static str> {
        let mut state = self.line.state.lock().expect("the listener lives");
        loop {
            if let Some(found) = look(&state.0) {
                return Ok(found);
            }
            if state.1 {
                return Err("the machine ended");
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("time is up");
            }
            state = self.line.news.wait_timeout(state, left).expect("the listener lives").0;
        }
    }

    fn give_up(&self, why: &str) -> ! {
        let (screen, log) = (self.screen(), self.log());
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        panic!("{why}\n-- screen --\n{screen}\n-- last said --\n{}\n--", tail.join("\n"));
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended by itself: both calls say so then, and nothing is left to do.
        drop(self.qemu.kill());
        drop(self.qemu.wait());
        if std::thread::panicking() {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/lab/last-failed-journey.raw");
            if let Ok(state) = self.line.state.lock() {
                drop(std::fs::write(path, &state.0.raw));
            }
        }
    }
}

fn listen_to(mut serial: UnixStream, line: Arc<Line>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            let n = serial.read(&mut bytes).unwrap_or(0);
            let answer = {
                let mut state = line.state.lock().expect("nobody panics with the lock");
                if n == 0 {
                    state.1 = true;
                }
                state.0.take(&bytes[..n])
            };
            line.news.notify_all();
            if n == 0 {
                return;
            }
            // A machine that ended meanwhile needs no answer.
            drop(serial.write_all(&answer));
        }
    });
}
