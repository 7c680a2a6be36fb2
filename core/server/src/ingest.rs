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
    let mut refused = Vec::new();
    let mut rows = Vec::with_capacity(batch.len());
    let mut places = Vec::with_capacity(batch.len());
    for (index, (key, sample)) in batch.iter().enumerate() {
        match store.series(key) {
            Ok(series) => {
                rows.push(Row::at(series, sample.time, sample.value));
                places.push(index);
            }
            Err(error) => refused.push(Refusal { index, reason: error.to_string().into(), retry: false }),
        }
    }
    for (row, reason) in store.append(rows).wait().refused {
        let index = places[row as usize];
        refused.push(Refusal { index, reason: reason.as_str().into(), retry: reason != Reason::Closed });
    }
    refused.sort_by_key(|refusal| refusal.index);
    WriteReport { stored: batch.len() - refused.len(), refused }
}
