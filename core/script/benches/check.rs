//! What one call of `check` costs, host and all; `rhai` is such a script by the engine alone. On a shared machine of two
//! cores: nothing at all 0.44 µs, of which 0.26 are the engine's; a known value against a number 0.73 µs, against a
//! parameter 1.0; a value that is read from the store 1.2; `s.series("1m").mean() > 80` 2.3; with memory 1.6; a query 3.7.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rhai::{AST, CallFnOptions, Dynamic, Engine, Scope};
use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_query::{Across, Native};
use sereno_runtime::{Clock, ManualClock, Metrics, RealDisk};
use sereno_script::{
    Budget, InputView, Instance, Library, Limits, Memory, ParamValue, RuleScript, Source, Value,
};
use sereno_storage::{Config, Row, Store};

const TICK: i64 = 1_700_000_060_000;

/// A series with a sample every five seconds, and an instance that reads it.
fn instance(directory: &std::path::Path) -> Arc<Instance> {
    let config = Config { directory: directory.to_owned(), ..Config::default() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(TICK)));
    let store = Store::open(&config, Arc::new(RealDisk), clock, &Metrics::default()).expect("a store");
    let id = store.series(&SeriesKey::new("cpu", [("host", "a")]).expect("a key")).expect("a series");
    let rows = (1..=60).map(|i| Row::at(id, Timestamp::from_millis(TICK - i * 5_000), (i % 9) as f64));
    assert!(store.append(rows.collect()).wait().is_ok());
    let snapshot = store.snapshot();
    let series = snapshot.select(&Selector::exact("cpu"), TimeRange::ALL).expect("series");
    let window = Duration::from_secs(60);
    let value = Some(Value { reducer: Arc::new(Native::Mean), across: Some(Across::Pool) });
    let params = [("limit".to_owned(), ParamValue::Float(80.0))];
    Arc::new(Instance {
        now: Timestamp::from_millis(TICK),
        labels: Arc::new(vec![("host".to_owned(), "a".to_owned())]),
        params: Arc::new(params.into_iter().collect()),
        level: None,
        state: "inactive",
        window,
        snapshot,
        inputs: vec![InputView {
            name: "v".into(),
            series,
            window,
            offset: Duration::ZERO,
            value,
            otherwise: None,
        }],
        value: None,
    })
}

fn script(body: &str) -> Arc<RuleScript> {
    let source = Source {
        path: "rules/x.rhai".to_owned(),
        display: PathBuf::from("x.rhai"),
        text: format!("fn check(s) {{ {body} }}").into(),
    };
    let clock: Arc<dyn Clock> = Arc::new(sereno_runtime::SystemClock::new());
    let (library, found) = Library::load(&[source], &Limits::default(), &clock, None);
    assert!(found.is_empty(), "{found:?}");
    library.rule("x.rhai").expect("loaded above")
}

/// The engine alone, with all its packages and none of our functions.
fn alone(body: &str) -> (Engine, AST) {
    let mut engine = Engine::new();
    engine.set_max_strings_interned(0);
    engine.register_fn("twice", |x: i64| x * 2);
    let ast = engine.compile(format!("fn check(s) {{ {body} }}")).expect("a script");
    (engine, ast)
}

fn checks(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let instance = instance(directory.path());
    let known = Arc::new(Instance { value: Some(Some(5.0)), ..(*instance).clone() });
    let cases = [
        ("nothing", "true", &known),
        ("a value that is known", "s.value > 80", &known),
        ("a parameter", "s.value > s.params.limit", &known),
        ("a value that is read", "s.value > 80", &instance),
        ("two calls", "s.series(\"1m\").mean() > 80", &instance),
        ("two windows", "s.series(\"1m\").mean() >= 0 && s.series(\"5m\").mean() > 80", &instance),
        ("memory", "this.n = (this.get(\"n\") ?? 0) + 1; s.value > 80", &known),
        ("a query", "s.query(\"cpu\", \"mean\", \"1m\") > 80", &instance),
        ("a verdict", "if s.value > 80 { alert(\"crit\", s.value) } else { ok(s.value) }", &known),
    ];
    for (name, body, instance) in cases {
        let script = script(body);
        let (mut memory, mut budget) = (Memory::default(), Budget::default());
        criterion.bench_function(name, |b| {
            b.iter(|| {
                budget = Budget::default();
                script.check(black_box(&mut memory), instance, &mut budget).expect("an answer")
            });
        });
    }
    for (name, body) in [("rhai: nothing", "true"), ("rhai: two calls", "twice(twice(s)) > 80")] {
        let (engine, ast) = alone(body);
        criterion.bench_function(name, |b| {
            b.iter(|| {
                let mut this = Dynamic::UNIT;
                let options = CallFnOptions::new().bind_this_ptr(&mut this);
                let arguments = (black_box(7_i64),);
                engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &ast, "check", arguments)
            });
        });
    }
}

criterion_group!(benches, checks);
criterion_main!(benches);
