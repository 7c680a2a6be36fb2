//! What an instance of a rule remembers from tick to tick: `this` in its script.
//!
//! Its bytes, which are kept across restarts: a version (1), then one value. Equal memories give equal bytes, and every
//! number survives to the bit. An empty memory has no bytes.
//!
//! | tag | value | then |
//! |---|---|---|
//! | 0, 1, 2 | `()`, false, true | |
//! | 3, 4 | integer, float | 8 bytes, little endian |
//! | 5 | text | length as u32, UTF-8 |
//! | 6 | array | count as u32, values |
//! | 7 | map | count as u32, then for each entry, in rising order: length as u32, name, value |

use std::fmt;

use rhai::Dynamic;

use crate::convert::type_name;

/// The memory of one instance, empty until its script's `init` has run. It holds plain values only (numbers, texts,
/// truth values, `()`, arrays and maps of them), and a failed call leaves it as it was.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Only ever what [`plain`] or [`read`] has checked.
    value: Option<Dynamic>,
}

impl PartialEq for Memory {
    /// To the bit: NaN equals itself, 0 and -0 differ.
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

/// Bytes that are no memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// They are of a version that this program does not know.
    #[error("the memory is of version {0}, which this program does not know")]
    Version(u8),
    /// They end too early, or go on after the end.
    #[error("the memory has another length than it says")]
    Length,
    /// They say something that no memory says.
    #[error("the memory is damaged: {0}")]
    Damaged(&'static str),
}

impl Memory {
    /// Whether `init` has not run yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_none()
    }

    /// Its bytes, as the module tells.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(value) = &self.value {
            bytes.push(VERSION);
            write(value, &mut bytes);
        }
        bytes
    }

    /// The memory of these bytes.
    ///
    /// # Errors
    /// [`MemoryError`] if [`Memory::to_bytes`] never gives them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MemoryError> {
        let Some((version, mut rest)) = bytes.split_first() else { return Ok(Self::default()) };
        if *version != VERSION {
            return Err(MemoryError::Version(*version));
        }
        let value = read(&mut rest, NESTING_MAX)?;
        if rest.is_empty() { Ok(Self { value: Some(value) }) } else { Err(MemoryError::Length) }
    }

    /// A copy to work on.
    pub(crate) fn get(&self) -> Option<Dynamic> {
        self.value.clone()
    }

    /// Takes over what a call has left.
    ///
    /// # Errors
    /// It is not plain, or larger than `bytes_max`; the memory then keeps what it had.
    pub(crate) fn set(&mut self, value: Dynamic, bytes_max: usize) -> Result<(), String> {
        let mut room = bytes_max;
        check(&value, &Place::WHOLE, &mut room)?;
        self.value = Some(value);
        Ok(())
    }
}

const VERSION: u8 = 1;
/// How deep arrays and maps may nest; reading and freeing them recurses, on any thread.
const NESTING_MAX: usize = 32;
/// What a number, a truth value or `()` counts; also what an entry adds to its content.
const SCALAR_BYTES: usize = 16;

/// Where in the memory a value is: put into words only when there is something to say.
#[derive(Clone, Copy)]
struct Place<'a> {
    depth: usize,
    step: Step<'a>,
    outer: Option<&'a Place<'a>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Whole,
    Name(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    const WHOLE: Self = Self { depth: 0, step: Step::Whole, outer: None };

    fn inside(&'a self, step: Step<'a>) -> Self {
        Self { depth: self.depth + 1, step, outer: Some(self) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            outer.fmt(f)?;
        }
        match self.step {
            Step::Whole => f.write_str("this"),
            Step::Name(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether a value can be remembered. `room` is what is left of its size.
fn check(value: &Dynamic, place: &Place<'_>, room: &mut usize) -> Result<(), String> {
    let text_bytes = value.as_immutable_string_ref().map_or(0, |text| text.len());
    take(SCALAR_BYTES + text_bytes, place, room)?;
    if place.depth > NESTING_MAX {
        return Err(format!("`{place}` is nested deeper than {NESTING_MAX}; `this` holds flatter things"));
    }
    if let Ok(array) = value.as_array_ref() {
        let mut items = array.iter().enumerate();
        return items.try_for_each(|(index, item)| check(item, &place.inside(Step::Index(index)), room));
    }
    if let Ok(map) = value.as_map_ref() {
        return map.iter().try_for_each(|(name, item)| {
            let place = place.inside(Step::Name(name));
            take(name.len(), &place, room)?;
            check(item, &place, room)
        });
    }
    if value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_string() {
        return Ok(());
    }
    Err(format!(
        "`{place}` is {}; `this` holds only numbers, texts, truth values, `()`, and arrays and maps of them",
        type_name(value)
    ))
}

fn take(bytes: usize, place: &Place<'_>, room: &mut usize) -> Result<(), String> {
    *room = room.checked_sub(bytes).ok_or_else(|| {
        format!(
            "`this` has grown too large (at `{place}`); remember a summary, and read history with `s.series`"
        )
    })?;
    Ok(())
}

/// Appends the bytes of a value that [`check`] has seen.
fn write(value: &Dynamic, bytes: &mut Vec<u8>) {
    if let Ok(int) = value.as_int() {
        bytes.push(3);
        bytes.extend(int.to_le_bytes());
    } else if let Ok(float) = value.as_float() {
        bytes.push(4);
        bytes.extend(float.to_bits().to_le_bytes());
    } else if let Ok(flag) = value.as_bool() {
        bytes.push(if flag { 2 } else { 1 });
    } else if let Ok(text) = value.as_immutable_string_ref() {
        bytes.push(5);
        write_text(&text, bytes);
    } else if let Ok(array) = value.as_array_ref() {
        bytes.push(6);
        write_len(array.len(), bytes);
        array.iter().for_each(|item| write(item, bytes));
    } else if let Ok(map) = value.as_map_ref() {
        bytes.push(7);
        write_len(map.len(), bytes);
        for (name, item) in map.iter() {
            write_text(name, bytes);
            write(item, bytes);
        }
    } else {
        bytes.push(0);
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    write_len(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

/// The limits of a memory are far below 4 GiB.
fn write_len(len: usize, bytes: &mut Vec<u8>) {
    bytes.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads one value; `nesting` is how much deeper it may be.
fn read(bytes: &mut &[u8], nesting: usize) -> Result<Dynamic, MemoryError> {
    let [tag] = take_array(bytes)?;
    Ok(match tag {
        0 => Dynamic::UNIT,
        1 => Dynamic::FALSE,
        2 => Dynamic::TRUE,
        3 => Dynamic::from_int(i64::from_le_bytes(take_array(bytes)?)),
        4 => Dynamic::from_float(f64::from_bits(u64::from_le_bytes(take_array(bytes)?))),
        5 => read_text(bytes)?.into(),
        6 | 7 if nesting == 0 => return Err(MemoryError::Damaged("it is nested too deep")),
        6 => {
            // Each value has a byte at least, so no count allocates more than the bytes that are there.
            let count = read_count(bytes)?;
            let items = (0..count).map(|_| read(bytes, nesting - 1));
            Dynamic::from_array(items.collect::<Result<_, _>>()?)
        }
        7 => read_map(bytes, nesting - 1)?,
        _ => return Err(MemoryError::Damaged("there is no such kind of value")),
    })
}

fn read_map(bytes: &mut &[u8], nesting: usize) -> Result<Dynamic, MemoryError> {
    let count = read_count(bytes)?;
    let mut map = rhai::Map::new();
    for _ in 0..count {
        let name = read_text(bytes)?;
        if map.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(MemoryError::Damaged("the names of a map do not rise"));
        }
        let value = read(bytes, nesting)?;
        map.insert(name.into(), value);
    }
    Ok(Dynamic::from_map(map))
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, MemoryError> {
    let len = read_count(bytes)?;
    let (text, rest) = bytes.split_at_checked(len).ok_or(MemoryError::Length)?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(|_| MemoryError::Damaged("a text is not UTF-8"))
}

/// How many bytes or values follow; no more than there are bytes left.
fn read_count(bytes: &mut &[u8]) -> Result<usize, MemoryError> {
    let count = u32::from_le_bytes(take_array(bytes)?) as usize;
    if count <= bytes.len() { Ok(count) } else { Err(MemoryError::Length) }
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], MemoryError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(MemoryError::Length)?;
    *bytes = rest;
    Ok(*taken)
}
