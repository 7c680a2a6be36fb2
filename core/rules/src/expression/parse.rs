//! Words to a tree. What binds closer, from loose to close, as in Rhai: `||`, `&&`, `== !=`, `< <= > >=`, `??`, `+ -`,
//! `* / %`, `! -`.

use super::ExpressionError;
use super::lex::{Span, Token, Word, words};
use super::node::{Arithmetic, Comparison};

/// How deep an expression may be nested.
const DEPTH_MAX: usize = 48;
/// How close `<` and the like bind.
const ORDER: u8 = 4;

/// A part of an expression, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ast {
    pub what: What,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Number(f64),
    Text(String),
    Truth(bool),
    /// `v`, `err.n`, `labels.host`: the first name, and the others.
    Name(String, Vec<String>),
    Call(String, Vec<Ast>),
    Not(Box<Ast>),
    Minus(Box<Ast>),
    Binary(Binary, Box<Ast>, Box<Ast>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Compare(Comparison),
    Else,
    Arithmetic(Arithmetic),
}

impl Binary {
    fn of(sign: &str) -> Option<(Self, u8)> {
        Some(match sign {
            "||" => (Self::Or, 1),
            "&&" => (Self::And, 2),
            "==" => (Self::Compare(Comparison::Equal), 3),
            "!=" => (Self::Compare(Comparison::Unequal), 3),
            "<" => (Self::Compare(Comparison::Less), ORDER),
            "<=" => (Self::Compare(Comparison::AtMost), ORDER),
            ">" => (Self::Compare(Comparison::More), ORDER),
            ">=" => (Self::Compare(Comparison::AtLeast), ORDER),
            "??" => (Self::Else, 5),
            "+" => (Self::Arithmetic(Arithmetic::Add), 6),
            "-" => (Self::Arithmetic(Arithmetic::Subtract), 6),
            "*" => (Self::Arithmetic(Arithmetic::Multiply), 7),
            "/" => (Self::Arithmetic(Arithmetic::Divide), 7),
            "%" => (Self::Arithmetic(Arithmetic::Remainder), 7),
            _ => return None,
        })
    }
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Ast, ExpressionError> {
    let mut parser = Parser { words: words(text)?, at: 0, depth: 0 };
    let ast = parser.binary(0)?;
    let token = parser.peek().clone();
    match &token.word {
        Word::End => Ok(ast),
        Word::Name(name) => Err(token.span.error(format!("`{name}` is not expected here"), word_hint(name))),
        Word::Sign(")") => Err(token.span.error("this `)` closes nothing", "remove it")),
        _ => Err(token
            .span
            .error("the expression has ended before this", "join both by `&&`, `||` or a comparison")),
    }
}

fn word_hint(name: &str) -> &'static str {
    match name {
        "and" | "AND" => "`and` is `&&`",
        "or" | "OR" => "`or` is `||`",
        "is" => "equality is `==`",
        "for" => "how long it must hold is said by the key `for`",
        _ => "join both by `&&`, `||` or a comparison",
    }
}

struct Parser {
    words: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.words[self.at.min(self.words.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().word, Word::Sign(found) if found == sign);
        self.at += usize::from(found);
        found
    }

    fn binary(&mut self, loosest: u8) -> Result<Ast, ExpressionError> {
        let mut left = self.unary()?;
        while let Word::Sign(sign) = self.peek().word {
            let Some((operator, binds)) = Binary::of(sign).filter(|(_, binds)| *binds > loosest) else {
                break;
            };
            let at = self.next().span;
            let right = self.binary(binds)?;
            if let (true, What::Binary(Binary::Compare(_), ..)) = (binds == ORDER, &left.what) {
                return Err(at.error("a comparison is not compared again", "write `1 < v && v < 3`"));
            }
            let span = left.span.to(right.span);
            left = Ast { what: What::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Ast, ExpressionError> {
        let span = self.peek().span;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(span.error(format!("nested deeper than {DEPTH_MAX} levels"), "use a `script`"));
        }
        let ast = if self.take("!") {
            let operand = self.unary()?;
            Ast { span: span.to(operand.span), what: What::Not(Box::new(operand)) }
        } else if self.take("-") {
            let operand = self.unary()?;
            Ast { span: span.to(operand.span), what: What::Minus(Box::new(operand)) }
        } else {
            self.leaf()?
        };
        self.depth -= 1;
        Ok(ast)
    }

    fn leaf(&mut self) -> Result<Ast, ExpressionError> {
        let Token { word, span } = self.next();
        let what = match word {
            Word::Number(number) => What::Number(number),
            Word::Text(text) => What::Text(text),
            Word::Name(name) => return self.named(name, span),
            Word::Sign("(") => {
                let inner = self.binary(0)?;
                let end = self.peek().span;
                return match self.take(")") {
                    true => Ok(Ast { what: inner.what, span: span.to(end) }),
                    false => Err(span.error("this `(` is not closed", "close it with `)`")),
                };
            }
            Word::Sign(sign) => {
                return Err(span.error(
                    format!("a value is missing before `{sign}`"),
                    "write a number, a name or a text",
                ));
            }
            Word::End if self.at > 1 && self.words[self.at - 2].word == Word::Sign("%") => {
                let hint = "a share is written without `%`: `80`, or `0.8`";
                return Err(span.error("a value is missing behind `%`", hint));
            }
            Word::End => {
                return Err(span.error("a value is missing here", "write a number, a name or a text"));
            }
        };
        Ok(Ast { what, span })
    }

    fn named(&mut self, name: String, span: Span) -> Result<Ast, ExpressionError> {
        match name.as_str() {
            "true" => return Ok(Ast { what: What::Truth(true), span }),
            "false" => return Ok(Ast { what: What::Truth(false), span }),
            "not" | "NOT" => return Err(span.error("`not` has no meaning in an expression", "`not` is `!`")),
            _ => {}
        }
        if self.take("(") {
            return self.call(name, span);
        }
        let (mut members, mut end) = (Vec::new(), span);
        loop {
            let member = if self.take(".") {
                self.next()
            } else if self.take("[") {
                let text = self.next();
                if !self.take("]") || !matches!(text.word, Word::Text(_)) {
                    return Err(text
                        .span
                        .error("a name in quotes is expected here", "like `labels[\"a-b\"]`"));
                }
                text
            } else {
                break;
            };
            match member.word {
                Word::Name(member) | Word::Text(member) => members.push(member),
                _ => {
                    return Err(member.span.error("a name is expected behind the `.`", "like `labels.host`"));
                }
            }
            end = member.span;
        }
        Ok(Ast { what: What::Name(name, members), span: span.to(end) })
    }

    fn call(&mut self, name: String, span: Span) -> Result<Ast, ExpressionError> {
        let mut arguments = Vec::new();
        loop {
            let end = self.peek().span;
            if self.take(")") {
                return Ok(Ast { what: What::Call(name, arguments), span: span.to(end) });
            }
            if !arguments.is_empty() && !self.take(",") {
                let hint = format!("separate arguments by `,`, and close `{name}(` with `)`");
                return Err(end.error("a `,` or `)` is missing here", hint));
            }
            arguments.push(self.binary(0)?);
        }
    }
}
