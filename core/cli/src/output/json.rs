//! Numbers and times in JSON, and the writing of it.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{number, time};

/// A number. NaN and the infinities, which JSON does not have, are the texts `"NaN"`, `"+Inf"` and `"-Inf"`; `sereno send`
/// reads them back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&number::exact(self.0)),
        }
    }
}

/// A time in nanoseconds since the epoch, as RFC 3339 writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::exact(self.0))
    }
}

/// Labels as an object, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels<'a>(pub(crate) &'a [(String, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// `value` on a line of its own.
pub(crate) fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
