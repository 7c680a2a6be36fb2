//! `pstr[N]`, a text in a field of exactly N bytes: its length, its bytes, padding.
//!
//! Padding is written as zeros and never looked at when reading, because old clients leave there what was in memory.

use super::error::{Field, FormatError};

/// Reads a text; allocates nothing.
pub(super) fn decode<const N: usize>(field: Field, bytes: &[u8; N]) -> Result<&str, FormatError> {
    let length = usize::from(bytes[0]);
    let Some(text) = bytes[1..].get(..length) else {
        return Err(FormatError::TooLong { field, bytes: length, bytes_max: N - 1 });
    };
    std::str::from_utf8(text).map_err(|_| FormatError::NotUtf8 { field })
}

/// Writes a text that the caller has found to fit; what does not fit is left out.
pub(super) fn encode<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let text = cut(text, (N - 1).min(usize::from(u8::MAX)));
    // The cut made it fit into the length byte.
    bytes[0] = text.len() as u8;
    bytes[1..=text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// The longest start of `text` that has at most `bytes_max` bytes and ends between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Checks a name that is about to be sent or was just read: it fits and holds no control character.
pub(super) fn check_name(field: Field, name: &str, bytes_max: usize) -> Result<(), FormatError> {
    if name.len() > bytes_max {
        return Err(FormatError::TooLong { field, bytes: name.len(), bytes_max });
    }
    match has_control(name) {
        true => Err(FormatError::ControlCharacter { field }),
        false => Ok(()),
    }
}

/// A metric id is a name that is not empty.
pub(super) fn check_identifier(identifier: &str) -> Result<(), FormatError> {
    if identifier.is_empty() {
        return Err(FormatError::EmptyIdentifier);
    }
    check_name(Field::Identifier, identifier, super::IDENTIFIER_BYTES_MAX)
}

/// One branch-free pass over the bytes decides for ASCII, which nearly every name is; only other names are decoded
/// into characters, for the control characters U+0080 to U+009F.
fn has_control(name: &str) -> bool {
    let (ascii_control, other) = name.bytes().fold((false, false), |(control, other), byte| {
        (control | (byte < 0x20) | (byte == 0x7f), other | (byte >= 0x80))
    });
    ascii_control || (other && name.chars().any(char::is_control))
}
