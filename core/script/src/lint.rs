//! What can be told from a script before it runs: Rhai looks a function up when a call is made, so without this a
//! typing mistake in a rare branch would surface during the incident.
//!
//! Found: calls of functions that do not exist or take another number of arguments, properties and methods that a value
//! does not have, things that are compared as if they were numbers, written-out arguments that mean nothing
//! ([`literals`]), code outside functions, missing entry points; and, as a warning, whole numbers divided.
//!
//! Types are followed only where they are certain ([`types`]). About anything else only name and number of arguments
//! are checked.

mod catalogue;
mod literals;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, Position, Stmt, Token};

pub(crate) use catalogue::{Catalogue, Type};

use crate::{aggregation, rule};

/// What a script is for, which decides the functions it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregation,
    Rule,
    Library,
}

/// A function by name and number of parameters.
pub(crate) type Signature = (String, usize);

/// Something wrong at a place.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) position: Position,
    /// How many characters are meant; 0 when unknown.
    pub(crate) length: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the script may be used all the same.
    pub(crate) is_warning: bool,
}

/// What Rhai itself understands as a call, with any number of arguments.
const KEYWORDS: [&str; 7] = ["Fn", "call", "type_of", "is_def_fn", "is_def_var", "print", "debug"];

/// Names that people try, and what to use here.
const HINTS: [(&str, &str); 6] = [
    ("sleep", "a script cannot wait: remember in `this`, and look again at the next tick"),
    ("timestamp", "there is no clock: the tick is `s.now`, the newest sample `w.last_time()`"),
    ("now", "there is no clock: the tick is `s.now`, the newest sample `w.last_time()`"),
    ("rand", "there is no randomness: the same samples give the same answer"),
    ("avg", "did you mean `mean`?"),
    ("len", "did you mean `count`?"),
];

/// Everything wrong with a script, in the order of the text. `modules` are its imports: their functions by alias;
/// `aggregations` are the names of those that there are.
pub(crate) fn lint(
    catalogue: &Catalogue,
    ast: &AST,
    kind: Kind,
    modules: &BTreeMap<String, Vec<Signature>>,
    aggregations: &BTreeSet<String>,
) -> Vec<Finding> {
    let own =
        ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
    let types = types::certain(ast, kind);
    let mut linter = Linter { catalogue, modules, aggregations, own, types, findings: Vec::new() };
    linter.check_entry(kind);
    linter.check_top_level(ast);
    ast.walk(&mut |path| {
        if let Some(node) = path.last() {
            linter.check_node(node);
        }
        true
    });
    let mut findings = linter.findings;
    findings.sort_by_key(|finding| (finding.position.line(), finding.position.position()));
    findings
}

/// The nearest of the known names, if one is near enough to be meant.
pub(crate) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate.trim_end_matches("()")), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

struct Linter<'a> {
    catalogue: &'a Catalogue,
    modules: &'a BTreeMap<String, Vec<Signature>>,
    aggregations: &'a BTreeSet<String>,
    own: Vec<Signature>,
    types: BTreeMap<String, Type>,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn report(&mut self, position: Position, length: usize, message: String, hint: Option<String>) {
        self.findings.push(Finding { position, length, message, hint, is_warning: false });
    }

    fn check_entry(&mut self, kind: Kind) {
        let needs: &[(&str, &[usize], &str)] = match kind {
            Kind::Aggregation => &[(aggregation::ENTRY, &[1, 2], "fn aggregate(w)")],
            Kind::Rule => &[(rule::CHECK, &[1], "fn check(s)"), (rule::DECIDE, &[1], "fn decide(ctx)")],
            Kind::Library => return,
        };
        let is_there = |name: &str, arities: &[usize]| arities.iter().any(|arity| self.is_own(name, *arity));
        let found = needs.iter().filter(|(name, arities, _)| is_there(name, arities)).count();
        let forms: Vec<String> = needs.iter().map(|(.., form)| format!("`{form}`")).collect();
        let purpose = if kind == Kind::Rule { "a rule script" } else { "an aggregation" };
        let whole = |linter: &mut Self, message: String| linter.report(Position::NONE, 0, message, None);
        match found {
            0 => whole(self, format!("{purpose} needs {}, and there is none", forms.join(" or "))),
            1 => {}
            _ => whole(self, format!("{purpose} has {}; only one can be asked", forms.join(" and "))),
        }
        if kind != Kind::Rule {
            return;
        }
        for (name, arity) in [(rule::INIT, 0), (rule::MESSAGE, 1), (rule::MIGRATE, 2)] {
            let wrong = self.own.iter().find(|(own, parameters)| own == name && *parameters != arity);
            if let Some((_, parameters)) = wrong.filter(|_| !self.is_own(name, arity)) {
                let message = format!("`fn {name}` takes {}, not {parameters}", arguments(arity));
                whole(self, message);
            }
        }
    }

    fn check_top_level(&mut self, ast: &AST) {
        let statements = ast.clone_statements_only();
        let mut outside = Vec::new();
        statements.walk(&mut |path| {
            if let [ASTNode::Stmt(statement)] = path {
                let allowed = match statement {
                    Stmt::Import(..) | Stmt::Noop(_) => true,
                    Stmt::Var(_, flags, _) => flags.intersects(ASTFlags::CONSTANT),
                    _ => false,
                };
                if !allowed {
                    outside.push(statement.position());
                }
            }
            true
        });
        for position in outside {
            let hint = "functions do not see it; put it into a function, or make it a `const`";
            self.report(position, 0, "code outside functions".to_owned(), Some(hint.to_owned()));
        }
    }

    fn check_node(&mut self, node: &ASTNode) {
        match node {
            ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)) => {
                self.check_call(call, *position);
            }
            ASTNode::Expr(Expr::MethodCall(call, position)) => self.check_method_name(call, *position),
            ASTNode::Expr(Expr::Dot(chain, ..)) => {
                if let Some(receiver) = types::type_of(&self.types, &chain.lhs) {
                    self.follow(receiver, &chain.rhs);
                }
            }
            _ => {}
        }
    }

    fn check_call(&mut self, call: &FnCallExpr, position: Position) {
        if let Some(token) = &call.op_token {
            return self.check_comparison(token, call, position);
        }
        let (name, arity) = (call.name.as_str(), call.args.len());
        if call.is_qualified() {
            return self.check_qualified(call, position);
        }
        if KEYWORDS.contains(&name) || self.is_own(name, arity) {
            return;
        }
        self.check_literals(None, call);
        let arities = self.catalogue.arities(name);
        if !arities.contains(&arity) {
            self.report_call(name, arity, arities, position);
        }
    }

    /// A method is a native function with its receiver as first argument, or one of the script's that uses `this`.
    fn check_method_name(&mut self, call: &FnCallExpr, position: Position) {
        let (name, arity) = (call.name.as_str(), call.args.len());
        if KEYWORDS.contains(&name) || self.is_own(name, arity) {
            return;
        }
        let arities: Vec<usize> =
            self.catalogue.arities(name).into_iter().filter_map(|arity| arity.checked_sub(1)).collect();
        if !arities.contains(&arity) {
            self.report_call(name, arity, arities, position);
        }
    }

    fn check_qualified(&mut self, call: &FnCallExpr, position: Position) {
        let alias = call.namespace.to_string();
        let (name, arity) = (call.name.as_str(), call.args.len());
        // The parser refuses names that were not imported.
        let Some(functions) = self.modules.get(&alias) else { return };
        if functions.iter().any(|(known, parameters)| known == name && *parameters == arity) {
            return;
        }
        let near = suggest(name, functions.iter().map(|(known, _)| known.as_str()));
        let hint = near.map(|near| format!("did you mean `{alias}::{near}`?"));
        let message = format!("there is no function `{name}` with {} in `{alias}`", arguments(arity));
        self.report(position, name.len(), message, hint);
    }

    fn report_call(&mut self, name: &str, arity: usize, mut arities: Vec<usize>, position: Position) {
        arities.extend(self.own.iter().filter(|(own, _)| own == name).map(|(_, arity)| *arity));
        let length = name.chars().count();
        if !arities.is_empty() {
            let wanted: Vec<String> = arities.iter().map(usize::to_string).collect();
            let message = format!("`{name}` takes {}, not {arity}", plural(&wanted.join(" or "), "argument"));
            return self.report(position, length, message, None);
        }
        let known_hint = HINTS.iter().find(|(tried, _)| *tried == name).map(|(_, hint)| (*hint).to_owned());
        let own = self.own.iter().map(|(own, _)| own.as_str());
        let known = self.catalogue.names().filter(|known| is_word(known));
        let near = suggest(name, own.chain(known)).map(|near| format!("did you mean `{near}`?"));
        let hint = known_hint.or(near);
        self.report(position, length, format!("there is no function `{name}`"), hint);
    }

    fn check_comparison(&mut self, token: &Token, call: &FnCallExpr, position: Position) {
        use Token::{EqualsTo, GreaterThan, GreaterThanEqualsTo, LessThan, LessThanEqualsTo, NotEqualsTo};
        if *token == Token::Divide {
            return self.check_division(call, position);
        }
        let orders = matches!(token, GreaterThan | GreaterThanEqualsTo | LessThan | LessThanEqualsTo);
        if !orders && !matches!(token, EqualsTo | NotEqualsTo) {
            return;
        }
        let operator = call.name.as_str();
        let is_unit = |operand: &Expr| matches!(operand, Expr::Unit(_));
        let followed = call.args.iter().find_map(|operand| types::type_of(&self.types, operand));
        if let Some(kind) = followed.filter(|_| orders || !call.args.iter().any(is_unit)) {
            let hint = format!("take a number from it first, such as `{}`", kind.number());
            let message = format!("`{operator}` compares {} with something else", kind.as_str());
            self.report(position, operator.len(), message, Some(hint));
        } else if orders && call.args.iter().any(is_unit) {
            let hint = "`()` means that there is no value: ask `x == ()` first".to_owned();
            self.report(position, operator.len(), format!("`{operator}` compares `()`"), Some(hint));
        }
    }

    fn is_own(&self, name: &str, arity: usize) -> bool {
        self.own.iter().any(|(own, parameters)| own == name && *parameters == arity)
    }

    /// Rhai's own division of whole numbers cuts; ours does not, and who knows Rhai expects a mistake here.
    fn check_division(&mut self, call: &FnCallExpr, position: Position) {
        if let [Expr::IntegerConstant(a, _), Expr::IntegerConstant(b, _)] = &*call.args {
            let message =
                format!("`{a} / {b}` divides two whole numbers, which is {} here", *a as f64 / *b as f64);
            let hint = Some(format!("write `{a}.0 / {b}`, which is the same everywhere"));
            self.findings.push(Finding { position, length: 1, message, hint, is_warning: true });
        }
    }

    /// Goes along what stands after a dot; gives the type at its end, where it is certain.
    fn follow(&mut self, receiver: Type, rest: &Expr) -> Option<Type> {
        match rest {
            Expr::Property(property, position) => {
                let getter = format!("get${}", property.2);
                if !self.catalogue.has_method(&getter, receiver, 1) {
                    self.report_member(receiver, &property.2, *position);
                }
                receiver.of_member(&property.2)
            }
            Expr::MethodCall(call, position) => {
                let (name, arity) = (call.name.as_str(), call.args.len());
                let generic = KEYWORDS.contains(&name) || self.is_own(name, arity);
                // A name that no type has is reported as such already.
                let exists = self.catalogue.arities(name).contains(&(arity + 1));
                if exists && !generic && !self.catalogue.has_method(name, receiver, arity + 1) {
                    self.report_member(receiver, name, *position);
                }
                self.check_literals(Some(receiver), call);
                receiver.of_member(name)
            }
            Expr::Dot(chain, ..) => {
                let next = self.follow(receiver, &chain.lhs)?;
                self.follow(next, &chain.rhs)
            }
            Expr::Index(chain, ..) => {
                self.follow(receiver, &chain.lhs);
                None
            }
            _ => None,
        }
    }

    fn report_member(&mut self, receiver: Type, name: &str, position: Position) {
        let members: Vec<String> = self.catalogue.members(receiver).collect();
        let hint =
            suggest(name, members.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let message = format!("{} has no `{name}`", receiver.as_str());
        self.report(position, name.chars().count(), message, hint);
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic()) && !name.contains('$')
}

fn arguments(count: usize) -> String {
    plural(&count.to_string(), "argument")
}

fn plural(count: &str, noun: &str) -> String {
    if count == "1" { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}
