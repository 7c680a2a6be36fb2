//! What `ctx` is in `fn decide(ctx)`, and the lists of alerts that it gives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, Engine, Map};

use crate::convert::{Outcome, from_params, to_labels};
use crate::instance::{Labels, Whole};
use crate::meter;
use crate::query::{Asker, Query};
use crate::reader::Reader;
use crate::vector::{ROWS_MAX, Row, Rows, Vector};
use crate::verdict::{self, Decided, Verdict};

/// A whole rule, as a script asks about it, and what the script tells.
#[derive(Clone, Debug)]
pub(crate) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    whole: Arc<Whole>,
    reader: Reader,
    /// The labels of instances, sorted.
    by: Vec<String>,
    told: Mutex<BTreeMap<Labels, Told>>,
}

#[derive(Debug)]
enum Told {
    /// There is data; nothing more.
    Seen,
    Verdict(Verdict),
}

/// A list of alerts.
#[derive(Clone, Debug)]
pub(crate) struct Alerts(Arc<Vec<Row>>);

impl Context {
    pub(crate) fn new(whole: Arc<Whole>, reader: Reader) -> Self {
        let mut by = whole.by.clone();
        by.sort_unstable();
        Self(Arc::new(Inner { whole, reader, by, told: Mutex::default() }))
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// What was told, in order of the labels.
    pub(crate) fn decided(&self) -> Decided {
        let told = std::mem::take(&mut *self.told());
        let verdict = |told| match told {
            Told::Seen => Verdict::Ok(None),
            Told::Verdict(verdict) => verdict,
        };
        Decided { emitted: told.into_iter().map(|(labels, told)| (labels, verdict(told))).collect() }
    }

    /// Held for the length of one insertion.
    fn told(&self) -> MutexGuard<'_, BTreeMap<Labels, Told>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, labels: &Map, verdict: Dynamic) -> Outcome<()> {
        let labels = self.labels("emit", labels)?;
        let verdict = verdict::read("`ctx.emit` is given", verdict)?;
        if let Some(Told::Verdict(_)) = self.told().get(&labels) {
            return Err(format!("`ctx.emit` is called twice for {}", describe(&labels)).into());
        }
        self.tell(labels, Told::Verdict(verdict))
    }

    fn seen(&self, labels: &Map) -> Outcome<()> {
        let labels = self.labels("seen", labels)?;
        if self.told().contains_key(&labels) {
            return Ok(());
        }
        self.tell(labels, Told::Seen)
    }

    fn tell(&self, labels: Labels, what: Told) -> Outcome<()> {
        meter::work(1)?;
        let mut told = self.told();
        if told.len() >= ROWS_MAX {
            return Err(format!("a rule tells about at most {ROWS_MAX} instances").into());
        }
        told.insert(labels, what);
        Ok(())
    }

    /// The labels of an instance of this rule: exactly those that it tells apart.
    fn labels(&self, function: &str, labels: &Map) -> Outcome<Labels> {
        if !labels.keys().map(|name| name.as_str()).eq(self.0.by.iter().map(String::as_str)) {
            let given: Vec<&str> = labels.keys().map(|name| name.as_str()).collect();
            let message = format!(
                "`ctx.{function}` is given the labels [{}], and the rule is `by` [{}]",
                given.join(", "),
                self.0.by.join(", ")
            );
            return Err(message.into());
        }
        to_labels(labels)
    }

    fn query(&self, query: &Map) -> Outcome<Vector> {
        let whole = &self.0.whole;
        let asker = Asker::Whole { by: &self.0.by };
        let query = Query::read(query, asker, self.reader().aggregations(), whole.now, whole.window)?;
        self.reader().vector(&whole.snapshot, &query, &query.apart)
    }

    fn known(&self) -> Alerts {
        let known = self.0.whole.known.iter();
        Alerts(Arc::new(known.map(|(labels, level)| Row::of_alert(labels.clone(), *level)).collect()))
    }

    fn alerts(&self, rule: &str) -> Outcome<Alerts> {
        let Some(firing) = (self.0.whole.alerts)(rule) else {
            return Err(format!("`ctx.alerts`: this rule does not name `{rule}` in `after`").into());
        };
        meter::work(firing.len())?;
        let rows = firing.into_iter().map(|(labels, level)| Row::of_alert(labels, Some(level)));
        Ok(Alerts(Arc::new(rows.collect())))
    }
}

impl Alerts {
    /// The level of the first whose labels are all among these.
    fn get(&self, labels: &Map) -> Outcome<Dynamic> {
        meter::work(self.0.len())?;
        let is_given = |(name, value): &(String, String)| match labels.get(name.as_str()) {
            Some(given) => given.as_immutable_string_ref().is_ok_and(|given| *given == **value),
            None => value.is_empty(),
        };
        let found = self.0.iter().find(|row| row.labels().iter().all(is_given));
        Ok(found.map_or(Dynamic::UNIT, Row::level_or_unit))
    }
}

impl IntoIterator for Alerts {
    type Item = Row;
    type IntoIter = Rows;

    fn into_iter(self) -> Rows {
        Rows::of(self.0)
    }
}

fn describe(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("[{}]", labels.join(", "))
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Context>("Rule");
    engine.register_get("now", |ctx: &mut Context| ctx.0.whole.now.secs_f64());
    engine.register_get("params", |ctx: &mut Context| from_params(&ctx.0.whole.params));
    engine.register_get("window", |ctx: &mut Context| ctx.0.whole.window.as_secs_f64());
    engine.register_get("known", |ctx: &mut Context| ctx.known());
    engine.register_fn("alerts", |ctx: &mut Context, rule: &str| ctx.alerts(rule));
    engine.register_fn("query", |ctx: &mut Context, query: Map| ctx.query(&query));
    engine.register_fn(
        "query",
        |ctx: &mut Context, metric: Dynamic, by: Dynamic, agg: Dynamic, length: Dynamic| {
            let query = [("metric", metric), ("by", by), ("agg", agg), ("window", length)];
            ctx.query(&query.into_iter().map(|(name, value)| (name.into(), value)).collect())
        },
    );
    engine.register_fn("emit", |ctx: &mut Context, labels: Map, verdict: Dynamic| ctx.emit(&labels, verdict));
    engine.register_fn("seen", |ctx: &mut Context, labels: Map| ctx.seen(&labels));
    engine.register_type_with_name::<Alerts>("Alerts");
    engine.register_iterator::<Alerts>();
    engine.register_fn("len", |k: &mut Alerts| k.0.len() as i64);
    engine.register_fn("is_empty", |k: &mut Alerts| k.0.is_empty());
    engine.register_fn("get", |k: &mut Alerts, labels: Map| k.get(&labels));
}
