//! The end of the log file, read back at the start: so a client resumes across a restart of the server.
//!
//! Invariants:
//! * at most [`READ_BYTES_MAX`] are read, whatever the size of the file;
//! * what is read back rises in position and in time; a line that does not is left out;
//! * no state of the file keeps the server from starting: what cannot be read is told, and missing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sereno_model::Timestamp;
use sereno_runtime::Disk;
use tracing::{info, warn};

use crate::event::{Read, from_json};
use crate::sequenced::Sequenced;

/// How much of the log is read.
const READ_BYTES_MAX: u64 = 16 << 20;
/// No server lives this long: a greater epoch is a mistake, and would leave no room for later ones.
const EPOCH_MAX: u64 = 1 << 62;

/// What is left of earlier runs.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// In order.
    pub events: Vec<Arc<Sequenced>>,
    /// Whether the log has others in front of them.
    pub has_earlier: bool,
    /// Lines that say nothing, or stand where they cannot.
    pub unreadable: usize,
    /// Lines from before there were positions.
    pub without_position: usize,
}

/// Reads the last `len_max` notifications of a log. Blocks.
pub(crate) fn read(disk: &dyn Disk, path: &Path, len_max: usize) -> Tail {
    let (bytes, is_cut) = match read_end(disk, path, READ_BYTES_MAX) {
        Ok(end) => end,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Tail::default(),
        Err(error) => {
            warn!(path = %path.display(), %error, "Notification log cannot be read back: nobody can resume from before this start.");
            return Tail { has_earlier: true, ..Tail::default() };
        }
    };
    let tail = parse(&bytes, is_cut, len_max);
    let Tail { events, unreadable, without_position, .. } = &tail;
    if *unreadable > 0 {
        warn!(path = %path.display(), unreadable, "Lines of the notification log cannot be read and are left out.");
    }
    info!(path = %path.display(), events = events.len(), without_position, "Notification log is read back.");
    tail
}

/// The last bytes of a file, and whether there are others before.
fn read_end(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, bool)> {
    let file = disk.open(path)?;
    let size = file.size()?;
    let from = size.saturating_sub(bytes_max);
    let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok((bytes, from > 0))
}

fn parse(bytes: &[u8], is_cut: bool, len_max: usize) -> Tail {
    let mut tail = Tail { has_earlier: is_cut, ..Tail::default() };
    let whole = match bytes.iter().position(|byte| *byte == b'\n') {
        // The line in which the reading began.
        Some(newline) if is_cut => &bytes[newline + 1..],
        None if is_cut => &[],
        _ => bytes,
    };
    // From the end, so that a long log costs no more than what is kept of it.
    let mut lines = whole.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    while tail.events.len() < len_max
        && let Some(line) = lines.next()
    {
        tail.take(from_json(line));
    }
    tail.has_earlier |= lines.next().is_some() || tail.without_position > 0;
    tail.events.reverse();
    tail
}

impl Tail {
    /// Takes a line, in front of those taken so far.
    fn take(&mut self, line: Read) {
        let key = |event: &Sequenced| (event.position.epoch, event.position.sequence);
        match line {
            Read::Event(mut event) => {
                let later = self.events.last();
                let is_in_place = later.is_none_or(|later| key(&event) < key(later));
                if !is_in_place || event.position.epoch > EPOCH_MAX {
                    self.unreadable += 1;
                    return;
                }
                event.at = event.at.min(later.map_or(Timestamp::MAX, |later| later.at));
                self.events.push(Arc::new(event));
            }
            Read::WithoutPosition => self.without_position += 1,
            Read::Unreadable => self.unreadable += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sequenced;
    use crate::event::to_json;
    use proptest::prelude::*;
    use sereno_model::Position;
    use sereno_plugin::testkit;
    use sereno_runtime::RealDisk;

    fn line(epoch: u64, sequence: u64, ms: i64) -> String {
        let at = Timestamp::from_millis(ms);
        let event =
            Sequenced { position: Position { epoch, sequence }, at, ..sequenced(testkit::notification(), 1) };
        to_json(&event) + "\n"
    }

    fn shown(tail: &Tail) -> String {
        let place = |event: &Arc<Sequenced>| format!("{}@{}", event.position, event.at.millis());
        let places: Vec<_> = tail.events.iter().map(place).collect();
        let Tail { has_earlier, unreadable, without_position, .. } = tail;
        format!(
            "{} earlier={has_earlier} unreadable={unreadable} without={without_position}",
            places.join(" ")
        )
    }

    fn parsed(text: &str) -> String {
        shown(&parse(text.as_bytes(), false, 3))
    }

    #[test]
    fn the_last_ones_are_read_in_order() {
        let lines = [line(1, 1, 10), line(1, 2, 20), line(2, 1, 30)].concat();
        assert_eq!(parsed(&lines), "1-1@10 1-2@20 2-1@30 earlier=false unreadable=0 without=0");
        let more = lines + &line(2, 2, 40);
        assert_eq!(parsed(&more), "1-2@20 2-1@30 2-2@40 earlier=true unreadable=0 without=0");
        assert_eq!(parsed(""), " earlier=false unreadable=0 without=0");
    }

    #[test]
    fn torn_old_and_misplaced_lines_are_left_out() {
        let whole = line(1, 2, 20);
        let torn = &whole[..whole.len() / 2];
        let old = line(1, 1, 10).replace(r#""position""#, r#""place""#);
        assert_eq!(parsed(&format!("{old}{whole}{torn}")), "1-2@20 earlier=true unreadable=1 without=1");
        assert_eq!(
            parsed(whole.trim_end()),
            "1-2@20 earlier=false unreadable=0 without=0",
            "only the end is torn off"
        );
        let twice = format!("{whole}{whole}{}", line(u64::MAX, 1, 20));
        assert_eq!(parsed(&twice), "1-2@20 earlier=false unreadable=2 without=0");
        // Times that fall, as where the tick stands in, are brought into order.
        let falling = [line(1, 1, 50), line(1, 2, 20), line(1, 3, 30)].concat();
        assert_eq!(parsed(&falling), "1-1@20 1-2@20 1-3@30 earlier=false unreadable=0 without=0");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n.jsonl");
        let lines: Vec<String> = (1..=9).map(|sequence| line(1, sequence, 0)).collect();
        RealDisk.create(&path).unwrap().append(lines.concat().as_bytes()).unwrap();
        let bytes_max = (lines[0].len() * 2 + 10) as u64;
        let (bytes, is_cut) = read_end(&RealDisk, &path, bytes_max).unwrap();
        assert_eq!(bytes.len() as u64, bytes_max);
        assert_eq!(shown(&parse(&bytes, is_cut, 100)), "1-8@0 1-9@0 earlier=true unreadable=0 without=0");
        assert_eq!(shown(&parse(b"no newline", true, 100)), " earlier=true unreadable=0 without=0");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_only_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            shown(&read(&RealDisk, &dir.path().join("none"), 3)),
            " earlier=false unreadable=0 without=0"
        );
        assert_eq!(
            shown(&read(&RealDisk, dir.path(), 3)),
            " earlier=true unreadable=0 without=0",
            "a directory"
        );
    }

    proptest! {
        #[test]
        fn nothing_in_the_file_can_stop_the_start(bytes: Vec<u8>, is_cut: bool) {
            prop_assert!(parse(&bytes, is_cut, 3).events.is_empty());
        }
    }
}
