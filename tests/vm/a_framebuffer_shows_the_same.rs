//! A machine with UEFI and a screen: the kernel draws on the firmware's framebuffer, and what is there is what a serial line
//! of the same size gets. Its font need not be known: the same character has the same bitmap wherever it stands, and no
//! other one has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::lab::{Initrd, Kernel, Root};
use crate::machine::{Options, Vm};
use crate::server::Server;
use crate::{picture, rack};

/// Rows and columns of 1280x800 pixels, OVMF's, in the kernel's font of 8x16.
const SIZE: (u16, u16) = (50, 160);
const CELL: (usize, usize) = (8, 16);

/// Firmware takes long where a processor is emulated (seconds).
const UEFI: u64 = 400;

/// What a screen shows, three bytes a pixel.
struct Dump {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Dump {
    /// ppm(5), as QEMU writes it; nothing, as long as it is not all there.
    fn parse(ppm: &[u8]) -> Option<Self> {
        let mut fields = ppm.splitn(4, |b| b.is_ascii_whitespace());
        let (magic, width, height, rest) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
        let (width, height) = (number(width)?, number(height)?);
        let pixels = rest.strip_prefix(b"255\n")?.to_vec();
        (magic == b"P6" && pixels.len() == width * height * 3).then_some(Self { width, height, pixels })
    }

    /// The bits of a cell: 1 where it is not as in its corner, which no character reaches.
    fn bitmap(&self, column: usize, row: usize) -> Vec<bool> {
        let pixel = |x: usize, y: usize| {
            let at = ((row * CELL.1 + y) * self.width + column * CELL.0 + x) * 3;
            &self.pixels[at..at + 3]
        };
        let corner = pixel(0, 0);
        (0..CELL.1)
            .flat_map(|y| (0..CELL.0).map(move |x| (x, y)))
            .map(|(x, y)| pixel(x, y) != corner)
            .collect()
    }

    /// How many characters this text has, if each has a bitmap of its own here; else where it has not.
    fn shows(&self, text: &str) -> Result<usize, String> {
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let (mut bitmaps, mut characters) = (BTreeMap::new(), BTreeMap::new());
        for (row, column) in
            (0..self.height / CELL.1).flat_map(|y| (0..self.width / CELL.0).map(move |x| (y, x)))
        {
            let character = *lines.get(row).and_then(|line| line.get(column)).unwrap_or(&' ');
            let bitmap = self.bitmap(column, row);
            let place = format!("{character:?} in column {column}, row {row}");
            match bitmaps.entry(character).or_insert_with(|| (bitmap.clone(), place.clone())) {
                (known, _) if *known == bitmap => {}
                (_, other) => return Err(format!("{place}: not as {other}")),
            }
            match characters.entry(bitmap).or_insert((character, place.clone())) {
                (known, _) if *known == character => {}
                (_, other) => return Err(format!("{place}: as {other}")),
            }
        }
        Ok(bitmaps.len())
    }
}

/// Waits until the framebuffer shows what the serial line shows; both.
fn same(vm: &mut Vm, folder: &Path) -> (Dump, String) {
    let (file, began) = (folder.join("dump"), Instant::now());
    loop {
        drop(std::fs::remove_file(&file));
        vm.monitor(&format!("screendump {}", file.display()));
        let dump = loop {
            let dump = std::fs::read(&file).ok().and_then(|ppm| Dump::parse(&ppm));
            let Some(dump) = dump else {
                assert!(began.elapsed() < Duration::from_secs(UEFI), "the monitor dumps no screen");
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            break dump;
        };
        let text = vm.screen();
        match dump.shows(&text) {
            Ok(_) => return (dump, text),
            Err(why) => assert!(
                began.elapsed() < Duration::from_secs(60),
                "{}x{}: {why} of\n{text}",
                dump.width,
                dump.height
            ),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_framebuffer_of_uefi_shows_what_a_serial_line_shows() {
    let server = Server::new();
    server.text("catalog.toml", &rack::catalog(&server, &Root::debian(), &Root::busybox()));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net"]);
    let append = format!("console=tty0 bootjack.catalog={}catalog.toml", rack::SERVER);
    let (net, devices) = (rack::net(&server), ["-device", "VGA", "-rtc", "base=2035-11-30T14:03:00"]);
    let net: Vec<&str> = net.iter().map(String::as_str).collect();
    let options = Options { append: &append, net: &net, devices: &devices, size: SIZE, ..Options::default() };
    let options = Options { initrd: &initrd.path(), memory: 1024, uefi: true, patience: UEFI, ..options };
    let mut vm = Vm::boot(&options);
    vm.see(&["2 watch", "any key stops", "? help"]);
    // A key of its own keyboard.
    vm.monitor("sendkey 3");
    vm.see(&["Last night's build", "? help"]);
    let dir = tempfile::tempdir().unwrap();
    let (dump, text) = same(&mut vm, dir.path());
    assert_eq!((dump.width, dump.height), (1280, 800));
    assert!(dump.shows(&text).is_ok_and(|characters| characters > 50));
    // One wrong character would be seen, and one that is not there.
    for (right, wrong) in [("Nightly", "Nightlx"), ("UNVERIFIED", "UNVERIFI D"), ("2 watch", "3 watch")] {
        let wrong = text.replacen(right, wrong, 1);
        assert!(wrong != text && dump.shows(&wrong).is_err(), "{right}");
    }
    let kept = picture::folder().join("framebuffer.png");
    drop(std::fs::remove_file(&kept));
    vm.monitor(&format!("screendump {} -f png", kept.display()));
    // What the monitor was told before, it has done when it answers to this.
    vm.monitor("sendkey p");
    vm.see(&["Enter does it at once", "Esc back  ? help"]);
    let png = std::fs::read(&kept).expect("a picture");
    assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xaeB`\x82"), "{} bytes", png.len());
}
