//! Where inputs put their samples: the same queues that clients' metrics go to.

use sereno_model::{Sample, SeriesKey};
use sereno_plugin::{BoxFuture, Ingest, Refusal, WriteReport};
use sereno_storage::{Refusal as Reason, Row, Store};

/// The store, as inputs see it.
#[derive(Clone)]
pub(crate) struct StoreIngest(pub Store);

impl Ingest for StoreIngest {
    fn write(&self, batch: Vec<(SeriesKey, Sample)>) -> BoxFuture<'_, WriteReport> {
        let store = self.0.clone();
        let count = batch.len();
        Box::pin(async move {
            // A write may wait for the disk, and inputs share their threads with everyone.
            let written = tokio::task::spawn_blocking(move || write(&store, &batch)).await;
            written.unwrap_or_else(|error| {
                let refusal = |index| Refusal { index, reason: error.to_string().into(), retry: true };
                WriteReport { stored: 0, refused: (0..count).map(refusal).collect() }
            })
        })
    }
}

fn write(store: &Store, batch: &[(SeriesKey, Sample)]) -> WriteReport {
    let (mut refused, mut retired) = (Vec::new(), Vec::new());
    for (index, reason) in attempt(store, batch, 0..batch.len(), &mut refused) {
        match reason {
            // The series was given up between look-up and commit.
            Reason::Retired => retired.push(index),
            reason => refused.push(refusal(index, reason)),
        }
    }
    if !retired.is_empty() {
        let again = attempt(store, batch, retired.into_iter(), &mut refused);
        refused.extend(again.into_iter().map(|(index, reason)| refusal(index, reason)));
    }
    refused.sort_by_key(|refusal| refusal.index);
    WriteReport { stored: batch.len() - refused.len(), refused }
}

/// Writes the samples at these places; gives those that the store refused. What can have no series goes to `refused`.
fn attempt(
    store: &Store,
    batch: &[(SeriesKey, Sample)],
    indices: impl Iterator<Item = usize>,
    refused: &mut Vec<Refusal>,
) -> Vec<(usize, Reason)> {
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for index in indices {
        let (key, sample) = &batch[index];
        match store.series(key) {
            Ok(series) => {
                rows.push(Row::at(series, sample.time, sample.value));
                places.push(index);
            }
            Err(error) => refused.push(Refusal { index, reason: error.to_string().into(), retry: false }),
        }
    }
    let outcome = store.append(rows).wait();
    if outcome.unknown {
        // A sync failed: nobody knows what a loss of power would leave, and a sample may be written twice.
        return places.into_iter().map(|index| (index, Reason::DiskFailed)).collect();
    }
    outcome.refused.into_iter().map(|(row, reason)| (places[row as usize], reason)).collect()
}

fn refusal(index: usize, reason: Reason) -> Refusal {
    let lasting = matches!(reason, Reason::Closed | Reason::TooOld | Reason::TooFarAhead);
    Refusal { index, reason: reason.as_str().into(), retry: !lasting }
}
