//! The `STORE` file: what was decided when the store was created. Bytes: `FORMAT.md`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path;

use sereno_model::Timestamp;
use sereno_runtime::{Disk, disk};

use crate::store::OpenError;

const MAGIC: &[u8; 8] = b"SERENO-S";
const VERSION: u32 = 1;
const BYTES: usize = 48;

/// Identity of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub queues: u32,
    pub store_id: [u8; 16],
    pub created: Timestamp,
}

impl Superblock {
    /// Reads the `STORE` file of a directory, or creates it if the directory holds no store yet.
    pub(crate) fn open_or_create(
        disk: &dyn Disk,
        directory: &Path,
        queues: u32,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let path = directory.join("STORE");
        match disk.read(&path) {
            Ok(bytes) => Self::decode(&bytes).ok_or(OpenError::Superblock { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A log without its identity cannot be verified; a fresh identity would orphan it.
                if disk.list(&directory.join("wal")).is_ok_and(|files| !files.is_empty()) {
                    return Err(OpenError::Superblock { path });
                }
                let fresh = Self { queues, store_id: random_id(), created: now };
                disk::replace(disk, &path, &fresh.encode()).map_err(|source| OpenError::Io {
                    what: "create",
                    path,
                    source,
                })?;
                Ok(fresh)
            }
            Err(source) => Err(OpenError::Io { what: "read", path, source }),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.queues.to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.created.nanos().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(BYTES - 4)?;
        let intact = crc == crc32fast::hash(body).to_le_bytes() && body.starts_with(MAGIC);
        let queues = u32::from_le_bytes(body.get(12..16)?.try_into().ok()?);
        let usable = intact && body[8..12] == VERSION.to_le_bytes() && queues > 0;
        usable.then_some(Self {
            queues,
            store_id: body.get(16..32)?.try_into().ok()?,
            created: Timestamp::from_nanos(i64::from_le_bytes(body.get(32..40)?.try_into().ok()?)),
        })
    }
}

/// Sixteen bytes that no other store has. The standard library seeds its hash maps from the system's randomness, which
/// is all that an identity needs.
fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    for half in id.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    id
}
