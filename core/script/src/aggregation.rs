//! Aggregations: `fn aggregate(w)`, once per window.

use std::sync::Arc;

use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, Map, Stmt};
use sereno_query::{Native, ReduceError, Reduced, Reducer, Window};

use crate::convert::to_reduced;
use crate::error::{ErrorKind, ScriptError};
use crate::meter::Budget;
use crate::unit::Unit;

/// The function that an aggregation must have.
pub(crate) const ENTRY: &str = "aggregate";

/// An aggregation that runs in Rhai.
#[derive(Debug)]
pub(crate) struct Scripted {
    name: String,
    unit: Arc<Unit>,
    /// What it gets as its second argument, if it takes one.
    params: Option<Dynamic>,
}

/// The reducer of a compiled aggregation: the native one when the script is nothing but one call of it. A call into
/// Rhai costs many times what a window of a few samples does.
pub(crate) fn reducer(name: &str, unit: &Arc<Unit>) -> Arc<dyn Reducer> {
    match lower(&unit.ast) {
        Some(native) => Arc::new(native),
        None => {
            let params = takes_params(unit).then(|| Map::new().into());
            Arc::new(Scripted { name: name.to_owned(), unit: unit.clone(), params })
        }
    }
}

/// The same with parameters; `None` if it takes none.
pub(crate) fn with_params(name: &str, unit: &Arc<Unit>, params: Dynamic) -> Option<Arc<dyn Reducer>> {
    takes_params(unit).then(|| -> Arc<dyn Reducer> {
        Arc::new(Scripted { name: name.to_owned(), unit: unit.clone(), params: Some(params) })
    })
}

fn takes_params(unit: &Unit) -> bool {
    unit.has_function(ENTRY, 2)
}

impl Scripted {
    fn call(&self, window: &Window) -> Result<Reduced, ScriptError> {
        let mut arguments = vec![Dynamic::from(window.clone())];
        arguments.extend(self.params.clone());
        let answer = self.unit.call(ENTRY, &mut Dynamic::from(()), arguments, &mut Budget::default())?;
        to_reduced(&answer)
            .map_err(|message| ScriptError::whole(ErrorKind::Answer, &self.unit.texts, message))
    }
}

impl Reducer for Scripted {
    fn reduce(&self, window: &Window) -> Result<Reduced, ReduceError> {
        self.call(window)
            .map_err(|error| ReduceError { aggregation: self.name.clone(), source: Box::new(error) })
    }
}

/// The native reducer that a script amounts to: one function, whose body is `w.method(literal, …)` on its parameter.
fn lower(ast: &AST) -> Option<Native> {
    let mut functions = ast.iter_functions();
    let entry = functions.next().filter(|entry| entry.name == ENTRY)?;
    if functions.next().is_some() {
        return None;
    }
    let mut bodies = Vec::new();
    ast.walk(&mut |path| {
        if let [node] = path {
            bodies.push(native_call(node, entry.params.first().copied()));
        }
        true
    });
    match bodies[..] {
        [native] => native,
        _ => None,
    }
}

fn native_call(node: &ASTNode, window: Option<&str>) -> Option<Native> {
    let expression = match node {
        ASTNode::Stmt(Stmt::Expr(expression)) => expression,
        ASTNode::Stmt(Stmt::Return(Some(expression), ..)) => expression,
        _ => return None,
    };
    let Expr::Dot(chain, ..) = &**expression else { return None };
    match (&chain.lhs, &chain.rhs) {
        (Expr::Variable(variable, ..), Expr::MethodCall(call, _)) if Some(variable.1.as_str()) == window => {
            Native::from_call(&call.name, &literals(call)?)
        }
        _ => None,
    }
}

fn literals(call: &FnCallExpr) -> Option<Vec<f64>> {
    let literal = |argument: &Expr| match argument {
        Expr::FloatConstant(number, _) => Some(**number),
        Expr::IntegerConstant(number, _) => Some(*number as f64),
        _ => None,
    };
    call.args.iter().map(literal).collect()
}
