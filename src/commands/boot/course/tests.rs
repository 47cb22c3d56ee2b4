//! Lives of machines in any order of events: link, lease, catalog, keys, failures, deaths, timeouts. A life that breaks a
//! promise is told with its seed, from which it can be lived again.

mod chance;
mod model;
mod setting;
mod world;

use std::collections::BTreeMap;

use chance::Chance;
use model::Over;
use setting::Setting;
use world::World;

const LIVES: u64 = 4000;

fn live(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let setting = Setting::draw(&mut chance);
    let mut world = World::new(setting, chance);
    world.live();
    world
}

fn keeps_its_promises(seed: u64) {
    let World { setting, model, .. } = live(seed);
    if let Some(fault) = model.faults.first() {
        panic!("seed {seed}: {fault}\n{setting:?}{}", model.trace.join("\n"));
    }
}

#[test]
fn whatever_happens_in_whatever_order_ends_as_declared() {
    (0..LIVES).for_each(keeps_its_promises);
}

/// The lives would keep every promise if nothing ever happened in them.
#[test]
fn the_lives_are_of_every_kind() {
    let mut kinds = BTreeMap::new();
    let mut count = |what: &'static str, so: bool| *kinds.entry(what).or_insert(0) += u64::from(so);
    for seed in 0..LIVES / 4 {
        let World { setting, model, .. } = live(seed);
        let happened = |what: &str| model.trace.iter().any(|line| line.contains(what));
        let alone = setting.keys.is_empty();
        count("boots with nobody there", alone && matches!(model.over, Some(Over::System(_))));
        count("reboots with nobody there", alone && model.over == Some(Over::Reboot));
        count("is switched off with nobody there", alone && model.over == Some(Over::PowerOff));
        count("holds with nobody there", alone && model.over == Some(Over::Nothing));
        count("boots with somebody there", !alone && matches!(model.over, Some(Over::System(_))));
        count("waits for somebody", !alone && model.over == Some(Over::Nothing));
        count("loses a worker", happened("the worker dies"));
        count("has a second kernel", happened("a second kernel"));
        count("has a second kernel that fails", happened("a second kernel, attempt 2"));
        count("comes to attempt 3", happened("attempt 3"));
        count("runs a job that ends well", happened("success true"));
        count("runs a job that fails", happened("success false"));
        count("has a person who goes away", happened("answered by a key") && happened("answered by time"));
        count("boots what a person chose", happened(", attended, attempt"));
    }
    assert!(kinds.values().all(|&lives| lives >= 5), "{kinds:#?}");
}

#[test]
#[ignore]
fn survey() {
    let runs: u64 = std::env::var("RUNS").map_or(LIVES, |r| r.parse().unwrap());
    let mut kinds: BTreeMap<String, (u64, u64)> = Default::default();
    for seed in 0..runs {
        let world = live(seed);
        if let Some(f) = world.model.faults.first() {
            let key: String =
                f.split(|c: char| c.is_ascii_digit()).next().unwrap().chars().take(60).collect();
            let e = kinds.entry(key).or_insert((0, seed));
            e.0 += 1;
        }
    }
    println!("SURVEY {kinds:?}");
    if std::env::var("SHORT").is_ok() {
        return;
    }
    for (_, seed) in kinds.values() {
        let world = live(*seed);
        let m = &world.model;
        let upto = m.trace.iter().position(|l| l.contains("FAULT")).unwrap();
        println!(
            "=== seed {seed}\n{:?}{}",
            world.setting,
            m.trace[upto.saturating_sub(28)..=upto].join("\n")
        );
    }
}
