//! What people see: rules with their health, alerts, and what a reload has done. The clock stands still until told.

use std::fs;

use sereno_model::{EventKind, Level, Marks, Notification, Timestamp};
use sereno_rules::{Health, Outcome, Report, Rules};

use crate::ticks::{Story, at};
use crate::{file, replace, rule};

/// One line for each rule.
fn listed(rules: &Rules) -> String {
    let line = |status: sereno_rules::RuleStatus| {
        let place = format!("{}:{}", status.path.file_name().unwrap().to_string_lossy(), status.line);
        let decides = match (&status.limit, &status.script) {
            (Some(limit), None) => format!("{} {limit} {}", status.agg.unwrap(), status.level.unwrap()),
            (None, Some(script)) => script.clone(),
            other => panic!("a limit or a script decides, not {other:?}"),
        };
        let reads = format!("{} over {:?} every {:?}", status.selector, status.window, status.every);
        let counts = format!("{}/{} of {}", status.firing, status.instances, status.evaluations);
        let tick = status.last_tick.map_or("-".into(), |tick| tick.since(at(0.0)).as_secs().to_string());
        format!("{} {} | {place} {reads}: {decides} | {counts} at {tick}", status.id, status.health)
    };
    rules.rules().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One line for each alert.
fn alerts(rules: &Rules) -> String {
    let line = |alert: sereno_rules::Alert| {
        let labels: Vec<_> = alert.instance.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let since = alert.since.since(at(0.0)).as_secs();
        let (value, message) = (alert.value.unwrap(), alert.message.unwrap());
        format!("{}[{}] {} since {since} is {value}: {message}", alert.rule, labels.join(" "), alert.level)
    };
    rules.alerts().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What the last change has done. The watcher may have seen it before anybody asked, so the answer to the question may
/// be that nothing is left to do.
fn reloaded(rules: &Rules) -> Report {
    assert!(rules.reload(false).is_some());
    rules.diagnostics()
}

fn health(rules: &Rules, id: &str) -> Health {
    rules.rules().into_iter().find(|status| &*status.id == id).unwrap().health
}

const RULES: &str = r#"
rules:
  - { id: high, metric: "disk.*", where: { host: "!b" }, by: [host], agg: max, window: 10s, limit: 90.5, level: warn }
  - { id: low, metric: disk.used, agg: min, window: 30s, every: 10s, below: 5 }
  - { id: never, metric: nothing, agg: mean, window: 10s, limit: 1 }
  - { id: odd, metric: disk.used, by: [], script: odd.rhai, window: 10s, every: 10s }
  - { id: later, metric: disk.used, by: [], agg: max, window: 1h, limit: 1 }
  - { id: silent, metric: disk.used, agg: max, window: 10s, limit: 1, mode: off }
"#;
const ODD: (&str, &str) =
    ("scripts/rules/odd.rhai", "fn check(s) { if s.labels.len() == 0 { throw \"nobody\" } ok() }");

#[test]
fn rules_are_listed_with_their_health() {
    let mut story = Story::new(RULES, &[ODD]);
    let status = story.bench.rules.rules();
    let waits = |status: &&sereno_rules::RuleStatus| status.health == Health::Waiting;
    assert_eq!(status.iter().filter(waits).count(), 5, "nothing has been evaluated: {status:?}");
    story.sample(r#"disk.used{host="a"}"#, -4.0, 91.0);
    story.sample(r#"disk.used{host="c"}"#, -4.0, 80.0);
    story.go_to(0.0, 4);
    insta::assert_snapshot!(listed(&story.bench.rules), @r#"
    high ok | all.yaml:3 disk.*{host!="b"} over 10s every 10s: max >= 90.5 warn | 1/2 of 1 at 0
    later waiting | all.yaml:7 disk.used over 3600s every 3600s: max >= 1 crit | 0/0 of 0 at -
    low ok | all.yaml:4 disk.used over 30s every 10s: min < 5 crit | 0/1 of 1 at 0
    never unmatched | all.yaml:5 nothing over 10s every 10s: mean >= 1 crit | 0/0 of 1 at 0
    odd error | all.yaml:6 disk.used over 10s every 10s: odd.rhai | 0/1 of 1 at 0
    silent off | all.yaml:8 disk.used over 10s every 10s: max >= 1 crit | 0/0 of 0 at -
    "#);
    let status = story.bench.rules.rules();
    let error = status[4].error.as_deref().unwrap();
    assert!(error.contains("odd.rhai:1:") && error.contains("nobody"), "{error}");
    assert!(status.iter().all(|status| status.error.is_some() == (status.health == Health::Error)));
    // The rule in error works again once its script does.
    replace(&story.bench.path(ODD.0), "fn check(s) { ok() }");
    assert_eq!(reloaded(&story.bench.rules).outcome, Outcome::Applied);
    story.sample(r#"disk.used{host="a"}"#, 1.0, 91.0);
    story.go_to(10.0, 4);
    assert_eq!(health(&story.bench.rules, "odd"), Health::Ok);
}

#[test]
fn a_rule_says_that_it_is_stale_and_goes_on() {
    let mut story = Story::new(&file(&[rule("m", 10), rule("other", 10)]), &[]);
    story.sample("m", -0.5, 11.0);
    story.go_to(0.0, 2);
    replace(
        &story.bench.path("rules/all.yaml"),
        &file(&[rule("m", 10).replace("max", "maxx"), rule("other", 20)]),
    );
    let report = reloaded(&story.bench.rules);
    assert_eq!((report.outcome, names(&report)), (Outcome::Partial, "+ - ~other".into()));
    assert!(report.generation.diagnostics[0].to_string().contains("maxx"));
    assert_eq!(health(&story.bench.rules, "m"), Health::Stale);
    story.sample("m", 0.5, 11.0);
    story.go_to(1.0, 2);
    let status = story.bench.rules.rules();
    assert_eq!((status[0].evaluations, status[0].firing, status[0].is_stale), (2, 1, true));
    assert_eq!(story.bench.rules.diagnostics().outcome, Outcome::Partial);
}

#[test]
fn what_a_rule_reads_decides_whether_it_has_matched() {
    let mut story = Story::new("rules: [{ id: r, metric: m, agg: max, window: 10s, limit: 1 }]", &[]);
    story.sample(r#"m{host="a"}"#, -5.0, 0.0);
    story.go_to(0.0, 1);
    assert_eq!(health(&story.bench.rules, "r"), Health::Ok);
    let narrowed = "rules: [{ id: r, metric: m, where: { host: b }, agg: max, window: 10s, limit: 1 }]";
    replace(&story.bench.path("rules/all.yaml"), narrowed);
    assert_eq!(names(&reloaded(&story.bench.rules)), "+ - ~r");
    story.go_to(10.0, 1);
    assert_eq!(health(&story.bench.rules, "r"), Health::Unmatched);
}

#[test]
fn missed_ticks_are_listed() {
    let mut story = Story::new("rules: [{ id: r, metric: m, agg: max, window: 10s, limit: 1 }]", &[]);
    story.go_to(0.0, 1);
    story.go_to(50.0, 1);
    let status = &story.bench.rules.rules()[0];
    assert_eq!((status.evaluations, status.missed_ticks, status.last_tick), (2, 4, Some(at(50.0))));
}

#[test]
fn alerts_are_listed_as_they_are_now() {
    let rules = "
rules:
  - { id: b, metric: m, by: [host], agg: max, window: 10s, limit: 10, reminder: 20s }
  - { id: a, metric: m, by: [], agg: max, window: 10s, limit: 10, level: warn, message: \"at ${v}\", reminder: 20s }
";
    let mut story = Story::new(rules, &[]);
    for (window, values) in [[11.0, 1.0], [12.0, 15.0], [13.0, 1.0]].into_iter().enumerate() {
        let second = 10.0 * window as f64;
        story.sample(r#"m{host="z"}"#, second - 5.0, values[0]);
        story.sample(r#"m{host="y"}"#, second - 5.0, values[1]);
    }
    story.go_to(0.0, 2);
    insta::assert_snapshot!(alerts(&story.bench.rules), @r#"
    a[] warn since 0 is 11: at 11
    b[host=z] crit since 0 is 11: b{host="z"}: max(m) over 10s is 11 (>= 10)
    "#);
    // The value is the one of now, though nothing new was told; a second instance stands in its order.
    story.go_to(10.0, 2);
    insta::assert_snapshot!(alerts(&story.bench.rules), @r#"
    a[] warn since 0 is 15: at 11
    b[host=y] crit since 10 is 15: b{host="y"}: max(m) over 10s is 15 (>= 10)
    b[host=z] crit since 0 is 12: b{host="z"}: max(m) over 10s is 11 (>= 10)
    "#);
    // Reminders: what they repeat is what is shown. The second instance has recovered.
    story.go_to(20.0, 2);
    insta::assert_snapshot!(alerts(&story.bench.rules), @r#"
    a[] warn since 0 is 13: at 13
    b[host=z] crit since 0 is 13: b{host="z"}: max(m) over 10s is 13 (>= 10)
    "#);
    // No data: held, with the value that was seen last.
    story.go_to(30.0, 2);
    insta::assert_snapshot!(alerts(&story.bench.rules), @r#"
    a[] warn since 0 is 13: at 13
    b[host=z] crit since 0 is 13: b{host="z"}: max(m) over 10s is 13 (>= 10)
    "#);
    assert_eq!(story.bench.rules.firing().into_values().sum::<usize>(), 2);
    // A rule that goes takes its alerts along.
    replace(
        &story.bench.path("rules/all.yaml"),
        "rules: [{ id: b, metric: other, by: [host], agg: max, window: 10s, limit: 10 }]",
    );
    assert_eq!(names(&reloaded(&story.bench.rules)), "+ -a ~b");
    story.bench.until("the end", |bench| bench.rules.alerts().is_empty());
    story.bench.until("the word", |bench| {
        bench.told("a", EventKind::Closed) + bench.told("b", EventKind::Closed) == 2
    });
}

/// A monitor that takes a snapshot after it began to watch must find what it was told of.
#[test]
fn an_alert_is_listed_before_it_is_told() {
    let mut story = Story::new(&file(&[rule("m", 10)]), &[]);
    let told = Notification {
        event_id: "full".into(),
        kind: EventKind::Firing,
        rule: "full".into(),
        instance: Vec::new(),
        level: Level::Crit,
        value: None,
        extreme: None,
        tick: Timestamp::MIN,
        previous: None,
        peak: None,
        samples: None,
        episode: 1,
        labels: Vec::new(),
        runbook: None,
        suppressed_by: None,
        marks: Marks::default(),
        fired_at: Timestamp::MIN,
        message: String::new(),
        reason: None,
        generation: 1,
    };
    while story.bench.notifications.try_send(told.clone().into()).is_ok() {}
    story.sample("m", -0.5, 11.0);
    story.clock.step_to(at(0.0));
    story.bench.rules.wake();
    // The worker waits for room, and the alert is there.
    story.bench.until("the alert", |bench| bench.rules.alerts().len() == 1);
    assert_eq!(story.bench.notifications.len(), 10_000);
    story.bench.until("the word", |bench| bench.told("m", EventKind::Firing) == 1);
}

/// `+ADDED -REMOVED ~CHANGED`.
fn names(report: &Report) -> String {
    let changes = &report.changes;
    let joined = |ids: &[std::sync::Arc<str>]| ids.join(",");
    format!("+{} -{} ~{}", joined(&changes.added), joined(&changes.removed), joined(&changes.changed))
}

#[test]
fn a_reload_tells_which_rules_it_concerns() {
    let script =
        |name: &str| format!("  - {{ id: {name}, metric: m, script: {name}.rhai, window: 1s, every: 1s }}\n");
    let own = rule("own", 1).replace("max", "twice");
    let rules = [rule("a", 1), rule("b", 1), rule("moved", 1), script("s"), script("t"), own.clone()];
    let files = [
        ("scripts/rules/s.rhai", "import \"lib/x\" as x; fn check(s) { x::f() }"),
        ("scripts/rules/t.rhai", "fn check(s) { true }"),
        ("scripts/lib/x.rhai", "fn f() { true }"),
        ("scripts/aggregations/twice.rhai", "fn aggregate(w) { 2 * w.count() }"),
    ];
    let story = Story::new(&file(&rules), &files);
    let bench = &story.bench;
    let start = bench.rules.diagnostics();
    assert_eq!((start.outcome, start.generation.number), (Outcome::Applied, 1));
    assert_eq!((start.generation.loaded_at, names(&start)), (at(-0.5), "+ - ~".into()));
    let unchanged = bench.rules.reload(false).unwrap();
    assert_eq!((unchanged.outcome, unchanged.generation.number), (Outcome::Unchanged, 1));
    story.clock.step_to(at(-0.25));
    let says = |path: &str, text: &str| {
        replace(&bench.path(path), text);
        names(&reloaded(&bench.rules))
    };
    assert_eq!(says("scripts/lib/x.rhai", "fn f() { false }"), "+ - ~s", "what it imports");
    assert_eq!(says("scripts/aggregations/twice.rhai", "fn aggregate(w) { 3 * w.count() }"), "+ - ~own");
    assert_eq!(says("rules/second.yaml", &file(&[rule("moved", 1)])), "+ - ~", "the first of two stays");
    let next = [rule("b", 2), rule("new", 1), script("s"), script("t"), own];
    assert_eq!(says("rules/all.yaml", &file(&next)), "+new -a ~b", "one that moved is the same");
    let end = bench.rules.diagnostics();
    assert_eq!((end.outcome, end.generation.number), (Outcome::Applied, 5));
    assert_eq!((end.generation.loaded_at, end.generation.rules.len()), (at(-0.25), 6));
}

#[test]
fn a_reload_confirms_a_removal_only_when_told_to() {
    let story = Story::new(
        "rules: []",
        &[("rules/a.yaml", &file(&[rule("a", 1)])), ("rules/b.yaml", &file(&[rule("b", 1)]))],
    );
    let bench = &story.bench;
    fs::remove_file(bench.path("rules/a.yaml")).unwrap();
    for attempt in ["first", "second"] {
        let report = bench.rules.reload(false).unwrap();
        assert_eq!((report.outcome, report.generation.number), (Outcome::Refused, 1), "{attempt}");
        assert_eq!(names(&report), "+ -a ~", "what it would have meant");
        assert!(report.refusal.unwrap().contains("a.yaml` vanished"));
    }
    assert_eq!(bench.rules.diagnostics().outcome, Outcome::Refused);
    assert_eq!(bench.rules.rules().len(), 2);
    // Put back: nothing is refused any more.
    fs::write(bench.path("rules/a.yaml"), file(&[rule("a", 1)])).unwrap();
    assert_eq!(bench.rules.reload(false).unwrap().outcome, Outcome::Unchanged);
    let now = bench.rules.diagnostics();
    assert_eq!((now.outcome, now.refusal), (Outcome::Applied, None));
    fs::remove_file(bench.path("rules/a.yaml")).unwrap();
    let report = bench.rules.reload(true).unwrap();
    assert_eq!(
        (report.outcome, report.generation.number, names(&report)),
        (Outcome::Applied, 2, "+ -a ~".into())
    );
    assert_eq!(bench.rules.rules().len(), 1);
}
