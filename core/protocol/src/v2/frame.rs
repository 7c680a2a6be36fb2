//! Frames: the length of a message as a varint, and the message.

use prost::Message;

/// The most bytes that the length of a frame takes. Lengths of 4 GiB and more do not exist.
pub const LENGTH_BYTES_MAX: usize = 5;

/// What is wrong with a frame. Nothing after it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is not a varint of at most five bytes.
    #[error("the length of a frame is malformed")]
    Length,
    /// The frame is longer than it may be.
    #[error("a frame has {bytes} bytes, but may have {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are no message.
    #[error("a frame holds no message")]
    Malformed,
    /// A request asks for several things.
    #[error("a request has more than one body")]
    Bodies,
    /// A request or a response is in too many pieces.
    #[error("a message has more than {limit} fields")]
    Fields {
        /// The limit.
        limit: usize,
    },
    /// The message cannot be decoded.
    #[error("a frame holds no message of this protocol: {0}")]
    Message(#[from] prost::DecodeError),
}

/// What the front of a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A whole frame: its message, and how many bytes of the buffer it took.
    Frame {
        /// The bytes of the message.
        message: &'a [u8],
        /// The length of frame and prefix.
        taken: usize,
    },
    /// The beginning of a frame. The buffer must hold at least this many bytes before asking again is of use.
    Incomplete {
        /// More than the buffer holds now.
        needed: usize,
    },
}

/// Takes a frame of at most `bytes_max` bytes from the front of a buffer. Allocates nothing; `needed` is at most
/// `bytes_max` and the prefix.
///
/// # Errors
/// [`FrameError::Length`], [`FrameError::TooLong`]
pub fn split_frame(buffer: &[u8], bytes_max: usize) -> Result<Split<'_>, FrameError> {
    let mut length = 0u64;
    for (index, byte) in buffer.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > bytes_max || length > u64::from(u32::MAX) {
            return Err(FrameError::TooLong { bytes, limit: bytes_max });
        }
        let (start, end) = (index + 1, index + 1 + bytes);
        return Ok(match buffer.get(start..end) {
            Some(message) => Split::Frame { message, taken: end },
            None => Split::Incomplete { needed: end },
        });
    }
    if buffer.len() >= LENGTH_BYTES_MAX {
        return Err(FrameError::Length);
    }
    Ok(Split::Incomplete { needed: buffer.len() + 1 })
}

/// Appends a frame with a message.
pub fn put_frame(buffer: &mut Vec<u8>, message: &impl Message) {
    let length = message.encoded_len();
    buffer.reserve(LENGTH_BYTES_MAX + length);
    prost::encoding::encode_varint(length as u64, buffer);
    message.encode_raw(buffer);
}
