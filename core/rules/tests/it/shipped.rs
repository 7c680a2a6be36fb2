//! The rules that every fresh server runs.

use std::path::PathBuf;

use crate::ticks::Story;

const HOST: &str = include_str!("../../../../config/rules/host.yaml");
const DEMO: &str = include_str!("../../../../config/rules/demo.yaml");
const DISK_FULL: (&str, &str) =
    ("scripts/rules/disk_full.rhai", include_str!("../../../../scripts/rules/disk_full.rhai"));
const DEMO_CLIMB: (&str, &str) =
    ("scripts/rules/demo_climb.rhai", include_str!("../../../../scripts/rules/demo_climb.rhai"));
const TREND: (&str, &str) = ("scripts/lib/trend.rhai", include_str!("../../../../scripts/lib/trend.rhai"));

#[test]
fn they_pass_their_own_check() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let report = sereno_rules::check(&[root.join("config/rules")], &[root.join("scripts")]);
    assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
    assert_eq!((report.files, report.rules), (2, 5));
    let nowhere = sereno_rules::check(&[root.join("config/rule")], &[]);
    assert!(!nowhere.is_good(), "a path that does not exist is an error");
}

#[test]
fn a_disk_that_fills_is_told_of_before_it_is_full() {
    let mut story = Story::new(HOST, &[DISK_FULL, TREND]);
    let gib = f64::from(1 << 30);
    for minute in 0..30 {
        let second = 60.0 * f64::from(minute) + 1.0;
        // 60 GiB that lose one a minute, and a disk that is nearly full, but still.
        story.sample(r#"host.disk.free{mount="/data"}"#, second, (60.0 - f64::from(minute)) * gib);
        story.sample(r#"host.disk.free{mount="/boot"}"#, second, 0.1 * gib);
    }
    story.go_to(1_800.0, 3);
    insta::assert_snapshot!(story.told(), @r#"1800s host_disk_full{mount="/data"}/1700001840/firing/1 | /data is full in 30m 1s"#);
}

#[test]
fn the_tour_works() {
    let mut story = Story::new(DEMO, &[DEMO_CLIMB]);
    story.go_to(0.0, 2);
    let mut told = Vec::new();
    for (tick, value) in [150.0, 160.0, 170.0, 180.0, 5.0].into_iter().enumerate() {
        let start = 5.0 * tick as f64;
        story.sample("demo", start + 1.0, value);
        story.sample("demo.climb", start + 1.0, value);
        story.go_to(start + 5.0, 2);
        told.push(story.told());
    }
    insta::assert_snapshot!(told.join("\n").replace("\n\n", "\n"), @r"
    5s demo_high/1700000045/firing/1 | demo_high: max(demo) over 5s is 150 (>= 100)

    20s demo_climb/1700000060/firing/1 | demo.climb has risen to 180
    25s demo_climb/1700000060/resolved/2 | demo_climb: resolved, value is 5
    25s demo_high/1700000045/resolved/2 | demo_high: resolved, max(demo) over 5s is 5
    ");
}

#[test]
fn the_example_of_the_documentation_loads() {
    let readme = include_str!("../../../../config/README.md");
    let example = readme.split("## Rule files").nth(1).and_then(|section| section.split("```yaml\n").nth(1));
    let example = example.and_then(|block| block.split("```").next()).unwrap();
    assert_eq!(Story::new(example, &[DISK_FULL, TREND]).rule_count(), 5);
}
