//! A plan as `bootjack menu` prints it: for a person, or as one JSON object for a script.

use serde_json::{Value, json};

use crate::catalog::{Artifact, Initrd};
use crate::plan::{Check, KexecPlan, Plan, RootPlan, SHARED_TRUST, Step, Way, memory_at_least, mib};
use crate::tui::text;
use crate::verify::Trust;

/// One object; sizes in bytes, what is unknown is null.
pub(super) fn as_json(plan: &Plan, checks: &[Check]) -> Value {
    let mut object =
        json!({ "id": plan.id, "title": plan.title, "boot": plan.step.word(), "checks": checks });
    match &plan.step {
        Step::SwitchRoot(root) => {
            object["root"] = root_json(root, true);
            object["modules"] = json!(root.modules.artifact().map(artifact_json));
        }
        Step::Shared(shared) => {
            object["shared"] = json!({
                "location": shared.location().to_string(),
                "tag": shared.tag.as_str(),
                "writable": shared.writable,
                "verified": false,
                "inits": shared.inits,
                "init_args": shared.init_args,
            });
        }
        Step::Kexec(kexec) => {
            let initrd = |initrd: &Initrd| {
                let mut object = artifact_json(&initrd.artifact);
                object["second_stage"] = initrd.second_stage.into();
                object
            };
            object["kernel"] = artifact_json(&kexec.kernel);
            object["initrd"] = kexec.initrd.iter().map(initrd).collect();
            object["modules"] = json!(kexec.modules.as_ref().map(artifact_json));
            object["cmdline"] = json!(kexec.cmdline);
            object["root"] = json!(kexec.root.as_ref().map(|root| root_json(root, true)));
            object["carry"] = json!(kexec.root.as_ref().map(|_| carry_json(kexec)));
        }
        Step::Run(job) => {
            object["root"] = root_json(&job.root, false);
            object["modules"] = json!(job.root.modules.artifact().map(artifact_json));
            object["run"] = json!({
                "command": job.command,
                "timeout": job.timeout.as_secs(),
                "on_success": job.on_success.word(),
                "on_failure": job.on_failure.word(),
            });
        }
        Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => {}
    }
    object
}

fn artifact_json(artifact: &Artifact) -> Value {
    // As shown: this is for people and their scripts, which the catalog's passwords are not.
    let locations: Vec<String> = artifact.locations.iter().map(ToString::to_string).collect();
    json!({
        "locations": locations,
        "verified": artifact.trust != Trust::Unverified,
        "sha256": artifact.digest(),
        "chunks": artifact.chunks,
        "connections": artifact.connections,
        "size": artifact.size,
    })
}

/// A root, with what starts in it unless that is a job.
fn root_json(root: &RootPlan, with_init: bool) -> Value {
    let mut object = artifact_json(&root.archive);
    object["unpacked"] = json!(root.archive.unpacked);
    object["entries"] = json!(root.archive.entries);
    object["limit"] = json!(root.limit);
    object["memory"] = json!(root.memory);
    if with_init {
        object["inits"] = json!(root.inits);
        object["init_args"] = json!(root.init_args);
    }
    object
}

/// What was asked for, and what it comes to.
fn carry_json(kexec: &KexecPlan) -> Value {
    let (way, numbers, why) = match &kexec.way {
        Way::Carried(numbers) => ("carried", Some(numbers), None),
        Way::Again(why) => ("again", None, Some(why)),
        Way::Unknown => ("unknown", None, None),
    };
    json!({ "asked": kexec.carry, "way": way, "numbers": numbers, "why": why })
}

/// The same as a person reads it.
pub(super) fn as_text(plan: &Plan) -> String {
    let mut out = format!("{}: {}\n", plan.id, plan.title) + &line("boot", plan.step.word());
    match &plan.step {
        Step::SwitchRoot(root) => {
            out += &root_text("from", root);
            out += &init_of(root);
            out += &modules_text(root.modules.artifact());
        }
        Step::Shared(shared) => {
            out += &line("from", &format!("{}, {}", shared.location(), shared.access()));
            out += &line("verified", SHARED_TRUST);
            out += &init_text(&shared.inits, shared.init_named, &shared.init_args);
        }
        Step::Kexec(kexec) => out += &kexec_text(kexec),
        Step::Run(job) => {
            out += &line("command", &job.command.join(" "));
            out += &line("timeout", &text::span(job.timeout));
            let (success, failure) = (job.on_success.word(), job.on_failure.word());
            out += &line("then", &format!("on success {success}, on failure {failure}"));
            out += &root_text("from", &job.root);
            out += &modules_text(job.root.modules.artifact());
        }
        Step::Shell | Step::Reboot | Step::PowerOff | Step::Local => {}
    }
    out
}

/// What was looked at, a line each, with its mark.
pub(super) fn checks_as_text(checks: &[Check]) -> String {
    checks.iter().map(|check| format!("{} {:<9} {}\n", check.mark, check.what, check.words)).collect()
}

fn line(label: &str, value: &str) -> String {
    format!("  {label:<9} {value}\n")
}

fn kexec_text(kexec: &KexecPlan) -> String {
    let mut out = artifact_text("kernel", &kexec.kernel, "");
    for initrd in &kexec.initrd {
        let more = if initrd.second_stage { ", the second stage" } else { "" };
        out += &artifact_text("initrd", &initrd.artifact, more);
    }
    out += &modules_text(kexec.modules.as_ref());
    out += &line("cmdline", if kexec.cmdline.is_empty() { "none" } else { &kexec.cmdline });
    let Some(root) = &kexec.root else { return out };
    out += &root_text("root", root);
    out += &init_of(root);
    out + &line(
        "carried",
        &match &kexec.way {
            Way::Carried(numbers) => format!("{numbers} of {}", mib(numbers.most)),
            Way::Again(why) => format!("no, fetched again: {why}"),
            Way::Unknown => "decided when the server says the sizes".to_owned(),
        },
    )
}

fn locations_text(label: &str, artifact: &Artifact) -> String {
    let all = artifact.locations.iter().enumerate();
    all.map(|(i, location)| line(if i == 0 { label } else { "or from" }, &location.to_string())).collect()
}

/// Something that is fetched beside a root.
fn artifact_text(label: &str, artifact: &Artifact, more: &str) -> String {
    let known = format!("{}, {}{more}", known(artifact.size), trust_text(artifact));
    locations_text(label, artifact) + &line("", &known)
}

fn modules_text(modules: Option<&Artifact>) -> String {
    modules.map(|modules| artifact_text("modules", modules, "")).unwrap_or_default()
}

fn known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".into(), text::bytes)
}

fn trust_text(artifact: &Artifact) -> String {
    artifact.trust.to_string()
}

fn root_text(label: &str, root: &RootPlan) -> String {
    let archive = &root.archive;
    let mut out = locations_text(label, archive);
    let unpacked = match archive.is_image() {
        true => "an image, read in place".to_owned(),
        false => format!("unpacked {}", known(archive.unpacked)),
    };
    out += &line("size", &format!("{}, {unpacked}", known(archive.size)));
    out += &line("verified", &trust_text(archive));
    let available = text::bytes(root.memory.available);
    let needs = match (root.memory.needed, memory_at_least(archive)) {
        (Some(needed), _) => format!("needs {}", text::bytes(needed)),
        (None, Some(least)) => format!("needs {} at least", text::bytes(least)),
        (None, None) => "memory need unknown".to_owned(),
    };
    out += &line("memory", &format!("{needs}, {available} available"));
    out + &line("tmpfs", &format!("may grow to {}", text::bytes(root.limit)))
}

fn init_of(root: &RootPlan) -> String {
    init_text(&root.inits, root.init_named, &root.init_args)
}

fn init_text(inits: &[String], named: bool, args: &[String]) -> String {
    let init = inits.join(if named { " " } else { " or " });
    let args: String = args.iter().map(|a| format!(" {a}")).collect();
    line("init", &format!("{init}{args}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;
    use crate::fetch::Location;
    use crate::machine::Machine;
    use crate::plan::plan;
    use crate::volumes::Tag;

    fn planned(text: &str) -> Plan {
        let base = Location::parse("http://a/catalog.toml").unwrap();
        let parsed = catalog::parse(text, &base, "catalog.toml");
        let machine = Machine { memory_total: 2 << 30, memory_available: 1 << 30, ..Machine::default() };
        plan(&parsed.catalog.unwrap().entries[0], &machine).unwrap()
    }

    const ENTRY: &str = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
        init = '/x'\ninit_args = ['y z']\n\
        root = { url = ['r.tar', 'http://b/r.tar'], unverified = true, size = 1048576 }\n";

    #[test]
    fn the_plan_is_printed_whole() {
        assert_eq!(
            as_text(&planned(ENTRY)),
            "a: A\n  boot      switch-root\n  from      http://a/r.tar\n  or from   http://b/r.tar\n  \
             size      1.0 MiB, unpacked unknown\n  verified  UNVERIFIED\n  \
             memory    needs 33.0 MiB at least, 1.0 GiB available\n  tmpfs     may grow to 1.6 GiB\n  \
             init      /x y z\n"
        );
    }

    #[test]
    fn an_image_is_planned_as_read_in_place_with_what_it_needs() {
        let text = |more: &str| as_text(&planned(&ENTRY.replace("size = 1048576", more)));
        let image = text("size = 1048576, unpacked = 0");
        assert!(image.contains("size      1.0 MiB, an image, read in place\n"), "{image}");
        assert!(image.contains("memory    needs 33.0 MiB, 1.0 GiB available\n"), "{image}");
        assert!(text("unpacked = 0").contains("memory need unknown"));
    }

    #[test]
    fn no_plan_shows_a_password() {
        let plan = planned(&ENTRY.replace("http://b/", "http://ann:s3cret@b/"));
        for shown in [as_text(&plan), as_json(&plan, &[]).to_string()] {
            assert!(shown.contains("http://ann:***@b/r.tar") && !shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn json_says_the_same_in_bytes() {
        let json = as_json(&planned(ENTRY), &[]);
        assert_eq!((&json["id"], &json["boot"]), (&"a".into(), &"switch-root".into()));
        let root = &json["root"];
        assert_eq!(root["locations"][1], "http://b/r.tar");
        assert_eq!((&root["verified"], &root["sha256"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!((&root["size"], &root["memory"]["available"]), (&1048576.into(), &(1u64 << 30).into()));
        assert_eq!(
            as_json(&planned("version = 1\n[[entry]]\nid='s'\ntitle='S'\nboot='shell'\n"), &[])["boot"],
            "shell"
        );
    }

    #[test]
    fn a_shared_root_is_printed_as_what_nobody_vouches_for() {
        let shared = catalog::Shared {
            tag: Tag::parse("rootfs").unwrap(),
            writable: false,
            init: Some("/bin/sh".into()),
            init_args: vec![],
        };
        let boot = catalog::Boot::Shared(Box::new(shared));
        let entry = catalog::Entry::new("root=", "T", boot);
        let plan = plan(&entry, &Machine::default()).unwrap();
        assert_eq!(
            as_text(&plan),
            "root=: T\n  boot      switch-root\n  from      virtiofs:rootfs:/, read-only\n  \
             verified  UNVERIFIED: shared by the host, as it is\n  init      /bin/sh\n"
        );
        let json = as_json(&plan, &[]);
        assert_eq!((&json["boot"], &json["root"]), (&"switch-root".into(), &Value::Null));
        assert_eq!(json["shared"]["location"], "virtiofs:rootfs:/");
        assert_eq!(
            (&json["shared"]["writable"], &json["shared"]["verified"]),
            (&false.into(), &false.into())
        );
        assert!(!plan.needs_network());
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn kexec(more: &str) -> Plan {
        let entry = "version = 1\n[[entry]]\nid = 'k'\ntitle = 'K'\nboot = 'kexec'\ncmdline = 'quiet'\n\
            kernel = { url = 'vmlinuz', sha256 = 'ABC', size = 8388608 }\n\
            initrd = [{ url = 'i', unverified = true, size = 12582912, second_stage = true }]\n";
        planned(&format!("{}{}", entry.replace("ABC", ABC), more.replace("ABC", ABC)))
    }

    const CARRIED: &str = "init = '/x'\nmodules = { url = 'm', sha256 = 'ABC', size = 1048576 }\n\
        root = { url = 'r.tar', sha256 = 'ABC', size = 52428800, unpacked = 1048576 }\n";

    #[test]
    fn another_kernel_is_printed_with_all_that_goes_with_it() {
        let wanted = format!(
            "k: K\n  boot      kexec\n  kernel    http://a/vmlinuz\n            8.0 MiB, sha256 {ABC}\n  \
             initrd    http://a/i\n            12.0 MiB, UNVERIFIED, the second stage\n  \
             modules   http://a/m\n            1.0 MiB, sha256 {ABC}\n  cmdline   quiet\n  \
             root      http://a/r.tar\n  size      50.0 MiB, unpacked 1.0 MiB\n  verified  sha256 {ABC}\n  \
             memory    needs 33.0 MiB, 1.9 GiB available\n  tmpfs     may grow to 1.6 GiB\n  \
             init      /x\n  \
             carried   kernel 64 MiB + initrd 13 MiB + archive 50 MiB = 127 MiB of 922 MiB\n"
        );
        assert_eq!(as_text(&kexec(CARRIED)), wanted);
        assert!(as_text(&kexec("")).ends_with("the second stage\n  cmdline   quiet\n"), "a plain kernel");
        let again = as_text(&kexec(&format!("carry = 'no'\n{CARRIED}")));
        assert!(again.ends_with("  carried   no, fetched again: carry = \"no\"\n"), "{again}");
    }

    #[test]
    fn json_of_another_kernel_says_how_its_root_gets_there() {
        let looked = Check { what: "trust", mark: crate::plan::Mark::Note, words: "none".into() };
        let json = as_json(&kexec(CARRIED), std::slice::from_ref(&looked));
        assert_eq!(json["checks"], json!([{ "what": "trust", "mark": "note", "words": "none" }]));
        assert_eq!(checks_as_text(&[looked]), "! trust     none\n");
        assert_eq!((&json["boot"], &json["cmdline"]), (&"kexec".into(), &"quiet".into()));
        assert_eq!((&json["kernel"]["size"], &json["kernel"]["verified"]), (&8388608.into(), &true.into()));
        let initrd = &json["initrd"][0];
        assert_eq!((&initrd["second_stage"], &initrd["verified"]), (&true.into(), &false.into()));
        assert_eq!(json["modules"]["locations"][0], "http://a/m");
        assert_eq!((&json["carry"]["asked"], &json["carry"]["way"]), (&"auto".into(), &"carried".into()));
        assert_eq!(json["carry"]["numbers"]["archive"], 52428800);
        assert_eq!(json["root"]["inits"][0], "/x");
        let plain = as_json(&kexec(""), &[]);
        assert_eq!((&plain["root"], &plain["carry"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_job_is_printed_with_its_end() {
        let entry = "version = 1\n[[entry]]\nid = 'j'\ntitle = 'J'\nboot = 'run'\n\
            root = { url = 'r.tar', sha256 = 'ABC', size = 1048576, unpacked = 1048576 }\n\
            run = { command = ['/flash', '--yes'], timeout = '90s', on_success = 'poweroff', on_failure = 's' }\n\
            [[entry]]\nid = 's'\ntitle = 'S'\nboot = 'shell'\n";
        let plan = planned(&entry.replace("ABC", ABC));
        let wanted = format!(
            "j: J\n  boot      run\n  command   /flash --yes\n  timeout   1 min 30 s\n  \
             then      on success poweroff, on failure s\n  from      http://a/r.tar\n  \
             size      1.0 MiB, unpacked 1.0 MiB\n  verified  sha256 {ABC}\n  \
             memory    needs 33.0 MiB, 1.0 GiB available\n  tmpfs     may grow to 1.6 GiB\n"
        );
        assert_eq!(as_text(&plan), wanted);
        let json = as_json(&plan, &[]);
        assert_eq!(json["run"]["command"], json!(["/flash", "--yes"]));
        assert_eq!((&json["run"]["timeout"], &json["run"]["on_success"]), (&90.into(), &"poweroff".into()));
        assert_eq!((&json["run"]["on_failure"], &json["root"]["inits"]), (&"s".into(), &Value::Null));
    }
}
