//! The variables of a script whose type is certain.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Expr, Stmt};

use super::{Kind, Type};
use crate::{aggregation, rule};

/// How many assignments in a row are followed: `let a = ctx.query(…); let b = a.top(3); for r in b { … }`.
const PASSES: usize = 4;

/// The variables whose type is certain: parameters of entry points, and what is declared once and made from them.
pub(super) fn certain(ast: &AST, kind: Kind) -> BTreeMap<String, Type> {
    let (mut types, mut declared) = parameters(ast, kind);
    let mut made: Vec<(String, Expr, bool)> = Vec::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
                declared.push(variable.0.name.to_string());
                made.push((variable.0.name.to_string(), variable.1.clone(), false));
            }
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                declared.push(parts.0.name.to_string());
                made.push((parts.0.name.to_string(), parts.2.expr.clone(), true));
            }
            Some(ASTNode::Stmt(Stmt::Assignment(parts))) => {
                if let Expr::Variable(variable, ..) = &parts.1.lhs {
                    declared.push(variable.1.to_string());
                }
            }
            _ => {}
        }
        true
    });
    types.retain(|name, _| !declared.contains(name));
    made.retain(|(name, ..)| {
        declared.iter().filter(|other| *other == name).count() == 1 && !types.contains_key(name)
    });
    for _ in 0..PASSES {
        for (name, from, is_item) in &made {
            let kind = type_of(&types, from);
            if let Some(kind) = if *is_item { kind.and_then(Type::of_item) } else { kind } {
                types.insert(name.clone(), kind);
            }
        }
    }
    types
}

/// The parameters of entry points, and the names of all other parameters.
fn parameters(ast: &AST, kind: Kind) -> (BTreeMap<String, Type>, Vec<String>) {
    let (mut types, mut others) = (BTreeMap::new(), Vec::new());
    for function in ast.iter_functions() {
        let given = match (kind, function.name) {
            (Kind::Aggregation, aggregation::ENTRY) => Some(Type::Window),
            (Kind::Rule, rule::CHECK) => Some(Type::Instance),
            (Kind::Rule, rule::DECIDE) => Some(Type::Rule),
            (Kind::Rule, rule::MESSAGE) => Some(Type::Alert),
            _ => None,
        };
        for (index, name) in function.params.iter().enumerate() {
            let previous = match given.filter(|_| index == 0) {
                Some(given) => types.insert((*name).to_owned(), given).filter(|previous| *previous != given),
                None => {
                    others.push((*name).to_owned());
                    None
                }
            };
            // `fn check(a)` beside `fn message(a)`: one name for two things.
            others.extend(previous.map(|_| (*name).to_owned()));
        }
    }
    (types, others)
}

/// The type of an expression, where it is certain.
pub(super) fn type_of(types: &BTreeMap<String, Type>, expression: &Expr) -> Option<Type> {
    match expression {
        Expr::Variable(variable, ..) if variable.2.is_empty() => types.get(variable.1.as_str()).copied(),
        Expr::Dot(chain, ..) => end_of(type_of(types, &chain.lhs)?, &chain.rhs),
        _ => None,
    }
}

/// The type at the end of what stands after a dot.
fn end_of(receiver: Type, rest: &Expr) -> Option<Type> {
    match rest {
        Expr::Property(property, _) => receiver.of_member(&property.2),
        Expr::MethodCall(call, _) => receiver.of_member(&call.name),
        Expr::Dot(chain, ..) => end_of(end_of(receiver, &chain.lhs)?, &chain.rhs),
        _ => None,
    }
}
