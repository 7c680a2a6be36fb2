//! Rule scripts: `check`, `init`, `message`.

use std::sync::Arc;

use rhai::{Dynamic, Map};
use sereno_model::Level;
use sereno_query::QueryError;

use crate::convert::type_name;
use crate::error::{ErrorKind, ScriptError};
use crate::instance::Instance;
use crate::memory::Memory;
use crate::meter::Budget;
use crate::subject::{Aggregations, Subject};
use crate::unit::Unit;
use crate::verdict::{self, Verdict};

/// The function that a rule script must have.
pub(crate) const ENTRY: &str = "check";
/// The function that gives the first memory of an instance.
pub(crate) const INIT: &str = "init";
/// The function that words a notification.
pub(crate) const MESSAGE: &str = "message";

/// A compiled rule script with the aggregations of its generation. Cheap to clone; usable from any thread with a
/// large enough stack.
#[derive(Clone, Debug)]
pub struct RuleScript {
    unit: Arc<Unit>,
    aggregations: Arc<Aggregations>,
}

impl RuleScript {
    pub(crate) fn new(unit: Arc<Unit>, aggregations: Arc<Aggregations>) -> Self {
        Self { unit, aggregations }
    }

    /// Asks the script about one instance: `fn check(s)`, with `this` the memory. An empty memory is filled by `init()`
    /// first, or with an empty map. The memory changes only if the call succeeds.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave an answer that is no verdict.
    pub fn check(
        &self,
        memory: &mut Memory,
        instance: &Arc<Instance>,
        budget: &mut Budget,
    ) -> Result<Verdict, ScriptError> {
        let mut this = match memory.get() {
            Some(this) => this,
            None => self.init(budget)?,
        };
        let answer = self.ask(ENTRY, &mut this, instance, |subject| subject, budget)?;
        let verdict = verdict::read(answer).map_err(|message| self.bad_answer(message))?;
        let bytes_max = self.unit.host.limits.memory_bytes_max;
        memory.set(this, bytes_max).map_err(|message| self.bad_answer(message))?;
        Ok(verdict)
    }

    /// The text for a notification, from the optional `fn message(a)`; `None` when the script has none. `a` is what
    /// `check` saw, with the level and value of the alert; there is no memory here.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave no text.
    pub fn message(
        &self,
        instance: &Arc<Instance>,
        level: Level,
        value: Option<f64>,
        budget: &mut Budget,
    ) -> Result<Option<String>, ScriptError> {
        if !self.unit.has_function(MESSAGE, 1) {
            return Ok(None);
        }
        let of_alert = |subject: Subject| subject.of_alert(level, value);
        let answer = self.ask(MESSAGE, &mut Map::new().into(), instance, of_alert, budget)?;
        let kind = type_name(&answer);
        match answer.into_string() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.bad_answer(format!("`message` answers with {kind}, not with a text"))),
        }
    }

    /// Calls a function about an instance. What it answers is void if something could not be read.
    fn ask(
        &self,
        function: &str,
        this: &mut Dynamic,
        instance: &Arc<Instance>,
        shape: impl FnOnce(Subject) -> Subject,
        budget: &mut Budget,
    ) -> Result<Dynamic, ScriptError> {
        let before = *budget;
        let tally = budget.tally(&self.unit.host.limits);
        let subject = shape(Subject::new(instance.clone(), self.aggregations.clone(), tally.clone()));
        let answer = self.unit.call(function, this, (subject,), budget);
        budget.settle(before, &tally);
        match tally.check() {
            // What used up the budget is told by the meter.
            Err(QueryError::TooManySamples { .. } | QueryError::Deadline) if answer.is_err() => answer,
            Err(error @ (QueryError::TooManySamples { .. } | QueryError::Deadline)) => {
                Err(ScriptError::whole(ErrorKind::Limit, &self.unit.texts, error.to_string()))
            }
            Err(error) => Err(ScriptError::whole(ErrorKind::Unreadable, &self.unit.texts, error.to_string())),
            Ok(()) => answer,
        }
    }

    fn init(&self, budget: &mut Budget) -> Result<Dynamic, ScriptError> {
        if self.unit.has_function(INIT, 0) {
            self.unit.call(INIT, &mut Dynamic::from(()), (), budget)
        } else {
            Ok(Map::new().into())
        }
    }

    fn bad_answer(&self, message: String) -> ScriptError {
        ScriptError::whole(ErrorKind::Answer, &self.unit.texts, message)
    }
}
