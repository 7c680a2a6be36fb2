//! What `a` is in `fn message(a)`.

use std::sync::Arc;

use rhai::{Dynamic, Engine};

use crate::convert::{Outcome, from_labels, from_level, from_option, from_params};
use crate::instance::AlertView;
use crate::subject::{Subject, register_reads};
use crate::trace;

/// An alert that wants words.
#[derive(Clone, Debug)]
pub(crate) struct Alert(Arc<(AlertView, Option<Subject>)>);

impl Alert {
    /// `subject` is what `check` saw; a rule that decides as a whole has none.
    pub(crate) fn new(view: AlertView, subject: Option<Subject>) -> Self {
        Self(Arc::new((view, subject)))
    }

    fn view(&self) -> &AlertView {
        &self.0.0
    }

    fn subject(&self) -> Outcome<Subject> {
        self.0.1.clone().ok_or_else(|| "there is no instance to read here; use what `a` says".into())
    }
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Alert>("Alert");
    engine.register_get("rule", |a: &mut Alert| a.view().rule.to_string());
    engine.register_get("kind", |a: &mut Alert| a.view().kind.as_str());
    engine.register_get("level", |a: &mut Alert| a.view().level.as_str());
    engine.register_get("previous", |a: &mut Alert| from_level(a.view().previous));
    engine.register_get("value", |a: &mut Alert| from_option(a.view().value));
    engine.register_get("extreme", |a: &mut Alert| from_option(a.view().extreme));
    engine.register_get("n", |a: &mut Alert| from_option(a.view().n));
    engine.register_get("labels", |a: &mut Alert| from_labels(&a.view().labels));
    engine.register_get("params", |a: &mut Alert| from_params(&a.view().params));
    engine.register_get("traces", |a: &mut Alert| trace::to_map(&a.view().traces));
    engine.register_get("now", |a: &mut Alert| a.view().now.secs_f64());
    engine.register_get("fired_at", |a: &mut Alert| a.view().fired_at.secs_f64());
    engine.register_get("duration", |a: &mut Alert| a.view().duration.as_secs_f64());
    engine.register_get("runbook", |a: &mut Alert| {
        a.view().runbook.as_ref().map_or(Dynamic::UNIT, |text| text.clone().into())
    });
    register_reads(engine, |a: &mut Alert| a.subject());
}
