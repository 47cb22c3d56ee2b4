//! The man pages and completions that are checked in, against the command line they are made from. `PAGES=write cargo test
//! pages` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootjack::cli;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Tools of those who administrate a system (man-pages(7)): the binary is in sbin, too.
const SECTION: &str = "8";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every page by its name in the tree.
fn made() -> BTreeMap<String, Vec<u8>> {
    let mut whole = cli::command()
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("command");
    whole.build();
    let mut pages: BTreeMap<_, _> = whole
        .get_subcommands()
        .chain([&whole])
        .map(|command| (format!("docs/man/{}.{SECTION}", name(command)), page(command)))
        .collect();
    for (shell, file) in
        [(Shell::Bash, "bootjack.bash"), (Shell::Zsh, "_bootjack"), (Shell::Fish, "bootjack.fish")]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut cli::command(), "bootjack", &mut text);
        pages.insert(format!("docs/completions/{file}"), text);
    }
    pages
}

fn name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// As man-pages(7) orders it.
fn page(command: &clap::Command) -> Vec<u8> {
    let source = format!("bootjack {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).section(SECTION).source(source).manual("bootjack");
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    let mut rest = Roff::default();
    let whole = command.has_subcommands();
    if whole {
        man.render_subcommands_section(&mut text).unwrap();
        rest.control("SH", ["EXIT STATUS"]);
        for (status, meaning) in
            [("0", "done"), ("1", "failed, as said on standard error"), ("2", "wrong usage")]
        {
            rest.control("TP", []);
            rest.text([bold(status)]);
            rest.text([roman(meaning)]);
        }
    }
    after(&mut rest, &command.get_after_help().map(ToString::to_string).unwrap_or_default());
    rest.control("SH", ["SEE ALSO"]);
    let also = if whole { "/usr/share/doc/bootjack" } else { "bootjack(8), /usr/share/doc/bootjack" };
    rest.text([roman(also)]);
    rest.to_writer(&mut text).unwrap();
    text
}

/// What stands below the options in --help: the example, and what else there is to say.
fn after(page: &mut Roff, text: &str) {
    let (examples, notes): (Vec<&str>, Vec<&str>) = text
        .split("\n\n")
        .filter(|p| !p.is_empty())
        .partition(|paragraph| paragraph.starts_with("Example: bootjack "));
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
    }
    for note in notes {
        page.control("PP", []);
        page.text([roman(note.trim_start_matches("Example: ").replace('\n', " "))]);
    }
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
    }
    for example in examples {
        page.control("PP", []);
        page.text([bold(example.trim_start_matches("Example: "))]);
    }
}

#[test]
fn man_pages_and_completions_are_those_of_this_command_line() {
    let made = made();
    let write = std::env::var_os("PAGES").is_some_and(|word| word == "write");
    let mut there = Vec::new();
    for dir in ["docs/man", "docs/completions"] {
        if write {
            fs::create_dir_all(place(dir)).unwrap();
        }
        for entry in fs::read_dir(place(dir)).unwrap() {
            there.push(format!("{dir}/{}", entry.unwrap().file_name().into_string().unwrap()));
        }
    }
    for left_over in there.iter().filter(|name| !made.contains_key(*name)) {
        assert!(write, "{left_over}: no command has this page; `PAGES=write cargo test pages` takes it away");
        fs::remove_file(place(left_over)).unwrap();
    }
    for (name, text) in made {
        if write {
            fs::write(place(&name), &text).unwrap();
        }
        let is =
            fs::read(place(&name)).unwrap_or_else(|e| panic!("{name}: {e}: `PAGES=write cargo test pages`"));
        assert!(
            is == text,
            "{name} is another command line's: `PAGES=write cargo test pages` writes it anew"
        );
    }
}

/// What a program says of a file; nothing at all where it is right.
fn judged(program: &str, words: &[&str]) {
    let said = Command::new(program).args(words).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.is_empty(), "{program} {words:?}: {text}");
}

#[test]
fn every_page_is_one_that_man_and_the_shells_understand() {
    for name in made().keys() {
        let file = place(name).display().to_string();
        match name.rsplit('.').next() {
            // -ww: every warning there is; -z: nothing else.
            Some("8") => judged("groff", &["-man", "-Tutf8", "-Kutf8", "-ww", "-z", &file]),
            Some("bash") => judged("bash", &["-n", &file]),
            Some("fish") => judged("fish", &["--no-config", "--no-execute", &file]),
            _ => judged("zsh", &["-f", "-n", &file]),
        }
    }
}

#[test]
fn bash_completes_commands_and_their_flags() {
    let file = place("docs/completions/bootjack.bash").display().to_string();
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let script = format!(
            "source {file}; COMP_WORDS=({}); COMP_CWORD={last}; \
             _bootjack bootjack '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            words.join(" "),
            words[last],
            words[last - 1]
        );
        let said = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed(&["bootjack", "che"]), "check");
    assert_eq!(completed(&["bootjack", "check", "--wa"]), "--watch");
    assert_eq!(completed(&["bootjack", "initrd", "--compress", "g"]), "gzip");
}

#[test]
fn a_page_says_all_that_help_says() {
    let shown = |name: &str| {
        let file = place(&format!("docs/man/{name}.8")).display().to_string();
        let said =
            Command::new("groff").args(["-man", "-Tascii", "-P-c", "-P-b", "-P-u", &file]).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let check = shown("bootjack-check");
    for what in ["BOOTJACK-CHECK(8)", "bootjack check", "--watch", "EXAMPLES", "bootjack check --online"] {
        assert!(check.to_uppercase().contains(&what.to_uppercase()), "{what}: {check}");
    }
    assert!(shown("bootjack-boot").contains("NOTES"));
    let whole = shown("bootjack");
    for what in ["bootjack-unpack(8)", "EXIT STATUS", "wrong usage"] {
        assert!(whole.contains(what), "{what}: {whole}");
    }
}
