//! Characters to words: numbers with their units, texts, names, signs.

use sereno_runtime::units;

use super::ExpressionError;

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Number(f64),
    Text(String),
    /// A name; also `true` and `false`.
    Name(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
    End,
}

/// A word, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub word: Word,
    pub span: Span,
}

/// Characters of the expression, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

/// How many words an expression may have; bounds how deep its tree can be.
const WORDS_MAX: usize = 500;
/// Longer ones before their beginnings.
const SIGNS: [&str; 22] = [
    "&&", "||", "??", "==", "!=", ">=", "<=", ">", "<", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    ",", ".", ";",
];

impl Span {
    pub fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }

    pub fn error(self, message: impl Into<String>, hint: impl Into<String>) -> ExpressionError {
        ExpressionError {
            offset: self.start,
            length: (self.end - self.start).max(1),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// The words of a text, `End` the last.
pub(super) fn words(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let end = token.word == Word::End;
        if tokens.len() == WORDS_MAX {
            let message = format!("the expression has more than {WORDS_MAX} words");
            return Err(token.span.error(message, "use a `script`"));
        }
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, ExpressionError> {
        self.run(char::is_whitespace);
        let start = self.at;
        let word = match self.peek(0) {
            None => Word::End,
            Some(quote @ ('"' | '\'')) => self.text(quote)?,
            Some(c) if c.is_ascii_digit() => self.number()?,
            Some(c) if c.is_alphabetic() || c == '_' => {
                Word::Name(self.run(|c| c.is_alphanumeric() || c == '_'))
            }
            Some(c) => self.sign(c)?,
        };
        Ok(Token { word, span: self.since(start) })
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn run(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let run: String = self.chars[self.at..].iter().copied().take_while(|c| wanted(*c)).collect();
        self.at += run.chars().count();
        run
    }

    fn since(&self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    fn text(&mut self, quote: char) -> Result<Word, ExpressionError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                _ if c == quote => return Ok(Word::Text(text)),
                '\\' => {
                    text.extend(self.peek(0));
                    self.at += 1;
                }
                _ => text.push(c),
            }
        }
        self.at = self.chars.len();
        Err(self.since(start).error("this text does not end", format!("close it with `{quote}`")))
    }

    /// A number with what stands right behind it: a unit, an exponent.
    fn number(&mut self) -> Result<Word, ExpressionError> {
        let start = self.at;
        let mut text = self.run(is_part_of_number);
        let exponent = text.ends_with(['e', 'E']) && matches!(self.peek(0), Some('+' | '-'));
        if exponent && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            text.extend(self.peek(0));
            self.at += 1;
            text.push_str(&self.run(is_part_of_number));
        }
        let number = read_number(&text.replace('_', ""));
        number
            .map(Word::Number)
            .map_err(|hint| self.since(start).error(format!("`{text}` is not a number"), hint))
    }

    fn sign(&mut self, first: char) -> Result<Word, ExpressionError> {
        let start = self.at;
        let found = SIGNS
            .into_iter()
            .find(|sign| sign.chars().enumerate().all(|(index, c)| self.peek(index) == Some(c)));
        self.at += found.map_or(1, str::len);
        let hint = match (found, first) {
            (Some(sign), _) => return Ok(Word::Sign(sign)),
            (None, '=') => "equality is `==`",
            (None, '&') => "`and` is `&&`",
            (None, '|') => "`or` is `||`",
            (None, '`') => "a text stands in quotes: `'prod'`",
            (None, '$' | '{' | '}') => "names stand alone here: `v`, not `${v}`",
            (None, '~') => "regular expressions belong to `where`",
            (None, '?') => "a default is given by `??`: `v ?? 0`",
            (None, '^') => "write a product: `v * v`",
            _ => "there are numbers, texts in quotes, names, `+ - * / %`, comparisons, `&& || !` and `??`",
        };
        Err(self.since(start).error(format!("`{first}` has no meaning in an expression"), hint))
    }
}

fn is_part_of_number(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == 'µ'
}

/// A number; a duration, in seconds; a size, in bytes.
///
/// # Errors
/// What to write instead.
pub(crate) fn read_number(text: &str) -> Result<f64, String> {
    if let Ok(number) = text.parse::<f64>() {
        return match number.is_finite() {
            true => Ok(number),
            false => Err("it must be finite".to_owned()),
        };
    }
    if text.ends_with('B') {
        let size = text.parse::<bytesize::ByteSize>();
        return size.map(|size| size.as_u64() as f64).map_err(|_| "a size is like `10GiB`".to_owned());
    }
    if text.ends_with('%') {
        return Err(format!("write the number alone: `{}`", text.trim_end_matches('%').trim()));
    }
    // To humantime a capital M is a month; who writes a limit more likely means millions.
    if text.ends_with('M') {
        return Err("write `5000000`, `5MB`, or `5m` for minutes".to_owned());
    }
    units::parse_duration(text)
        .map(|duration| duration.as_secs_f64())
        .map_err(|_| "like `90`, `26h` (in seconds) or `10GiB` (in bytes)".to_owned())
}
