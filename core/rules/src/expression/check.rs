//! From a tree of words to a typed one: what the names are, and whether the types agree.

use sereno_runtime::diagnostic::suggest;
use sereno_runtime::units::parse_duration;

use super::lex::Span;
use super::node::{Comparison, Kind, Node, Number, One, Text, Truth};
use super::parse::{Ast, Binary, What, parse};
use super::scope::Scope;
use super::zone::NamedZone;
use super::{ExpressionError, TEXT_BYTES_MAX};

type Checked<T> = Result<T, ExpressionError>;

/// The functions, and how they are called.
const FUNCTIONS: [(&str, &str); 19] = [
    ("ratio", "ratio(a, b)"),
    ("abs", "abs(x)"),
    ("min", "min(a, b)"),
    ("max", "max(a, b)"),
    ("clamp", "clamp(x, low, high)"),
    ("round", "round(x), round(x, 1)"),
    ("floor", "floor(x)"),
    ("ceil", "ceil(x)"),
    ("sqrt", "sqrt(x)"),
    ("ln", "ln(x)"),
    ("log10", "log10(x)"),
    ("dur", "dur('14d')"),
    ("hour", "hour(now, 'Europe/Madrid')"),
    ("weekday", "weekday(now, 'Europe/Madrid')"),
    ("date", "date(now, 'Europe/Madrid')"),
    ("fmt", "fmt(x, 1)"),
    ("pct", "pct(x, 1)"),
    ("human_bytes", "human_bytes(x)"),
    ("human_duration", "human_duration(x)"),
];
const DECIMALS_MAX: f64 = 17.0;

impl Node {
    /// Compiles a text.
    pub fn compile(text: &str, scope: &Scope) -> Checked<Self> {
        if text.len() > TEXT_BYTES_MAX {
            let span = Span { start: 0, end: 1 };
            let message = format!("the expression has more than {TEXT_BYTES_MAX} bytes");
            return Err(span.error(message, "use a `script`"));
        }
        Checker { scope }.node(&parse(text)?)
    }
}

struct Checker<'a> {
    scope: &'a Scope,
}

impl Checker<'_> {
    fn node(&self, ast: &Ast) -> Checked<Node> {
        match &ast.what {
            What::Number(number) => Ok(Node::Number(Number::Constant(*number))),
            What::Text(text) => Ok(Node::Text(Text::Constant(text.as_str().into()))),
            What::Truth(truth) => Ok(Node::Truth(Truth::Constant(*truth))),
            What::Name(first, members) => self.name(first, members, ast.span),
            What::Not(inner) => Ok(Node::Truth(Truth::Not(Box::new(self.truth(inner)?)))),
            What::Minus(inner) => Ok(Node::Number(match self.number(inner)? {
                Number::Constant(number) => Number::Constant(-number),
                number => Number::Minus(Box::new(number)),
            })),
            What::Binary(Binary::And, left, right) => {
                Ok(Node::Truth(Truth::And(Box::new((self.truth(left)?, self.truth(right)?)))))
            }
            What::Binary(Binary::Or, left, right) => {
                Ok(Node::Truth(Truth::Or(Box::new((self.truth(left)?, self.truth(right)?)))))
            }
            What::Binary(Binary::Arithmetic(how), left, right) => {
                let sides = (self.number(left)?, self.number(right)?);
                Ok(Node::Number(Number::Arithmetic(*how, Box::new(sides))))
            }
            What::Binary(Binary::Compare(how), left, right) => self.compare(*how, left, right),
            What::Binary(Binary::Else, left, right) => self.either(left, right),
            What::Call(name, arguments) => self.call(name, arguments, ast.span),
        }
    }

    fn name(&self, first: &str, members: &[String], span: Span) -> Checked<Node> {
        match self.scope.resolve(first, members) {
            Ok((name, Kind::Number)) => Ok(Node::Number(Number::Name(name))),
            Ok((name, Kind::Truth)) => Ok(Node::Truth(Truth::Name(name))),
            Ok((name, Kind::Text)) => Ok(Node::Text(Text::Name(name))),
            Ok((name, Kind::Any)) => Ok(Node::Any(name)),
            Err((message, hint)) => Err(span.error(message, hint)),
        }
    }

    fn number(&self, ast: &Ast) -> Checked<Number> {
        match self.node(ast)? {
            Node::Number(number) => Ok(number),
            Node::Any(name) => Ok(Number::Name(name)),
            node @ (Node::Truth(_) | Node::Text(_)) => Err(wrong(ast, node.kind(), Kind::Number)),
        }
    }

    fn truth(&self, ast: &Ast) -> Checked<Truth> {
        match self.node(ast)? {
            Node::Truth(truth) => Ok(truth),
            node => Err(wrong(ast, node.kind(), Kind::Truth)),
        }
    }

    fn compare(&self, how: Comparison, left: &Ast, right: &Ast) -> Checked<Node> {
        let (a, b) = (self.node(left)?, self.node(right)?);
        let equality = matches!(how, Comparison::Equal | Comparison::Unequal);
        let equal = how == Comparison::Equal;
        Ok(Node::Truth(match (a, b) {
            (Node::Number(a), Node::Number(b)) => Truth::Compare(how, Box::new((a, b))),
            (Node::Text(a), Node::Text(b)) if equality => Truth::Texts(equal, Box::new((a, b))),
            (Node::Truth(a), Node::Truth(b)) if equality => Truth::Truths(equal, Box::new((a, b))),
            (Node::Text(_), Node::Text(_)) | (Node::Truth(_), Node::Truth(_)) => {
                let message = format!("`{how}` compares numbers only");
                return Err(left.span.to(right.span).error(message, "texts are equal or not: `==`, `!=`"));
            }
            (Node::Any(_), _) | (_, Node::Any(_)) => {
                let message = "a trace is shown, not compared";
                return Err(left.span.to(right.span).error(message, "compare it in the script"));
            }
            (a, b) => {
                let message = format!("{} is compared with {}", a.kind(), b.kind());
                let hint = match (a.kind(), b.kind()) {
                    (Kind::Text, Kind::Number) | (Kind::Number, Kind::Text) => {
                        "put both in quotes, or neither: labels are texts, `labels.code == '503'`"
                    }
                    _ => "compare numbers with numbers, and texts with texts",
                };
                return Err(left.span.to(right.span).error(message, hint));
            }
        }))
    }

    fn either(&self, left: &Ast, right: &Ast) -> Checked<Node> {
        let (a, b) = (self.node(left)?, self.node(right)?);
        Ok(match (a, b) {
            (Node::Number(a), Node::Number(b)) => Node::Number(Number::Else(Box::new((a, b)))),
            (Node::Truth(a), Node::Truth(b)) => Node::Truth(Truth::Else(Box::new((a, b)))),
            (Node::Text(a), Node::Text(b)) => Node::Text(Text::Else(Box::new((a, b)))),
            (Node::Any(a), Node::Number(b)) => Node::Number(Number::Else(Box::new((Number::Name(a), b)))),
            (Node::Any(a), Node::Text(b)) => Node::Text(Text::Else(Box::new((Text::Name(a), b)))),
            (a, b) => {
                let message = format!("`??` stands between {} and {}", a.kind(), b.kind());
                return Err(left
                    .span
                    .to(right.span)
                    .error(message, "both sides must be of one type: `v ?? 0`"));
            }
        })
    }

    fn call(&self, name: &str, arguments: &[Ast], span: Span) -> Checked<Node> {
        let number = |one: &Ast| self.number(one).map(Box::new);
        let simple = |one: One, x: &Ast| Ok(Node::Number(Number::Of(one, number(x)?)));
        match (name, arguments) {
            ("ratio", [a, b]) => {
                let sides = (self.number(a)?, self.number(b)?);
                Ok(Node::Number(Number::Arithmetic(super::node::Arithmetic::Divide, Box::new(sides))))
            }
            ("abs", [x]) => simple(One::Abs, x),
            ("round", [x]) => simple(One::Round, x),
            ("floor", [x]) => simple(One::Floor, x),
            ("ceil", [x]) => simple(One::Ceil, x),
            ("sqrt", [x]) => simple(One::Sqrt, x),
            ("ln", [x]) => simple(One::Ln, x),
            ("log10", [x]) => simple(One::Log10, x),
            ("round", [x, decimals]) => Ok(Node::Number(Number::Round(number(x)?, self.decimals(decimals)?))),
            ("min", [_, _, ..]) => Ok(Node::Number(Number::Smallest(self.numbers(arguments)?))),
            ("max", [_, _, ..]) => Ok(Node::Number(Number::Largest(self.numbers(arguments)?))),
            ("clamp", [x, low, high]) => {
                let three = [self.number(x)?, self.number(low)?, self.number(high)?];
                Ok(Node::Number(Number::Clamp(Box::new(three))))
            }
            ("dur", [x]) => self.dur(x),
            ("human_duration", [x]) => self.shown(span, Text::Duration(number(x)?)),
            ("bytes" | "human_bytes", [x]) => self.shown(span, Text::Bytes(number(x)?)),
            ("fmt", [x, decimals]) => self.shown(span, Text::Decimals(number(x)?, self.decimals(decimals)?)),
            ("pct", [x, decimals]) => self.shown(span, Text::Percent(number(x)?, self.decimals(decimals)?)),
            ("hour", [time, zone]) => Ok(Node::Number(Number::Hour(number(time)?, self.zone(zone)?))),
            ("weekday", [time, zone]) => Ok(Node::Number(Number::Weekday(number(time)?, self.zone(zone)?))),
            ("date", [time, zone]) => Ok(Node::Text(Text::Date(number(time)?, self.zone(zone)?))),
            _ => Err(unknown_call(name, span)),
        }
    }

    fn numbers(&self, arguments: &[Ast]) -> Checked<Vec<Number>> {
        arguments.iter().map(|argument| self.number(argument)).collect()
    }

    /// `dur('14d')` is a number of seconds, `dur(x)` shows one.
    fn dur(&self, ast: &Ast) -> Checked<Node> {
        if let What::Text(text) = &ast.what {
            return match parse_duration(text) {
                Ok(duration) => Ok(Node::Number(Number::Constant(duration.as_secs_f64()))),
                Err(why) => {
                    Err(ast.span.error(format!("`{text}` is not a duration: {why}"), "like `14d`, `1h30m`"))
                }
            };
        }
        match self.node(ast)? {
            Node::Text(_) => {
                let hint = "write the duration where it is used, or a number of seconds in `params`";
                Err(ast.span.error("`dur` takes a text in quotes", hint))
            }
            _ => self.shown(ast.span, Text::Duration(Box::new(self.number(ast)?))),
        }
    }

    /// Texts for people are made in messages only.
    fn shown(&self, span: Span, text: Text) -> Checked<Node> {
        match self.scope.message {
            Some(_) => Ok(Node::Text(text)),
            None => Err(span
                .error("this makes a text for people, which only a message needs", "use the number itself")),
        }
    }

    fn decimals(&self, ast: &Ast) -> Checked<usize> {
        match ast.what {
            What::Number(number) if number.fract() == 0.0 && (0.0..=DECIMALS_MAX).contains(&number) => {
                Ok(number as usize)
            }
            _ => Err(ast.span.error("the number of decimals is 0 to 17", "like `fmt(v, 1)`")),
        }
    }

    fn zone(&self, ast: &Ast) -> Checked<NamedZone> {
        match &ast.what {
            What::Text(name) => NamedZone::named(name)
                .map_err(|error| ast.span.error(error.to_string(), "the names of zones are those of IANA")),
            _ => Err(ast
                .span
                .error("a time zone in quotes is expected here", "like `hour(now, 'Europe/Madrid')`")),
        }
    }
}

fn wrong(ast: &Ast, is: Kind, wanted: Kind) -> ExpressionError {
    let hint = match (is, wanted) {
        (Kind::Number, Kind::Truth) => "compare it with something: `v >= 80`",
        (Kind::Truth, Kind::Number) => "join conditions by `&&` and `||`",
        (Kind::Text, Kind::Truth) => "compare it with another text: `labels.env == 'prod'`",
        (Kind::Text, Kind::Number) => "labels are texts, and cannot be computed with",
        _ => "compare it in the script",
    };
    ast.span.error(format!("this is {is}, and {wanted} is needed"), hint)
}

fn unknown_call(name: &str, span: Span) -> ExpressionError {
    if let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
        return span.error(format!("`{name}` is not called like this"), format!("call it as `{usage}`"));
    }
    let hint = match name {
        "avg" | "mean" | "sum" | "count" | "rate" | "increase" | "last" | "quantile" => {
            "what is computed over time is said by `agg`, in the rule or in `inputs`".to_owned()
        }
        _ => suggest(name, "functions", FUNCTIONS.iter().map(|(known, _)| *known)),
    };
    span.error(format!("there is no function `{name}`"), hint)
}
