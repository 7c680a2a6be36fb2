//! The first generation of a server: what the files say, over what was active when the server ended.
//!
//! ```text
//!  stored generation   files                       active then
//!  none                any                         what is good in the files
//!  some                the same                    the stored one, with its number
//!  some, pinned        those it runs in spite of   the stored one, still pinned
//!  some                others                      the files; what is broken in them from the stored one
//!  some                others, that are refused    the stored one
//! ```
//!
//! Invariant: a start with broken or vanished files alerts as the server did before.

use std::sync::Arc;

use tracing::error;

use crate::bundle::{Bundle, Bundles};
use crate::changes::Changes;
use crate::config::Reload as Config;
use crate::files::Files;
use crate::generation::{Generation, Host, load_as};
use crate::guard::Guard;
use crate::outcome::{Report, Trigger, statuses};
use crate::reload::refuses;

/// What a server starts with.
pub(crate) struct Beginning {
    pub report: Report,
    /// What was active when the last server ended: the states that it left behind belong to its rules.
    pub before: Option<Arc<Generation>>,
    /// The files that are not active.
    pub refused: Option<Files>,
    pub guard: Guard,
    /// The next generation has this number.
    pub next_number: u64,
    /// Whether what is active still has to be stored.
    pub is_unstored: bool,
}

/// Whether files that the newest stored generation had are not there: many programs save by removing first, so they are
/// worth a second look before that is believed.
pub(crate) fn has_vanished(files: &Files, bundles: Option<&Bundles>) -> bool {
    let stored = bundles.and_then(|bundles| newest(bundles).0);
    stored.is_some_and(|stored| !files.vanished_since(&stored.files).is_empty())
}

/// Decides what to start with. `firing` tells of which rules an alert was left behind.
pub(crate) fn begin(
    files: Files,
    host: &Host,
    bundles: Option<&Bundles>,
    config: &Config,
    firing: &dyn Fn(&str) -> bool,
) -> Beginning {
    let started = host.clock.monotonic();
    let (stored, next_number) = bundles.map_or((None, 1), newest);
    let mut beginning = match stored {
        None => fresh(files, host, config, next_number),
        Some(bundle) => over(&bundle, files, host, config, firing, next_number),
    };
    let report = &mut beginning.report;
    report.duration = host.clock.monotonic().saturating_sub(started);
    beginning.next_number = next_number.max(report.generation.number + 1);
    beginning
}

/// The newest generation that can be read, and the first number that is free.
fn newest(bundles: &Bundles) -> (Option<Bundle>, u64) {
    let numbers = match bundles.numbers() {
        Ok(numbers) => numbers,
        Err(error) => {
            error!(%error, "The stored generations of the rules cannot be listed.");
            return (None, 1);
        }
    };
    let next = numbers.last().map_or(1, |last| last + 1);
    for number in numbers.into_iter().rev() {
        match bundles.read(number) {
            Ok(bundle) => return (Some(bundle), next),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(%error, cause, "A stored generation of the rules is lost; the one before it is used.");
            }
        }
    }
    (None, next)
}

fn fresh(files: Files, host: &Host, config: &Config, number: u64) -> Beginning {
    let generation = Arc::new(load_as(number, Arc::new(files), host, None));
    let mut report = Report::of(generation.clone(), Trigger::Start.into());
    report.files = statuses(&Files::default(), &generation.files, &generation.diagnostics);
    if generation.has_errors() {
        error!(
            rules = generation.rules.len(),
            "Some rules are broken, and no earlier version of them is stored: they do not run. All others do."
        );
    }
    Beginning {
        report,
        before: None,
        refused: None,
        guard: Guard::new(config.removal),
        next_number: number + 1,
        is_unstored: true,
    }
}

fn over(
    bundle: &Bundle,
    files: Files,
    host: &Host,
    config: &Config,
    firing: &dyn Fn(&str) -> bool,
    next_number: u64,
) -> Beginning {
    let before = Arc::new(bundle.load(bundle.info.number, host));
    let files = files.beside(&before.files);
    let mut beginning = Beginning {
        report: Report::of(before.clone(), Trigger::Start.into()),
        before: Some(before.clone()),
        refused: None,
        guard: Guard::new(config.removal),
        next_number,
        is_unstored: false,
    };
    if files.says_the_same_as(&before.files) {
        return beginning;
    }
    let stays = |beginning: &mut Beginning, files| {
        beginning.report.pinned_to = bundle.info.pinned_to;
        beginning.refused = Some(files);
    };
    if bundle.info.pinned_to.is_some() && bundle.refused_crc32 == Some(files.crc32()) {
        stays(&mut beginning, files);
        return beginning;
    }
    let now = host.clock.monotonic();
    beginning.guard.notice(&files.vanished_since(&before.files), now);
    let next = load_as(next_number, Arc::new(files.sharing(&before.files)), host, Some(&before));
    let report = &mut beginning.report;
    report.changes = Changes::between(&before, &next);
    report.files = statuses(&before.files, &next.files, &next.diagnostics);
    report.diagnostics.clone_from(&next.diagnostics);
    match refuses(&beginning.guard, config, &before, &next, firing, now) {
        Some(refusal) => {
            refusal.put_into(report);
            stays(&mut beginning, (*next.files).clone());
        }
        None => {
            if !next.stale.is_empty() {
                error!(
                    rules = next.stale.len(),
                    generation = before.number,
                    "The server starts with broken files: some rules run as they were when it ended."
                );
            }
            let changed = Report::of(Arc::new(next), Trigger::Start.into());
            let (changes, files) = (std::mem::take(&mut report.changes), std::mem::take(&mut report.files));
            *report = Report { changes, files, ..changed };
            beginning.is_unstored = true;
        }
    }
    beginning
}
