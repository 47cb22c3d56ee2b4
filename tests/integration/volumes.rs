//! What lies on disks, made by the tools that make it everywhere, against what blkid says of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use bootjack::volumes::{Content, inspect, partition_names};

/// A directory for images. `label` makes one of `mib` MiB with `program`; the words may name it `@IMAGE`.
struct Images(tempfile::TempDir);

impl Images {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn blank(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.0.path().join(name);
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        path
    }

    fn made(&self, name: &str, mib: u64, program: &str, words: &[&str]) -> PathBuf {
        let path = self.blank(name, mib);
        run(program, &words.iter().map(|w| w.replace("@IMAGE", path.to_str().unwrap())).collect::<Vec<_>>());
        path
    }
}

fn run(program: &str, words: &[String]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = Command::new(program).args(words).env("PATH", path).env("LC_ALL", "C.UTF-8").output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}: lab/need.sh loopback installs it"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {words:?}: {said}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A field as blkid prints it, with what a shell would need taken off, and what a terminal would (cat(1), -v).
fn blkid(image: &Path, field: &str) -> Option<String> {
    let words = ["-p", "-o", "export", image.to_str().unwrap()].map(str::to_owned);
    let said = run("blkid", &words);
    let line = said.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    let mut escaped = false;
    let unescaped: Vec<u8> = line
        .bytes()
        .filter(|byte| {
            escaped = *byte == b'\\' && !escaped;
            !escaped
        })
        .collect();
    let (mut bytes, mut rest) = (Vec::new(), &*unescaped);
    while let [first, behind @ ..] = rest {
        let byte;
        (byte, rest) = match (first, behind) {
            (b'M', [b'-', b'^', letter, rest @ ..]) => (0x80 | letter ^ 0x40, rest),
            (b'M', [b'-', letter, rest @ ..]) => (0x80 | letter, rest),
            _ => (*first, behind),
        };
        bytes.push(byte);
    }
    Some(String::from_utf8(bytes).unwrap())
}

fn ours(image: &Path) -> Content {
    inspect(File::open(image).unwrap()).unwrap().unwrap_or_else(|| panic!("{}: nothing", image.display()))
}

/// Each field alike; gives what was found.
fn alike(image: &Path) -> Content {
    let found = ours(image);
    let name = image.display();
    assert_eq!(Some(found.kind), blkid(image, "TYPE").as_deref(), "{name}");
    assert_eq!(found.label, blkid(image, "LABEL"), "{name}");
    assert_eq!(found.uuid, blkid(image, "UUID"), "{name}");
    found
}

const UUID: &str = "01234567-89AB-CDEF-0123-456789abcdef";

#[test]
fn file_systems_of_linux_are_told_as_blkid_tells_them() {
    let images = Images::new();
    for kind in ["ext2", "ext3", "ext4"] {
        let make = format!("mkfs.{kind}");
        for (n, label) in ["", "images", "a b/c\\d", "büro ☂", " x", "sixteen letters!"].iter().enumerate()
        {
            let words = ["-q", "-L", label, "-U", UUID, "@IMAGE"];
            let found = alike(&images.made(&format!("{kind}-{n}"), 8, &make, &words));
            assert_eq!((found.kind, found.label.as_deref().unwrap_or("")), (kind, *label));
        }
    }
    for (n, label) in ["", "images", "a/b-c", "twelve chars"].iter().enumerate() {
        let label = label.replace(' ', "_");
        let words = ["-q", "-L", &label, "-m", &format!("uuid={UUID}"), "@IMAGE"].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
        let words = if label.is_empty() { vec!["-q", "@IMAGE"] } else { words };
        alike(&images.made(&format!("xfs-{n}"), 320, "mkfs.xfs", &words));
    }
    for (n, label) in ["", "images", "a b/c", "büro ☂"].iter().enumerate() {
        let words = ["-q", "-L", label, "-U", UUID, "@IMAGE"];
        let found = alike(&images.made(&format!("btrfs-{n}"), 128, "mkfs.btrfs", &words));
        assert_eq!((found.devices, found.unclean), (1, false));
    }
    alike(&images.made("f2fs", 64, "mkfs.f2fs", &["-q", "-l", "büro ☂", "@IMAGE"]));
    alike(&images.made("swap", 8, "mkswap", &["-q", "-L", "a b", "-U", UUID, "@IMAGE"]));
}

#[test]
fn file_systems_of_others_are_told_as_blkid_tells_them() {
    let images = Images::new();
    for (bits, mib) in [("12", 4), ("16", 32), ("32", 64)] {
        for (n, label) in ["", "IMAGES", "A B-C", "elevenchars"].iter().enumerate() {
            let mut words = vec!["-F", bits, "-i", "1a2b3c4d"];
            if !label.is_empty() {
                words.extend(["-n", label]);
            }
            words.push("@IMAGE");
            let found = alike(&images.made(&format!("fat{bits}-{n}"), mib, "mkfs.vfat", &words));
            assert_eq!(found.uuid.as_deref(), Some("1A2B-3C4D"));
        }
    }
    for (n, label) in ["", "images", "a b", "büro ☂"].iter().enumerate() {
        let words = if label.is_empty() { vec!["@IMAGE"] } else { vec!["-L", label, "@IMAGE"] };
        alike(&images.made(&format!("exfat-{n}"), 16, "mkfs.exfat", &words));
    }
    let tree = images.0.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "text").unwrap();
    let tree = tree.to_str().unwrap();
    for (n, label) in ["A", "images", "a name of more than sixteen", "büro", "a_b c"].iter().enumerate() {
        for joliet in ["-J", "-r"] {
            let words = ["-as", "mkisofs", "-quiet", joliet, "-V", label, "-o", "@IMAGE", tree];
            alike(&images.made(&format!("iso{joliet}{n}"), 0, "xorriso", &words));
        }
    }
    alike(&images.made("squashfs", 0, "mksquashfs", &[tree, "@IMAGE", "-noappend", "-quiet"]));
    alike(&images.made("erofs", 0, "mkfs.erofs", &["-U", UUID, "@IMAGE", tree]));
}

#[test]
fn what_is_no_file_system_has_the_name_that_blkid_has_for_it() {
    let images = Images::new();
    let written = |name: &str, parts: &[(usize, &[u8])]| {
        let path = images.blank(name, 4);
        let mut bytes = fs::read(&path).unwrap();
        parts.iter().for_each(|(at, part)| bytes[*at..at + part.len()].copy_from_slice(part));
        fs::write(&path, bytes).unwrap();
        path
    };
    let uuid = UUID.to_lowercase();
    let luks = [(0, &b"LUKS\xba\xbe\0\x01"[..]), (168, uuid.as_bytes())];
    assert_eq!(alike(&written("luks", &luks)).kind, "crypto_LUKS");
    // In front of what would be a file system, and behind one.
    for at in [0, 4096, (4 << 20) - 8192] {
        let sector = (at as u64 / 512).to_le_bytes();
        let head = [
            (at, &b"\xfc\x4e\x2b\xa9\x01\0\0\0"[..]),
            (at + 16, &[7; 16]),
            (at + 32, b"host:0"),
            (at + 144, &sector),
        ];
        assert_eq!(alike(&written(&format!("md-{at}"), &head)).kind, "linux_raid_member");
    }
    let old = (4 << 20) - (64 << 10);
    let head =
        [(old, &b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0"[..]), (old + 20, &[1, 2, 3, 4]), (old + 52, &[9; 12])];
    assert_eq!(alike(&written("md-old", &head)).kind, "linux_raid_member");
    let mut label =
        [&b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001"[..], b"abcdefghijklmnopqrstuvwxyz012345"]
            .concat();
    label.resize(512, 0);
    let sum = label[20..].iter().fold(0xf597_a6cf_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(alike(&written("lvm", &[(512, &label)])).kind, "LVM2_member");
}

#[test]
fn a_vfat_whose_label_was_changed_has_the_new_one() {
    let images = Images::new();
    let image = images.made("fat", 32, "mkfs.vfat", &["-F", "16", "-n", "OLD", "@IMAGE"]);
    let words = |label: &str| ["-i", image.to_str().unwrap(), label].map(str::to_owned).to_vec();
    run("mlabel", &words("::NEW"));
    assert_eq!(alike(&image).label.as_deref(), Some("NEW"));
    run("mlabel", &[words("-c"), vec!["::".into()]].concat());
    alike(&image);
}

#[test]
fn what_was_made_over_something_else_is_the_new_thing() {
    let images = Images::new();
    let image = images.made("one", 320, "mkfs.ext4", &["-q", "-L", "old", "@IMAGE"]);
    for (program, words) in [
        ("mkfs.btrfs", vec!["-q", "-f", "-L", "new", "@IMAGE"]),
        ("mkfs.xfs", vec!["-q", "-f", "-L", "newer", "@IMAGE"]),
        ("mkfs.vfat", vec!["-n", "NEWEST", "@IMAGE"]),
        ("mkfs.exfat", vec!["-L", "last", "@IMAGE"]),
        ("mkfs.ext4", vec!["-q", "-F", "-L", "again", "@IMAGE"]),
    ] {
        run("wipefs", &["-aq".to_owned(), image.display().to_string()]);
        run(program, &words.iter().map(|w| w.replace("@IMAGE", image.to_str().unwrap())).collect::<Vec<_>>());
        alike(&image);
    }
}

#[test]
fn a_file_system_that_was_not_unmounted_is_told_apart() {
    let images = Images::new();
    let image = images.made("ext4", 16, "mkfs.ext4", &["-q", "@IMAGE"]);
    assert!(!alike(&image).unclean);
    let words = ["-w", "-R", "feature needs_recovery", image.to_str().unwrap()].map(str::to_owned);
    run("debugfs", &words);
    assert!(alike(&image).unclean);
}

#[test]
fn an_image_cut_anywhere_is_read_without_a_panic() {
    let images = Images::new();
    for (name, mib, program, words) in [
        ("ext4", 8, "mkfs.ext4", vec!["-q", "@IMAGE"]),
        ("fat", 4, "mkfs.vfat", vec!["@IMAGE"]),
        ("exfat", 8, "mkfs.exfat", vec!["@IMAGE"]),
        ("gpt", 8, "sgdisk", vec!["-n", "1:0:+1M", "@IMAGE"]),
    ] {
        let image = images.made(name, mib, program, &words);
        for length in (0..4096).step_by(97).chain([65_536, 70_000, 1 << 20, (mib << 20) - 512]) {
            let file = File::options().write(true).open(&image).unwrap();
            let whole = fs::metadata(&image).unwrap().len();
            let cut = images.0.path().join("cut");
            fs::copy(&image, &cut).unwrap();
            File::options().write(true).open(&cut).unwrap().set_len(length.min(whole)).unwrap();
            let _whatever = inspect(File::open(&cut).unwrap()).unwrap();
            let _names = partition_names(File::open(&cut).unwrap(), 512, 1).unwrap();
            drop(file);
        }
    }
}

#[test]
fn names_of_partitions_are_those_that_sfdisk_prints() {
    let images = Images::new();
    let gpt = images.blank("gpt", 16);
    let path = gpt.to_str().unwrap();
    for (number, name) in [(1, "images"), (2, "a b/c"), (7, "büro ☂"), (9, "")] {
        let words = [format!("-n={number}:0:+1M"), format!("-c={number}:{name}"), path.to_owned()];
        run(
            "sgdisk",
            &words
                .iter()
                .flat_map(|w| {
                    w.split_once('=').map_or(vec![w.clone()], |(a, b)| vec![a.to_owned(), b.to_owned()])
                })
                .collect::<Vec<_>>(),
        );
    }
    let mbr = images.blank("mbr", 64);
    let script = "label: dos\nlabel-id: 0x1234abcd\n,4M\n,4M\n,40M,E\n,4M\n,4M\n,4M\n";
    let file = images.0.path().join("script");
    fs::write(&file, script).unwrap();
    run("sh", &["-c".into(), format!("sfdisk -q {} <{}", mbr.display(), file.display())]);
    let mut seen = 0;
    for image in [&gpt, &mbr] {
        let said = run("sfdisk", &["--json".to_owned(), image.display().to_string()]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let disk = &said["partitiontable"];
        for partition in disk["partitions"].as_array().unwrap() {
            let node = partition["node"].as_str().unwrap();
            let number: u64 = node.strip_prefix(image.to_str().unwrap()).unwrap().parse().unwrap();
            let (label, uuid) = partition_names(File::open(image).unwrap(), 512, number).unwrap();
            match partition["uuid"].as_str() {
                Some(theirs) => assert!(uuid.unwrap().eq_ignore_ascii_case(theirs), "{node}"),
                None => assert_eq!(uuid, Some(format!("1234abcd-{number:02x}")), "{node}"),
            }
            assert_eq!(label.as_deref(), partition["name"].as_str().filter(|n| !n.is_empty()), "{node}");
            seen += 1;
        }
    }
    assert_eq!(seen, 10, "four and six partitions");
}
