//! The part of an entry that starts another kernel: what is loaded, its command line, and how its root gets there. How
//! much fits is `plan`'s to say.

use toml::Spanned;
use toml::de::DeValue;

use super::artifact::{self, EXAMPLE, Role};
use super::entry::{self, Defaults};
use super::table::{Table, kind};
use super::{Carry, Initrd, Kexec, Root, words};
use crate::fetch::Location;

/// Keys that say something of the root.
const KEYS_OF_ROOT: &[&str] = &["root_size", "init", "init_args", "fstab", "carry"];

/// A kernel and what it starts with, if all of it can be made out.
pub(super) fn read(table: &Table, base: &Location, defaults: &Defaults) -> Option<Kexec> {
    if table.key("kernel").is_none() {
        table.lacks("kernel", &format!("write kernel = {EXAMPLE}"));
    }
    let kernel = artifact::of(table, "kernel", Role::Kernel, base);
    let initrd = initrds(table, base);
    let with_root = table.key("root").is_some();
    let root = entry::root(table, base, defaults);
    let modules = match with_root || table.key("modules").is_some() {
        true => entry::modules(table, base, defaults),
        // A plain kernel has no second stage that could use those of others.
        false => Some(None),
    };
    let cmdline = cmdline(table).unwrap_or_else(|| defaults.cmdline.clone());
    let carry = carry(table).unwrap_or(defaults.carry);
    if with_root {
        carried_to_somebody(table, carry, initrd.as_deref());
        let elsewhere = modules.iter().flatten().any(|modules| modules.size.is_none());
        sizes(table, carry, initrd.as_deref(), elsewhere);
    } else {
        belongs_to_a_root(table);
    }
    fits_a_command_line(table, root.as_ref());
    let root = if with_root { Some(root?) } else { None };
    Some(Kexec { kernel: kernel?, initrd: initrd?, root, modules: modules?, cmdline, carry })
}

/// What the second kernel is told; an empty text replaces the default, too.
pub(super) fn cmdline(table: &Table) -> Option<String> {
    let (text, place) = table.text_or_nothing("cmdline")?;
    if artifact::variables(table.page, text, &place) {
        words::judge(table.page, text, &place);
    }
    Some(text.to_owned())
}

pub(super) fn carry(table: &Table) -> Option<Carry> {
    let carry = |text: &str| match text {
        "auto" => Ok(Carry::Auto),
        "yes" => Ok(Carry::Yes),
        "no" => Ok(Carry::No),
        _ => Err("is neither \"auto\", \"yes\" nor \"no\"".to_owned()),
    };
    table.read("carry", "\"auto\", \"yes\" or \"no\"", carry).map(|(carry, _)| carry)
}

/// A list, even of one: their order is part of what is written.
fn initrds(table: &Table, base: &Location) -> Option<Vec<Initrd>> {
    let Some(value) = table.value("initrd") else { return Some(Vec::new()) };
    match value.get_ref() {
        DeValue::Array(items) => {
            // Each is read before the first that is wrong ends it: all of them are complained of.
            let all: Vec<Option<Initrd>> = items.iter().map(|item| initrd(table, item, base)).collect();
            all.into_iter().collect()
        }
        other => {
            let message = format!("\"initrd\" must be a list of artifacts, this is {}", kind(other));
            table.page.error(&value.span(), message, Some(format!("write initrd = [{EXAMPLE}]")));
            None
        }
    }
}

fn initrd(table: &Table, item: &Spanned<DeValue>, base: &Location) -> Option<Initrd> {
    let item = Table::of(table.page, item, "an item of \"initrd\"", &format!("initrd = [{EXAMPLE}]"))?;
    let second_stage = item.truth("second_stage").unwrap_or(false);
    Some(Initrd { artifact: artifact::read(&item, Role::Initrd, base)?, second_stage })
}

/// Complains of what only an entry with a root can have.
fn belongs_to_a_root(table: &Table) {
    for key in KEYS_OF_ROOT {
        if let Some(place) = table.key(key) {
            let hint = "add root, or take it out: a plain kernel starts what is in its initrd";
            let message = format!("{key:?} belongs to an entry with a root");
            table.page.error(&place, message, Some(hint.into()));
        }
    }
}

/// Complains of an archive that must be carried where nobody would take it.
fn carried_to_somebody(table: &Table, carry: Carry, initrd: Option<&[Initrd]>) {
    if carry == Carry::Yes && initrd.is_some_and(is_foreign) {
        let place = table.value("carry").or(table.value("initrd")).map(Spanned::span);
        let hint = "write second_stage = true in the initrd that bootjack is in; without initrd, bootjack itself starts";
        let message = "carry = \"yes\", and bootjack is in none of the initrds";
        table.page.error(&place.unwrap_or_default(), message, Some(hint.into()));
    }
}

/// Complains of an init that the second stage cannot be told of: it hears of it on its kernel's command line, which knows
/// quotes and no escapes (lib/cmdline.c, `next_arg`).
fn fits_a_command_line(table: &Table, root: Option<&Root>) {
    let Some(root) = root else { return };
    let inits = [("init", root.init.as_slice()), ("init_args", &root.init_args[..])];
    for (key, texts) in inits {
        if texts.iter().any(|text| text.contains('"')) {
            // What the defaults say is wrong for this entry only.
            let place = table.value(key).map_or(table.place.clone(), Spanned::span);
            let hint =
                "the second stage is told on its kernel's command line, where a quote cannot be escaped";
            table.page.error(&place, format!("{key:?} has a quote in it"), Some(hint.into()));
        }
    }
}

/// Whether bootjack is not what starts in these.
fn is_foreign(initrd: &[Initrd]) -> bool {
    !initrd.is_empty() && !initrd.iter().any(|i| i.second_stage)
}

/// Warns, once, where a missing size leaves it open whether the archive can be carried.
fn sizes(table: &Table, carry: Carry, initrd: Option<&[Initrd]>, elsewhere: bool) {
    if carry == Carry::No || initrd.is_some_and(is_foreign) {
        return;
    }
    let one = ["kernel", "root", "modules"].into_iter().filter_map(|key| table.value(key));
    let initrds = table.value("initrd").and_then(|value| value.get_ref().as_array());
    let all = one.chain(initrds.into_iter().flat_map(|items| items.iter()));
    let lacks = |value: &&Spanned<DeValue>| {
        value.get_ref().as_table().is_some_and(|artifact| !artifact.contains_key("size"))
    };
    let first = all.filter(lacks).map(Spanned::span).min_by_key(|place| place.start);
    // Modules of the defaults stand elsewhere.
    if let Some(place) = first.or_else(|| elsewhere.then(|| table.place.clone())) {
        let message =
            "a \"size\" is missing: whether it fits is known only when the server has said its size";
        table.page.warning(&place, message, "`stat -c %s FILE` prints it, and so does `bootjack pack`");
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Boot, Catalog, Parsed, parse};
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parsed(text: &str) -> Parsed {
        let artifact = |name: &str| format!("{{ url = '{name}', sha256 = '{ABC}', size = 7 }}");
        let text = text.replace("KERNEL", &artifact("vmlinuz")).replace("MODULES", &artifact("m.cpio"));
        let text = text.replace("ROOT", &artifact("r.tar").replace("size", "unpacked = 9, size"));
        parse(&text, &Location::parse("http://a/c.toml").unwrap(), "c.toml")
    }

    fn meant(defaults: &str, entry: &str) -> Kexec {
        let entry = format!("[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'kexec'\nkernel = KERNEL\n{entry}\n");
        let parsed = parsed(&format!("version = 1\n[defaults]\n{defaults}\n{entry}"));
        assert!(parsed.problems.is_empty(), "{}", parsed.render());
        let Some(Catalog { mut entries, .. }) = parsed.catalog else { panic!("a catalog") };
        match entries.remove(0).boot {
            Boot::Kexec(kexec) => *kexec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning() {
        let plain = meant("", "");
        assert_eq!(plain.kernel.locations[0].to_string(), "http://a/vmlinuz");
        assert_eq!(
            (plain.root, plain.modules, plain.initrd, plain.cmdline.as_str()),
            (None, None, vec![], "")
        );
        let with_root = meant("", "root = ROOT");
        assert_eq!((with_root.carry, with_root.root.unwrap().modules), (Carry::Auto, None));
    }

    #[test]
    fn defaults_are_for_entries_that_do_not_say() {
        let defaults = "cmdline = 'quiet'\ncarry = 'no'\nmodules = MODULES\ninit = '/x'";
        let kexec = meant(defaults, "root = ROOT");
        assert_eq!((kexec.cmdline.as_str(), kexec.carry), ("quiet", Carry::No));
        assert_eq!(kexec.modules.unwrap().locations[0].to_string(), "http://a/m.cpio");
        assert_eq!(kexec.root.unwrap().init.as_deref(), Some("/x"));
        let other = "carry = 'yes'\ncmdline = ''\nmodules = { url = 'o', sha256 = 'ABC', size = 1 }";
        let kexec = meant(defaults, &format!("root = ROOT\n{}", other.replace("ABC", ABC)));
        assert_eq!((kexec.cmdline.as_str(), kexec.carry), ("", Carry::Yes));
        assert_eq!(kexec.modules.unwrap().locations[0].to_string(), "http://a/o");
        // A plain kernel has no use for the modules of others.
        assert_eq!(meant(defaults, "").modules, None);
    }

    #[test]
    fn initrds_keep_their_order_and_one_may_hold_the_second_stage() {
        let one = |name: &str, more: &str| format!("{{ url = '{name}', sha256 = '{ABC}', size = 1{more} }}");
        let list = format!("[{}, {}]", one("microcode", ""), one("bootjack", ", second_stage = true"));
        let kexec = meant("", &format!("root = ROOT\ncarry = 'yes'\ninitrd = {list}"));
        let names: Vec<(String, bool)> =
            kexec.initrd.iter().map(|i| (i.artifact.locations[0].to_string(), i.second_stage)).collect();
        assert_eq!(names, [("http://a/microcode".into(), false), ("http://a/bootjack".into(), true)]);
    }

    #[test]
    fn a_missing_size_is_one_warning_and_none_where_nothing_is_carried() {
        let entry = |more: &str| {
            let entry = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'kexec'\nroot = ROOT\n\
                kernel = { url = 'k', sha256 = 'ABC' }\nmodules = { url = 'm', sha256 = 'ABC' }\n";
            let parsed = parsed(&(entry.replace("ABC", ABC) + more));
            assert!(parsed.catalog.is_some_and(|c| c.entries.len() == 1));
            parsed.problems.into_iter().map(|p| (p.line, p.message)).collect::<Vec<_>>()
        };
        let said = entry("");
        assert_eq!((said.len(), said[0].0), (1, 7), "{said:?}");
        assert!(said[0].1.starts_with("a \"size\" is missing"), "{said:?}");
        assert_eq!(entry("carry = 'no'"), []);
    }
}
