//! One compiled script and what it was compiled from.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, Scope};
use sereno_runtime::diagnostic::Diagnostic;

use crate::engine::Host;
use crate::error::{ErrorKind, ScriptError};
use crate::library::Source;
use crate::meter::{self, Budget};

/// A script and all that it imports, by their places in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    main: Source,
    imports: BTreeMap<String, Source>,
}

impl Texts {
    pub(crate) fn new(main: Source, imports: BTreeMap<String, Source>) -> Self {
        Self { main, imports }
    }

    pub(crate) fn main(&self) -> &Source {
        &self.main
    }

    pub(crate) fn imports(&self) -> &BTreeMap<String, Source> {
        &self.imports
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Source> {
        if path == self.main.path { Some(&self.main) } else { self.imports.get(path) }
    }

    /// The crc32 of the script, then of the path and text of each import in order.
    pub(crate) fn crc32(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.main.text.as_bytes());
        for (path, source) in &self.imports {
            hasher.update(path.as_bytes());
            hasher.update(source.text.as_bytes());
        }
        hasher.finalize()
    }
}

/// A compiled script. Imports are part of it, so that a later change of a library cannot reach it half-way.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) texts: Texts,
    pub(crate) ast: AST,
    /// What was found in it though it may be used.
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) host: Arc<Host>,
}

impl Unit {
    pub(crate) fn has_function(&self, name: &str, parameters: usize) -> bool {
        self.ast.iter_functions().any(|function| function.name == name && function.params.len() == parameters)
    }

    /// Calls a function of the script, with `this` bound.
    ///
    /// # Errors
    /// [`ScriptError`]; what the call did to `this` is then to be thrown away.
    pub(crate) fn call(
        &self,
        function: &str,
        this: &mut Dynamic,
        arguments: impl rhai::FuncArgs,
        budget: &mut Budget,
    ) -> Result<Dynamic, ScriptError> {
        let Host { engine, limits, clock } = &*self.host;
        let options = CallFnOptions::new().bind_this_ptr(this);
        let call = || {
            engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.ast, function, arguments)
        };
        // What a panic leaves behind is the scope and `this`, and neither is used again.
        let outcome = meter::metered(limits, clock, budget, || catch_unwind(AssertUnwindSafe(call)));
        match outcome {
            Ok(Ok(answer)) => match meter::stopped() {
                None => Ok(answer),
                // It was stopped by its very last operation, or has caught what stopped it and done nothing since.
                Some((kind, reason)) => Err(ScriptError::whole(kind, &self.texts, reason)),
            },
            Ok(Err(error)) => {
                let error = ScriptError::from_engine(&self.texts, *error);
                Err(match meter::stopped() {
                    None => error,
                    Some((kind, _)) => ScriptError { kind, ..error },
                })
            }
            Err(panic) => {
                let what = panic_text(&*panic);
                let message =
                    format!("the server panicked while it ran `{function}`: {what}; please report it");
                Err(ScriptError::whole(ErrorKind::Panic, &self.texts, message))
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
