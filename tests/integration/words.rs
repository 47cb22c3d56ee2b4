//! Every word of docs/cmdline.md with what is no value of it, and every spelling of a location with what is no place: the
//! complaint names the argument and its value as written, and its example is right. In which words each is refused, is
//! looked at in src/cmdline/lines.rs and src/net/config.rs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bootjack::catalog;
use bootjack::cmdline::Params;
use bootjack::commands::catalog_file::CatalogFile;
use bootjack::fetch::{Config, Fetcher, Location};
use bootjack::net;

/// Words that go with it, and words that are refused beside them.
const WRONG: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bootjack.catalog",
            "bootjack.catalog=",
            "bootjack.catalog=../c.toml",
            "bootjack.entry",
            "bootjack.entry=",
            "bootjack.timeout=",
            "bootjack.timeout=soon",
            "bootjack.timeout=-1",
            "bootjack.timeout=10s",
            "bootjack.timeout=99999999999",
            "bootjack.retry_for=",
            "bootjack.retry_for=5",
            "bootjack.retry_for=5d",
            "bootjack.retry_for=99999999h",
            "bootjack.on_failure=",
            "bootjack.on_failure=menu",
            "bootjack.on_failure=../x",
            "bootjack.console=",
            "bootjack.console=ttyS0,115200",
            "bootjack.console=../tty0",
            "bootjack.console=ttyS0,",
            "bootjack.plain=",
            "bootjack.plain=yes",
            "bootjack.shell=",
            "bootjack.shell=yes",
            "bootjack.watchdog=",
            "bootjack.watchdog=0",
            "bootjack.watchdog=10s",
            "bootjack.watchdog=86401",
            "bootjack.ca=",
            "bootjack.ca=a.pem",
            "bootjack.ca=/a.pem,../b.pem",
            "init=",
            "init=sh",
            "init=../bin/sh",
            "root=tmpfs:",
            "root=tmpfs:r.tar",
            "root=tmpfs:../r.tar",
            "root=tmpfs:torrent://a",
            "root=tmpfs:/dev",
            "root=tmpfs:/dev/../etc",
            "root=tmpfs:label=x",
            "root=tmpfs:LABLE=x",
            "root=tmpfs:NFS=",
            "root=tmpfs:NFS=10.0.0.1:/srv",
            "root=tmpfs:NFS=nfs:/srv",
            "root=tmpfs:NFS=nfs:10.0.0.1:/srv",
            "root=tmpfs:nfs=nfs:a:/b",
            "root=virtiofs:",
            "root=virtiofs:..",
            "root=virtiofs:a/b",
            "rd.container.rootfs",
            "rd.container.rootfs=",
            "rd.container.rootfs=r.tar",
            "rd.container.rootfs=torrent://a/r",
            "rd.container.rootfs=nfs:10.0.0.1:/srv/",
            "rd.container.rootfs=nfs:10.0.0.1:/srv/..",
            "ramroot",
            "ramroot=",
            "ramroot=r.xz",
            "ramroot=../r.xz",
            "rootfs",
            "rootfs=",
            "rootfs=..",
            "rootfs=../x",
            "rootfs=a/b",
            "proxy",
            "proxy=",
            "proxy=http://",
            "proxy=socks5://a:1080",
            "proxy=a:99999",
            "proxy=http://a/b",
            "rd.tmpfs.chunks",
            "rd.tmpfs.chunks=",
            "rd.tmpfs.chunks=ba78",
            "no_proxy",
            "no_proxy=",
            "no_proxy=a/8",
            "no_proxy=http://a",
            "rd.noverifyssl=maybe",
            "rd.lvm=none",
            "rd.lvm.lv",
            "rd.lvm.lv=",
            "rd.lvm.lv=vg0",
            "rd.lvm.lv=vg0/a/b",
            "rd.lvm.lv=../x",
            "rd.lvm.vg=",
            "rd.lvm.vg=..",
            "rd.lvm.vg=vg0/images",
            "rd.luks=none",
            "rd.luks.uuid=",
            "rd.luks.uuid=..",
            "rd.luks.uuid=/dev/vda2",
            "rd.md=none",
            "rd.md.uuid=",
            "rd.md.uuid=/dev/md0",
            "rd.auto=some",
            "rd.retry=",
            "rd.retry=soon",
            "rd.timeout=-1",
            "rootdelay=",
            "rootdelay=10s",
            "panic=",
            "panic=soon",
            "panic=10s",
            "rd.emergency=",
            "rd.emergency=run",
            "rd.shell=maybe",
            "rd.break=",
            "rd.break=sometime",
            "rd.break=mount,",
            "break=",
            "break=init,soon",
            // Nothing that they could go with.
            "rd.tmpfs.size=1g",
            "rd.tmpfs.connections=4",
            "rd.tmpfs.length=1024",
            "rd.tmpfs.sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "rd.tmpfs.imgfile=r.tar",
        ],
    ),
    (
        "root=tmpfs:LABEL=x",
        &[
            "rd.tmpfs.imgfile",
            "rd.tmpfs.imgfile=",
            "rd.tmpfs.imgfile=/",
            "rd.tmpfs.imgfile=images/",
            "rd.tmpfs.imgfile=..",
            "rd.tmpfs.imgfile=../x",
            "rd.tmpfs.imgfile=a/../../x",
            "rd.tmpfs.size",
            "rd.tmpfs.size=",
            "rd.tmpfs.size=0",
            "rd.tmpfs.size=0m",
            "rd.tmpfs.size=0%",
            "rd.tmpfs.size=101%",
            "rd.tmpfs.size=-1",
            "rd.tmpfs.size=1.5g",
            "rd.tmpfs.size=2x",
            "rd.tmpfs.size=99999999999999999999g",
            "rd.tmpfs.connections",
            "rd.tmpfs.connections=",
            "rd.tmpfs.connections=0",
            "rd.tmpfs.connections=9",
            "rd.tmpfs.connections=two",
            "rd.tmpfs.length",
            "rd.tmpfs.length=",
            "rd.tmpfs.length=0",
            "rd.tmpfs.length=-1",
            "rd.tmpfs.length=50m",
            "rd.tmpfs.length=99999999999999999999",
            "rd.tmpfs.sha256",
            "rd.tmpfs.sha256=",
            "rd.tmpfs.sha256=abc",
            "rd.tmpfs.sha256=xa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ],
    ),
    ("root=tmpfs:http://a/r", &["rd.tmpfs.imgfile=x"]),
    (
        "rootfs=x",
        &["mount", "mount=", "mount=..", "mount=a/b", "mount-ro=", "mount-ro=.", "rd.tmpfs.size=1g"],
    ),
    ("rootfs=x mount=a", &["mount-ro=a"]),
    ("rootfstype=virtiofs", &["root=/dev/vda", "root=.."]),
    (
        "",
        &[
            "ip=eth0:dcp",
            "ip=../x:dhcp",
            "ip=eth0:dhcp:99999",
            "ip=10.0.0.5::10.0.0.1:99:host:eth0:none",
            "ip=10.0.0.5::10.0.0.1:255.0.255.0::eth0:none",
            "ip=10.0.0.500::10.0.0.1:24::eth0:none",
            "ip=10.0.0.5::10.0.0.1:24:a..b:eth0:none",
            "ip=:::::eth0:none",
            "ip=[fec0::1",
            "BOOTIF=",
            "BOOTIF=01-52-54-00",
            "hwaddr=",
            "hwaddr=52:54:00:12:34:5x",
            "nameserver=",
            "nameserver=dns",
            "ifname=",
            "ifname=net0",
            "ifname=../x:52:54:00:12:34:56",
            "ifname=a-name-that-is-too-long:52:54:00:12:34:56",
            "bootdev=",
            "bootdev=..",
            "rd.neednet=maybe",
            "rd.bootif=maybe",
            "rd.peerdns=maybe",
            "rd.route=",
            "rd.route=192.168.7.0:10.0.0.1",
            "rd.route=192.168.7.0/33:10.0.0.1",
        ],
    ),
];

/// Words that are not in this version, whatever stands behind them.
const LATER: &[&str] = &["vlan", "bond", "team", "bridge", "ip6"];

/// Words of the page for which no value is wrong, and why.
const ANYTHING_GOES: &[(&str, &str)] = &[
    ("--", "what follows is init's"),
    ("LABEL", "a spelling of a location: they are below"),
    ("UUID", "a spelling of a location"),
    ("PARTLABEL", "a spelling of a location"),
    ("PARTUUID", "a spelling of a location"),
    ("boot", "any value but ramdisk asks initramfs-tools for something else"),
    ("rootfstype", "any value but virtiofs is the kernel's"),
    ("rw", "has no value"),
    ("ro", "has no value"),
    ("debug", "any value means yes, or names a file"),
    ("rd.debug", "any value but 0 means yes"),
    ("quiet", "the kernel's"),
    ("MODULE.PARAMETER", "a module's"),
    ("poweroff", "a value of rd.emergency="),
    ("halt", "a value of rd.emergency="),
    ("/sysroot", "where a root is"),
    ("modprobe.blacklist", "names of modules, which may be of another kernel"),
];

fn name(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

/// Word, cause and hint of everything that is wrong with a line.
fn problems(line: &str) -> Vec<(String, String, Option<String>)> {
    let params = Params::parse(line);
    let network = net::Config::parse(&params.network).1;
    let ours = params.problems.into_iter().map(|p| (p.word, p.cause, p.hint));
    ours.chain(network.into_iter().map(|p| (p.word, p.cause, p.hint))).collect()
}

/// The examples in a hint: `such as A`, `such as A, B or C`, or `A does this and that`.
fn examples(hint: &str) -> Vec<String> {
    match hint.rsplit_once("such as ") {
        Some((_, all)) => all.split(", ").flat_map(|some| some.split(" or ")).map(str::to_owned).collect(),
        None => hint.split_whitespace().take(1).map(str::to_owned).collect(),
    }
}

/// What the real binary says of a line in somebody's initrd.
fn said(line: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), line).unwrap();
    let asked = format!("--cmdline={}", file.path().display());
    let output = Command::new(env!("CARGO_BIN_EXE_bootjack")).args(["unpack", &asked, "--ask"]).output();
    String::from_utf8(output.unwrap().stderr).unwrap()
}

#[test]
fn every_wrong_word_is_named_as_written_with_an_example_that_is_right() {
    let rows = WRONG.iter().flat_map(|(beside, words)| words.iter().map(move |word| (*beside, *word)));
    let (mut seen, mut names) = (0, BTreeSet::new());
    for (beside, word) in rows {
        let line = format!("{beside} {word}");
        let all = problems(&line);
        // Of a bare word of the network the place of its value is shown.
        let named = all.iter().filter(|(named, _, _)| named == word || *named == format!("{word}="));
        let [(_, cause, hint)] = named.collect::<Vec<_>>()[..] else { panic!("{line}: {all:?}") };
        assert!(!cause.is_empty(), "{line}");
        let hint = hint.as_ref().unwrap_or_else(|| panic!("{line}: {cause}: without an example"));
        assert!(hint.contains(name(word)), "{line}: {hint}: an example of something else");
        for example in examples(hint) {
            let right =
                if example.starts_with("root=") { example.clone() } else { format!("{beside} {example}") };
            assert_eq!(problems(&right), [], "{line}: the example {example}");
        }
        // What is wrong with a shared directory is for an initrd to say that can mount one; so is that with a network.
        let shared = [beside, word].iter().any(|text| text.starts_with("root") && !text.contains("=tmpfs:"));
        let once = names.insert((beside, name(word)));
        if once && !shared && Params::parse(&line).network.is_empty() {
            let said = said(&line);
            assert!(said.contains(&format!("{word}: {cause}")) && said.contains(hint), "{line}: {said}");
        }
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn a_word_of_a_later_version_says_so_whatever_its_value() {
    for word in LATER {
        for value in ["", "=", "=x", "=.."] {
            let line = format!("root=tmpfs:LABEL=x {word}{value}");
            let all = problems(&line);
            let [(named, cause, _)] = &all[..] else { panic!("{line}: {all:?}") };
            assert_eq!(named.trim_end_matches('='), format!("{word}{value}").trim_end_matches('='));
            assert!(
                cause.contains("not in this version") || cause.contains("comes with a later version"),
                "{cause}"
            );
        }
    }
}

#[test]
fn a_slip_is_told_with_the_word_that_was_meant() {
    for (line, meant) in [
        ("bootjack.entri=a", "bootjack.entry"),
        ("Bootjack.Timeout=5", "bootjack.timeout"),
        ("bootjack-shell", "bootjack.shell"),
        ("root=tmpfs:LABEL=x rd.tmpfs.sizes=1g", "rd.tmpfs.size"),
        ("root=tmpfs:LABEL=x rd.tmpfs.imgfil=r", "rd.tmpfs.imgfile"),
        ("rd.container.rootfss=http://a/r", "rd.container.rootfs"),
        ("boot=ramdisk ramrot=http://a/r", "ramroot"),
        ("rootfs=x mountro=a", "mount-ro"),
    ] {
        let all = problems(line);
        let [(named, cause, Some(hint))] = &all[..] else { panic!("{line}: {all:?}") };
        assert_eq!(
            (named.as_str(), cause.as_str()),
            (line.split(' ').next_back().unwrap(), "no such argument")
        );
        assert_eq!(*hint, format!("did you mean {meant}?"));
    }
}

#[test]
fn every_word_of_the_page_is_tried_with_what_is_wrong() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cmdline.md")).unwrap();
    let mut words: BTreeSet<&str> = BTreeSet::new();
    let mut section = "";
    for line in page.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        let whole = matches!(section, "The network" | "Not in this version");
        let cell = line.strip_prefix('|').and_then(|row| row.split(" | ").next());
        let text = if whole { line } else { cell.unwrap_or_default() };
        let spans = text.split('`').skip(1).step_by(2).filter(|span| !whole || span.ends_with('='));
        words.extend(spans.map(name));
    }
    assert!(words.len() > 50, "{words:?}");
    let wrong = WRONG.iter().flat_map(|(_, words)| words.iter().map(|word| name(word)));
    let free = ANYTHING_GOES.iter().map(|(word, _)| *word);
    let tried: BTreeSet<&str> = wrong.chain(LATER.iter().copied()).chain(free).collect();
    assert_eq!(words.difference(&tried).collect::<Vec<_>>(), Vec::<&&str>::new(), "no wrong value is tried");
    assert_eq!(tried.difference(&words).collect::<Vec<_>>(), Vec::<&&str>::new(), "not on the page");
}

/// Texts in the spelling of each kind of location that are none.
const NOWHERE: &[&str] = &[
    "gopher://a/r.tar",
    "htp://a/r.tar",
    "http://",
    "http:///r.tar",
    "http://a:99999/r.tar",
    "https://",
    "ftp://",
    "tftp://",
    "file:r.tar",
    "file:../r.tar",
    "file://elsewhere",
    "initramfs:r.tar",
    "dev:",
    "dev:vda1",
    "dev:/dev",
    "dev:/etc/fstab",
    "dev:/dev/../etc/fstab",
    "dev:/dev/vda1:/../x",
    "LABEL=",
    "LABEL=:/r.tar",
    "LABEL=x:/",
    "LABEL=x:/..",
    "LABEL=x:/a/../../b",
    "UUID=",
    "UUID=:/r.tar",
    "PARTLABEL=",
    "PARTUUID=",
    "PARTUUID=x:/../y",
    "nfs://",
    "nfs://a",
    "nfs://a/",
    "nfs:///srv/r.tar",
    "nfs://a/..:/r.tar",
    "nfs://a/srv:/../r.tar",
    "nfs://a:0/srv:/r.tar",
    "nfs://[fec0::1/srv:/r.tar",
    "nfs4://a$b/srv:/r.tar",
    "virtiofs:",
    "virtiofs:tag",
    "virtiofs:tag:/",
    "virtiofs:..:/r.tar",
    "virtiofs:a/b:/r.tar",
    "virtiofs:tag:/../r.tar",
    "oci://a/b",
];

/// The example at the end of what was said; it has to be a location.
fn example_of(said: &str) -> Location {
    let (_, example) = said.rsplit_once("such as ").unwrap_or_else(|| panic!("without an example: {said}"));
    Location::parse(example.trim()).unwrap_or_else(|e| panic!("{e}: {said}"))
}

#[test]
fn every_wrong_location_is_named_as_written_with_one_that_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = |text: &str| {
        format!(
            "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
             root = {{ url = '{text}', sha256 = '{}', unpacked = 1, size = 1 }}\n",
            "0".repeat(64)
        )
    };
    let base = Location::parse("http://lab.example/c.toml").unwrap();
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    for text in [NOWHERE, &[""]].concat() {
        let words = ["unpack", text, dir.path().to_str().unwrap(), "--retry-for", "0s"];
        let output = Command::new(env!("CARGO_BIN_EXE_bootjack")).args(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let shown = if text.is_empty() { "\"\"" } else { text };
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        assert!(said.starts_with(&format!("bootjack: fetch: {shown}: ")), "{text}: {said}");
        example_of(&said);
        let failure = CatalogFile::read(text, &fetcher).unwrap_err();
        assert!(failure.to_string().starts_with(&format!("catalog: {shown}: ")), "{text}: {failure}");
        example_of(&failure.hint.unwrap_or_default());
        let parsed = catalog::parse(&catalog(text), &base, "c.toml");
        let [problem] = &parsed.problems[..] else { panic!("{text}: {}", parsed.render()) };
        assert!(problem.source_line.contains(&format!("'{text}'")), "{text}: {}", parsed.render());
        assert!(
            text.is_empty() || problem.message.starts_with(&format!("\"{text}\": ")),
            "{}",
            problem.message
        );
        match problem.hint.as_deref() {
            Some(hint) if !hint.starts_with("docs/catalog.md") => drop(example_of(hint)),
            hint => assert!(hint.is_some() || text.is_empty(), "{text}: {}", parsed.render()),
        }

        for word in ["bootjack.catalog=", "root=tmpfs:", "rd.container.rootfs=", "ramroot="] {
            let line = format!("{word}{text}");
            let all = problems(&line);
            let [(named, _, Some(hint))] = &all[..] else { panic!("{line}: {all:?}") };
            assert_eq!(*named, line);
            examples(hint).iter().for_each(|example| assert_eq!(problems(example), [], "{line}: {example}"));
        }
    }
}

/// Places that are not there, and what is said to look at.
const EMPTY: &[(&str, &str)] = &[
    ("file:/nowhere/r.tar", "check the path"),
    ("initramfs:/nowhere/r.tar", "check the path"),
    ("dev:/dev/nosuch:/r.tar", "check the name and the cable"),
    ("dev:/dev/null", "check the name and the cable"),
    ("LABEL=nosuch:/r.tar", "check the name and the cable"),
    ("UUID=nosuch:/r.tar", "check the name and the cable"),
    ("PARTLABEL=nosuch:/r.tar", "check the name and the cable"),
    ("PARTUUID=nosuch:/r.tar", "check the name and the cable"),
    ("virtiofs:nosuch:/r.tar", "check the tag"),
    ("http://127.0.0.1:9/r.tar", "check the URL"),
];

#[test]
fn a_place_that_is_not_there_is_named_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    // All at once: a device is waited for.
    let start = |(n, (text, hint)): (usize, &(&'static str, &'static str))| {
        let place = dir.path().join(n.to_string());
        let words = ["unpack", text, place.to_str().unwrap(), "--retry-for", "0s"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootjack"));
        (*text, *hint, command.args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let running: Vec<_> = EMPTY.iter().enumerate().map(start).collect();
    for (text, hint, child) in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        let place = text.strip_prefix("file:").unwrap_or(text);
        assert!(said.contains(&format!("bootjack: fetch: {place}: ")), "{text}: {said}");
        assert!(said.contains(&format!("hint: {hint}")), "{text}: {said}");
        if text.ends_with("nosuch:/r.tar") && hint.contains("cable") {
            assert!(
                said.contains("; there are ") || said.contains("there is no block device at all"),
                "{said}"
            );
        }
    }
}
