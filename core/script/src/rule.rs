//! Rule scripts: `check`, `init`, `message`.

use std::sync::Arc;

use sereno_model::Level;

use crate::error::ScriptError;
use crate::instance::Instance;
use crate::memory::Memory;
use crate::meter::Budget;
use crate::verdict::Verdict;

/// A compiled rule script. Cheap to clone; usable from any thread with a large enough stack.
#[derive(Clone, Debug)]
pub struct RuleScript {}

impl RuleScript {
    /// Asks the script about one instance: `fn check(s)`, with `this` the memory. An empty memory is filled by `init()`
    /// first. The memory changes only if the call succeeds.
    ///
    /// # Errors
    /// [`ScriptError`]: the script failed, broke a limit, or gave an answer that is no verdict.
    pub fn check(
        &self,
        memory: &mut Memory,
        instance: &Arc<Instance>,
        budget: &mut Budget,
    ) -> Result<Verdict, ScriptError> {
        let _ = (memory, instance, budget);
        Ok(Verdict::Ok(None))
    }

    /// The text for a notification, from the optional `fn message(a)`; `None` when the script has none. `a` is what
    /// `check` saw, with the level and value of the alert.
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
        let _ = (instance, level, value, budget);
        Ok(None)
    }
}
