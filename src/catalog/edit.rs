//! An entry as a person changes it for one boot, read by the catalog's own rules. What vouches for it stays what it was: a
//! place that is typed is one more mirror, held against the same digest. Typing is the screen's, planning `plan`'s.

use super::problem::{Page, Severity, quoted, steers};
use super::{Artifact, Boot, Entry, Root, RootSize, artifact, quantity, words};
use crate::fetch::Location;

/// What can be changed, as it is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The other kernel's command line, or the init's arguments: [`Line`].
    pub line: String,
    /// As `root_size` of a catalog.
    pub root_size: String,
    /// Which of the places is asked first, from 0.
    pub mirror: usize,
    /// One more place, asked before them; empty: none.
    pub location: String,
}

/// Which line of an entry can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Cmdline,
    InitArgs,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    pub entry: Entry,
    /// What will not arrive as it was typed.
    pub warnings: Vec<String>,
}

impl Entry {
    /// Its line that can be changed; a job has none.
    pub fn line(&self) -> Option<Line> {
        match &self.boot {
            Boot::Kexec(_) => Some(Line::Cmdline),
            Boot::SwitchRoot(_) => Some(Line::InitArgs),
            _ => None,
        }
    }

    /// What it is now; absent: nothing of it can be changed.
    pub fn edits(&self) -> Option<Edits> {
        self.places()?;
        let line = match &self.boot {
            Boot::Kexec(kexec) => kexec.cmdline.clone(),
            Boot::SwitchRoot(root) => joined(&root.init_args),
            _ => String::new(),
        };
        let root_size = self.root().map(|root| size_as_text(root.size)).unwrap_or_default();
        Some(Edits { line, root_size, mirror: 0, location: String::new() })
    }

    /// Where its root is, or the kernel that has none.
    pub fn places(&self) -> Option<&[Location]> {
        let main = match &self.boot {
            Boot::Kexec(kexec) => kexec.root.as_ref().map_or(&kexec.kernel, |root| &root.archive),
            _ => &self.root()?.archive,
        };
        Some(&main.locations)
    }

    /// The root of which the size may be changed.
    pub fn root(&self) -> Option<&Root> {
        match &self.boot {
            Boot::SwitchRoot(root) => Some(root),
            Boot::Run(job) => Some(&job.root),
            Boot::Kexec(kexec) => kexec.root.as_ref(),
            _ => None,
        }
    }

    /// The entry with these changes. What is left as [`Entry::edits`] had it stays as it is.
    ///
    /// # Errors
    /// What is wrong with them, in words for the one who types.
    pub fn edited(&self, edits: &Edits) -> Result<Edited, String> {
        let before = self.edits().ok_or("nothing of it can be changed")?;
        let mut entry = self.clone();
        let mut warnings = Vec::new();
        if edits.line != before.line {
            warnings = entry.set_line(&edits.line)?;
        }
        if edits.root_size != before.root_size {
            let size = quantity::root_size(&edits.root_size);
            let size = size.map_err(|why| format!("root size: {} {why}", quoted(&edits.root_size)))?;
            entry.root_mut().into_iter().for_each(|root| root.size = size);
        }
        let main = entry.main_mut().ok_or("nothing of it can be changed")?;
        let first = edits.mirror.checked_rem(main.locations.len()).unwrap_or(0);
        main.locations.rotate_left(first);
        if !edits.location.is_empty() {
            let location = place(&edits.location, &main.locations)?;
            if !main.pins.is_empty() && !location.is_https() {
                return Err("location: the entry has a pin, which is of use to https alone".into());
            }
            main.locations.retain(|known| *known != location);
            main.locations.insert(0, location);
        }
        Ok(Edited { entry, warnings })
    }

    /// The same with the next mirror of each artifact first; absent where none has another one.
    pub fn with_other_mirrors(&self) -> Option<Self> {
        let mut entry = self.clone();
        let mut artifacts = entry.artifacts_mut();
        let others = artifacts.iter().any(|artifact| artifact.locations.len() > 1);
        for artifact in &mut artifacts {
            let next = artifact.locations.len().min(1);
            artifact.locations.rotate_left(next);
        }
        others.then_some(entry)
    }

    fn set_line(&mut self, line: &str) -> Result<Vec<String>, String> {
        if let Some(c) = line.chars().find(|&c| steers(c)) {
            return Err(format!("a control character, U+{:04X}, cannot be in it", u32::from(c)));
        }
        match &mut self.boot {
            Boot::Kexec(kexec) => {
                let page = Page::new(line);
                let place = 0..line.len();
                if artifact::variables(&page, line, &place) {
                    words::judge(&page, line, &place);
                }
                line.clone_into(&mut kexec.cmdline);
                complaints(page)
            }
            Boot::SwitchRoot(root) => {
                root.init_args = split(line)?;
                Ok(Vec::new())
            }
            _ => Err("it has no line that can be changed".into()),
        }
    }

    fn root_mut(&mut self) -> Option<&mut Root> {
        match &mut self.boot {
            Boot::SwitchRoot(root) => Some(root),
            Boot::Run(job) => Some(&mut job.root),
            Boot::Kexec(kexec) => kexec.root.as_mut(),
            _ => None,
        }
    }

    fn main_mut(&mut self) -> Option<&mut Artifact> {
        match &mut self.boot {
            Boot::Kexec(kexec) => match &mut kexec.root {
                Some(root) => Some(&mut root.archive),
                None => Some(&mut kexec.kernel),
            },
            Boot::SwitchRoot(root) => Some(&mut root.archive),
            Boot::Run(job) => Some(&mut job.root.archive),
            _ => None,
        }
    }
}

/// The first error, or all warnings.
fn complaints(page: Page) -> Result<Vec<String>, String> {
    let problems = page.finish();
    match problems.iter().find(|(_, problem)| problem.severity == Severity::Error) {
        Some((_, error)) => Err(error.message.clone()),
        None => Ok(problems.into_iter().map(|(_, problem)| problem.message).collect()),
    }
}

/// A location as a catalog has it, relative to the first that is known.
fn place(text: &str, known: &[Location]) -> Result<Location, String> {
    let base = known.first().ok_or("nothing is fetched for it")?;
    if let Some(c) = text.chars().find(|&c| steers(c)) {
        return Err(format!("location: a control character, U+{:04X}, cannot be in it", u32::from(c)));
    }
    let page = Page::new(text);
    match artifact::location(&page, text, &(0..text.len()), base, None) {
        Some(location) => Ok(location),
        None => Err(complaints(page).err().unwrap_or_else(|| format!("location: {} is none", quoted(text)))),
    }
}

/// Arguments in one line: one that has spaces in it stands in quotes.
fn joined(arguments: &[String]) -> String {
    let one = |argument: &String| match argument.is_empty() || argument.contains(char::is_whitespace) {
        true => format!("\"{argument}\""),
        false => argument.clone(),
    };
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The words of a line; quotes keep spaces together, and are no part of an argument.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut word: Option<String> = None;
    let mut in_quotes = false;
    for c in line.chars() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !in_quotes => arguments.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    arguments.extend(word);
    match arguments.iter().any(String::is_empty) {
        _ if in_quotes => Err("a quote is not closed".into()),
        true => Err("an argument is empty".into()),
        false => Ok(arguments),
    }
}

/// As a catalog writes it, in the largest unit without a rest.
fn size_as_text(size: RootSize) -> String {
    match size {
        RootSize::Percent(percent) => format!("{percent}%"),
        RootSize::Bytes(bytes) => {
            let units = [(30, "g"), (20, "m"), (10, "k")];
            let whole = units.iter().find(|(shift, _)| bytes % (1 << shift) == 0);
            whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::verify::Trust;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entry(text: &str) -> Entry {
        let root = format!("root = {{ url = ['r.tar', 'http://b/r.tar'], sha256 = '{ABC}', unpacked = 9 }}");
        let kernel = format!("kernel = {{ url = 'k', sha256 = '{ABC}' }}");
        let text = text.replace("ROOT", &root).replace("KERNEL", &kernel);
        let text = format!("version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\n{text}\n");
        let parsed = parse(&text, &Location::parse("http://a/d/c.toml").unwrap(), "c.toml");
        assert!(!parsed.has_errors(), "{}", parsed.render());
        parsed.catalog.unwrap().entries.remove(0)
    }

    fn system() -> Entry {
        entry("boot = 'switch-root'\ninit_args = ['a', 'b c']\nroot_size = '2g'\nROOT")
    }

    fn places(entry: &Entry) -> Vec<String> {
        entry.places().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_changed_stays_as_it_is() {
        let kinds = ["boot = 'kexec'\nKERNEL\nROOT\ncmdline = 'quiet'", "boot = 'kexec'\nKERNEL"];
        let job = "boot = 'run'\nROOT\nrun.command = ['/x']";
        let odd = "boot = 'switch-root'\ninit_args = ['say \"x\"']\nroot_size = 1025\nROOT";
        for entry in kinds.into_iter().chain([job, odd]).map(entry).chain([system()]) {
            let edits = entry.edits().unwrap();
            assert_eq!(entry.edited(&edits).unwrap(), Edited { entry, warnings: vec![] });
        }
        assert_eq!(entry("boot = 'shell'").edits(), None);
    }

    #[test]
    fn arguments_size_and_mirror_are_read_as_a_catalog_has_them() {
        let before = system().edits().unwrap();
        assert_eq!((before.line.as_str(), before.root_size.as_str()), ("a \"b c\"", "2g"));
        let edits = Edits { line: "x  \"y z\"".into(), root_size: "60%".into(), mirror: 1, ..before.clone() };
        let Edited { entry, warnings } = system().edited(&edits).unwrap();
        let root = entry.root().unwrap();
        assert_eq!(
            (&root.init_args[..], root.size),
            (&["x".into(), "y z".into()][..], RootSize::Percent(60))
        );
        assert_eq!(
            (places(&entry), warnings),
            (vec!["http://b/r.tar".into(), "http://a/d/r.tar".into()], vec![])
        );
        for (wrong, why) in [
            (Edits { line: "\"x".into(), ..before.clone() }, "not closed"),
            (Edits { line: "x \"\"".into(), ..before.clone() }, "an argument is empty"),
            (Edits { root_size: "0%".into(), ..before.clone() }, "root size: \"0%\" is not between"),
            (Edits { location: "gopher://x/y".into(), ..before.clone() }, "gopher"),
            (Edits { location: "http://x/${mac}".into(), ..before.clone() }, "not in this version"),
            (Edits { line: "a\u{1b}[2J".into(), ..before }, "control character"),
        ] {
            let said = system().edited(&wrong).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_typed_place_is_one_more_mirror_held_against_the_same_digest() {
        let edits = Edits { location: "http://c/r.tar".into(), ..system().edits().unwrap() };
        let edited = system().edited(&edits).unwrap().entry;
        assert_eq!(places(&edited), ["http://c/r.tar", "http://a/d/r.tar", "http://b/r.tar"]);
        assert_eq!(edited.root().unwrap().archive.trust, Trust::Sha256(ABC.parse().unwrap()));
        // Relative to where the root is.
        let near = Edits { location: "older.tar".into(), ..edits };
        assert_eq!(places(&system().edited(&near).unwrap().entry)[0], "http://a/d/older.tar");
    }

    #[test]
    fn words_that_will_not_arrive_are_told() {
        let kexec = entry("boot = 'kexec'\nKERNEL");
        let typed = |line: &str| kexec.edited(&Edits { line: line.into(), ..kexec.edits().unwrap() });
        let edited = typed("quiet initrd=x").unwrap();
        assert!(edited.warnings[0].contains("initrd=x"), "{:?}", edited.warnings);
        assert!(typed("a=${b}").unwrap_err().contains("not in this version"));
        let Boot::Kexec(kexec) = edited.entry.boot else { panic!("a kernel") };
        assert_eq!(kexec.cmdline, "quiet initrd=x");
    }

    #[test]
    fn another_mirror_is_the_next_one_of_each_that_has_one() {
        let other = entry("boot = 'kexec'\nKERNEL\nROOT").with_other_mirrors().unwrap();
        assert_eq!(places(&other), ["http://b/r.tar", "http://a/d/r.tar"]);
        assert_eq!(entry("boot = 'kexec'\nKERNEL").with_other_mirrors(), None);
    }
}
