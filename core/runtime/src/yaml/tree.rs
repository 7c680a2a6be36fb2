//! A YAML text as a tree that knows where everything stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::{FILE_BYTES_MAX, Options, explain};
use crate::diagnostic::Diagnostic;

/// How deep lists and blocks may be nested.
const DEPTH_MAX: usize = 64;
/// How many nodes a text may have once its aliases are replaced by what they stand for.
const NODES_MAX: usize = 200_000;

/// A place in a text: lines and columns in characters, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line; 0 when unknown.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// How many characters of that line are meant; 0 when unknown.
    pub length: u32,
}

/// One step on the way from the root of a document to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into the value of a key.
    Key(&'a str),
    /// Into an item of a list, from 0.
    Index(usize),
}

/// One value of a document, and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Where its key stands, if it has one.
    pub key: Option<Place>,
    /// Where the value stands.
    pub place: Place,
    /// As it was written, without quotes, for a value that is neither a list nor a block.
    pub text: Option<String>,
    keys: HashMap<String, Node>,
    items: Vec<Node>,
}

impl Node {
    fn child(&self, step: Step<'_>) -> Option<&Self> {
        match step {
            Step::Key(key) => self.keys.get(key),
            Step::Index(index) => self.items.get(index),
        }
    }
}

/// A document: its values, where they stand, and the text.
#[derive(Clone, Debug)]
pub struct Tree {
    path: PathBuf,
    text: String,
    root: Node,
    value: Value,
    foreign_keys: &'static [(&'static str, &'static str)],
}

impl Tree {
    /// Reads a text. `path` is for the messages only.
    ///
    /// # Errors
    /// Every finding of the pre-pass: syntax, size, duplicate keys, tags, variables that are not set.
    pub fn parse(path: &Path, text: &str, options: Options) -> Result<Self, Vec<Diagnostic>> {
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
            return Err(vec![Diagnostic::error(path, message).hint("split it into several files")]);
        }
        let mut builder = Builder {
            path,
            text,
            options,
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            nodes: 0,
            found: Vec::new(),
        };
        let built = builder.document();
        let mut found = builder.found;
        match built {
            Ok((root, value)) if found.is_empty() => Ok(Self {
                path: path.to_owned(),
                text: text.to_owned(),
                root,
                value,
                foreign_keys: options.foreign_keys,
            }),
            Ok(_) => Err(found),
            Err(fatal) => {
                found.push(fatal);
                Err(found)
            }
        }
    }

    /// The typed value of a part; `&[]` is the whole.
    ///
    /// # Errors
    /// The first thing that keeps it from being built, at its place.
    pub fn read<T: DeserializeOwned>(&self, path: &[Step<'_>]) -> Result<T, Diagnostic> {
        let value = self.value(path).cloned().unwrap_or(Value::Null);
        serde_path_to_error::deserialize(value).map_err(|error| explain::explain(self, path, &error))
    }

    /// The untyped value of a part.
    #[must_use]
    pub fn value(&self, path: &[Step<'_>]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// A node, if it is there.
    #[must_use]
    pub fn node(&self, path: &[Step<'_>]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, step| node.child(*step))
    }

    /// Where a part stands; for one that is missing, where the nearest block around it begins.
    #[must_use]
    pub fn at(&self, path: &[Step<'_>]) -> Place {
        let mut node = &self.root;
        for step in path {
            match node.child(*step) {
                Some(child) => node = child,
                None => return Place { length: 0, ..node.place },
            }
        }
        node.place
    }

    /// An error about a part.
    #[must_use]
    pub fn error(&self, path: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.point(Diagnostic::error(&self.path, message), self.at(path))
    }

    /// A warning about a part.
    #[must_use]
    pub fn warning(&self, path: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        self.point(Diagnostic::warning(&self.path, message), self.at(path))
    }

    /// An error about a key itself, rather than about its value.
    #[must_use]
    pub fn key_error(&self, path: &[Step<'_>], message: impl Into<String>) -> Diagnostic {
        let place = self.node(path).and_then(|node| node.key).unwrap_or_else(|| self.at(path));
        self.point(Diagnostic::error(&self.path, message), place)
    }

    /// The file, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn foreign_key(&self, key: &str) -> Option<&'static str> {
        self.foreign_keys.iter().find(|(foreign, _)| *foreign == key).map(|(_, advice)| *advice)
    }

    fn point(&self, diagnostic: Diagnostic, place: Place) -> Diagnostic {
        diagnostic.at(&self.text, place.line, place.column, place.length)
    }
}

type Built = (Node, Value);

struct Builder<'a> {
    path: &'a Path,
    text: &'a str,
    options: Options,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    found: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Built, Diagnostic> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or((Node::default(), Value::Null))),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    let error = self.error(place(span), "a second document begins here");
                    return Err(error.hint("one file holds one document; remove the `---`"));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Built, Diagnostic> {
        self.count(1, place(span))?;
        if depth > DEPTH_MAX {
            return Err(self.error(place(span), format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let (anchor, built) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &text, span);
                (anchor, self.scalar(&text, style, span))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "", span);
                (anchor, self.sequence(span, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "", span);
                (anchor, self.mapping(span, depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(self.error(place(span), "a value is missing here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        Ok(built)
    }

    fn sequence(&mut self, span: Span, depth: usize) -> Result<Built, Diagnostic> {
        let mut node = Node { place: start(span), ..Node::default() };
        let mut values = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok((node, Value::Sequence(values))),
                (event, span) => {
                    let (item, value) = self.node(event, span, depth + 1)?;
                    node.items.push(item);
                    values.push(value);
                }
            }
        }
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Result<Built, Diagnostic> {
        let mut node = Node { place: start(span), ..Node::default() };
        let mut values = Mapping::new();
        loop {
            let (key, key_place) = match self.next()? {
                (Event::MappingEnd, _) => return Ok((node, Value::Mapping(values))),
                (Event::Scalar(key, _, _, tag), span) => {
                    self.refuse_tag(tag.as_deref(), &key, span);
                    (key.into_owned(), place(span))
                }
                (_, span) => return Err(self.error(place(span), "a key must be plain text")),
            };
            let (event, span) = self.next()?;
            let (mut child, value) = self.node(event, span, depth + 1)?;
            child.key = Some(key_place);
            self.refuse_key(&key, key_place, &node);
            values.insert(Value::String(key.clone()), value);
            node.keys.insert(key, child);
        }
    }

    fn refuse_key(&mut self, key: &str, at: Place, block: &Node) {
        if key == "<<" {
            let error = self.error(at, "`<<` merges blocks in other programs, not here");
            self.found
                .push(error.hint("write the keys out; rule files have `defaults:` for what all rules share"));
        }
        if let Some(first) = block.keys.get(key).and_then(|node| node.key) {
            let error = self.error(at, format!("key `{key}` is given twice"));
            self.found
                .push(error.hint(format!("the first one is on line {}; remove one of them", first.line)));
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Built, Diagnostic> {
        let Some((mut node, value)) = self.anchors.get(&anchor).cloned() else {
            return Err(self.error(place(span), "this alias stands for a value that contains itself"));
        };
        self.count(count(&value), place(span))?;
        node.place = place(span);
        Ok((node, value))
    }

    /// Bounds what aliases multiply.
    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Diagnostic> {
        self.nodes += nodes;
        match self.nodes > NODES_MAX {
            true => Err(self.error(at, format!("the file has more than {NODES_MAX} values"))),
            false => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Built {
        let place = place(span);
        let text = match self.options.environment {
            Some(lookup) => expand(text, lookup).unwrap_or_else(|why| {
                let error = self.error(place, why);
                self.found.push(error.hint("set the variable, or give a default: `${NAME:-default}`"));
                String::new()
            }),
            None => text.to_owned(),
        };
        let value = match style {
            ScalarStyle::Plain => resolve(&text),
            _ => Value::String(text.clone()),
        };
        (Node { place, text: Some(text), ..Node::default() }, value)
    }

    fn refuse_tag(&mut self, tag: Option<&saphyr_parser::Tag>, text: &str, span: Span) {
        let Some(tag) = tag else { return };
        let text = format!("!{}{}{text}", tag.suffix, if text.is_empty() { "" } else { " " });
        let hint = format!("a value that begins with `!` needs quotes: `\"{text}\"`");
        let error = self.error(Place { length: 0, ..place(span) }, format!("`{text}` is a YAML tag"));
        self.found.push(error.hint(hint));
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax(&self, error: &saphyr_parser::ScanError) -> Diagnostic {
        let marker = error.marker();
        let at = Place { line: narrow(marker.line()), column: narrow(marker.col() + 1), length: 0 };
        let line = self.text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        if let Some(tab) = indent.find('\t') {
            let at = Place { column: narrow(tab + 1), length: 1, ..at };
            return self.error(at, "a tab indents this line").hint("indent with spaces");
        }
        self.error(at, format!("not YAML: {}", error.info()))
    }

    fn error(&self, at: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.path, message).at(self.text, at.line, at.column, at.length)
    }
}

/// What stands on one line, or only where it begins.
fn place(span: Span) -> Place {
    let one_line = span.start.line() == span.end.line();
    let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 0 };
    Place { length: narrow(length), ..start(span) }
}

fn start(span: Span) -> Place {
    Place { line: narrow(span.start.line()), column: narrow(span.start.col() + 1), length: 0 }
}

/// Lossless: [`FILE_BYTES_MAX`] bounds every position.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

/// What an unquoted text means in YAML 1.2. Digits after a leading zero stay text: they are codes, not numbers.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return f64::NAN.into(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return f64::INFINITY.into(),
        "-.inf" | "-.Inf" | "-.INF" => return f64::NEG_INFINITY.into(),
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let radix = [("0x", 16), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((unsigned.strip_prefix(prefix)?, radix)));
    if let Some((digits, radix)) = radix {
        return i64::from_str_radix(digits, radix).map_or_else(|_| text.into(), Value::from);
    }
    let code =
        unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !code;
    if !number {
        return text.into();
    }
    None.or_else(|| text.parse::<i64>().ok().map(Value::from))
        .or_else(|| text.parse::<u64>().ok().map(Value::from))
        .or_else(|| text.parse::<f64>().ok().map(Value::from))
        .unwrap_or_else(|| text.into())
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$$` stands for `$`.
fn expand(text: &str, lookup: fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(body) = rest.strip_prefix('{') {
            let Some((body, after)) = body.split_once('}') else {
                return Err("`${` is not closed by `}`".into());
            };
            let (name, default) = match body.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (body, None),
            };
            let value = lookup(name).filter(|value| !value.is_empty()).or_else(|| default.map(str::to_owned));
            expanded.push_str(&value.ok_or_else(|| format!("the environment variable `{name}` is not set"))?);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}
