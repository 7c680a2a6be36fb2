//! Where the bytes of an index come from, and how they are known to be the right ones.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use super::table::CRC_BYTES;
use super::{IndexError, damaged};
use crate::checksum::Seed;

/// Positioned reads of one file.
pub(crate) trait ReadAt: Send + Sync + Debug {
    /// Exactly `len` bytes from `offset` on.
    ///
    /// # Errors
    /// The file ends earlier, or cannot be read.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
}

/// The bytes of one index.
#[derive(Debug)]
pub(super) struct Source {
    pub reader: Arc<dyn ReadAt>,
    pub seed: Seed,
}

impl Source {
    /// Bytes as they are. The caller has made sure that `bytes` lies within the index.
    pub(super) fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, IndexError> {
        let error = |source| IndexError::Io { offset, bytes, source };
        let read = self.reader.read_at(offset, bytes).map_err(error)?;
        if read.len() == bytes { Ok(read) } else { Err(error(io::ErrorKind::UnexpectedEof.into())) }
    }

    /// What stands before the checksum at the end of `sealed`, if it holds.
    pub(super) fn verify<'a>(&self, offset: u64, sealed: &'a [u8]) -> Result<&'a [u8], IndexError> {
        let wrong = || damaged(offset, "a checksum does not hold");
        let (body, crc) = sealed.split_last_chunk::<CRC_BYTES>().ok_or_else(wrong)?;
        if u32::from_le_bytes(*crc) == self.seed.checksum(offset, body) { Ok(body) } else { Err(wrong()) }
    }

    /// `bytes` bytes whose checksum stands behind them.
    pub(super) fn read_sealed(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, IndexError> {
        let mut sealed = self.read(offset, bytes + CRC_BYTES)?;
        self.verify(offset, &sealed)?;
        sealed.truncate(bytes);
        Ok(sealed)
    }
}
