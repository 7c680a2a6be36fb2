//! However a file is saved, its content is taken over, and alerts of untouched rules do not notice.

use std::fs;
use std::os::unix::fs::symlink;

use sereno_model::EventKind;

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
