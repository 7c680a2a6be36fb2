//! What an instance of a rule remembers from tick to tick: `this` in its script.

use rhai::Dynamic;

use crate::convert::type_name;

/// The memory of one instance, empty until its script's `init` has run. It holds plain values only (numbers, texts,
/// truth values, `()`, arrays and maps of them), and a failed call leaves it as it was.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Only ever what [`plain`] has checked.
    value: Option<Dynamic>,
}

impl Memory {
    /// Whether `init` has not run yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_none()
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
        let value = plain(value, "this", &mut room)?;
        self.value = Some(value);
        Ok(())
    }
}

/// What a number, a truth value or `()` counts; also what an entry adds to its content.
const SCALAR_BYTES: usize = 16;

/// The value without variables shared with closures. `place` names it in messages; `room` is what is left of its size.
fn plain(value: Dynamic, place: &str, room: &mut usize) -> Result<Dynamic, String> {
    let value = value.flatten();
    let text_bytes = value.as_immutable_string_ref().map_or(0, |text| text.len());
    *room = room.checked_sub(SCALAR_BYTES + text_bytes).ok_or_else(|| {
        format!(
            "`this` has grown too large (at `{place}`); remember a summary, and read history with `s.series`"
        )
    })?;
    if value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_string() {
        return Ok(value);
    }
    if value.is_array() {
        let array = value.into_array().unwrap_or_default().into_iter().enumerate();
        let items = array.map(|(index, item)| plain(item, &format!("{place}[{index}]"), room));
        return Ok(Dynamic::from_array(items.collect::<Result<_, _>>()?));
    }
    let kind = type_name(&value);
    let map = value.try_cast::<rhai::Map>().ok_or_else(|| {
        format!(
            "`{place}` is {kind}; `this` holds only numbers, texts, truth values, `()`, and arrays and maps of them"
        )
    })?;
    let entries = map.into_iter().map(|(name, item)| {
        *room = room.saturating_sub(name.len());
        let item = plain(item, &format!("{place}.{name}"), room)?;
        Ok((name, item))
    });
    Ok(Dynamic::from_map(entries.collect::<Result<_, String>>()?))
}
