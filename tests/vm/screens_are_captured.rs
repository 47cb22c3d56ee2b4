//! Every screen of a boot as it looks on a terminal, for eyes: texts and pictures in target/screens (`make screens` puts
//! the pictures where docs/menu.md has them).

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{ENTER, ESC, Options, Vm};
use crate::server::Server;
use crate::{picture, rack};

/// A machine on whose terminal somebody looks at everything.
struct Tour {
    vm: Vm,
    size: (u16, u16),
    _server: Server,
    _initrd: Initrd,
    _disk: tempfile::TempDir,
}

impl Tour {
    fn begin(size: (u16, u16), words: &str) -> Self {
        let server = Server::new();
        let catalog = rack::catalog(&server, &Root::debian(), &Root::busybox());
        server.text("catalog.toml", &catalog);
        let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,storage", "--with", "cryptsetup"]);
        let append = format!("bootjack.catalog={}catalog.toml {words}", rack::SERVER);
        let disk = tempfile::tempdir().unwrap();
        let path = disk.path().join("disk");
        let header = [&b"LUKS\xba\xbe\0\x01"[..], &[0; 160], rack::LUKS.as_bytes(), &[0; 8192]].concat();
        std::fs::write(&path, header).unwrap();
        let drive = format!("id=d0,if=none,format=raw,file={}", path.display());
        // The same minute in each picture, later than any build.
        let clock = ["-rtc", "base=2035-11-30T14:03:00"];
        let devices = [&["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"], &clock[..]].concat();
        let net = rack::net(&server);
        let net: Vec<&str> = net.iter().map(String::as_str).collect();
        let options =
            Options { append: &append, memory: 1024, net: &net, devices: &devices, ..Options::default() };
        let vm = Vm::boot(&Options { initrd: &initrd.path(), size, ..options });
        Self { vm, size, _server: server, _initrd: initrd, _disk: disk }
    }

    /// Types, waits until this is seen, and keeps it.
    fn keep(&mut self, keys: &str, words: &[&str], name: &str) {
        self.go(keys, words);
        let ((rows, columns), text) = (self.size, self.vm.screen());
        let place = picture::folder().join(format!("{name}-{columns}x{rows}.txt"));
        std::fs::write(place, format!("{text}\n")).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= columns.into()), "{text}");
        if self.size == (24, 80) {
            picture::keep(&format!("{name}.svg"), &self.vm.picture());
        }
    }

    fn go(&mut self, keys: &str, words: &[&str]) {
        self.vm.type_keys(keys);
        self.vm.see(words);
    }
}

/// Legends.
const PAGER: &str = "Esc, q, Enter back  Up, k up  Down, j down";
const MENU: [&str; 2] = ["Rack 12, row B", "? help"];

#[test]
fn screens_at_80x24() {
    let mut tour = Tour::begin((24, 80), "");
    tour.keep("", &["any key stops", "l log  ? help"], "menu");
    tour.keep("?", &["Keys", PAGER], "help");
    tour.go(ESC, &MENU);
    tour.keep("/deb", &["/deb_  2 found - Enter keeps them, Esc shows all"], "search");
    tour.go(ESC, &["Stopped.", "without a key."]);
    tour.keep("2d", &["What was looked at", PAGER], "details");
    tour.go(ESC, &MENU);
    tour.keep("!", &["Notices", "did you mean", PAGER], "notices");
    tour.go(ESC, &MENU);
    tour.keep("l", &["Following", "f follow"], "log");
    tour.go(ESC, &MENU);
    tour.keep("p", &["Enter does it at once", "Enter do it  Esc back  ? help"], "power");
    tour.go(ESC, &MENU);
    tour.go("n", &["DHCP from", "Esc back  l log  ? help"]);
    tour.keep("t", &["+ answer", "DHCP from 10.0.2.2)"], "network");
    tour.go("a", &["An address by hand", "F1 help"]);
    tour.keep("10.0.2.77/24", &["Enter makes 10.0.2.77/24 the address of eth0."], "address");
    tour.go(ESC, &["+ answer", "? help"]);
    tour.go(ESC, &MENU);
    tour.go("1", &[" > * 1 ", "without a key."]);
    tour.go("e", &["Edit: Debian 12", "F1 help"]);
    tour.keep("systemd.unit=rescue.target", &["Changed, for this boot alone. Enter boots it."], "edit");
    tour.go(ESC, &MENU);
    tour.go("5", &["UUID=5b4c2f0e", "without a key."]);
    tour.keep(ENTER, &["Encrypted device", "typed", "Ctrl-U clear  Esc leave"], "passphrase");
    tour.go(ESC, &MENU);
    tour.go("1", &[" > * 1 ", "without a key."]);
    tour.keep(ENTER, &["[##############", "s left", "Esc cancel  ? help  l log"], "loading");
    tour.go(ESC, &MENU);
    tour.go("3", &["Last night's build", "without a key."]);
    tour.keep(ENTER, &["404", "b reboot  ? help"], "failure");
    tour.go("m", &MENU);
    tour.go("4", &["2.14, for the boards", "without a key."]);
    tour.keep(ENTER, &["60 %", "x end the job  ? help  l log"], "job");
}

/// And nothing of it has a colour, where none are wanted; and the log says which keys were pressed, where it is to say more.
#[test]
fn screens_at_132x43() {
    let mut tour = Tour::begin((43, 132), "NO_COLOR=1 rd.debug");
    tour.keep("", &["any key stops", "? help"], "menu");
    tour.keep("?", &["Keys", PAGER], "help");
    tour.go(ESC, &MENU);
    tour.go("3", &["Last night's build", "without a key."]);
    tour.keep(ENTER, &["404", "b reboot  ? help"], "failure");
    tour.go("m", &MENU);
    tour.go(
        "l",
        &[
            "event: Menu begins",
            "s, 3 on /dev/ttyS0",
            "s, Enter on /dev/ttyS0",
            "event: Failure begins",
            "f follow",
        ],
    );
    let said = tour.vm.raw();
    let ours = said.find("\x1b[?2004h").expect("a picture");
    let coloured = |sequence: &&str| {
        let (parameters, end) =
            sequence.split_at(sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
        end.starts_with('m') && parameters.split(';').any(|n| n.len() == 2 && n.starts_with(['3', '4']))
    };
    assert_eq!(said[ours..].split("\x1b[").find(coloured), None);
}
