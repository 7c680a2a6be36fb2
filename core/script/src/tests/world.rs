//! A real store with whatever series a test wants, and handles on it at one tick.

use std::time::Duration;

use sereno_model::{Selector, SeriesKey};
use sereno_query::Across;
use sereno_runtime::{Metrics, RealDisk};
use sereno_storage::{Config, Row, Snapshot, Store};

use super::*;
use crate::{
    Answer, Budget, Decided, InputView, Instance, Labels, Memory, ScriptError, Value, Verdict, Whole,
};

/// The tick of every test.
pub(super) const TICK: i64 = 1_700_000_060_000;

/// A store as it is at the tick.
pub(super) struct World {
    _directory: tempfile::TempDir,
    pub(super) snapshot: Snapshot,
}

pub(super) fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl World {
    /// Each series by its text, `up{job="a"}`, with samples: seconds before the tick, and value.
    pub(super) fn new(series: &[(&str, &[(i64, f64)])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { directory: directory.path().to_owned(), ..Config::default() };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(TICK)));
        let store = Store::open(&config, Arc::new(RealDisk), clock, &Metrics::default()).unwrap();
        let mut rows = Vec::new();
        for (key, samples) in series {
            let (name, rest) = key.split_once('{').unwrap_or((key, ""));
            let id =
                store.series(&SeriesKey::new(name, labels(rest.trim_end_matches('}'))).unwrap()).unwrap();
            let row =
                |(ago, value): &(i64, f64)| Row::at(id, Timestamp::from_millis(TICK - ago * 1_000), *value);
            rows.extend(samples.iter().map(row));
        }
        assert!(store.append(rows).wait().is_ok());
        Self { _directory: directory, snapshot: store.snapshot() }
    }

    fn input(&self, name: &str, metric: &str, wanted: &Labels) -> InputView {
        let mut series = self.snapshot.select(&Selector::exact(metric), TimeRange::ALL).unwrap();
        series.retain(|series| wanted.iter().all(|(name, value)| series.key().label(name) == value));
        InputView {
            name: name.into(),
            series,
            window: Duration::from_secs(60),
            offset: Duration::ZERO,
            value: Some(Value {
                reducer: library(&[]).aggregation("mean").unwrap(),
                across: Some(Across::Pool),
            }),
            otherwise: None,
        }
    }

    /// The instance with these labels of a rule that reads `inputs`: pairs of name and metric.
    pub(super) fn instance(&self, instance: &str, inputs: &[(&str, &str)]) -> Instance {
        let wanted = labels(instance);
        Instance {
            now: Timestamp::from_millis(TICK),
            inputs: inputs.iter().map(|(name, metric)| self.input(name, metric, &wanted)).collect(),
            labels: Arc::new(wanted),
            params: Arc::default(),
            level: None,
            state: "inactive",
            window: Duration::from_secs(60),
            snapshot: self.snapshot.clone(),
            value: None,
        }
    }

    pub(super) fn whole(&self, by: &[&str]) -> Whole {
        Whole {
            now: Timestamp::from_millis(TICK),
            params: Arc::default(),
            window: Duration::from_secs(60),
            snapshot: self.snapshot.clone(),
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            known: Vec::new(),
            alerts: Arc::new(|_| None),
        }
    }

    /// What `check` with this body says about the instance; `m` is its main input.
    pub(super) fn check(&self, instance: &str, body: &str) -> Result<Verdict, ScriptError> {
        let instance = self.instance(instance, &[("v", "m")]);
        ask(&instance, &format!("fn check(s) {{ {body} }}")).map(|answer| answer.given)
    }

    /// The number that an expression gives, in `check`; `none` for `()`, and the message of an error.
    pub(super) fn number(&self, instance: &str, expression: &str) -> String {
        match self.check(instance, &format!("ok({expression})")) {
            Ok(Verdict::Ok(Some(number))) => number.to_string(),
            Ok(Verdict::Ok(None)) => "none".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.diagnostic.message.clone(),
        }
    }

    /// What `decide` with this body tells.
    pub(super) fn decide(&self, by: &[&str], body: &str) -> Result<Decided, ScriptError> {
        decide(&self.whole(by), &format!("fn decide(ctx) {{ {body} }}")).map(|answer| answer.given)
    }

    /// The same in one line: `host=a: alert crit 5, host=b: ok`.
    pub(super) fn told(&self, by: &[&str], body: &str) -> String {
        match self.decide(by, body) {
            Ok(decided) => show(&decided),
            Err(error) => error.diagnostic.message.clone(),
        }
    }
}

pub(super) fn show(decided: &Decided) -> String {
    let number = |value: &Option<f64>| value.map(|value| format!(" {value}")).unwrap_or_default();
    let line = |(labels, verdict): &(Labels, Verdict)| {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let verdict = match verdict {
            Verdict::Ok(value) => format!("ok{}", number(value)),
            Verdict::Alert(level, value) => format!("{level}{}", number(value)),
            Verdict::Absent(why) => format!("absent {why}"),
            Verdict::Skip(why) => format!("skip {why}"),
        };
        format!("{}: {verdict}", labels.join(","))
    };
    decided.emitted.iter().map(line).collect::<Vec<_>>().join("; ")
}

pub(super) fn ask(instance: &Instance, text: &str) -> Result<Answer<Verdict>, ScriptError> {
    let script = library(&[("rules/x.rhai", text)]).rule("x.rhai").unwrap();
    script.check(&mut Memory::default(), &Arc::new(instance.clone()), &mut Budget::default())
}

pub(super) fn decide(whole: &Whole, text: &str) -> Result<Answer<Decided>, ScriptError> {
    let script = library(&[("rules/x.rhai", text)]).rule("x.rhai").unwrap();
    script.decide(&mut Memory::default(), &Arc::new(whole.clone()), &mut Budget::default())
}
