//! The engine that runs every script: what it offers, and the limits it enforces.
//!
//! Everything that is set here has a reason:
//! * raw, with chosen packages: no clock, no files, and no string interner, which sleeps when threads meet at it;
//! * operators are looked up (`fast_operators` off), so that comparison and division can be ours ([`crate::operators`]);
//! * no limit is left at its default, since the defaults differ between debug and release builds;
//! * no module resolver: what a script imports was resolved when it was compiled.

use std::sync::Arc;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LanguageCorePackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, OptimizationLevel};
use sereno_runtime::Clock;
use tracing::info;

use crate::convert::Outcome;
use crate::limits::Limits;
use crate::{
    alert, calendar, functions, histogram, meter, operators, subject, trace, vector, verdict, whole, window,
};

const VARIABLES_MAX: usize = 128;
const FUNCTIONS_MAX: usize = 128;
const MODULES_MAX: usize = 16;
/// Calls times expressions, as deep as they may nest: each level takes about 2 KiB of stack in release builds, 6 KiB
/// in debug builds, and a rule that calls an aggregation takes it twice. The defaults reach half of it.
const NESTING_MAX: usize = 1_024;
/// Entries of arrays and maps, those inside counted too. So values nest no deeper, and printing, comparing or freeing
/// one recurses.
const SIZE_MAX: usize = 1_000;

/// What running a script needs. Shared by all scripts; nothing in it changes.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Host {
    pub(crate) fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self { engine: build(limits), limits: *limits, clock: clock.clone() }
    }
}

/// An engine with all that scripts may use, and nothing else.
pub(crate) fn build(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    register_packages(&mut engine);
    functions::register(&mut engine);
    operators::register(&mut engine);
    window::register(&mut engine);
    subject::register(&mut engine);
    alert::register(&mut engine);
    whole::register(&mut engine);
    vector::register(&mut engine);
    histogram::register(&mut engine);
    calendar::register(&mut engine);
    trace::register(&mut engine);
    verdict::register(&mut engine);
    forbid(&mut engine);
    limit(&mut engine, limits);
    engine.on_print(|text| print(text, None));
    engine.on_debug(|text, source, position| print(text, Some((source, position))));
    #[cfg(test)]
    engine.register_fn("panic_in_a_test", || -> i64 { panic!("as told") });
    engine
}

fn register_packages(engine: &mut Engine) {
    engine.register_global_module(ArithmeticPackage::new().as_shared_module());
    engine.register_global_module(LogicPackage::new().as_shared_module());
    engine.register_global_module(BasicMathPackage::new().as_shared_module());
    engine.register_global_module(BasicArrayPackage::new().as_shared_module());
    engine.register_global_module(BasicMapPackage::new().as_shared_module());
    engine.register_global_module(BasicStringPackage::new().as_shared_module());
    engine.register_global_module(MoreStringPackage::new().as_shared_module());
    engine.register_global_module(BasicIteratorPackage::new().as_shared_module());
    engine.register_global_module(BasicFnPackage::new().as_shared_module());
    engine.register_global_module(LanguageCorePackage::new().as_shared_module());
}

/// `sleep` comes with the language core and no limit could interrupt it; `eval` would escape every lint.
fn forbid(engine: &mut Engine) {
    let refuse = || -> Outcome<()> {
        Err("a script cannot wait: remember in `this` and look again at the next tick".into())
    };
    // Both types by name: a function for exactly the argument's type goes before one for any.
    engine.register_fn("sleep", move |_seconds: i64| refuse());
    engine.register_fn("sleep", move |_seconds: f64| refuse());
    engine.disable_symbol("eval");
    // A function that carries functions that carry functions is as deep as a script cares to build it, and freeing it
    // recurses.
    engine.disable_symbol("curry");
}

fn limit(engine: &mut Engine, limits: &Limits) {
    let expression_depth = limits.expression_depth_max.clamp(8, 64);
    let call_depth = limits.call_depth_max.min(NESTING_MAX / expression_depth);
    engine
        .set_max_operations(limits.operations_max)
        .set_max_call_levels(call_depth)
        .set_max_expr_depths(expression_depth, expression_depth)
        .set_max_string_size(limits.string_bytes_max)
        .set_max_array_size(limits.array_len_max.min(SIZE_MAX))
        .set_max_map_size(limits.map_len_max.min(SIZE_MAX))
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_modules(MODULES_MAX)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_fast_operators(false)
        // The optimizer would drop branches before the lint has seen them, and fold comparisons by Rhai's rules.
        .set_optimization_level(OptimizationLevel::None);
    engine.on_progress(meter::progress);
}

fn print(text: &str, place: Option<(Option<&str>, rhai::Position)>) {
    if !meter::may_print() {
        return;
    }
    match place {
        None => info!(text, "Script prints."),
        Some((source, position)) => {
            info!(text, script = source.unwrap_or_default(), %position, "Script prints.");
        }
    }
}
