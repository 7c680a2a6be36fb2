//! Rule scripts over a real store.

use std::time::Duration;

use sereno_model::{EventKind, Level, Selector, SeriesKey};
use sereno_query::Across;
use sereno_runtime::{Metrics, RealDisk};
use sereno_storage::{Config, Row, Series, Snapshot, Store};

use super::*;
use crate::{
    AlertView, Budget, ErrorKind, InputView, Instance, Memory, ParamValue, RuleScript, ScriptError, Trace,
    TraceValue, Value, Verdict,
};

/// Sixty samples of `cpu`, one a second, with the values 0 to 59; the tick is a second after the last.
struct Fixture {
    _directory: tempfile::TempDir,
    snapshot: Snapshot,
    series: Vec<Series>,
}

const TICK: i64 = 1_700_000_060_000;

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { directory: directory.path().to_owned(), ..Config::default() };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(TICK)));
        let store = Store::open(&config, Arc::new(RealDisk), clock, &Metrics::default()).unwrap();
        let cpu = store.series(&SeriesKey::new("cpu", [("host", "a")]).unwrap()).unwrap();
        let rows = (0..60).map(|i| Row::at(cpu, Timestamp::from_millis(TICK - 60_000 + i * 1_000), i as f64));
        assert!(store.append(rows.collect()).wait().is_ok());
        let snapshot = store.snapshot();
        let series = snapshot.select(&Selector::exact("cpu"), TimeRange::ALL).unwrap();
        Self { _directory: directory, snapshot, series }
    }

    fn instance(&self) -> Arc<Instance> {
        let params = [("limit", ParamValue::Int(5)), ("names", ParamValue::List(vec![ParamValue::Null]))];
        let reducer = library(&[]).aggregation("mean").unwrap();
        Arc::new(Instance {
            now: Timestamp::from_millis(TICK),
            labels: Arc::new(vec![("host".to_owned(), "a".to_owned())]),
            params: Arc::new(params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            level: Some(Level::Warn),
            state: "firing",
            snapshot: self.snapshot.clone(),
            window: Duration::from_secs(10),
            inputs: vec![InputView {
                name: "v".into(),
                series: self.series.clone(),
                window: Duration::from_secs(10),
                offset: Duration::ZERO,
                value: Some(Value { reducer, across: Some(Across::Pool) }),
                otherwise: None,
            }],
            value: None,
        })
    }

    fn alert(&self) -> AlertView {
        let instance = self.instance();
        AlertView {
            rule: "cpu_high".into(),
            kind: EventKind::Firing,
            level: Level::Crit,
            previous: Some(Level::Warn),
            value: Some(97.25),
            extreme: Some(99.0),
            n: Some(10.0),
            labels: instance.labels.clone(),
            params: instance.params.clone(),
            traces: vec![Trace { name: "dev".into(), value: TraceValue::Number(1.5) }],
            now: instance.now,
            fired_at: Timestamp::from_millis(TICK - 90_000),
            duration: Duration::from_secs(90),
            runbook: Some("https://wiki/cpu".to_owned()),
            instance: Some(instance),
        }
    }

    fn check(&self, body: &str) -> Result<Verdict, ScriptError> {
        let script = rule(&format!("fn check(s) {{ {body} }}"));
        let answer = script.check(&mut Memory::default(), &self.instance(), &mut Budget::default());
        answer.map(|answer| answer.given)
    }
}

fn rule(text: &str) -> RuleScript {
    (*library(&[("rules/x.rhai", text)]).rule("x.rhai").unwrap()).clone()
}

#[test]
fn an_instance_shows_its_data_at_the_tick() {
    let fixture = Fixture::new();
    let holds = [
        "s.value == 54.5",
        "s.n == 10",
        "s.labels.host == \"a\"",
        "s.params.limit == 5 && s.params.limit / 2 == 2.5 && s.params.names[0] == ()",
        "s.now == 1700000060.0",
        "s.level == \"warn\"",
        "s.window == 10.0 && s.series(s.window).count() == 10",
        "s.series(\"1m\").first() == 0 && s.series(\"1m\").count() == 60",
        "s.now - s.series(\"1m\").last_time() == 1",
        "s.series(\"30s\").forecast(\"10s\").round() == 70",
        "s.series(\"30s\").slope().round() == 1",
        "s.agg(\"p99\", \"1m\") > 58 && s.agg(\"count\", \"1m\") == 60",
        "s.agg(\"mean\", \"1ms\") == ()",
        "s.series(\"1ms\").is_empty()",
        "s.series(\"10s\").increase() == 10",
    ];
    for condition in holds {
        assert_eq!(fixture.check(condition).unwrap(), Verdict::Alert(Level::Crit, None), "{condition}");
    }
}

#[test]
fn verdicts_are_read_and_anything_else_is_an_error() {
    let fixture = Fixture::new();
    let verdicts = [
        ("ok()", Verdict::Ok(None)),
        ("ok(s.value)", Verdict::Ok(Some(54.5))),
        ("ok(())", Verdict::Ok(None)),
        ("alert(\"critical\", 7)", Verdict::Alert(Level::Crit, Some(7.0))),
        ("alert(\"info\")", Verdict::Alert(Level::Info, None)),
        ("absent(\"no disk\")", Verdict::Absent("no disk".into())),
        ("skip(\"too early\")", Verdict::Skip("too early".into())),
        ("s.value > 1000", Verdict::Ok(None)),
        ("\"warn\"", Verdict::Alert(Level::Warn, None)),
    ];
    for (body, expected) in verdicts {
        assert_eq!(fixture.check(body).unwrap(), expected, "{body}");
    }
    for body in ["1", "()", "\"red\"", "s.series(\"5m\")", "[true]", "let x = 1;"] {
        let error = fixture.check(body).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Answer, "{body}: {error}");
    }
    let level = fixture.check("let level = \"red\"; alert(level, 1)").unwrap_err();
    assert_eq!(level.diagnostic.message, "`red` is not a level; levels are `info`, `warn` and `crit`");
    assert_eq!(level.diagnostic.place(), "scripts/rules/x.rhai:1:34");
    let window = fixture.check("ok(s.series(\"5m\"))").unwrap_err();
    assert_eq!(window.diagnostic.message, "`ok` wants a number, not a window");
}

#[test]
fn mistakes_in_arguments_are_told() {
    let fixture = Fixture::new();
    let cases = [
        (
            "let length = \"5\"; s.series(length)",
            "`series` wants a duration such as \"5m\": `5`: a duration needs a unit: `5s`, `5m`, …",
        ),
        ("s.series(-1)", "`series` wants a duration such as \"5m\": "),
        ("let name = \"p98\"; s.agg(name, \"5m\")", "there is no aggregation `p98`; did you mean `p9"),
        ("s.labels.rack == \"r1\"", "there is no `rack`"),
    ];
    for (body, expected) in cases {
        let error = fixture.check(body).unwrap_err();
        assert!(error.diagnostic.message.starts_with(expected), "{body}: {error}");
    }
}

#[test]
fn memory_is_kept_from_tick_to_tick() {
    let fixture = Fixture::new();
    let script = rule(
        "fn init() { #{ seen: 0, past: [] } }\nfn check(s) { this.seen += 1; this.past.push(s.value); this.seen >= 3 }",
    );
    let (mut memory, mut budget) = (Memory::default(), Budget::default());
    let mut check = || script.check(&mut memory, &fixture.instance(), &mut budget).unwrap().given;
    assert_eq!([check(), check(), check()].map(|v| v != Verdict::Ok(None)), [false, false, true]);
    assert!(budget.operations() > 0 && budget.samples() > 0);
}

#[test]
fn a_failed_call_leaves_the_memory_as_it_was() {
    let fixture = Fixture::new();
    let mut memory = Memory::default();
    let mut check = |text: &str| {
        let outcome = rule(text).check(&mut memory, &fixture.instance(), &mut Budget::default());
        outcome.map(|answer| answer.given).map_err(|error| (error.kind, error.diagnostic.message.clone()))
    };
    let count = "this.n = (if \"n\" in this { this.n } else { 0 }) + 1;";
    let shows_one = format!("fn check(s) {{ {count} this.n == 2 }}");
    check(&format!("fn check(s) {{ {count} ok() }}")).unwrap();
    check(&format!("fn check(s) {{ {count} throw \"late\" }}")).unwrap_err();
    check(&format!("fn check(s) {{ {count} 17 }}")).unwrap_err();
    check(&format!("fn check(s) {{ {count} loop {{}} }}")).unwrap_err();
    let (kind, message) = check("fn check(s) { this.w = s.series(\"1m\"); true }").unwrap_err();
    assert_eq!(kind, ErrorKind::Answer);
    assert!(message.starts_with("`this.w` is a window; `this` holds only numbers"), "{message}");
    let (_, message) = check("fn check(s) { this.f = |x| x; true }").unwrap_err();
    assert!(message.starts_with("`this.f` is a function"), "{message}");
    let (_, message) =
        check("fn check(s) { this.a = []; this.a.pad(990, \"0123456789\"); true }").unwrap_err();
    assert!(message.starts_with("`this` has grown too large (at `this.a["), "{message}");
    assert_eq!(check(&shows_one).unwrap(), Verdict::Alert(Level::Crit, None));
}

#[test]
fn the_operations_of_a_tick_are_counted_over_its_calls() {
    let fixture = Fixture::new();
    let limits = Limits { operations_max: 50_000, operations_per_tick_max: 60_000, ..Limits::default() };
    let text = "fn check(s) { for i in 0..2000 { i + 1 } s.agg(\"slow\", \"1m\") > 0 }";
    let slow = "fn aggregate(w) { for i in 0..1000 { i + 1 } w.mean() }";
    let scripts = sources(&[("rules/x.rhai", text), ("aggregations/slow.rhai", slow)]);
    let (library, found) = Library::load(&scripts, &limits, &clock(), None);
    assert_eq!(found, []);
    let script = library.rule("x.rhai").unwrap();
    let mut budget = Budget::default();
    let mut check = || script.check(&mut Memory::default(), &fixture.instance(), &mut budget);
    check().unwrap();
    let error = (0..5).find_map(|_| check().err()).expect("the budget of the tick to be used up");
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!(
        error.diagnostic.message,
        "the scripts of this rule used up their 60000 operations for one tick"
    );
    assert!(budget.operations() > 60_000);
}

/// Six hours of a sample every 5 s, in compacted segments; the tick is at the end of the last.
fn six_hours() -> (tempfile::TempDir, Arc<Instance>) {
    let hours = 1_700_006_400_000;
    let end = Timestamp::from_millis(hours + 6 * 3_600_000);
    let directory = tempfile::tempdir().unwrap();
    let config = Config { directory: directory.path().to_owned(), ..Config::default() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(end));
    let store = Store::open(&config, Arc::new(RealDisk), clock, &Metrics::default()).unwrap();
    let cpu = store.series(&SeriesKey::new("cpu", [("host", "a")]).unwrap()).unwrap();
    let value = |i: i64| (i * 7 % 90) as f64;
    let rows = (0..6 * 720).map(|i| Row::at(cpu, Timestamp::from_millis(hours + i * 5_000), value(i)));
    assert!(store.append(rows.collect()).wait().is_ok());
    store.flush().unwrap();
    store.compact().unwrap();
    let instance = Instance {
        now: end,
        labels: Arc::default(),
        params: Arc::default(),
        level: None,
        state: "inactive",
        snapshot: store.snapshot(),
        window: Duration::from_secs(6 * 3_600),
        inputs: vec![InputView {
            name: "v".into(),
            series: store.snapshot().select(&Selector::exact("cpu"), TimeRange::ALL).unwrap(),
            window: Duration::from_secs(6 * 3_600),
            offset: Duration::ZERO,
            value: None,
            otherwise: None,
        }],
        value: None,
    };
    (directory, Arc::new(instance))
}

#[test]
fn what_rows_answer_decodes_nothing() {
    let (_directory, instance) = six_hours();
    let samples = |body: &str| {
        let mut budget = Budget::default();
        let script = rule(&format!("fn check(s) {{ {body} }}"));
        script.check(&mut Memory::default(), &instance, &mut budget).unwrap();
        budget.samples()
    };
    assert_eq!(samples("let w = s.series(\"6h\"); w.mean() > 1000 || w.max() > 1000"), 0);
    assert_eq!(samples("s.n + s.agg(\"mean\", \"4h\") + s.agg(\"max\", \"2h\") < 0"), 0);
    assert_eq!(samples("let w = s.series(\"1m\"); w.mean() > 1000"), 0, "minutes have rows too");
    let decoded = samples("s.series(\"6h\").median() > 1000");
    assert_eq!(decoded, 6 * 720);
    assert_eq!(samples("let w = s.series(\"6h\"); w.median() + w.mean() + w.max() < 0"), decoded, "once");
    assert_eq!(
        samples("let w = s.series(\"6h\"); w.median() + w.stddev() < 0"),
        2 * decoded,
        "looked at twice"
    );
    assert_eq!(samples("let n = 0; for v in s.series(\"6h\") { n += 1; } n < 0"), decoded);
}

#[test]
fn a_rule_reads_no_more_than_its_budget() {
    let (_directory, instance) = six_hours();
    let limits = Limits { samples_max: 5_000, ..Limits::default() };
    let text = "fn check(s) { try { s.series(\"6h\").median() } catch { } s.series(\"6h\").stddev(); ok() }";
    let (library, _) = Library::load(&sources(&[("rules/x.rhai", text)]), &limits, &clock(), None);
    let check =
        library.rule("x.rhai").unwrap().check(&mut Memory::default(), &instance, &mut Budget::default());
    let error = check.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!(error.diagnostic.message, "the script looked at more than its 5000 samples");
}

#[test]
fn a_message_sees_level_and_value_of_the_alert() {
    let fixture = Fixture::new();
    let text = "fn check(s) { true }\nfn message(a) { `${a.labels.host}: ${fmt(a.value, 1)} (${a.level})` }";
    let mut budget = Budget::default();
    let message = |script: &RuleScript, budget: &mut Budget| script.message(&fixture.alert(), budget);
    assert_eq!(message(&rule(text), &mut budget).unwrap().as_deref(), Some("a: 97.2 (crit)"));
    assert_eq!(message(&rule("fn check(s) { true }"), &mut budget).unwrap(), None);
    let number = message(&rule("fn check(s) { true } fn message(a) { 5 }"), &mut budget).unwrap_err();
    assert_eq!(number.diagnostic.message, "`message` answers with a number, not with a text");
}
