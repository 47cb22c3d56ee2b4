use std::collections::BTreeSet;

use serde_json::json;

use super::shape::end_in_words;
use super::*;
use crate::handover::run::End;
use crate::load::Phase;

const DOCS: &str = include_str!("../../../../docs/report.md");

/// A report in which nothing is left out.
fn full() -> Report {
    let mut report = Report::continue_from(None);
    report.machine = Machine {
        arch: "x86_64".into(),
        product: Some("Standard PC".into()),
        serial: Some("1".into()),
        uuid: Some("2".into()),
        efi: false,
        memory_total: 2,
    };
    report.catalog = Some(Catalog {
        location: "built-in".into(),
        sha256: digest(),
        trust: "built-in".into(),
        signed_by: vec!["E7620F1842B4E81F".into()],
        serial: Some(7),
    });
    let lease = json!({"interface": "eth0", "mac": "52:54:00:12:34:56", "address": "10.0.2.15", "prefix": 24,
        "gateway": "10.0.2.2", "nameservers": ["10.0.2.3"], "server": "10.0.2.2", "hostname": "a"});
    let stage = report.stage("6.1.0", "boot-1", Some("console=ttyS0"));
    stage.lease = Some(serde_json::from_value(lease).unwrap());
    stage.ssh_host_key = Some("SHA256:abc".into());
    report.begin(Part::Load, 2.0);
    report.end(Part::Load, 3.5);
    report.warn("the clock stood still");
    report.fail(&Failure::because(Phase::Fetch, "root", "404").hint("look at the server"), 4.0);
    report.attempt(entry(), true);
    report.artifact(artifact());
    report.carry = Some(json!({"carried": {"kernel": 1}}));
    report.modules = Some(Modules::Added);
    report.job(job());
    report.handover = Some(Handover {
        kind: "kexec".into(),
        kernel: Some("6.12.0".into()),
        init: Some("/init".into()),
        at: 9.0,
    });
    report.previous = Some(json!({"version": 0}));
    report
}

fn digest() -> crate::verify::Sha256 {
    crate::verify::Sha256::of(b"abc")
}

fn entry() -> Entry {
    Entry { id: "debian".into(), title: "Debian".into(), boot: "switch-root".into(), edited: true }
}

fn artifact() -> Artifact {
    Artifact {
        stage: 7,
        name: "root".into(),
        location: "http://a/r".into(),
        mirrors: vec!["http://a/r".into()],
        verified: true,
        sha256: digest(),
        bytes: 3,
        unpacked: Some(4),
        entries: Some(5),
        image: Some("erofs".into()),
        lost_xattrs: Some(Lost {
            count: 1,
            first_member: "a".into(),
            first_name: "user.a".into(),
            errno: 95,
        }),
        seconds: 1.5,
        rate: 2,
        retries: 0,
        tries: vec![Try {
            at: 0.5,
            location: "http://a/r".into(),
            error: "it broke".into(),
            from: 3,
            next: "http://b/r".into(),
        }],
        chunks: Some(1),
    }
}

fn job() -> Job {
    Job {
        entry: "bios".into(),
        command: vec!["flash".into(), "http://me:secret@a/image".into()],
        started: 1.0,
        seconds: 2.0,
        end: "exit 0".into(),
        success: true,
        output_bytes: 6,
        left_running: 0,
        log: (0..60).map(|n| format!("line {n}")).collect(),
    }
}

/// Each field as docs/report.md names it: `stages[].lease.mac`.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if !["carry", "previous"].contains(&&*path) {
                    fields(inner, &path, found);
                }
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented_and_no_other() {
    let mut written = BTreeSet::new();
    fields(&full().value().unwrap(), "", &mut written);
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(field, _)| field.to_owned()).collect();
    assert_eq!(written, documented);
}

#[test]
fn the_example_of_the_documentation_is_a_report() {
    let text = DOCS.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let report = Report::continue_from(Some(serde_json::from_str(text).unwrap()));
    assert_eq!(report.previous, None, "understood to the last field");
    assert_eq!((report.stages.len(), report.artifacts.len()), (2, 3));
}

#[test]
fn another_worker_goes_on_where_the_one_before_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    assert_eq!(read_from(&path), None);
    let before = full();
    before.write_to(&path).unwrap();
    let mut after = Report::continue_from(read_from(&path));
    assert_eq!(after, before);
    after.stage("6.1.0", "boot-1", None);
    assert_eq!(after.stages.len(), 1, "the same kernel");
    assert_eq!(after.stages[0].cmdline.as_deref(), Some("console=ttyS0"));
    after.stage("6.1.0", "boot-2", None);
    assert_eq!(after.stages.len(), 2, "another start of the same kernel is another stage");
    after.artifact(artifact());
    assert_eq!(after.artifacts[1].stage, 1);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["report.json"], "nothing is left beside it");
}

#[test]
fn what_is_not_understood_to_the_last_field_is_kept_and_not_mixed() {
    let known = full().value().unwrap();
    let mut newer = known.clone();
    newer["version"] = json!(2);
    let mut more = known.clone();
    more["stages"][0]["phases"][0]["watts"] = json!(5);
    for odd in [newer, more, json!([]), json!("report"), json!({})] {
        let report = Report::continue_from(Some(odd.clone()));
        assert_eq!(report.previous, Some(odd));
        assert_eq!((report.version, report.stages.len()), (VERSION, 0));
        let again = Report::continue_from(Some(report.value().unwrap()));
        assert_eq!(again, report, "it is carried on");
    }
}

#[test]
fn a_damaged_file_is_written_anew_and_a_failed_write_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    fs::write(&path, "{\"version\": 1,").unwrap();
    assert_eq!(read_from(&path), None);
    full().write_to(&path).unwrap();
    // A directory in the place of the new one: it cannot be made.
    fs::create_dir(path.with_extension("part")).unwrap();
    Report::continue_from(None).write_to(&path).unwrap_err();
    assert_eq!(Report::continue_from(read_from(&path)), full());
}

#[test]
fn a_part_is_timed_and_one_that_was_cut_off_shows() {
    let mut report = Report::continue_from(None);
    report.end(Part::Menu, 1.0);
    report.begin(Part::Menu, 2.0004);
    report.begin(Part::Load, 5.0);
    report.end(Part::Menu, 7.25);
    let [menu, load] = report.stages[0].phases[..] else { panic!("two parts") };
    assert_eq!((menu.started, menu.seconds), (2.0, Some(5.25)));
    assert_eq!(load.seconds, None);
    report.begin(Part::Menu, 8.0);
    report.end(Part::Menu, 8.5);
    assert_eq!(report.stages[0].phases[2].seconds, Some(0.5));
}

#[test]
fn a_new_attempt_counts_and_forgets_what_the_last_one_fetched() {
    let mut report = full();
    report.attempt(entry(), false);
    assert_eq!((report.attempt, report.unattended), (2, false));
    assert!(report.artifacts.is_empty() && report.carry.is_none() && report.handover.is_none());
    let mut second = full();
    second.stage("6.12.0", "boot-2", None);
    second.attempt(entry(), true);
    assert_eq!(second.artifacts.len(), 1, "what the first stage fetched is in use");
    assert!(second.carry.is_some());
}

#[test]
fn a_machine_that_fails_for_days_keeps_the_newest() {
    let mut report = Report::continue_from(None);
    for n in 0..1000 {
        report.begin(Part::Load, f64::from(n));
        report.fail(&Failure::because(Phase::Fetch, "root", n.to_string()), f64::from(n));
        report.warn(&format!("warning {n}"));
        report.warn("the same");
        report.job(job());
    }
    let stage = &report.stages[0];
    assert_eq!((stage.phases.len(), stage.failures.len(), stage.warnings.len()), (MOST, MOST, MOST));
    assert_eq!(stage.failures[MOST - 1].cause, ["999"]);
    assert_eq!(report.jobs.len(), MOST);
    assert!(stage.left_out > 2700);
    assert_eq!((report.jobs[0].log.len(), &*report.jobs[0].log[0]), (LOG_LINES, "line 10"));
}

#[test]
fn no_password_gets_in() {
    let mut report = full();
    let url = "http://me:secret@host:80/a?b=c@d";
    report.stage(
        "6.1.0",
        "boot-3",
        Some(&format!("quiet proxy={url} proxy=me:secret@p root=tmpfs:https://u:s%40ecret@h")),
    );
    report.warn(&format!("proxy {url}: refused"));
    report.fail(
        &Failure::because(Phase::Fetch, url, format!("fetching {url}")).hint(format!("see {url}")),
        1.0,
    );
    report.job(Job { log: vec![format!("got {url}")], ..job() });
    let text = report.value().unwrap().to_string();
    assert!(!text.contains("secret") && !text.contains("s%40ecret"), "{text}");
    assert!(text.contains("http://me:***@host:80/a?b=c@d"));
}

#[test]
fn the_end_of_a_job_is_told_in_the_words_that_are_promised() {
    let row = DOCS.lines().find(|line| line.contains("`jobs[].end`")).unwrap();
    let signal = End::Signal("SIGKILL".into());
    for end in [End::Exit(0), signal, End::Deadline, End::Stopped, End::Refused(String::new())] {
        let word = format!("`{}`", end_in_words(&end));
        assert!(row.contains(&word), "{word} is not in {row}");
    }
}
