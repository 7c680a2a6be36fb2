//! Which call fails, when, how, and what it leaves behind.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Rng;

/// "Input/output error".
pub const EIO: i32 = Errno::IO.raw_os_error();
/// "No space left on device".
pub const ENOSPC: i32 = Errno::NOSPC.raw_os_error();
/// "Interrupted system call".
pub const EINTR: i32 = Errno::INTR.raw_os_error();

/// A call of [`crate::Disk`] or [`crate::DiskFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the calls")]
pub enum Call {
    Append,
    Sync,
    Truncate,
    Reserve,
    Create,
    CreateDir,
    Rename,
    Remove,
    SyncDir,
    Open,
    /// Of a whole file or of a part.
    Read,
    List,
    Size,
    FreeBytes,
    Lock,
    /// In a [`Fault`]: every call. No call is of this kind.
    Any,
    /// In a [`Fault`]: every call that changes something. No call is of this kind.
    AnyChange,
}

impl Call {
    /// Whether the call changes content, names or their durability. These are counted, and a machine stops at one.
    #[must_use]
    pub fn is_change(self) -> bool {
        use Call::*;
        matches!(
            self,
            Append | Sync | Truncate | Reserve | Create | CreateDir | Rename | Remove | SyncDir | AnyChange
        )
    }

    fn includes(self, call: Self) -> bool {
        match self {
            Self::Any => true,
            Self::AnyChange => call.is_change(),
            kind => kind == call,
        }
    }
}

/// How much of a call takes effect although it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    #[default]
    None,
    /// Of an append the first half, of another call nothing.
    Half,
    /// Of an append as many bytes as the seed says, from none to all; of another call nothing.
    Random(u64),
    /// Everything, and the caller does not know.
    All,
}

impl Part {
    /// What is written of the bytes of an append.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let length = match self {
            Self::None => 0,
            Self::Half => bytes.len() / 2,
            Self::Random(seed) => Rng::new(seed).below(bytes.len() as u64 + 1) as usize,
            Self::All => bytes.len(),
        };
        &bytes[..length]
    }
}

/// A call that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which calls it counts.
    pub call: Call,
    /// Which of them fails: 1 is the next one.
    pub nth: u64,
    /// The error as the operating system numbers it, such as [`EIO`].
    pub errno: i32,
    /// What takes effect all the same.
    pub part: Part,
    /// Whether all that come after it fail too.
    pub forever: bool,
    /// Counts only calls whose path contains this, if it is not empty. Of an open file that is the path at opening,
    /// of a rename the old name.
    pub within: String,
}

impl Fault {
    /// The `nth` call of a kind fails, once, and changes nothing.
    #[must_use]
    pub fn nth(call: Call, nth: u64, errno: i32) -> Self {
        Self { call, nth, errno, part: Part::None, forever: false, within: String::new() }
    }

    /// Every call of a kind fails from now on.
    #[must_use]
    pub fn always(call: Call, errno: i32) -> Self {
        Self::nth(call, 1, errno).forever()
    }

    /// From its turn on the fault stays.
    #[must_use]
    pub fn forever(self) -> Self {
        Self { forever: true, ..self }
    }

    /// A part of the call takes effect.
    #[must_use]
    pub fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// Only calls whose path contains `text` count.
    #[must_use]
    pub fn within(self, text: &str) -> Self {
        Self { within: text.to_owned(), ..self }
    }
}

/// The error of every call after the machine has stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the machine has stopped")]
pub struct Stopped;

impl Stopped {
    /// Whether an error is this one.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// How a call fails.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: io::Error,
    pub(super) part: Part,
    pub(super) is_stop: bool,
}

/// All that waits to go wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
    /// The number of the changing call that stops the machine, and what is done of it.
    stop_at: Option<(u64, Part)>,
    stopped: bool,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.waiting.push(Fault { nth: fault.nth.max(1), ..fault });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn stop_at(&mut self, call: u64, part: Part) {
        self.stop_at = Some((call, part));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Decides about a call before which `calls` changing ones came.
    pub(super) fn meet(&mut self, call: Call, path: &Path, calls: u64) -> Option<Failure> {
        if self.stopped {
            return Some(stop(Part::None));
        }
        if let Some((at, part)) = self.stop_at
            && call.is_change()
            && calls >= at
        {
            self.stopped = true;
            return Some(stop(part));
        }
        // All of them count the call, even if one of them fails it.
        let mut failure = None;
        self.waiting.retain_mut(|fault| {
            let counts = fault.call.includes(call)
                && (fault.within.is_empty() || path.to_string_lossy().contains(&fault.within));
            if !counts {
                return true;
            }
            if fault.nth > 1 {
                fault.nth -= 1;
                return true;
            }
            let error = io::Error::from_raw_os_error(fault.errno);
            failure.get_or_insert(Failure { error, part: fault.part, is_stop: false });
            fault.forever
        });
        failure
    }
}

fn stop(part: Part) -> Failure {
    Failure { error: io::Error::other(Stopped), part, is_stop: true }
}
