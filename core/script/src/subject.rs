//! What `s` is in `fn check(s)`, and `a` in `fn message(a)`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rhai::{Dynamic, Engine};
use sereno_model::{Level, TimeRange};
use sereno_query::{Across, ReduceError, Reduced, Reducer, Tally, Window, reduce_group};

use crate::convert::{Outcome, duration_argument, from_params, from_reduced};
use crate::error::describe;
use crate::instance::Instance;
use crate::lint::suggest;
use crate::meter;
use crate::window::measure;

/// The aggregations of one generation, by name.
pub(crate) type Aggregations = BTreeMap<String, Arc<dyn Reducer>>;

/// An instance, as a script asks about it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    instance: Arc<Instance>,
    aggregations: Arc<Aggregations>,
    tally: Arc<Tally>,
    level: Option<Level>,
    /// Computed when first asked for, by whichever clone is asked; set from the start for a message.
    value: Arc<OnceLock<Dynamic>>,
}

impl Subject {
    /// For `check`: the level is the one at which the instance fires now.
    pub(crate) fn new(instance: Arc<Instance>, aggregations: Arc<Aggregations>, tally: Arc<Tally>) -> Self {
        Self { level: instance.level, instance, aggregations, tally, value: Arc::default() }
    }

    /// For `message`: level and value are those of the alert.
    pub(crate) fn of_alert(self, level: Level, value: Option<f64>) -> Self {
        let value = value.map_or(Dynamic::UNIT, Dynamic::from_float);
        Self { level: Some(level), value: Arc::new(OnceLock::from(value)), ..self }
    }

    /// Reads nothing yet.
    fn window(&self, length: Duration) -> Window {
        Window::pool(&self.instance.series, TimeRange::before(self.instance.now, length), &self.tally)
    }

    fn value(&self) -> Outcome<Dynamic> {
        if let Some(value) = self.value.get() {
            return Ok(value.clone());
        }
        let Some(how) = &self.instance.value else {
            return Err("this rule has no `agg`, so there is no `s.value`; use `s.agg(name, window)`".into());
        };
        let value = self.reduce(&*how.reducer, self.instance.window, how.across)?;
        Ok(self.value.get_or_init(|| value).clone())
    }

    fn aggregate(&self, name: &str, length: Duration) -> Outcome<Dynamic> {
        let Some(reducer) = self.aggregations.get(name) else {
            let hint = suggest(name, self.aggregations.keys().map(String::as_str));
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("there is no aggregation `{name}`{hint}").into());
        };
        self.reduce(&**reducer, length, Across::default_for(name))
    }

    fn reduce(&self, reducer: &dyn Reducer, length: Duration, across: Option<Across>) -> Outcome<Dynamic> {
        let range = TimeRange::before(self.instance.now, length);
        let reduced = reduce_group(&self.instance.series, range, &Charged(reducer), across, &self.tally);
        // What stopped an aggregation stops the rule: it is not an error that the rule may catch.
        meter::charge(0)?;
        meter::check_reads(&self.tally)?;
        reduced.map(from_reduced).map_err(|error| describe(&error).into())
    }
}

/// A reducer that charges the meter for what it decodes. One in Rhai does that itself.
#[derive(Debug)]
struct Charged<'a>(&'a dyn Reducer);

impl Reducer for Charged<'_> {
    fn reduce(&self, window: &Window) -> Result<Reduced, ReduceError> {
        let reduced = self.0.reduce(window);
        let decoded = if self.0.native().is_some() { window.decoded() } else { 0 };
        match meter::charge(decoded) {
            Ok(()) => reduced,
            // The meter has stopped the script; nobody sees this answer.
            Err(_) => Ok(Reduced::None),
        }
    }
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Subject>("Instance");
    engine.register_get("value", |s: &mut Subject| s.value());
    engine.register_get("n", |s: &mut Subject| -> Outcome<f64> {
        measure(&s.window(s.instance.window), Window::count).map(|count| count as f64)
    });
    engine.register_get("labels", |s: &mut Subject| {
        let labels = s.instance.labels.iter();
        labels.map(|(name, value)| (name.as_str().into(), value.clone().into())).collect::<rhai::Map>()
    });
    engine.register_get("params", |s: &mut Subject| from_params(&s.instance.params));
    engine.register_get("now", |s: &mut Subject| s.instance.now.secs_f64());
    engine.register_get("level", |s: &mut Subject| {
        s.level.map_or(Dynamic::UNIT, |level| level.as_str().into())
    });
    engine.register_get("window", |s: &mut Subject| s.instance.window.as_secs_f64());
    engine.register_fn("series", |s: &mut Subject, length: Dynamic| -> Outcome<Window> {
        Ok(s.window(duration_argument("series", &length)?))
    });
    engine.register_fn("agg", |s: &mut Subject, name: &str, length: Dynamic| -> Outcome<Dynamic> {
        s.aggregate(name, duration_argument("agg", &length)?)
    });
}
