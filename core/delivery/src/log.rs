//! The log file of notifications: append only, one line and one write call for each.
//!
//! The file is opened for every batch, so that one that was rotated away or deleted is simply created again; nobody
//! has to tell the server. Notifications are rare, an open costs some microseconds.
//!
//! Invariants:
//! * a line torn by a full disk is cut off, and one torn by a crash is ended, before the next line is written;
//! * a failure is logged once, until writing works again; every line that was not written is counted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sereno_runtime::{Counter, Disk, DiskFile, Metrics};
use tracing::{error, info};

use crate::event::to_json;
use crate::sequenced::Sequenced;

/// The log file. Its calls block: they belong on a thread that may.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// `notification_log_lost_total`: lines that could not be written.
    lost: Counter,
    failing: AtomicBool,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf, disk: Arc<dyn Disk>, metrics: &Metrics) -> Self {
        let lost = metrics.counter("notification_log_lost_total", &[]);
        Self { path, disk, lost, failing: AtomicBool::new(false) }
    }

    /// Writes a batch, as far as the disk allows. Tells whether it was all of it.
    pub(crate) fn append(&self, batch: &[Arc<Sequenced>]) -> bool {
        let mut written = 0;
        let outcome = self.open().and_then(|file| {
            for event in batch {
                append_line(&*file, &to_json(event))?;
                written += 1;
            }
            Ok(())
        });
        let path = self.path.display();
        match &outcome {
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => {
                info!(%path, lost = self.lost.get(), "Notification log is written again.");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.add((batch.len() - written) as u64);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    error!(%path, %error, "Notification log cannot be written; delivery goes on.");
                }
            }
        }
        outcome.is_ok()
    }

    fn open(&self) -> io::Result<Arc<dyn DiskFile>> {
        match self.disk.open(&self.path) {
            Ok(file) => {
                end_torn_line(&*file)?;
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
                self.disk.create(&self.path)
            }
            Err(error) => Err(error),
        }
    }
}

fn append_line(file: &dyn DiskFile, line: &str) -> io::Result<()> {
    let size_before = file.size()?;
    file.append(format!("{line}\n").as_bytes()).inspect_err(|_| {
        // If this fails too, the next opening ends the torn line.
        let _torn_line_stays = file.truncate(size_before);
    })
}

fn end_torn_line(file: &dyn DiskFile) -> io::Result<()> {
    let Some(last) = file.size()?.checked_sub(1) else { return Ok(()) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    if byte == *b"\n" { Ok(()) } else { file.append(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::sequenced;
    use sereno_model::Notification;
    use sereno_plugin::testkit;
    use sereno_runtime::RealDisk;

    fn log(path: &Path) -> (LogFile, Counter) {
        let metrics = Metrics::default();
        let log = LogFile::new(path.to_owned(), Arc::new(RealDisk), &metrics);
        (log, metrics.counter("notification_log_lost_total", &[]))
    }

    fn named(rule: &str) -> Vec<Arc<Sequenced>> {
        let named = Notification { rule: rule.into(), ..testkit::notification() };
        vec![Arc::new(sequenced(named, 1))]
    }

    fn rules(path: &Path) -> Vec<String> {
        let text = String::from_utf8(RealDisk.read(path).unwrap()).unwrap();
        let rule = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(event) => event["rule"].as_str().unwrap().to_owned(),
            Err(_) => "torn".to_owned(),
        };
        text.lines().map(rule).collect()
    }

    #[test]
    fn a_file_rotated_away_or_deleted_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/of/today.jsonl");
        let (log, _) = log(&path);
        log.append(&[named("a"), named("b")].concat());
        RealDisk.rename(&path, &path.with_extension("1")).unwrap();
        log.append(&named("c"));
        assert_eq!(
            (rules(&path.with_extension("1")), rules(&path)),
            (vec!["a".into(), "b".into()], vec!["c".into()])
        );
        RealDisk.remove(&path).unwrap();
        log.append(&named("d"));
        assert_eq!(rules(&path), ["d"]);
    }

    #[test]
    fn a_full_disk_costs_counted_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        // Every write to this device fails as on a full disk.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let (log, lost) = log(&path);
        log.append(&[named("a"), named("b")].concat());
        assert_eq!(lost.get(), 2);
        RealDisk.remove(&path).unwrap();
        log.append(&named("c"));
        assert_eq!((rules(&path), lost.get()), (vec!["c".to_owned()], 2));
    }

    #[test]
    fn a_line_torn_by_a_crash_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        RealDisk.create(&path).unwrap().append(b"{\"rule\":\"a\"}\n{\"rule\":").unwrap();
        let (log, _) = log(&path);
        log.append(&named("b"));
        assert_eq!(rules(&path), ["a", "torn", "b"]);
    }
}
