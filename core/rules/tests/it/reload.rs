//! However a file is saved, its content is taken over, and alerts of untouched rules do not notice.

use std::fs;
use std::os::unix::fs::symlink;

use std::time::Duration;

use sereno_model::EventKind;
use sereno_rules::{BundleError, Config, Outcome, PlannedFile, Policy, Reload, Removal};

use crate::{Bench, file, quick, replace, rule};

/// Two files: `steady` fires all the time, `edited` is saved in many ways. The limit tells which text is active.
fn bench(edited: &str) -> Bench {
    let steady = file(&[rule("steady", 1)]);
    Bench::start(&[("rules/steady.yaml", &steady), ("rules/edited.yaml", edited)], quick())
}

fn active(bench: &mut Bench, limit: u32) {
    let wanted = format!("{limit}.0");
    bench.until(&format!("limit {limit}"), |bench| {
        bench.send("steady", 5.0);
        bench.limit_of("edited").is_some_and(|rule| rule.contains(&wanted))
    });
}

#[test]
fn every_way_of_saving_is_seen_and_firing_alerts_stay() {
    let text = |limit| file(&[rule("edited", limit)]);
    let mut bench = bench(&text(1_001));
    bench.wait_for("steady", 5.0, "steady", EventKind::Firing);
    let path = bench.path("rules/edited.yaml");
    active(&mut bench, 1_001);

    replace(&path, &text(1_002));
    active(&mut bench, 1_002);

    // Truncated and written, as `>` of a shell does.
    fs::write(&path, "").unwrap();
    fs::write(&path, text(1_003)).unwrap();
    active(&mut bench, 1_003);

    // Deleted, and there again before a second look.
    fs::remove_file(&path).unwrap();
    fs::write(&path, text(1_004)).unwrap();
    active(&mut bench, 1_004);

    // As a ConfigMap: the file is a link through `..data`, which is swapped.
    for (version, limit) in [("..v1", 1_005), ("..v2", 1_006)] {
        let folder = bench.path("rules").join(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("edited.yaml"), text(limit)).unwrap();
        let swap = bench.path("rules/..data_tmp");
        symlink(version, &swap).unwrap();
        fs::rename(&swap, bench.path("rules/..data")).unwrap();
        if limit == 1_005 {
            let link = bench.path("rules/link~");
            symlink("..data/edited.yaml", &link).unwrap();
            fs::rename(&link, &path).unwrap();
        }
        active(&mut bench, limit);
    }

    assert_eq!(bench.told("steady", EventKind::Firing), 1, "no reload touched it");
    assert_eq!(bench.told("steady", EventKind::Resolved) + bench.told("steady", EventKind::Closed), 0);
}

#[test]
fn the_same_content_is_no_change_and_an_edit_keeps_the_state() {
    let mut bench = bench(&file(&[rule("edited", 10)]));
    bench.wait_for("edited", 50.0, "edited", EventKind::Firing);
    let before = bench.rules.generation().number;
    replace(&bench.path("rules/edited.yaml"), &file(&[rule("edited", 10)]));
    let report = bench.rules.reload(true).unwrap();
    assert_eq!(bench.rules.generation().number, before, "{report:?}");
    // Moved to another file, with another limit: the same alert.
    fs::remove_file(bench.path("rules/edited.yaml")).unwrap();
    fs::write(bench.path("rules/moved.yaml"), file(&[rule("edited", 20)])).unwrap();
    bench.until("the move", |bench| {
        bench.send("edited", 50.0);
        bench.limit_of("edited").is_some_and(|rule| rule.contains("20.0"))
    });
    bench.wait_for("edited", 5.0, "edited", EventKind::Resolved);
    assert_eq!(bench.told("edited", EventKind::Firing), 1);
}

#[test]
fn a_mistake_keeps_the_last_good_version() {
    let mut bench = bench(&file(&[rule("edited", 10)]));
    let broken = file(&[rule("edited", 11)]).replace("agg: max", "agg: maxx");
    replace(&bench.path("rules/edited.yaml"), &broken);
    bench.until("the finding", |bench| !bench.rules.generation().diagnostics.is_empty());
    let generation = bench.rules.generation();
    let found = generation.diagnostics[0].to_string();
    assert!(found.contains("edited.yaml:2:") && found.contains("`max`"), "{found}");
    assert!(generation.stale.contains("edited"));
    bench.wait_for("edited", 10.0, "edited", EventKind::Firing);
}

#[test]
fn a_rule_that_is_gone_is_closed_and_vanished_files_ask_first() {
    let mut bench = bench(&file(&[rule("edited", 10), rule("other", 10)]));
    bench.wait_for("edited", 50.0, "edited", EventKind::Firing);
    fs::remove_file(bench.path("rules/edited.yaml")).unwrap();
    let refused = |bench: &mut Bench| {
        bench.metrics.snapshot().iter().any(|(name, value)| {
            name.contains("rules_reloads_total") && name.contains("refused") && *value > 0.0
        })
    };
    bench.until("the guard", refused);
    assert!(bench.rules.generation().rules.contains_key("edited"), "kept until it is confirmed");
    assert!(bench.rules.reload(true).is_some());
    bench.until("closed", |bench| bench.told("edited", EventKind::Closed) == 1);
    assert_eq!(bench.told("edited", EventKind::Resolved), 0, "nobody saw it recover");
}

fn refusal(bench: &Bench) -> Option<String> {
    bench.rules.diagnostics().refusal
}

fn with(reload: Reload) -> Config {
    Config { reload: Reload { poll: Duration::from_secs(1), ..reload }, ..Config::default() }
}

#[test]
fn all_or_nothing_waits_until_nothing_is_broken() {
    let config = with(Reload { policy: Policy::AllOrNothing, ..Reload::default() });
    let good = file(&[rule("good", 1_001)]);
    let mut bench = Bench::start(&[("rules/good.yaml", &good), ("rules/edited.yaml", "")], config);
    fs::write(bench.path("rules/edited.yaml"), file(&[rule("edited", 1)]).replace("max", "maxx")).unwrap();
    replace(&bench.path("rules/good.yaml"), &file(&[rule("good", 1_002)]));
    bench.until("the refusal", |bench| refusal(bench).is_some());
    let report = bench.rules.diagnostics();
    assert_eq!(
        report.refusal.as_deref(),
        Some("an error was found, and `reload.policy` is `all_or_nothing`")
    );
    assert!(report.diagnostics[0].to_string().contains("edited.yaml:2:"), "{:?}", report.diagnostics);
    assert!(bench.limit_of("good").unwrap().contains("1001.0"));
    // Nobody's word changes that.
    assert_eq!(bench.rules.reload(true).unwrap().outcome, Outcome::Refused);
    fs::write(bench.path("rules/edited.yaml"), file(&[rule("edited", 1)])).unwrap();
    bench.until("both", |bench| bench.rules.generation().rules.len() == 2);
    assert!(bench.limit_of("good").unwrap().contains("1002.0"));
    assert_eq!(bench.rules.generation().number, 2);
}

#[test]
fn what_has_been_gone_for_long_enough_goes_by_itself() {
    let config = with(Reload { removal: Removal::After(Duration::from_secs(3)), ..Reload::default() });
    let (a, b) = (file(&[rule("a", 1)]), file(&[rule("b", 1)]));
    let mut bench = Bench::start(&[("rules/a.yaml", &a), ("rules/b.yaml", &b)], config);
    fs::remove_file(bench.path("rules/b.yaml")).unwrap();
    bench.until("the guard", |bench| refusal(bench).is_some());
    let why = refusal(&bench).unwrap();
    assert!(why.contains("1 of 2 rules would go; they go by themselves in "), "{why}");
    assert_eq!(bench.rules.generation().rules.len(), 2);
    bench.until("the end", |bench| bench.rules.generation().rules.len() == 1);
    assert_eq!(bench.rules.diagnostics().outcome, Outcome::Applied);
}

#[test]
fn with_a_marker_only_the_marker_counts() {
    let edited = |limit| file(&[rule("edited", limit)]);
    let files = [("rules/edited.yaml", &*edited(1_001)), ("rules/.ready", "v1")];
    let mut bench = Bench::start(&files, quick());
    let looks = |bench: &Bench| bench.metric("rules_looks_total{outcome=\"waits\"}");
    fs::write(bench.path("rules/edited.yaml"), edited(1_002)).unwrap();
    bench.until("a look", |bench| looks(bench) > 0.0);
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"), "the marker says that not all is written");
    fs::write(bench.path("rules/.ready"), "v2").unwrap();
    active(&mut bench, 1_002);
    fs::write(bench.path("rules/edited.yaml"), edited(1_003)).unwrap();
    // Who asks needs no marker.
    assert_eq!(bench.rules.reload(false).unwrap().outcome, Outcome::Applied);
    assert!(bench.limit_of("edited").unwrap().contains("1003.0"));
    fs::write(bench.path("rules/edited.yaml"), edited(1_004)).unwrap();
    fs::remove_file(bench.path("rules/.ready")).unwrap();
    active(&mut bench, 1_004);
}

#[test]
fn a_start_with_broken_files_runs_what_ran_before() {
    let edited = file(&[rule("edited", 1_001), rule("other", 5)]);
    let bench = bench(&edited);
    let bench = bench.restart(quick(), |_| {});
    assert_eq!(bench.rules.generation().number, 1, "the same files are the same generation");
    assert_eq!(bench.rules.history().len(), 1);
    let mut bench = bench.restart(quick(), |folder| {
        let broken = edited.replace("limit: 1001", "limit: high").replace("limit: 5", "limit: 6");
        fs::write(folder.join("rules/edited.yaml"), broken).unwrap();
    });
    let generation = bench.rules.generation();
    assert_eq!((generation.number, generation.stale.len()), (2, 1));
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"), "as it was");
    assert!(bench.limit_of("other").unwrap().contains("6.0"), "the rest advances");
    assert_eq!(bench.rules.diagnostics().outcome, Outcome::Partial);
    bench.wait_for("edited", 2_000.0, "edited", EventKind::Firing);
    // Still broken at the next start: the last good version is that of the first generation.
    let bench = bench.restart(quick(), |_| {});
    assert_eq!(bench.rules.generation().number, 2);
    let bench = bench.restart(quick(), |folder| {
        fs::write(folder.join("rules/edited.yaml"), "rules: [").unwrap();
    });
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"));
    assert!(bench.limit_of("other").unwrap().contains("6.0"));
    let told: Vec<_> = bench.rules.history().iter().map(|info| (info.number, info.outcome.clone())).collect();
    assert_eq!(told, [(3, "partial".into()), (2, "partial".into()), (1, "applied".into())]);
}

#[test]
fn a_start_without_the_files_asks_first() {
    let bench = bench(&file(&[rule("edited", 10)]));
    let mut bench = bench.restart(quick(), |folder| {
        fs::rename(folder.join("rules"), folder.join("elsewhere")).unwrap();
    });
    assert_eq!(bench.rules.generation().rules.len(), 2, "a folder that is not there removes nothing");
    let why = refusal(&bench).unwrap();
    assert!(why.contains("2 of 2 rules would go"), "{why}");
    fs::rename(bench.path("elsewhere"), bench.path("rules")).unwrap();
    bench.until("the files", |bench| refusal(bench).is_none());
    assert_eq!(bench.rules.generation().number, 1, "they say what runs");
    let bench = bench.restart(quick(), |folder| {
        fs::remove_file(folder.join("rules/edited.yaml")).unwrap();
    });
    assert!(refusal(&bench).is_some());
    assert_eq!(bench.rules.reload(true).unwrap().generation.rules.len(), 1);
}

#[test]
fn an_earlier_generation_stays_until_the_files_change() {
    let edited = |limit| file(&[rule("edited", limit)]);
    let path = "rules/edited.yaml";
    let mut bench = bench(&edited(1_001));
    bench.wait_for("steady", 5.0, "steady", EventKind::Firing);
    replace(&bench.path(path), &edited(1_002));
    active(&mut bench, 1_002);
    let report = bench.rules.rollback(1, Some("ana".into())).unwrap().unwrap();
    assert_eq!((report.generation.number, report.pinned_to), (3, Some(1)));
    assert_eq!(report.changes.changed, ["edited".into()]);
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"));
    let newest = &bench.rules.history()[0];
    assert_eq!(
        (newest.trigger.as_str(), newest.who.as_deref(), newest.pinned_to),
        ("rollback", Some("ana"), Some(1))
    );
    assert!(fs::read_to_string(bench.path(path)).unwrap().contains("1002"), "the files are the user's");

    // Touched, and started again: the files still say what they said.
    replace(&bench.path(path), &edited(1_002));
    let looks = bench.metric("rules_looks_total");
    bench.until("a look", |bench| bench.metric("rules_looks_total") > looks + 1.0);
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"));
    let mut bench = bench.restart(quick(), |_| {});
    assert_eq!((bench.rules.generation().number, bench.rules.diagnostics().pinned_to), (3, Some(1)));
    assert!(bench.limit_of("edited").unwrap().contains("1001.0"));

    // An edit ends it.
    replace(&bench.path(path), &edited(1_003));
    active(&mut bench, 1_003);
    assert_eq!(bench.rules.diagnostics().pinned_to, None);

    // And so does whoever asks.
    assert!(bench.rules.rollback(1, None).unwrap().is_ok());
    assert_eq!(bench.rules.reload(false).unwrap().outcome, Outcome::Applied);
    assert!(bench.limit_of("edited").unwrap().contains("1003.0"));
    assert_eq!(bench.rules.generation().number, 6);

    assert!(matches!(bench.rules.rollback(9, None), Some(Err(BundleError::Missing { number: 9 }))));
    let difference = bench.rules.difference(1, 4).unwrap();
    assert_eq!((difference.rules.len(), difference.files.len()), (1, 1));
    assert!(difference.files[0].diff.contains("limit: 1003"), "{}", difference.files[0].diff);
}

#[test]
fn a_plan_knows_what_fires_and_changes_nothing() {
    let mut bench = bench(&file(&[rule("edited", 10)]));
    bench.wait_for("steady", 5.0, "steady", EventKind::Firing);
    let number = bench.rules.generation().number;
    let file = |path: &str, text: String| PlannedFile { path: path.into(), text, is_script: false };
    let files = vec![file("elsewhere/edited.yaml", crate::file(&[rule("edited", 11)]))];
    let plan = bench.rules.plan(files, &|| true).unwrap();
    let closes: Vec<_> = plan.rules.iter().map(|rule| (rule.class.as_str(), rule.closes.len())).collect();
    assert_eq!(closes, [("logic", 0), ("removed", 1)], "{plan:?}");
    assert!(plan.refusal.is_some_and(|why| why.contains("rule `steady` fires")));
    assert_eq!(bench.rules.generation().number, number);
    bench.send("steady", 5.0);
    assert_eq!(bench.rules.alerts().len(), 1);
    assert_eq!(bench.told("steady", EventKind::Closed), 0);
}
