//! What `s` is in `fn check(s)`, and the inputs of the rule that it gives.

use std::sync::{Arc, OnceLock};

use rhai::{Dynamic, Engine, Map};
use sereno_query::Window;

use crate::convert::{
    Outcome, duration_argument, from_labels, from_level, from_option, from_params, from_reduced,
};
use crate::instance::{InputView, Instance};
use crate::lint::suggest;
use crate::query::{Asker, Query};
use crate::reader::{Reader, range};
use crate::window::measure;

/// An instance, as a script asks about it.
#[derive(Clone, Debug)]
pub(crate) struct Subject(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instance: Arc<Instance>,
    reader: Reader,
    /// Computed when first asked for.
    value: OnceLock<Dynamic>,
}

/// One of the inputs of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    subject: Subject,
    index: usize,
}

impl Subject {
    pub(crate) fn new(instance: Arc<Instance>, reader: Reader) -> Self {
        Self(Arc::new(Inner { instance, reader, value: OnceLock::new() }))
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.0.reader
    }

    fn instance(&self) -> &Instance {
        &self.0.instance
    }

    fn value(&self) -> Outcome<Dynamic> {
        if let Some(value) = self.0.value.get() {
            return Ok(value.clone());
        }
        let value = match self.instance().value {
            Some(value) => from_option(value),
            None => self.main()?.value("s.value")?,
        };
        Ok(self.0.value.get_or_init(|| value).clone())
    }

    /// The main input.
    pub(crate) fn main(&self) -> Outcome<Input> {
        match self.instance().inputs.first() {
            Some(_) => Ok(Input { subject: self.clone(), index: 0 }),
            None => Err("this rule has no inputs, so there are no samples; use `s.query`".into()),
        }
    }

    pub(crate) fn input(&self, name: &str) -> Outcome<Input> {
        let inputs = &self.instance().inputs;
        if let Some(index) = inputs.iter().position(|input| *input.name == *name) {
            return Ok(Input { subject: self.clone(), index });
        }
        let hint = suggest(name, inputs.iter().map(|input| &*input.name));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(format!("this rule has no input `{name}`{hint}").into())
    }

    /// `s.query`: a number or a map of numbers, or a vector if labels are kept.
    pub(crate) fn query(&self, query: &Map) -> Outcome<Dynamic> {
        let instance = self.instance();
        let asker = Asker::Instance { labels: &instance.labels };
        let query = Query::read(query, asker, self.reader().aggregations(), instance.now, instance.window)?;
        if query.apart.is_empty() {
            self.reader().one(&instance.snapshot, &query).map(from_reduced)
        } else {
            self.reader().vector(&instance.snapshot, &query, &query.apart).map(Dynamic::from)
        }
    }
}

impl Input {
    fn view(&self) -> &InputView {
        // The index comes from this very list.
        &self.subject.instance().inputs[self.index]
    }

    fn value(&self, asked: &str) -> Outcome<Dynamic> {
        let view = self.view();
        let Some(how) = &view.value else {
            return Err(
                format!("there is no `agg`, so there is no `{asked}`; use `agg(name, length)`").into()
            );
        };
        if view.series.is_empty() {
            return Ok(from_option(view.otherwise));
        }
        let range = range(self.subject.instance().now, view.window, view.offset);
        let reduced = self.subject.reader().reduce(&view.series, range, &*how.reducer, how.across)?;
        let value = from_reduced(reduced);
        Ok(if value.is_unit() { from_option(view.otherwise) } else { value })
    }

    fn count(&self) -> Outcome<f64> {
        let view = self.view();
        let range = range(self.subject.instance().now, view.window, view.offset);
        measure(&self.subject.reader().window(&view.series, range), Window::count).map(|count| count as f64)
    }

    pub(crate) fn series(&self, length: &Dynamic, offset: Option<&Dynamic>) -> Outcome<Window> {
        let view = self.view();
        let offset = match offset {
            Some(offset) => duration_argument("series", offset)?,
            None => std::time::Duration::ZERO,
        };
        let length = duration_argument("series", length)?;
        let range = range(self.subject.instance().now, length, view.offset.saturating_add(offset));
        Ok(self.subject.reader().window(&view.series, range))
    }

    pub(crate) fn aggregate(&self, name: &str, length: &Dynamic, params: Option<Map>) -> Outcome<Dynamic> {
        let view = self.view();
        let length = duration_argument("agg", length)?;
        let range = range(self.subject.instance().now, length, view.offset);
        self.subject.reader().aggregate(&view.series, range, name, params)
    }
}

pub(crate) fn register(engine: &mut Engine) {
    register_instance(engine);
    register_reads(engine, |s: &mut Subject| Ok(s.clone()));
    register_input(engine);
}

fn register_instance(engine: &mut Engine) {
    engine.register_type_with_name::<Subject>("Instance");
    engine.register_get("value", |s: &mut Subject| s.value());
    engine.register_get("n", |s: &mut Subject| s.main()?.count());
    engine.register_get("labels", |s: &mut Subject| from_labels(&s.instance().labels));
    engine.register_get("params", |s: &mut Subject| from_params(&s.instance().params));
    engine.register_get("now", |s: &mut Subject| s.instance().now.secs_f64());
    engine.register_get("level", |s: &mut Subject| from_level(s.instance().level));
    engine.register_get("state", |s: &mut Subject| s.instance().state);
    engine.register_get("window", |s: &mut Subject| s.instance().window.as_secs_f64());
}

/// The methods that read samples, for whatever has an instance.
pub(crate) fn register_reads<T>(engine: &mut Engine, subject: fn(&mut T) -> Outcome<Subject>)
where
    T: rhai::Variant + Clone,
{
    engine.register_fn("series", move |on: &mut T, length: Dynamic| -> Outcome<Window> {
        subject(on)?.main()?.series(&length, None)
    });
    engine.register_fn("series", move |on: &mut T, length: Dynamic, offset: Dynamic| -> Outcome<Window> {
        subject(on)?.main()?.series(&length, Some(&offset))
    });
    engine.register_fn("input", move |on: &mut T, name: &str| -> Outcome<Input> { subject(on)?.input(name) });
    engine.register_fn("agg", move |on: &mut T, name: &str, length: Dynamic| -> Outcome<Dynamic> {
        subject(on)?.main()?.aggregate(name, &length, None)
    });
    engine.register_fn(
        "agg",
        move |on: &mut T, name: &str, length: Dynamic, params: Map| -> Outcome<Dynamic> {
            subject(on)?.main()?.aggregate(name, &length, Some(params))
        },
    );
    engine.register_fn("query", move |on: &mut T, query: Map| -> Outcome<Dynamic> {
        subject(on)?.query(&query)
    });
    engine.register_fn(
        "query",
        move |on: &mut T, metric: Dynamic, agg: Dynamic, length: Dynamic| -> Outcome<Dynamic> {
            let query = [("metric", metric), ("agg", agg), ("window", length)];
            subject(on)?.query(&query.into_iter().map(|(name, value)| (name.into(), value)).collect())
        },
    );
}

fn register_input(engine: &mut Engine) {
    engine.register_type_with_name::<Input>("Input");
    engine.register_get("name", |i: &mut Input| i.view().name.to_string());
    engine.register_get("value", |i: &mut Input| i.value("value"));
    engine.register_get("n", |i: &mut Input| i.count());
    engine.register_fn("series", |i: &mut Input, length: Dynamic| i.series(&length, None));
    engine.register_fn("series", |i: &mut Input, length: Dynamic, offset: Dynamic| {
        i.series(&length, Some(&offset))
    });
    engine.register_fn("agg", |i: &mut Input, name: &str, length: Dynamic| i.aggregate(name, &length, None));
    engine.register_fn("agg", |i: &mut Input, name: &str, length: Dynamic, params: Map| {
        i.aggregate(name, &length, Some(params))
    });
}
