//! `kill -9` in the middle of ingest loses nothing that was acknowledged.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sereno_tests::client::{OK, connect, metric, values};
use sereno_tests::server::Folder;

const CONNECTIONS: usize = 8;
/// Metrics in flight per connection.
const PIPELINE: u32 = 16;

/// Sends rising values until the server dies; gives how many were sent and how many acknowledged.
fn ingest(address: SocketAddr, id: &str, first: u32, acked_by_all: &AtomicU64) -> (u32, u32) {
    let mut stream = connect(address, 1);
    let (mut sent, mut acked) = (0, 0);
    loop {
        let batch: Vec<u8> = (0..PIPELINE).flat_map(|n| metric(id.as_bytes(), first + sent + n)).collect();
        if stream.write_all(&batch).is_err() {
            return (sent + PIPELINE, acked);
        }
        sent += PIPELINE;
        while acked < sent {
            let mut answer = [0; 2];
            if stream.read_exact(&mut answer).is_err() {
                return (sent, acked);
            }
            assert_eq!(u16::from_be_bytes(answer), OK);
            acked += 1;
            acked_by_all.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let cycles: u32 = std::env::var("SERENO_CRASH_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    // Small files, so that kills hit the change from one to the next too.
    let folder =
        Folder::new(&[], "").with_storage("{ directory: data, wal_file_bytes: 1MiB, sync_interval: 20ms }");
    let mut acked: BTreeMap<usize, Vec<u32>> = (0..CONNECTIONS).map(|c| (c, Vec::new())).collect();
    let mut in_flight = 0;
    let mut first = 0;
    for cycle in 0..cycles {
        let mut server = folder.start();
        let (address, count) = (server.address, AtomicU64::new(0));
        let results: Vec<(u32, u32)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CONNECTIONS)
                .map(|c| {
                    scope.spawn({
                        let count = &count;
                        move || ingest(address, &format!("m{c}"), first, count)
                    })
                })
                .collect();
            // Kill in the middle of work, a little later each time.
            let enough = 200 + u64::from(cycle) * 150;
            sereno_tests::until("some traffic", || (count.load(Ordering::Relaxed) >= enough).then_some(()));
            thread::sleep(Duration::from_micros(u64::from(cycle) * 37 % 1_000));
            server.kill();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        in_flight += u32::from(results.iter().any(|(sent, acked)| sent > acked));
        for (c, (_, count)) in results.iter().enumerate() {
            acked.get_mut(&c).unwrap().extend(first..first + count);
        }
        first += results.iter().map(|(sent, _)| sent).max().unwrap() + 1;
    }
    assert!(
        in_flight * 10 >= cycles * 7,
        "only {in_flight} of {cycles} kills hit live traffic: this run proves nothing"
    );
    let server = folder.start();
    for (c, wanted) in &acked {
        let stored: Vec<u32> =
            values(server.address, format!("m{c}").as_bytes()).into_iter().map(|v| v as u32).collect();
        assert!(stored.is_sorted_by(|a, b| a < b), "m{c}: each once, in order");
        let missing: Vec<_> = wanted.iter().filter(|value| stored.binary_search(value).is_err()).collect();
        assert!(missing.is_empty(), "m{c}: acknowledged and lost: {missing:?}");
    }
}
