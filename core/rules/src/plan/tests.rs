//! A plan says what a reload would then do, and changes nothing.

use std::fmt::Write as _;
use std::time::Duration;

use sereno_model::SeriesKey;
use sereno_runtime::{ManualClock, MemoryDisk, Metrics};
use sereno_script::Limits;
use sereno_storage::{Row, Store};

use super::*;
use crate::generation::load;
use crate::timeline::Timeline;

const START: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);

struct Server {
    host: Host,
    store: Store,
    config: Config,
    timeline: Timeline,
    now: Timestamp,
}

fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        let content = Ok(Arc::from(*text));
        match path.strip_prefix("/etc/scripts/") {
            Some(place) => {
                files.scripts.insert(place.into(), Script { display: path.into(), content });
            }
            None => {
                files.rules.insert(path.into(), content);
            }
        }
    }
    files
}

impl Server {
    /// A server whose rules have been evaluated for a while; each metric has had its value all the time.
    fn new(texts: &[(&str, &str)], values: &[(&str, f64)]) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let host = Host { limits: Limits::default(), clock: clock.clone(), retention: None };
        let config = sereno_storage::Config {
            directory: "/".into(),
            queues: 2,
            writers: 1,
            future_max: Duration::ZERO,
            ..sereno_storage::Config::default()
        };
        let disk = Arc::new(MemoryDisk::new());
        let store = Store::open(&config, disk, clock.clone(), &Metrics::default()).unwrap();
        let _recovery = store.wait_recovered();
        let generation = Arc::new(load(files(texts), &host, None));
        assert_eq!(generation.diagnostics, [], "the files of this test are good");
        let mut timeline = Timeline::new(host.clone(), generation);
        let end = START + Duration::from_secs(60);
        let mut now = START;
        while now < end {
            for (series, value) in values {
                let id = store.series(&series.parse::<SeriesKey>().unwrap()).unwrap();
                assert!(store.append(vec![Row::at(id, now, *value)]).wait().is_ok());
            }
            now = now + Duration::from_secs(1);
            clock.step_to(now);
            let _told = timeline.tick(now, &store.snapshot());
        }
        let now = now + Duration::from_millis(500);
        Self { host, store, config: Config::default(), timeline, now }
    }

    fn planner<'a>(&'a self, snapshot: &'a Snapshot) -> Planner<'a> {
        Planner {
            host: &self.host,
            config: &self.config,
            active: self.timeline.generation(),
            states: copies(self.timeline.states()),
            snapshot,
            now: self.now,
            go_on: &|| true,
        }
    }

    /// The plan of files in a folder of one's own.
    fn plan(&self, texts: &[(&str, &str)]) -> String {
        let file = |(path, text): &(&str, &str)| PlannedFile {
            path: path.trim_start_matches("scripts/").into(),
            text: (*text).to_owned(),
            is_script: path.starts_with("scripts/"),
        };
        let snapshot = self.store.snapshot();
        let states = format!("{:?}", self.timeline.states());
        let plan = self.planner(&snapshot).plan(texts.iter().map(file).collect()).unwrap();
        assert_eq!(format!("{:?}", self.timeline.states()), states, "a plan has no effect");
        told(&plan)
    }
}

fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for finding in &plan.findings {
        writeln!(text, "{} {}:{} {}", finding.severity, finding.path, finding.line, finding.message).unwrap();
    }
    for rule in &plan.rules {
        let from = rule.renamed_from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
        writeln!(text, "{} {}{from} {}:{} keeps {}", rule.class, rule.rule, rule.path, rule.line, rule.keeps)
            .unwrap();
        for (what, instances) in
            [("opens", &rule.opens), ("closes", &rule.closes), ("changes", &rule.changes)]
        {
            for one in instances {
                let value = one.value.map(|value| value.0);
                let levels = [&one.level, &one.becomes_level].map(|level| level.as_deref().unwrap_or("-"));
                let reason = one.reason.as_deref().unwrap_or("-");
                writeln!(
                    text,
                    "  {what} {:?} {} {} {levels:?} {value:?} {reason}",
                    one.instance, one.state, one.becomes
                )
                .unwrap();
            }
        }
        rule.errors
            .iter()
            .for_each(|error| writeln!(text, "  error {}", error.lines().next().unwrap()).unwrap());
    }
    writeln!(text, "{} unchanged, refused: {:?}", plan.unchanged, plan.refusal).unwrap();
    text
}

fn rule(id: &str, metric: &str, more: &str) -> String {
    format!("  - {{ id: {id}, metric: {metric}, by: [host], agg: max, window: 5s, every: 1s, {more} }}\n")
}

fn of(rules: &[String]) -> String {
    format!("rules:\n{}", rules.concat())
}

const HOSTS: [(&str, f64); 3] =
    [("load{host=\"a\"}", 95.0), ("load{host=\"b\"}", 85.0), ("load{host=\"c\"}", 20.0)];

#[test]
fn a_plan_tells_what_would_open_close_and_keep() {
    let active = of(&[rule("load", "load", "limit: 90"), rule("other", "load", "limit: 80")]);
    let server = Server::new(&[("/etc/rules/a.yaml", &active)], &HOSTS);
    // The same elsewhere is no change.
    assert_eq!(server.plan(&[("mine/a.yaml", &active)]), "2 unchanged, refused: None\n");
    let lower = of(&[rule("load", "load", "limit: 80"), rule("other", "load", "limit: 90, level: warn")]);
    insta::assert_snapshot!(server.plan(&[("mine/a.yaml", &lower)]), @r#"
    logic load mine/a.yaml:2 keeps 2
      opens {"host": "b"} inactive firing ["-", "crit"] Some(85.0) -
    logic other mine/a.yaml:3 keeps 1
      closes {"host": "b"} firing inactive ["crit", "-"] Some(85.0) -
      changes {"host": "a"} firing firing ["crit", "warn"] Some(95.0) -
    0 unchanged, refused: None
    "#);
    let words =
        of(&[rule("load", "load", "limit: 90, message: \"hot\""), rule("other", "load", "limit: 80")]);
    insta::assert_snapshot!(server.plan(&[("mine/a.yaml", &words)]), @"
    text load mine/a.yaml:2 keeps 3
    1 unchanged, refused: None
    ");
}

#[test]
fn what_is_new_gone_renamed_or_another_rule() {
    let active = of(&[
        rule("old", "load", "limit: 90"),
        rule("gone", "load", "limit: 80"),
        rule("by", "load", "limit: 90"),
    ]);
    let server = Server::new(&[("/etc/rules/a.yaml", &active)], &HOSTS);
    let edited = of(&[
        rule("new", "load", "limit: 90, renamed_from: old"),
        rule("by", "load", "limit: 90").replace("[host]", "[host, disk]"),
        rule("slow", "load", "limit: 80, for: 1m"),
    ]);
    insta::assert_snapshot!(server.plan(&[("mine/a.yaml", &edited)]), @r#"
    identity by mine/a.yaml:3 keeps 2
      opens {"disk": "", "host": "a"} inactive firing ["-", "crit"] Some(95.0) -
      closes {"host": "a"} firing inactive ["crit", "-"] None its `metric` or `by` has changed
    removed gone mine/a.yaml:3 keeps 0
      closes {"host": "a"} firing inactive ["crit", "-"] None the rule was removed
      closes {"host": "b"} firing inactive ["crit", "-"] None the rule was removed
    renamed new from old mine/a.yaml:2 keeps 3
    added slow mine/a.yaml:4 keeps 1
      opens {"host": "a"} inactive pending ["-", "-"] Some(95.0) -
      opens {"host": "b"} inactive pending ["-", "-"] Some(85.0) -
    0 unchanged, refused: None
    "#);
}

#[test]
fn mistakes_are_told_where_they_are_and_keep_what_runs() {
    let active = of(&[rule("load", "load", "limit: 90")]);
    let other = of(&[rule("other", "load", "limit: 80")]);
    let texts = [("/etc/rules/a.yaml", &*active), ("/etc/rules/b.yaml", &*other)];
    let server = Server::new(&texts, &HOSTS);
    insta::assert_snapshot!(server.plan(&[("mine/a.yaml", "rules: ["), ("mine/b.yaml", &other)]), @"
    error mine/a.yaml:2 not YAML: while parsing a node, did not find expected node content
    2 unchanged, refused: None
    ");
    insta::assert_snapshot!(server.plan(&[("mine/b.yaml", &other)]), @r#"
    removed load /etc/rules/a.yaml:2 keeps 0
      closes {"host": "a"} firing inactive ["crit", "-"] None the rule was removed
    1 unchanged, refused: Some("`/etc/rules/a.yaml` vanished, and rule `load` fires")
    "#);
}

#[test]
fn scripts_come_along_or_stay() {
    let active = "rules:\n  - { id: odd, metric: load, by: [host], agg: max, window: 5s, every: 1s, script: odd.rhai }\n";
    let odd = "fn check(s) { s.value > 90.0 }";
    let server = Server::new(&[("/etc/rules/a.yaml", active), ("/etc/scripts/rules/odd.rhai", odd)], &HOSTS);
    assert_eq!(server.plan(&[("a.yaml", active)]), "1 unchanged, refused: None\n");
    insta::assert_snapshot!(server.plan(&[("a.yaml", active), ("scripts/rules/odd.rhai", "fn check(s) { s.value > 80.0 }")]), @r#"
    logic odd a.yaml:2 keeps 2
      opens {"host": "b"} inactive firing ["-", "crit"] None -
    0 unchanged, refused: None
    "#);
    insta::assert_snapshot!(server.plan(&[("a.yaml", active), ("scripts/rules/odd.rhai", "fn check(s) { throw \"no\" }")]), @r#"
    logic odd a.yaml:2 keeps 3
      error odd{host="a"}: error: no
      error odd{host="b"}: error: no
      error odd{host="c"}: error: no
    0 unchanged, refused: None
    "#);
}

#[test]
fn nobody_waits() {
    let active = of(&[rule("load", "load", "limit: 90")]);
    let server = Server::new(&[("/etc/rules/a.yaml", &active)], &HOSTS);
    let snapshot = server.store.snapshot();
    let planner = Planner { go_on: &|| false, ..server.planner(&snapshot) };
    let text = of(&[rule("load", "load", "limit: 80")]);
    assert_eq!(planner.plan(vec![PlannedFile { path: "a.yaml".into(), text, is_script: false }]), None);
}
