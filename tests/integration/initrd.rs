//! `bootjack initrd`: what it writes is what a kernel, cpio(1) and a second run read; what cannot work is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootjack::commands::initrd::{InitrdArgs, run};
use bootjack::load::Failure;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: InitrdArgs,
}

/// A bench with a static program, a kernel and its modules.
struct Bench {
    dir: tempfile::TempDir,
}

const RELEASE: &str = "6.1.0-9-test";

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        let modules = bench.path("lib/modules").join(RELEASE);
        fs::create_dir_all(modules.join("kernel/drivers/net")).unwrap();
        let xz = |name: &str| {
            let mut packed = liblzma::write::XzEncoder::new(Vec::new(), 1);
            std::io::Write::write_all(&mut packed, format!("module {name}").as_bytes()).unwrap();
            fs::write(modules.join(format!("kernel/drivers/net/{name}.ko.xz")), packed.finish().unwrap())
                .unwrap();
        };
        ["virtio_net", "failover", "wild"].iter().for_each(|name| xz(name));
        let dep = "kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/failover.ko.xz\n\
                   kernel/drivers/net/failover.ko.xz:\nkernel/drivers/net/wild.ko.xz:\n";
        fs::write(modules.join("modules.dep"), dep).unwrap();
        fs::write(modules.join("modules.alias"), "alias virtio:d01 virtio_net\nalias pci:* wild\n").unwrap();
        fs::write(modules.join("modules.softdep"), "softdep wild pre: failover\n").unwrap();
        fs::write(modules.join("modules.builtin"), "kernel/drivers/nvme/nvme.ko\n").unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn modules(&self) -> String {
        self.path("lib/modules").join(RELEASE).display().to_string()
    }

    fn build(&self, name: &str, more: &[&str]) -> Result<PathBuf, Failure> {
        let out = self.path(name);
        let start = ["initrd", "-o", out.to_str().unwrap()];
        let cli = Cli::try_parse_from(start.iter().chain(more)).expect("usage");
        run(&cli.args).map(|_| out)
    }
}

/// Members by name: mode, contents.
fn members(mut archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    loop {
        let mut member = cpio::newc::Reader::new(archive).unwrap();
        let entry = member.entry().clone();
        if entry.is_trailer() {
            return found;
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        found.insert(entry.name().to_owned(), (entry.mode(), bytes));
        archive = member.finish().unwrap();
    }
}

/// Any static program will do; Debian's busybox-static is what the shell uses.
const BUSYBOX: &str = "/bin/busybox";

#[test]
fn it_reads_back_as_what_went_in() {
    let bench = Bench::new();
    fs::write(bench.path("corp.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    fs::write(bench.path("notes"), "hello").unwrap();
    let include = format!("{}=/srv/notes", bench.path("notes").display());
    let ca = bench.path("corp.crt");
    let more = ["--binary", BUSYBOX, "--busybox", "--modules", &bench.modules(), "--drivers", "net"];
    let more = [&more[..], &["--ca", ca.to_str().unwrap(), "--ca-only", "--include", &include]].concat();
    let initrd = bench.build("initrd", &more).unwrap();
    let archive = zstd::decode_all(fs::File::open(&initrd).unwrap()).unwrap();
    let found = members(&archive);
    assert_eq!(found["init"].0, 0o100_755);
    assert_eq!(found["init"].1, fs::read(BUSYBOX).unwrap());
    assert_eq!(found["dev/console"].0, 0o020_600);
    assert_eq!(found["bin/sh"], (0o120_777, b"busybox".to_vec()));
    assert_eq!(found["srv/notes"], (0o100_644, b"hello".to_vec()));
    assert!(found.contains_key("etc/bootjack/ca/corp.pem") && found.contains_key("etc/bootjack/ca-only"));
    let inside = |name: &str| String::from_utf8(found[&format!("lib/modules/{RELEASE}/{name}")].1.clone());
    assert_eq!(inside("kernel/drivers/net/virtio_net.ko").unwrap(), "module virtio_net");
    assert_eq!(inside("kernel/drivers/net/failover.ko").unwrap(), "module failover");
    let dep = "kernel/drivers/net/virtio_net.ko: kernel/drivers/net/failover.ko\n\
               kernel/drivers/net/failover.ko:\n";
    assert_eq!(inside("modules.dep").unwrap(), dep);
    assert_eq!(inside("modules.alias").unwrap(), "alias virtio:d01 virtio_net\n");
    assert!(!found.keys().any(|name| name.contains("wild")));
    assert_eq!(listed_by_cpio(&archive), found.keys().cloned().collect::<Vec<_>>());
}

fn listed_by_cpio(archive: &[u8]) -> Vec<String> {
    let mut cpio = Command::new("cpio");
    let mut child = cpio
        .args(["-t", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("cpio is installed");
    let mut input = child.stdin.take().unwrap();
    let names = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut input, archive).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(names.status.success());
    String::from_utf8(names.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let bench = Bench::new();
    let modules = bench.modules();
    for compress in ["zstd", "gzip", "none"] {
        let more = ["--binary", BUSYBOX, "--modules", &modules, "--drivers", "all", "--compress", compress];
        let first = fs::read(bench.build("a", &more).unwrap()).unwrap();
        // A new time of its own must not get in.
        let module = Path::new(&modules).join("kernel/drivers/net/wild.ko.xz");
        fs::write(&module, fs::read(&module).unwrap()).unwrap();
        assert!(first == fs::read(bench.build("b", &more).unwrap()).unwrap(), "--compress {compress}");
    }
}

#[test]
fn a_program_that_needs_a_loader_is_refused_and_the_old_initrd_stays() {
    let bench = Bench::new();
    fs::write(bench.path("initrd"), "old").unwrap();
    let failure = bench.build("initrd", &["--binary", "/proc/self/exe"]).unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("/proc/self/exe cannot be /init: dynamically linked"), "{text}");
    assert!(failure.hint.is_some());
    assert_eq!(fs::read_to_string(bench.path("initrd")).unwrap(), "old");
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let bench = Bench::new();
    let more = ["--binary", BUSYBOX, "--modules", &bench.modules(), "--drivers", "net,e1001"];
    let text = bench.build("initrd", &more).unwrap_err().to_string();
    assert!(text.ends_with("kernel 6.1.0-9-test has no module e1001, and not built in either"), "{text}");
}

#[test]
fn a_catalog_goes_in_as_written_but_never_with_errors() {
    let bench = Bench::new();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/menus/demo.toml");
    let more = ["--binary", BUSYBOX, "--compress", "none", "--catalog", demo];
    let found = members(&fs::read(bench.build("initrd", &more).unwrap()).unwrap());
    assert_eq!(found["etc/bootjack/catalog.toml"].1, fs::read(demo).unwrap());
    let wrong = bench.path("wrong.toml");
    fs::write(&wrong, "version = 1\n[[entry]]\nid = \"a\"\n").unwrap();
    let more = ["--binary", BUSYBOX, "--catalog", wrong.to_str().unwrap()];
    let text = bench.build("other", &more).unwrap_err().to_string();
    assert!(text.contains("wrong.toml has errors: 2"), "{text}");
    assert!(!bench.path("other").exists() && !bench.path("other.part").exists());
}

#[test]
fn tables_that_are_missing_say_how_to_make_them() {
    let bench = Bench::new();
    fs::remove_file(Path::new(&bench.modules()).join("modules.dep")).unwrap();
    let failure = bench.build("initrd", &["--binary", BUSYBOX, "--modules", &bench.modules()]).unwrap_err();
    assert!(failure.hint.unwrap().contains("depmod -b"));
}

#[test]
fn a_kernel_of_another_release_is_refused() {
    let bench = Bench::new();
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20f] = 1;
    image[0x300..0x30c].copy_from_slice(b"6.1.0-8-test");
    fs::write(bench.path("vmlinuz"), image).unwrap();
    let kernel = bench.path("vmlinuz").display().to_string();
    let more = ["--binary", BUSYBOX, "--modules", &bench.modules(), "--kernel", &kernel];
    let text = bench.build("initrd", &more).unwrap_err().to_string();
    assert!(text.contains("is kernel 6.1.0-8-test, the modules are for 6.1.0-9-test"), "{text}");
}

#[test]
fn modules_alone_are_all_of_them_and_nothing_else() {
    let bench = Bench::new();
    let more = ["--modules", &bench.modules(), "--modules-only", "--compress", "none"];
    let found = members(&fs::read(bench.build("modules.cpio", &more).unwrap()).unwrap());
    assert!(found.keys().all(|name| "lib/modules/".starts_with(name) || name.starts_with("lib/modules")));
    assert!(found.contains_key(&format!("lib/modules/{RELEASE}/kernel/drivers/net/wild.ko")));
}

#[test]
fn the_drivers_among_modules_are_printed_as_a_catalog_takes_them() {
    let bench = Bench::new();
    let out = bench.path("modules.cpio");
    let printed = Command::new(env!("CARGO_BIN_EXE_bootjack"))
        .args(["initrd", "-o", out.to_str().unwrap(), "--modules", &bench.modules(), "--modules-only"])
        .output()
        .unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    let (_, drivers) = printed.split_once('\n').unwrap();
    // What is built in is there without a module.
    assert_eq!(drivers, "drivers = [\"failover\", \"nvme\", \"virtio_net\", \"wild\",]\n");
    let modules = format!("modules = {{ url = 'm', unverified = true, {} }}", drivers.trim_end());
    let text = format!(
        "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'kexec'\n{modules}\n\
         kernel = {{ url = 'k', unverified = true }}\nroot = {{ url = 'r', unverified = true }}\n"
    );
    let place = bootjack::fetch::Location::parse("http://a/c.toml").unwrap();
    let parsed = bootjack::catalog::parse(&text, &place, "c.toml");
    assert!(!parsed.has_errors(), "{}", parsed.render());
}

#[test]
fn microcode_comes_first_and_uncompressed() {
    let bench = Bench::new();
    fs::write(bench.path("amd"), b"DMA\0first").unwrap();
    fs::write(bench.path("amd2"), b"DMA\0second").unwrap();
    let [one, two] = ["amd", "amd2"].map(|n| bench.path(n).display().to_string());
    let more = ["--binary", BUSYBOX, "--microcode", &one, "--microcode", &two, "--compress", "gzip"];
    let initrd = fs::read(bench.build("initrd", &more).unwrap()).unwrap();
    let found = members(&initrd);
    assert_eq!(found["kernel/x86/microcode/AuthenticAMD.bin"].1, b"DMA\0firstDMA\0second");
    let main = initrd.iter().position(|b| *b == 0x1f).unwrap();
    assert_eq!(main % 512, 0);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&initrd[main..]).read_to_end(&mut plain).unwrap();
    assert!(members(&plain).contains_key("init"));
}
