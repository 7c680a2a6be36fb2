//! The end of an index, from which all else is found. Bytes: `INDEX.md`.

use super::source::Source;
use super::{IndexError, damaged};
use crate::checksum::Seed;

/// Bytes of a footer.
pub(super) const FOOTER_BYTES: usize = 48;

const MAGIC: &[u8; 4] = b"SIDX";
const VERSION: u32 = 1;

/// How many series there are, and how long the sections are, which stand in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub series: u32,
    pub key_bytes: u64,
    pub term_bytes: u64,
    pub posting_bytes: u64,
    /// With the checksum, as the next.
    pub key_directory_bytes: u32,
    pub term_directory_bytes: u32,
}

impl Footer {
    pub(super) fn write(&self, seed: &Seed, shift: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.series.to_le_bytes());
        for bytes in [self.key_bytes, self.term_bytes, self.posting_bytes] {
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        for bytes in [self.key_directory_bytes, self.term_directory_bytes] {
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        seed.seal(out, start, shift);
    }

    /// Reads the footer of an index that fills `index_bytes` bytes; `sealed` stands at its end, at `offset` of the file.
    pub(super) fn read(
        source: &Source,
        offset: u64,
        sealed: &[u8],
        index_bytes: u64,
    ) -> Result<Self, IndexError> {
        let malformed = |what| damaged(offset, what);
        let body = source.verify(offset, sealed)?;
        let body: &[u8; FOOTER_BYTES - 4] =
            body.try_into().map_err(|_| malformed("a footer is malformed"))?;
        let u32_at =
            |at: usize| body.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let u64_at =
            |at: usize| body.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        if !body.starts_with(MAGIC) || u32_at(4) != VERSION {
            return Err(malformed("not an index of a version that is known"));
        }
        let footer = Self {
            series: u32_at(8),
            key_bytes: u64_at(12),
            term_bytes: u64_at(20),
            posting_bytes: u64_at(28),
            key_directory_bytes: u32_at(36),
            term_directory_bytes: u32_at(40),
        };
        match footer.total() {
            Some(total) if total == index_bytes => Ok(footer),
            _ => Err(malformed("the sections do not fill the index")),
        }
    }

    fn total(&self) -> Option<u64> {
        let directories = [self.key_directory_bytes, self.term_directory_bytes].map(u64::from);
        let tables = [self.key_bytes, self.term_bytes, self.posting_bytes];
        let sections = tables.into_iter().chain(directories).chain([FOOTER_BYTES as u64]);
        sections.into_iter().try_fold(0_u64, |sum, bytes| sum.checked_add(bytes))
    }
}
