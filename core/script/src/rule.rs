//! Rule scripts: `check` or `decide`, `init`, `message`, `migrate`.
//!
//! A call is a transaction: the memory and what was emitted count only if it succeeds.

use std::sync::Arc;

use rhai::{Dynamic, FuncArgs, Map};
use sereno_query::QueryError;

use crate::alert::Alert;
use crate::convert::type_name;
use crate::error::{ErrorKind, ScriptError};
use crate::instance::{AlertView, Instance, Whole};
use crate::library::Aggregations;
use crate::memory::Memory;
use crate::meter::{self, Budget};
use crate::reader::Reader;
use crate::subject::Subject;
use crate::unit::Unit;
use crate::verdict::{self, Answer, Decided, Verdict};
use crate::whole::Context;

/// The function that answers for one instance.
pub(crate) const CHECK: &str = "check";
/// The function that answers for a whole rule.
pub(crate) const DECIDE: &str = "decide";
/// The function that gives the first memory of an instance.
pub(crate) const INIT: &str = "init";
/// The function that words a notification.
pub(crate) const MESSAGE: &str = "message";
/// The function that reshapes the memory of another version.
pub(crate) const MIGRATE: &str = "migrate";

/// A rule decides for many instances out of one memory.
const RULE_MEMORIES: usize = 16;

/// Which question a rule script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `fn check(s)`, once for each instance.
    Check,
    /// `fn decide(ctx)`, once for the whole rule.
    Decide,
}

/// A compiled rule script with the aggregations of its generation. Cheap to clone; usable from any thread with a
/// large enough stack.
#[derive(Clone, Debug)]
pub struct RuleScript {
    unit: Arc<Unit>,
    aggregations: Arc<Aggregations>,
    entry: Entry,
}

impl RuleScript {
    pub(crate) fn new(unit: Arc<Unit>, aggregations: Arc<Aggregations>) -> Self {
        let entry = if unit.has_function(DECIDE, 1) { Entry::Decide } else { Entry::Check };
        Self { unit, aggregations, entry }
    }

    /// Which question it answers; it answers no other.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Whether it words notifications.
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.unit.has_function(MESSAGE, 1)
    }

    /// Whether it reshapes memory of other versions.
    #[must_use]
    pub fn has_migrate(&self) -> bool {
        self.unit.has_function(MIGRATE, 2)
    }

    /// Asks about one instance: `fn check(s)`, with `this` the memory. An empty memory is filled by `init()` first, or
    /// with an empty map. The memory changes only if the call succeeds.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave an answer that is no verdict.
    pub fn check(
        &self,
        memory: &mut Memory,
        instance: &Arc<Instance>,
        budget: &mut Budget,
    ) -> Result<Answer<Verdict>, ScriptError> {
        let before = budget.operations();
        let mut this = self.remember(memory, budget)?;
        let subject = Subject::new(instance.clone(), self.reader(budget));
        let (answer, traces) = self.ask(CHECK, &mut this, (subject.clone(),), subject.reader(), budget)?;
        let given =
            verdict::read("`check` answers with", answer).map_err(|message| self.bad_answer(message))?;
        let bytes_max = self.unit.host.limits.memory_bytes_max;
        memory.set(this, bytes_max).map_err(|message| self.bad_answer(message))?;
        Ok(Answer { given, traces, operations: budget.operations() - before })
    }

    /// Asks about a whole rule: `fn decide(ctx)`, with `this` the memory of the rule, which has room for that of many
    /// instances. The memory changes only if the call succeeds.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or answered instead of telling by `ctx.emit`.
    pub fn decide(
        &self,
        memory: &mut Memory,
        whole: &Arc<Whole>,
        budget: &mut Budget,
    ) -> Result<Answer<Decided>, ScriptError> {
        let before = budget.operations();
        let mut this = self.remember(memory, budget)?;
        let context = Context::new(whole.clone(), self.reader(budget));
        let (answer, traces) = self.ask(DECIDE, &mut this, (context.clone(),), context.reader(), budget)?;
        if !answer.is_unit() {
            let kind = type_name(&answer);
            let message = format!(
                "`decide` answers with {kind}; tell about instances by `ctx.emit(labels, verdict)`, and end with `;`"
            );
            return Err(self.bad_answer(message));
        }
        let bytes_max = self.unit.host.limits.memory_bytes_max.saturating_mul(RULE_MEMORIES);
        memory.set(this, bytes_max).map_err(|message| self.bad_answer(message))?;
        Ok(Answer { given: context.decided(), traces, operations: budget.operations() - before })
    }

    /// The text for a notification, from the optional `fn message(a)`; `None` when the script has none.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave no text.
    pub fn message(&self, alert: &AlertView, budget: &mut Budget) -> Result<Option<String>, ScriptError> {
        if !self.has_message() {
            return Ok(None);
        }
        let subject = alert.instance.clone().map(|instance| Subject::new(instance, self.reader(budget)));
        // Without an instance there is nothing to read.
        let none = self.reader(budget);
        let reader = subject.as_ref().map_or(&none, Subject::reader);
        let alert = Alert::new(alert.clone(), subject.clone());
        let (answer, _) = self.ask(MESSAGE, &mut Map::new().into(), (alert,), reader, budget)?;
        let kind = type_name(&answer);
        match answer.into_string() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.bad_answer(format!("`message` answers with {kind}, not with a text"))),
        }
    }

    /// Turns the memory of the older version `from` of the rule's state into one for this script, by the optional
    /// `fn migrate(old, from)`; without it the memory is emptied. An empty memory stays so. The memory changes only if the
    /// call succeeds.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave what cannot be remembered.
    pub fn migrate(&self, memory: &mut Memory, from: u32, budget: &mut Budget) -> Result<(), ScriptError> {
        let Some(old) = memory.get() else { return Ok(()) };
        if !self.has_migrate() {
            *memory = Memory::default();
            return Ok(());
        }
        let reader = self.reader(budget);
        let arguments = (old, i64::from(from));
        let (answer, _) = self.ask(MIGRATE, &mut Map::new().into(), arguments, &reader, budget)?;
        let memories = if self.entry == Entry::Decide { RULE_MEMORIES } else { 1 };
        let bytes_max = self.unit.host.limits.memory_bytes_max.saturating_mul(memories);
        memory.set(answer, bytes_max).map_err(|message| self.bad_answer(message))
    }

    fn reader(&self, budget: &Budget) -> Reader {
        Reader::new(self.aggregations.clone(), budget, &self.unit.host.limits)
    }

    /// A copy of the memory to work on.
    fn remember(&self, memory: &Memory, budget: &mut Budget) -> Result<Dynamic, ScriptError> {
        match memory.get() {
            Some(this) => Ok(this),
            None if self.unit.has_function(INIT, 0) => {
                self.unit.call(INIT, &mut Dynamic::from(()), (), budget)
            }
            None => Ok(Map::new().into()),
        }
    }

    /// Calls a function that reads with `reader`. What it answers is void if something could not be read.
    fn ask(
        &self,
        function: &str,
        this: &mut Dynamic,
        arguments: impl FuncArgs,
        reader: &Reader,
        budget: &mut Budget,
    ) -> Result<(Dynamic, Vec<crate::Trace>), ScriptError> {
        let before = *budget;
        let answer = self.unit.call(function, this, arguments, budget);
        let traces = meter::take_traces();
        let Some(tally) = reader.used() else { return answer.map(|answer| (answer, traces)) };
        budget.settle(before, tally);
        match tally.check() {
            // What stopped the script says more.
            Err(_) if answer.is_err() => answer.map(|answer| (answer, traces)),
            Err(error @ (QueryError::TooManySamples { .. } | QueryError::Deadline)) => {
                Err(ScriptError::whole(ErrorKind::Limit, &self.unit.texts, error.to_string()))
            }
            Err(error) => Err(ScriptError::whole(ErrorKind::Unreadable, &self.unit.texts, error.to_string())),
            Ok(()) => answer.map(|answer| (answer, traces)),
        }
    }

    fn bad_answer(&self, message: String) -> ScriptError {
        ScriptError::whole(ErrorKind::Answer, &self.unit.texts, message)
    }
}
