//! Vectors: numbers by label set, and their joins.
//!
//! Invariants:
//! * a vector's rows all have the same label names, which are sorted, and no two have the same values;
//! * rows are in order of their labels, but for what `top` gives;
//! * a join never multiplies rows: each row on the left finds one on the right, or none.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use sereno_model::Level;

use crate::convert::{Outcome, from_labels, from_level, from_option, number_argument, type_name};
use crate::instance::Labels;
use crate::meter;

/// How many rows a vector may have.
pub(crate) const ROWS_MAX: usize = 10_000;
/// How many numbers a row may have: `a`, `b`, `c` and `d`.
const NUMBERS_MAX: usize = 4;

/// Numbers by label set.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    names: Arc<[String]>,
    rows: Arc<Vec<Row>>,
    /// How many numbers each row has.
    width: usize,
    /// Whether the rows are in order of their labels.
    sorted: bool,
}

/// A row of a vector, or an entry of a list of alerts.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    labels: Arc<Labels>,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Numbers { numbers: [f64; NUMBERS_MAX], width: usize },
    Level(Option<Level>),
}

impl Row {
    pub(crate) fn new(labels: Arc<Labels>, number: f64) -> Self {
        let mut numbers = [0.0; NUMBERS_MAX];
        numbers[0] = number;
        Self { labels, content: Content::Numbers { numbers, width: 1 } }
    }

    pub(crate) fn of_alert(labels: Labels, level: Option<Level>) -> Self {
        Self { labels: Arc::new(labels), content: Content::Level(level) }
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(crate) fn number(&self) -> f64 {
        self.nth(0).unwrap_or(f64::NAN)
    }

    fn nth(&self, index: usize) -> Option<f64> {
        match self.content {
            Content::Numbers { numbers, width } if index < width => Some(numbers[index]),
            _ => None,
        }
    }

    fn width(&self) -> usize {
        match self.content {
            Content::Numbers { width, .. } => width,
            Content::Level(_) => 0,
        }
    }

    fn and(&self, number: f64) -> Self {
        let mut row = self.clone();
        if let Content::Numbers { numbers, width } = &mut row.content
            && *width < NUMBERS_MAX
        {
            numbers[*width] = number;
            *width += 1;
        }
        row
    }

    /// `r.value`.
    fn value(&self) -> Outcome<f64> {
        match self.width() {
            1 => Ok(self.number()),
            0 => Err("an alert has no number; it has `r.labels` and `r.level`".into()),
            _ => Err("this row comes from a join: its numbers are `r.a` and `r.b`".into()),
        }
    }

    /// `r.a` to `r.d`.
    fn letter(&self, index: usize) -> Outcome<f64> {
        let width = self.width();
        match self.nth(index) {
            Some(number) if width > 1 => Ok(number),
            _ if width == 1 => Err("this row has one number, `r.value`".into()),
            _ if width == 0 => Err("an alert has no numbers; it has `r.labels` and `r.level`".into()),
            _ => Err(format!("this row has {width} numbers, so there is no such one").into()),
        }
    }

    pub(crate) fn level_or_unit(&self) -> Dynamic {
        match self.content {
            Content::Level(level) => from_level(level),
            Content::Numbers { .. } => Dynamic::UNIT,
        }
    }

    fn level(&self) -> Outcome<Dynamic> {
        match self.content {
            Content::Level(level) => Ok(from_level(level)),
            Content::Numbers { .. } => Err("a row of a vector has no level".into()),
        }
    }
}

impl Vector {
    /// `names` are sorted; the rows have these labels, and are in order.
    pub(crate) fn new(names: Arc<[String]>, rows: Vec<Row>) -> Self {
        Self { names, rows: Arc::new(rows), width: 1, sorted: true }
    }

    pub(crate) fn names(&self) -> &Arc<[String]> {
        &self.names
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of a vector that is not joined.
    fn single(&self, asked: &str) -> Outcome<&[Row]> {
        meter::work(self.rows.len())?;
        if self.width == 1 {
            return Ok(&self.rows);
        }
        Err(format!("`{asked}` is for one number by label set, and this is a join; go through its rows")
            .into())
    }

    fn numbers(&self, asked: &str) -> Outcome<impl Iterator<Item = f64>> {
        Ok(self.single(asked)?.iter().map(Row::number))
    }

    fn sum(&self) -> Outcome<f64> {
        // From the positive zero: the sum of nothing, as it is read, is 0 and not -0.
        Ok(self.numbers("sum")?.fold(0.0, |sum, number| sum + number))
    }

    fn mean(&self) -> Outcome<Dynamic> {
        let sum = self.sum()?;
        Ok(from_option((!self.rows.is_empty()).then(|| sum / self.rows.len() as f64)))
    }

    fn extreme(&self, asked: &str, wanted: Ordering) -> Outcome<Dynamic> {
        let numbers = self.numbers(asked)?.filter(|number| !number.is_nan());
        Ok(from_option(numbers.reduce(|a, b| if b.total_cmp(&a) == wanted { b } else { a })))
    }

    fn top(&self, count: i64) -> Outcome<Self> {
        let count = usize::try_from(count).map_err(|_| format!("`top({count})`: how many?"))?;
        let mut rows = self.single("top")?.to_vec();
        meter::work(rows.len().saturating_mul(rows.len().max(1).ilog2() as usize))?;
        // NaN is no height; equal ones keep the order of their labels.
        let height = |row: &Row| Some(row.number()).filter(|number| !number.is_nan());
        rows.sort_by(|a, b| match (height(a), height(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        rows.truncate(count);
        Ok(Self { rows: Arc::new(rows), sorted: false, ..self.clone() })
    }

    /// The row of these labels.
    fn find(&self, labels: &Labels) -> Option<&Row> {
        if self.sorted {
            let index = self.rows.binary_search_by(|row| row.labels.as_ref().cmp(labels)).ok()?;
            return self.rows.get(index);
        }
        self.rows.iter().find(|row| *row.labels == *labels)
    }

    fn get(&self, labels: &Map) -> Outcome<Dynamic> {
        self.single("get")?;
        let mut wanted = Labels::with_capacity(self.names.len());
        for name in self.names.iter() {
            let value = labels.get(name.as_str()).and_then(|value| value.clone().into_string().ok());
            let value = value.ok_or_else(|| {
                format!("`get` needs all labels of the vector, [{}], as texts", self.names.join(", "))
            })?;
            wanted.push((name.clone(), value));
        }
        Ok(from_option(self.find(&wanted).map(Row::number)))
    }

    /// `join`, and `join_or` with what stands for a missing number.
    fn join(&self, other: &Self, otherwise: Option<f64>) -> Outcome<Self> {
        if let Some(name) = other.names.iter().find(|name| !self.names.contains(name)) {
            let (left, right) = (self.names.join(", "), other.names.join(", "));
            let message = format!(
                "`join`: the right side has the label `{name}`, which the left one lacks ([{right}] and [{left}]); join \
                 from the side with more labels"
            );
            return Err(message.into());
        }
        if other.width != 1 {
            return Err("`join`: the right side is a join itself; join from the left one by one".into());
        }
        if self.width >= NUMBERS_MAX {
            return Err(format!("`join`: a row has at most {NUMBERS_MAX} numbers").into());
        }
        let steps = other.rows.len().max(1).ilog2() as usize + 1;
        meter::work(self.rows.len().saturating_mul(steps).saturating_add(other.rows.len()))?;
        let same_labels = self.names == other.names;
        let right: BTreeMap<&Labels, f64> =
            other.rows.iter().map(|row| (&*row.labels, row.number())).collect();
        let joined = self.rows.iter().filter_map(|row| {
            let found = if same_labels {
                right.get(&*row.labels)
            } else {
                let is_shared = |(name, _): &&(String, String)| other.names.contains(name);
                right.get(&row.labels.iter().filter(is_shared).cloned().collect::<Labels>())
            };
            found.copied().or(otherwise).map(|number| row.and(number))
        });
        Ok(Self { rows: Arc::new(joined.collect()), width: self.width + 1, ..self.clone() })
    }
}

impl IntoIterator for Vector {
    type Item = Row;
    type IntoIter = Rows;

    fn into_iter(self) -> Rows {
        Rows { rows: self.rows, next: 0 }
    }
}

/// The rows of a vector or list, one by one.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    rows: Arc<Vec<Row>>,
    next: usize,
}

impl Rows {
    pub(crate) fn of(rows: Arc<Vec<Row>>) -> Self {
        Self { rows, next: 0 }
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.rows.get(self.next)?.clone();
        self.next += 1;
        Some(row)
    }
}

/// Whether an array of so many entries may be made.
fn check_len(context: &NativeCallContext<'_>, asked: &str, len: usize) -> Outcome<()> {
    let limit = context.engine().max_array_size();
    if len <= limit {
        return Ok(());
    }
    Err(format!("`{asked}`: {len} entries, where an array has at most {limit}; go through the rows by `for`")
        .into())
}

fn vector_argument<'a>(
    function: &str,
    other: &'a Dynamic,
) -> Outcome<impl std::ops::Deref<Target = Vector> + 'a> {
    other
        .read_lock::<Vector>()
        .ok_or_else(|| format!("`{function}` wants a vector, not {}", type_name(other)).into())
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Vector>("Vector");
    engine.register_iterator::<Vector>();
    engine.register_fn("len", |v: &mut Vector| v.rows.len() as i64);
    engine.register_fn("is_empty", |v: &mut Vector| v.rows.is_empty());
    engine.register_fn("get", |v: &mut Vector, labels: Map| v.get(&labels));
    engine.register_fn("labels", |context: NativeCallContext, v: &mut Vector| -> Outcome<Array> {
        // Each map's entries count.
        check_len(&context, "labels", v.rows.len().saturating_mul(v.names.len().max(1)))?;
        meter::work(v.rows.len())?;
        Ok(v.rows.iter().map(|row| from_labels(&row.labels)).collect())
    });
    engine.register_fn("values", |context: NativeCallContext, v: &mut Vector| -> Outcome<Array> {
        check_len(&context, "values", v.rows.len())?;
        Ok(v.numbers("values")?.map(Dynamic::from_float).collect())
    });
    engine.register_fn("sum", |v: &mut Vector| v.sum());
    engine.register_fn("mean", |v: &mut Vector| v.mean());
    engine.register_fn("min", |v: &mut Vector| v.extreme("min", Ordering::Less));
    engine.register_fn("max", |v: &mut Vector| v.extreme("max", Ordering::Greater));
    engine.register_fn("top", |v: &mut Vector, count: i64| v.top(count));
    engine.register_fn("join", |v: &mut Vector, other: Dynamic| -> Outcome<Vector> {
        let other = vector_argument("join", &other)?;
        v.join(&other, None)
    });
    engine.register_fn("join_or", |v: &mut Vector, other: Dynamic, otherwise: Dynamic| -> Outcome<Vector> {
        let otherwise = number_argument("join_or", &otherwise)?;
        let other = vector_argument("join_or", &other)?;
        v.join(&other, Some(otherwise))
    });
    let describe = |v: &mut Vector| format!("a vector of {} rows by [{}]", v.rows.len(), v.names.join(", "));
    engine.register_fn("to_string", describe);
    engine.register_fn("to_debug", describe);
    register_row(engine);
}

fn register_row(engine: &mut Engine) {
    engine.register_type_with_name::<Row>("Row");
    engine.register_get("labels", |r: &mut Row| from_labels(&r.labels));
    engine.register_get("value", |r: &mut Row| r.value());
    engine.register_get("a", |r: &mut Row| r.letter(0));
    engine.register_get("b", |r: &mut Row| r.letter(1));
    engine.register_get("c", |r: &mut Row| r.letter(2));
    engine.register_get("d", |r: &mut Row| r.letter(3));
    engine.register_get("level", |r: &mut Row| r.level());
}
