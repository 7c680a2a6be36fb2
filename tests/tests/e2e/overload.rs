//! Far more than fits is answered, request by request: what is answered as stored is there, what is refused is not, memory
//! stays within its bounds, and afterwards the server is as good as new.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

use sereno_client::messages::request::Body;
use sereno_client::messages::response::Body as Answered;
use sereno_client::messages::{Ack, Code, Query, Written};
use sereno_tests::server::Folder;
use sereno_tests::{now_secs, until};

use crate::v2::{Wire, batch, client, figure, framed, runtime, samples};

const CLIENTS: usize = 16;
const BATCHES: u64 = 6;
/// Several of these are more than `memory_max`.
const SAMPLES: usize = 16_000;
const SERIES: usize = 4;
/// Queries that come with every batch; those of three batches are more than may be under way.
const QUERIES: u64 = 24;
/// Frames that a client sends before it reads the first answer.
const UNREAD: usize = 10;

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 32 * MIB;
const HEAD: u64 = 16 * MIB;
/// Whatever else a server of a debug build needs: queries, logs, segments that are written, and what the allocator keeps.
const REST: u64 = 80 * MIB;

/// What became of the requests of one client.
#[derive(Debug, Default)]
struct Outcome {
    /// Samples that are stored, by their value.
    stored: BTreeSet<u32>,
    refused_batches: u64,
    refused_samples: u64,
    answered_queries: u64,
    refused_queries: u64,
}

impl Outcome {
    fn written(&mut self, number: u64, written: &Written) {
        let first = number as u32 * SAMPLES as u32;
        let mut stored: BTreeSet<u32> = (first..first + SAMPLES as u32).collect();
        for rejection in &written.rejected {
            assert!(rejection.retry && written.retry_after_ms > 0, "it may be stored later: {rejection:?}");
            for span in rejection.spans.chunks(2) {
                for place in span[0]..span[0] + span[1] {
                    assert!(stored.remove(&(first + place)), "rejected twice: {place}");
                    self.refused_samples += 1;
                }
            }
        }
        assert!(!written.unknown);
        assert_eq!(stored.len() as u64, written.stored, "the totals add up: {number}");
        self.stored.extend(stored);
    }

    fn query(&mut self, body: &Answered) {
        match body {
            Answered::Query(_) => self.answered_queries += 1,
            Answered::Error(error) => {
                let codes = [Code::Overloaded, Code::Deadline];
                assert!(codes.contains(&error.code()), "{error:?}");
                self.refused_queries += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn name(client: usize, series: usize) -> String {
    format!("flood.{client}.{series}")
}

/// A batch, and the queries that come with it.
fn frames(client: usize, number: u64, base: i64) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..SERIES).map(|series| name(client, series)).collect();
    let definitions: Vec<(u32, &str)> = (0..).zip(&names).map(|(n, name)| (n, name.as_str())).collect();
    let first = number as usize * SAMPLES;
    let values: Vec<f64> = (first..first + SAMPLES).map(|value| value as f64).collect();
    // Each run is longer than a queue.
    let runs: Vec<(u32, &[f64])> = (0..).zip(values.chunks(SAMPLES / SERIES)).collect();
    let ack = if number.is_multiple_of(2) { Ack::Os } else { Ack::Disk };
    let id = number * (QUERIES + 1) + 2;
    let mut frames = vec![batch(id, &definitions, &runs, base + first as i64 * 1_000, ack)];
    let query = Query {
        selector: "flood.*".into(),
        aggregation: "stddev".into(),
        window: 60_000_000_000,
        ..Query::default()
    };
    frames.extend((1..=QUERIES).map(|n| framed(id + n, Body::Query(query.clone()))));
    frames
}

/// Sends everything as fast as the socket takes it, and reads only when some has been sent.
fn flood(address: SocketAddr, client: usize, base: i64) -> Outcome {
    let mut wire = Wire::greet(address);
    let mut stream = wire.stream.try_clone().unwrap();
    let (gone, first_gone) = std::sync::mpsc::channel();
    let sender = thread::spawn(move || {
        let frames = (0..BATCHES).flat_map(|number| frames(client, number, base));
        for (count, frame) in frames.enumerate() {
            stream.write_all(&frame).unwrap();
            if count == UNREAD {
                gone.send(()).unwrap();
            }
        }
    });
    first_gone.recv().unwrap();
    let mut open: BTreeSet<u64> = (2..2 + BATCHES * (QUERIES + 1)).collect();
    let mut outcome = Outcome::default();
    while !open.is_empty() {
        let response = wire.read().unwrap_or_else(|| panic!("{client}: closed with {open:?} open"));
        assert!(open.contains(&response.id), "answered twice, or never asked: {response:?}");
        if response.more {
            continue;
        }
        open.remove(&response.id);
        let (number, place) = ((response.id - 2) / (QUERIES + 1), (response.id - 2) % (QUERIES + 1));
        match response.body.unwrap() {
            body if place > 0 => outcome.query(&body),
            Answered::Written(written) => outcome.written(number, &written),
            Answered::Error(error) => {
                assert_eq!(error.code(), Code::Overloaded, "{error:?}");
                assert!(error.retry_after_ms > 0, "{error:?}");
                outcome.refused_batches += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    sender.join().unwrap();
    outcome
}

#[test]
fn far_more_than_fits_is_answered_and_nothing_else_is_kept() {
    let folder = Folder::new(&[], "")
        .with_server(
            "{ listen: 127.0.0.1:0, memory_max: 32MiB, in_flight_bytes: 1MiB, query_queue_len_max: 4, \
             request_timeout: 120s, query_timeout: 60s }",
        )
        .with_storage(
            "{ directory: data, queues: 16, queue_samples_max: 2048, head_bytes_max: 16MiB, wal_file_bytes: 1MiB, \
             wal_bytes_max: 32MiB, flush_interval: 500ms }",
        );
    let server = folder.start();
    let (before, _) = server.memory();
    let base = (now_secs() as i64 - 3_600) * 1_000_000_000;
    let flooding: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = server.address;
            thread::spawn(move || flood(address, client, base))
        })
        .collect();
    let outcomes: Vec<Outcome> = flooding.into_iter().map(|client| client.join().unwrap()).collect();
    let (_, most) = server.memory();
    println!("{} MiB before, {} MiB at most", before / MIB, most / MIB);
    assert!(most <= before + BUDGET + HEAD + REST, "{most} bytes of memory, {before} before");

    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let stored = sum(|outcome| outcome.stored.len() as u64);
    let (batches, refused) = (sum(|outcome| outcome.refused_batches), sum(|outcome| outcome.refused_samples));
    let (answered, unanswered) =
        (sum(|outcome| outcome.answered_queries), sum(|outcome| outcome.refused_queries));
    println!(
        "{stored} stored, {refused} refused and {batches} batches; {answered} queries, {unanswered} refused"
    );
    assert_eq!(stored + refused + batches * SAMPLES as u64, CLIENTS as u64 * BATCHES * SAMPLES as u64);
    assert_eq!(answered + unanswered, CLIENTS as u64 * BATCHES * QUERIES);
    assert!(stored > 0 && refused > 0 && answered > 0 && unanswered > 0, "all of it happens");

    runtime().block_on(async {
        let calm = client(server.address).await;
        while calm.storage(0).await.unwrap().activity != "idle" {
            tokio::task::yield_now().await;
        }
        let mut after = sereno_client::Batch::new(Ack::Disk);
        after.define(0, &crate::v2::series("calm", []));
        after.push(0, 1.0);
        assert_eq!(calm.write(&after).await.unwrap().stored, 1, "at the first try");
        for (client, outcome) in outcomes.iter().enumerate() {
            let found = samples(&calm, &format!("flood.{client}.*")).await;
            let there: BTreeSet<u32> = found.values().flatten().map(|(_, value)| *value as u32).collect();
            let count: usize = found.values().map(Vec::len).sum();
            assert_eq!(count, there.len(), "{client}: each once");
            let lost = outcome.stored.difference(&there).count();
            let risen = there.difference(&outcome.stored).count();
            assert_eq!((lost, risen), (0, 0), "{client}: lost, and there though refused");
        }
    });
    until("the budget to be given back", || {
        // The one who asks has a little of it.
        let used =
            runtime().block_on(async { figure(&client(server.address).await, "session_memory_bytes").await });
        (used < 64.0 * 1024.0).then_some(())
    });
    let panics: Vec<_> = server.log().into_iter().filter(|line| line.contains("panic")).collect();
    assert_eq!(panics, [""; 0]);
}

/// Sends the greater part of one frame of the greatest length, and no more; gives what it is told in the end.
fn half_a_frame(address: SocketAddr) -> Option<Code> {
    // 8 MiB, the most that a batch may have.
    const LENGTH: [u8; 4] = [0x80, 0x80, 0x80, 0x04];
    let mut wire = Wire::greet(address);
    let part = [LENGTH.to_vec(), vec![0; 6 << 20]].concat();
    // It is not read to its end where there is no memory, and then the connection is closed.
    drop(wire.stream.write_all(&part));
    match wire.read()?.body {
        Some(Answered::Error(error)) => Some(error.code()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_that_are_never_finished_take_no_more_memory_than_there_is() {
    const SENDERS: usize = 40;
    let folder =
        Folder::new(&[], "").with_server("{ listen: 127.0.0.1:0, memory_max: 32MiB, request_timeout: 2s }");
    let server = folder.start();
    let (before, _) = server.memory();
    let sending: Vec<_> = (0..SENDERS)
        .map(|_| {
            let address = server.address;
            thread::spawn(move || half_a_frame(address))
        })
        .collect();
    for one in sending {
        let told = one.join().unwrap();
        // Who is closed while it sends may never read why.
        let expected = [None, Some(Code::Deadline), Some(Code::Overloaded)];
        assert!(expected.contains(&told), "{told:?}");
    }
    let (_, most) = server.memory();
    println!("{} MiB before, {} MiB at most", before / MIB, most / MIB);
    assert!(most <= before + BUDGET + 48 * MIB, "{most} bytes of memory, {before} before");
    runtime().block_on(async {
        let mut after = sereno_client::Batch::default();
        after.define(0, &crate::v2::series("calm", []));
        after.push(0, 1.0);
        assert_eq!(client(server.address).await.write(&after).await.unwrap().stored, 1, "at the first try");
    });
}
