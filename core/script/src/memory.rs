//! What an instance of a rule remembers from tick to tick: `this` in its script.

use rhai::Dynamic;

/// The memory of one instance, empty until its script's `init` has run. It holds plain values only (numbers, texts,
/// truth values, arrays, maps), and a failed call leaves it as it was.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(crate) value: Option<Dynamic>,
}
