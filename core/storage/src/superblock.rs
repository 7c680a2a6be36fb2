//! The `STORE` file: what was decided when the store was created. Bytes: `FORMAT.md`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use sereno_model::Timestamp;
use sereno_runtime::{Disk, disk};

use crate::bytes::Reader;
use crate::store::OpenError;

const MAGIC: &[u8; 8] = b"SERENO-S";
/// The version that is written. Version 1, a store that has its log only, is read and made version 2.
const VERSION: u32 = 2;
const BYTES: usize = 48;
/// How many groups the queues of a new store form, at most: enough for as many machines to share them one day, few
/// enough that a small store has few files.
const GROUPS: u32 = 4;

/// Identity of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub queues: u32,
    /// Queue q belongs to group q mod G; a segment holds one group.
    pub groups: u32,
    pub store_id: [u8; 16],
    pub created: Timestamp,
}

impl Superblock {
    /// Reads the `STORE` file of a directory.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("STORE");
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(OpenError::Io { what: "read", path, source }),
        };
        Self::decode(&bytes).map(|(superblock, _)| superblock).ok_or(OpenError::Superblock { path })
    }

    /// Reads the `STORE` file of a directory, or creates it if the directory holds no store yet.
    pub(crate) fn open_or_create(
        disk: &dyn Disk,
        directory: &Path,
        queues: u32,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let path = directory.join("STORE");
        match disk.read(&path) {
            Ok(bytes) => {
                let Some((superblock, version)) = Self::decode(&bytes) else {
                    return Err(OpenError::Superblock { path });
                };
                if version < VERSION {
                    // An older program would take a log whose head has moved to segments for the whole store.
                    superblock.write(disk, path)?;
                }
                Ok(superblock)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A log without its identity cannot be verified; a fresh identity would orphan it.
                let holds = |folder| disk.list(&directory.join(folder)).is_ok_and(|files| !files.is_empty());
                if holds("wal") || holds("segments") || holds("manifest") {
                    return Err(OpenError::Superblock { path });
                }
                let fresh = Self { queues, groups: GROUPS.min(queues), store_id: random_id(), created: now };
                fresh.write(disk, path)?;
                Ok(fresh)
            }
            Err(source) => Err(OpenError::Io { what: "read", path, source }),
        }
    }

    fn write(&self, disk: &dyn Disk, path: PathBuf) -> Result<(), OpenError> {
        disk::replace(disk, &path, &self.encode()).map_err(|source| OpenError::Io {
            what: "write",
            path,
            source,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.queues.to_le_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.created.nanos().to_le_bytes());
        bytes.extend_from_slice(&self.groups.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// The superblock and the version that it was written in.
    fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let (body, crc) = bytes.split_at_checked(BYTES - 4)?;
        let intact = crc == crc32fast::hash(body).to_le_bytes();
        let mut reader = Reader(body.strip_prefix(MAGIC)?);
        let (version, queues) = (reader.u32()?, reader.u32()?);
        let store_id = reader.take(16)?.try_into().ok()?;
        let created = Timestamp::from_nanos(reader.i64()?);
        let groups = match (version, reader.u32()?) {
            (1, _) => GROUPS.min(queues),
            (_, groups) => groups,
        };
        let usable = intact && (1..=VERSION).contains(&version) && (1..=queues).contains(&groups);
        usable.then_some((Self { queues, groups, store_id, created }, version))
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
