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
    lived(setting, chance)
}

fn live_under_orders(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let setting = Setting::draw(&mut chance).under_orders(&mut chance);
    lived(setting, chance)
}

fn live_with_editors(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let mut setting = Setting::draw(&mut chance);
    if chance.one_in(3) {
        setting = setting.under_orders(&mut chance);
    }
    let setting = setting.with_editors(&mut chance);
    lived(setting, chance)
}

fn lived(setting: Setting, chance: Chance) -> World {
    let mut world = World::new(setting, chance);
    world.live();
    world
}

fn keeps_its_promises(seed: u64) {
    check(seed, live(seed));
}

fn check(seed: u64, World { setting, model, .. }: World) {
    if let Some(fault) = model.faults.first() {
        panic!("seed {seed}: {fault}\n{setting:?}{}", model.trace.join("\n"));
    }
}

#[test]
fn whatever_happens_in_whatever_order_ends_as_declared() {
    (0..LIVES).for_each(keeps_its_promises);
}

#[test]
fn whatever_the_ancestors_words_say_of_failures_and_shells_is_kept() {
    (0..LIVES / 2).for_each(|seed| check(seed, live_under_orders(seed)));
}

/// Each of their words decides lives; else the promises about them would be kept by chance.
#[test]
fn whatever_a_person_changes_before_a_boot_it_ends_as_declared() {
    let mut changed = 0;
    for seed in 0..LIVES {
        let world = live_with_editors(seed);
        changed += world.model.edited;
        check(seed, world);
    }
    assert!(changed > 50, "{changed} boots of what a person changed");
}

#[test]
fn the_lives_under_orders_are_of_every_kind() {
    let mut kinds = BTreeMap::new();
    let mut count = |what: &'static str, so: bool| *kinds.entry(what).or_insert(0) += u64::from(so);
    for seed in 0..LIVES / 2 {
        let World { setting, model, .. } = live_under_orders(seed);
        let said = |word: &str| setting.orders.iter().any(|order| order == word);
        let alone = setting.keys.is_empty();
        let told = setting.params.root.is_some() && setting.params.on_failure.is_none();
        let over = |over: Over| alone && model.over == Some(over);
        count("reboots after panic=", said("panic=40") && over(Over::Reboot));
        count("reboots at once", said("panic=-1") && over(Over::Reboot));
        count("is switched off", told && said("rd.emergency=poweroff") && over(Over::PowerOff));
        count("holds for rd.emergency=halt", told && said("rd.emergency=halt") && over(Over::Nothing));
        count("holds for rd.shell", said("rd.shell") && over(Over::Nothing));
        let wants = setting.keys.iter().any(|(_, key)| key.code == crossterm::event::KeyCode::Char('s'));
        count("is asked for a shell that is forbidden", wants && setting.params.forbids_shell());
        count(
            "boots after a break",
            !setting.params.break_at.is_empty() && matches!(model.over, Some(Over::System(_))),
        );
    }
    assert!(kinds.values().all(|&lives| lives >= 3), "{kinds:#?}");
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

/// Lives that ended otherwise than declared before the course was mended, each a promise of its own. (A seed is a
/// life only as long as `setting` draws the same from it: who changes that finds them anew by breaking the rule.)
mod mended {
    use super::keeps_its_promises;

    #[test]
    fn a_key_while_something_is_loaded_is_a_person() {
        keeps_its_promises(20);
    }

    #[test]
    fn whoever_looked_at_the_network_and_left_leaves_no_machine_waiting() {
        keeps_its_promises(71);
    }

    #[test]
    fn whoever_left_a_menu_whose_default_was_refused_leaves_no_machine_waiting() {
        keeps_its_promises(5);
    }

    #[test]
    fn whoever_stopped_the_wait_for_the_catalog_and_left_leaves_no_machine_waiting() {
        keeps_its_promises(104);
    }

    #[test]
    fn a_machine_that_boots_by_itself_does_so_after_the_death_of_a_worker() {
        keeps_its_promises(23);
    }

    #[test]
    fn whoever_left_the_menu_of_a_machine_that_was_told_what_to_boot_leaves_it_to_that() {
        keeps_its_promises(2025);
    }

    #[test]
    fn time_in_a_menu_is_no_time_of_failing() {
        keeps_its_promises(7);
    }

    #[test]
    fn what_a_catalog_declared_counts_while_it_cannot_be_had() {
        keeps_its_promises(6);
    }

    #[test]
    fn what_a_catalog_declared_counts_for_the_next_worker() {
        keeps_its_promises(114);
    }

    #[test]
    fn what_a_person_left_for_the_menu_is_not_booted_after_the_death_of_a_worker() {
        keeps_its_promises(750);
    }

    #[test]
    fn what_is_declared_for_a_failure_counts_again_after_a_person_was_there() {
        keeps_its_promises(2264);
    }

    #[test]
    fn a_job_of_a_second_stage_leads_to_no_menu() {
        keeps_its_promises(4064);
    }

    #[test]
    fn the_entry_that_was_declared_is_gone_on_with_after_the_death_of_a_worker() {
        keeps_its_promises(179);
    }
}
