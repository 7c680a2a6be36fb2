//! What can be told from a script before it runs: Rhai looks a function up when a call is made, so without this a
//! typing mistake in a rare branch would surface during the incident.
//!
//! Found: calls of functions that do not exist or take another number of arguments, properties and methods that an
//! instance or a window does not have, windows and `()` that are compared as if they were numbers, code outside
//! functions, a missing entry point.
//!
//! Types are followed only where they are certain: the parameter of an entry point, what is assigned from it once, and
//! the windows that its methods give. About anything else only name and number of arguments are checked.

use std::any::TypeId;
use std::collections::BTreeMap;

use rhai::{AST, ASTFlags, ASTNode, Dynamic, Engine, Expr, FnCallExpr, Position, Stmt, Token};
use sereno_query::Window;

use crate::subject::Subject;
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
}

/// What the engine lets a script call: for each name the types of the parameters.
#[derive(Debug)]
pub(crate) struct Catalogue(BTreeMap<String, Vec<Vec<TypeId>>>);

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

impl Catalogue {
    pub(crate) fn of(engine: &Engine) -> Self {
        let all = engine.collect_fn_metadata(
            None,
            |f| Some((f.metadata.name.to_string(), f.metadata.param_types.to_vec())),
            true,
        );
        let mut functions: BTreeMap<String, Vec<Vec<TypeId>>> = BTreeMap::new();
        for (name, parameters) in all {
            functions.entry(name).or_default().push(parameters);
        }
        // It is registered only to fail, for calls that hide from this lint.
        functions.remove("sleep");
        Self(functions)
    }

    fn arities(&self, name: &str) -> Vec<usize> {
        let overloads = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut arities: Vec<usize> = overloads.iter().map(Vec::len).collect();
        arities.sort_unstable();
        arities.dedup();
        arities
    }

    /// Whether `receiver` has the method or getter, with this many parameters, itself included.
    fn has_method(&self, name: &str, receiver: Type, parameters: usize) -> bool {
        let takes = |types: &Vec<TypeId>| {
            types.len() == parameters
                && types.first().is_some_and(|first| [receiver.id(), TypeId::of::<Dynamic>()].contains(first))
        };
        self.0.get(name).is_some_and(|overloads| overloads.iter().any(takes))
    }

    /// The methods and getters of a type, as they are written after the dot.
    fn members(&self, receiver: Type) -> impl Iterator<Item = String> {
        let own = move |overloads: &[Vec<TypeId>]| {
            overloads.iter().any(|types| types.first() == Some(&receiver.id()))
        };
        self.0
            .iter()
            .filter(move |(_, overloads)| own(overloads))
            .map(|(name, _)| name.strip_prefix("get$").map_or_else(|| format!("{name}()"), str::to_owned))
    }
}

/// A type that the lint follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Instance,
    Window,
}

impl Type {
    fn id(self) -> TypeId {
        match self {
            Self::Instance => TypeId::of::<Subject>(),
            Self::Window => TypeId::of::<Window>(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "an instance",
            Self::Window => "a window",
        }
    }

    /// What a method gives, if it is followed further.
    fn of_method(self, name: &str) -> Option<Self> {
        matches!((self, name), (Self::Instance, "series") | (Self::Window, "between")).then_some(Self::Window)
    }
}

/// Everything wrong with a script, in the order of the text. `modules` are its imports: their functions by alias.
pub(crate) fn lint(
    catalogue: &Catalogue,
    ast: &AST,
    kind: Kind,
    modules: &BTreeMap<String, Vec<Signature>>,
) -> Vec<Finding> {
    let own =
        ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
    let types = certain_types(ast, kind);
    let mut linter = Linter { catalogue, modules, own, types, findings: Vec::new() };
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
    own: Vec<Signature>,
    types: BTreeMap<String, Type>,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn report(&mut self, position: Position, length: usize, message: String, hint: Option<String>) {
        self.findings.push(Finding { position, length, message, hint });
    }

    fn check_entry(&mut self, kind: Kind) {
        let (name, arities, form): (_, &[usize], _) = match kind {
            Kind::Aggregation => (aggregation::ENTRY, &[1, 2], "fn aggregate(w)"),
            Kind::Rule => (rule::ENTRY, &[1], "fn check(s)"),
            Kind::Library => return,
        };
        if self.own.iter().any(|(own, arity)| own == name && arities.contains(arity)) {
            return;
        }
        let purpose = if kind == Kind::Rule { "a rule script" } else { "an aggregation" };
        self.report(Position::NONE, 0, format!("{purpose} needs `{form}`, and there is none"), None);
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
                if let Some(receiver) = self.type_of(&chain.lhs) {
                    self.follow(receiver, &chain.rhs, true);
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
        let known = self.catalogue.0.keys().map(String::as_str).filter(|known| is_word(known));
        let near = suggest(name, own.chain(known)).map(|near| format!("did you mean `{near}`?"));
        let hint = known_hint.or(near);
        self.report(position, length, format!("there is no function `{name}`"), hint);
    }

    fn check_comparison(&mut self, token: &Token, call: &FnCallExpr, position: Position) {
        use Token::{EqualsTo, GreaterThan, GreaterThanEqualsTo, LessThan, LessThanEqualsTo, NotEqualsTo};
        let orders = matches!(token, GreaterThan | GreaterThanEqualsTo | LessThan | LessThanEqualsTo);
        if !orders && !matches!(token, EqualsTo | NotEqualsTo) {
            return;
        }
        let operator = call.name.as_str();
        let is_unit = |operand: &Expr| matches!(operand, Expr::Unit(_));
        let followed = call.args.iter().find_map(|operand| self.type_of(operand));
        if let Some(kind) = followed.filter(|_| orders || !call.args.iter().any(is_unit)) {
            let hint = "take a number from it first, such as `.mean()`".to_owned();
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

    fn type_of(&mut self, expression: &Expr) -> Option<Type> {
        match expression {
            Expr::Variable(variable, ..) if variable.2.is_empty() => {
                self.types.get(variable.1.as_str()).copied()
            }
            Expr::Dot(chain, ..) => {
                let receiver = self.type_of(&chain.lhs)?;
                self.follow(receiver, &chain.rhs, false)
            }
            _ => None,
        }
    }

    /// Goes along what stands after a dot; gives the type at its end, where it is certain.
    fn follow(&mut self, receiver: Type, rest: &Expr, report: bool) -> Option<Type> {
        match rest {
            Expr::Property(property, position) => {
                let getter = format!("get${}", property.2);
                if report && !self.catalogue.has_method(&getter, receiver, 1) {
                    self.report_member(receiver, &property.2, *position);
                }
                None
            }
            Expr::MethodCall(call, position) => {
                let (name, arity) = (call.name.as_str(), call.args.len());
                let generic = KEYWORDS.contains(&name) || self.is_own(name, arity);
                // A name that no type has is reported as such already.
                let exists = self.catalogue.arities(name).contains(&(arity + 1));
                if report && exists && !generic && !self.catalogue.has_method(name, receiver, arity + 1) {
                    self.report_member(receiver, name, *position);
                }
                receiver.of_method(name)
            }
            Expr::Dot(chain, ..) => {
                let next = self.follow(receiver, &chain.lhs, report)?;
                self.follow(next, &chain.rhs, report)
            }
            Expr::Index(chain, ..) => {
                self.follow(receiver, &chain.lhs, report);
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

/// The variables whose type is certain: parameters of entry points and what is assigned from them, where no other
/// declaration has the same name.
fn certain_types(ast: &AST, kind: Kind) -> BTreeMap<String, Type> {
    let mut types: BTreeMap<String, Type> = BTreeMap::new();
    let mut declared: Vec<String> = Vec::new();
    for function in ast.iter_functions() {
        let given = match (kind, function.name) {
            (Kind::Aggregation, aggregation::ENTRY) => Some(Type::Window),
            (Kind::Rule, rule::ENTRY | rule::MESSAGE) => Some(Type::Instance),
            _ => None,
        };
        for (index, name) in function.params.iter().enumerate() {
            match given.filter(|_| index == 0) {
                Some(given) => {
                    types.insert((*name).to_owned(), given);
                }
                None => declared.push((*name).to_owned()),
            }
        }
    }
    let mut assigned = Vec::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
                declared.push(variable.0.name.to_string());
                assigned.push((variable.0.name.to_string(), window_from(&variable.1, &types)));
            }
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => declared.push(parts.0.name.to_string()),
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
    for (name, window) in assigned {
        let once = declared.iter().filter(|other| **other == name).count() == 1;
        if window && once && !types.contains_key(&name) {
            types.insert(name, Type::Window);
        }
    }
    types
}

/// Whether an expression is `s.series(…)`, or another call that gives a window.
fn window_from(expression: &Expr, types: &BTreeMap<String, Type>) -> bool {
    let Expr::Dot(chain, ..) = expression else { return false };
    match (&chain.lhs, &chain.rhs) {
        (Expr::Variable(variable, ..), Expr::MethodCall(call, _)) => {
            types.get(variable.1.as_str()).is_some_and(|receiver| receiver.of_method(&call.name).is_some())
        }
        _ => false,
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
