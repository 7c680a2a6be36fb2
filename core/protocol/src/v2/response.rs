//! What a client reads. As with requests, the pieces of a response are counted before it is decoded: an empty message of two
//! bytes becomes some hundred in memory, and a client need not trust its server.

use prost::Message;

use super::frame::FrameError;
use super::messages::Response;
use super::request::check_fields;
use super::write::Reader;

/// The field of `Response` that holds a part of a monitor, whose own parts have lists.
const MONITOR_FIELD: u32 = 7;

/// The most fields in the body of a response: far more than the server puts into one of its parts. Decoded, a response takes
/// at most 50 MiB beside its texts and columns.
pub const RESPONSE_FIELDS_MAX: usize = 65_536;

/// Decodes the message of a frame.
///
/// # Errors
/// [`FrameError::Malformed`], [`FrameError::Fields`], [`FrameError::Message`]
pub fn decode_response(message: &[u8]) -> Result<Response, FrameError> {
    let mut reader = Reader::new(message);
    while let Some(key) = reader.key().ok_or(FrameError::Malformed)? {
        if key.wire != 2 {
            reader.skip(key).ok_or(FrameError::Malformed)?;
            continue;
        }
        let body = reader.bytes().ok_or(FrameError::Malformed)?;
        check_fields(body, RESPONSE_FIELDS_MAX)?;
        if key.field == MONITOR_FIELD {
            check_parts(body)?;
        }
    }
    Ok(Response::decode(message)?)
}

fn check_parts(body: &[u8]) -> Result<(), FrameError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key().ok_or(FrameError::Malformed)? {
        match key.wire {
            2 => check_fields(reader.bytes().ok_or(FrameError::Malformed)?, RESPONSE_FIELDS_MAX)?,
            _ => reader.skip(key).ok_or(FrameError::Malformed)?,
        }
    }
    Ok(())
}
