//! A second terminal of a machine: on another serial line, or before its screen. The first serial line is `machine`'s.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::machine::Vm;
use crate::screen::Screen;

/// How long something may take to appear (seconds), on a busy host too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of a VGA's text memory, which begins there (console of the PC: a character and its attributes, 80 in a row).
const VGA: (u32, usize) = (0xb8000, 32 << 10);

/// A second serial line whose other end takes not one byte: a pipe that is full.
pub struct Stalled {
    _dir: tempfile::TempDir,
    _pipe: fs::File,
    words: Vec<String>,
}

impl Stalled {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("line");
        for end in ["in", "out"] {
            let made = nix::unistd::mkfifo(&path.with_extension(end), nix::sys::stat::Mode::S_IRWXU);
            made.expect("a pipe");
        }
        let mut open = fs::File::options();
        open.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
        let mut pipe = open.open(path.with_extension("out")).expect("the pipe opens");
        while pipe.write(&[0; 4096]).is_ok() {}
        let chardev = format!("pipe,id=second,path={}", path.display());
        let words = ["-chardev", &chardev, "-serial", "chardev:second"].map(str::to_owned).to_vec();
        Self { _dir: dir, _pipe: pipe, words }
    }

    /// QEMU's words.
    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// How a second serial line is made for a machine.
pub struct Socket {
    dir: tempfile::TempDir,
    listener: Option<UnixListener>,
    words: Vec<String>,
}

impl Socket {
    /// Somebody is there from the beginning.
    pub fn taken() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("line")).expect("a socket");
        Self::of(dir, Some(listener), "")
    }

    /// Nobody is there; what is said meanwhile is lost, as on a real line.
    pub fn free() -> Self {
        Self::of(tempfile::tempdir().expect("a temporary directory"), None, ",server=on,wait=off")
    }

    fn of(dir: tempfile::TempDir, listener: Option<UnixListener>, more: &str) -> Self {
        let path = dir.path().join("line");
        let socket = format!("socket,id=second,path={}{more}", path.display());
        let words = ["-chardev", &socket, "-serial", "chardev:second"].map(str::to_owned).to_vec();
        Self { dir, listener, words }
    }

    /// QEMU's words.
    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// The other end, once the machine is there: nobody reads it yet.
    pub fn end(&self) -> UnixStream {
        match &self.listener {
            Some(listener) => listener.accept().expect("the machine").0,
            None => UnixStream::connect(self.dir.path().join("line")).expect("the machine listens"),
        }
    }
}

/// A terminal on a serial line.
pub struct Wire {
    stream: UnixStream,
    screen: Arc<Mutex<Screen>>,
}

impl Wire {
    pub fn new(stream: UnixStream, rows: u16, columns: u16) -> Self {
        let screen = Arc::new(Mutex::new(Screen::new(rows, columns)));
        let (mut from, shown) = (stream.try_clone().expect("a second handle"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                let answer = shown.lock().expect("nobody panics with the lock").take(&bytes[..n]);
                // A machine that ended meanwhile needs none.
                drop(from.write_all(&answer));
            }
        });
        Self { stream, screen }
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.stream.write_all(keys.as_bytes()).expect("typing");
    }

    pub fn text(&self) -> String {
        self.screen.lock().expect("nobody panics with the lock").text()
    }

    pub fn expect(&self, text: &str) {
        until(text, || self.text());
    }
}

/// The machine's own keyboard and screen.
pub struct Vga {
    dir: tempfile::TempDir,
}

impl Vga {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// A key by QEMU's name.
    pub fn press(&self, vm: &mut Vm, key: &str) {
        vm.monitor(&format!("sendkey {key}"));
    }

    pub fn expect(&self, vm: &mut Vm, text: &str) {
        until(text, || self.text(vm));
    }

    /// What the adapter shows, read out of its memory, with what has been scrolled away.
    pub fn text(&self, vm: &mut Vm) -> String {
        let file = self.dir.path().join("text");
        drop(fs::remove_file(&file));
        vm.monitor(&format!("pmemsave {:#x} {} \"{}\"", VGA.0, VGA.1, file.display()));
        let began = Instant::now();
        let cells = loop {
            match fs::read(&file) {
                Ok(cells) if cells.len() == VGA.1 => break cells,
                _ => assert!(began.elapsed() < PATIENCE, "the monitor saves no memory"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let character = |cell: &[u8]| if (0x20..0x7f).contains(&cell[0]) { char::from(cell[0]) } else { ' ' };
        let rows = cells.chunks(160).map(|row| row.chunks(2).map(character).collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

fn until(text: &str, mut shown: impl FnMut() -> String) {
    let began = Instant::now();
    loop {
        let now = shown();
        if now.contains(text) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no {text:?} on\n{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
