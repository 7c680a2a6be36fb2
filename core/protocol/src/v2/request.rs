//! What a server reads: batches by columns, everything else as a message.
//!
//! Before a message is decoded, its outline is read, which allocates nothing: that a request has one body, which one, and
//! in how many pieces it comes. An empty text of two bytes becomes 24 in memory and an empty matcher 56, so pieces have a
//! limit of their own.

use prost::Message;

use super::frame::FrameError;
use super::messages::Request;
use super::write::Reader;

/// The field of `Request` that holds a batch.
const WRITE_FIELD: u32 = 3;
/// The field of `Request` that is kept for what is no body.
const KEPT_FIELD: u32 = 16;
/// The highest field of `Request` that this version knows.
const LAST_FIELD: u32 = 27;
/// The fields of `Request` whose bodies carry files: `evaluate_rules`, `replay_rule`, `plan_rules`.
const FILE_FIELDS: [u32; 3] = [18, 19, 21];

/// The most fields that the body of a request other than a batch has: names of rules, labels, matchers, parameters. Such a
/// request takes at most 256 KiB beside its texts.
pub const REQUEST_FIELDS_MAX: usize = 1_024;
/// The same for a request with files, which takes at most 4 MiB beside their texts.
pub const FILES_FIELDS_MAX: usize = 16_384;

/// A request, as far as it is decoded.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A batch; [`super::write::decode`] reads it.
    Write {
        /// The request's id.
        id: u64,
        /// The bytes of the message `Write`.
        batch: &'a [u8],
    },
    /// Anything else, never a batch. The body is `None` if it is a request of a later version.
    Other(Box<Request>),
}

/// Decodes the message of a frame. `request_bytes_max` limits everything but batches and requests with files, for which
/// there is the limit of frames.
///
/// # Errors
/// Every [`FrameError`] but `Length`.
pub fn decode_request(message: &[u8], request_bytes_max: usize) -> Result<Incoming<'_>, FrameError> {
    let Outline { id, body } = outline(message)?;
    if let Some((WRITE_FIELD, batch)) = body {
        return Ok(Incoming::Write { id, batch });
    }
    let has_files = body.is_some_and(|(field, _)| FILE_FIELDS.contains(&field));
    if message.len() > request_bytes_max && !has_files {
        return Err(FrameError::TooLong { bytes: message.len(), limit: request_bytes_max });
    }
    if let Some((_, body)) = body {
        check_fields(body, if has_files { FILES_FIELDS_MAX } else { REQUEST_FIELDS_MAX })?;
    }
    Ok(Incoming::Other(Box::new(Request::decode(message)?)))
}

/// A request, not looked into.
struct Outline<'a> {
    id: u64,
    /// Which field, and the bytes of its message.
    body: Option<(u32, &'a [u8])>,
}

fn outline(message: &[u8]) -> Result<Outline<'_>, FrameError> {
    let mut outline = Outline { id: 0, body: None };
    let mut reader = Reader::new(message);
    while let Some(key) = reader.key().ok_or(FrameError::Malformed)? {
        match (key.field, key.wire) {
            (1, 0) => outline.id = reader.varint().ok_or(FrameError::Malformed)?,
            (KEPT_FIELD, _) => reader.skip(key).ok_or(FrameError::Malformed)?,
            (field @ 2..=LAST_FIELD, 2) => {
                let body = reader.bytes().ok_or(FrameError::Malformed)?;
                // Protobuf would merge the two, or forget the first: nobody means either.
                if outline.body.replace((field, body)).is_some() {
                    return Err(FrameError::Bodies);
                }
            }
            (1..=LAST_FIELD, _) => return Err(FrameError::Malformed),
            _ => reader.skip(key).ok_or(FrameError::Malformed)?,
        }
    }
    Ok(outline)
}

/// The messages inside a body have no lists of their own, so its fields are all the pieces there are.
pub(super) fn check_fields(body: &[u8], limit: usize) -> Result<(), FrameError> {
    let mut fields = 0;
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key().ok_or(FrameError::Malformed)? {
        fields += 1;
        if fields > limit {
            return Err(FrameError::Fields { limit });
        }
        reader.skip(key).ok_or(FrameError::Malformed)?;
    }
    Ok(())
}
