//! `kill -9` at any moment loses nothing that was acknowledged, and brings nothing that was refused or never sent.
//!
//! The store is set up to flush, merge and read its log back all the time, so kills hit those too: segments half
//! written, manifests about to count, logs half read.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sereno_tests::now_secs;
use sereno_tests::rng::Rng;
use sereno_tests::server::{Folder, Server, executable};
use sereno_tests::traffic::{Answers, Client};

const CONNECTIONS: usize = 8;
/// Within this time after the start, or after a check, comes the kill.
const LIFE_MICROS_MAX: u64 = 800_000;
/// About as long as a start takes.
const START_MICROS_MAX: u64 = 60_000;
/// How many servers pass between two checks of everything; the other checks look at what is new, and count the rest.
const CYCLES_PER_FULL_CHECK: u32 = 20;

/// What the kills hit.
#[derive(Debug, Default)]
struct Hits {
    /// Samples that were sent and not answered.
    traffic: u32,
    starts: u32,
    unsealed_files: u32,
    replays: usize,
    flushes: usize,
    merges: usize,
    refused: u64,
    stored: u64,
    sending: Duration,
}

fn storage(rng: &mut Rng) -> String {
    let writers = rng.pick(&[1, 2, 3, 4]);
    let wal_file = rng.pick(&["64KiB", "256KiB", "1MiB"]);
    // The smallest log fills up between two flushes, and then refuses.
    let wal = rng.pick(&["1MiB", "8MiB", "64MiB"]);
    // The head is full every few 10,000 samples, also while the log is read back.
    let head = rng.pick(&["4MiB", "64MiB"]);
    let flush = rng.pick(&["50ms", "100ms", "400ms", "2s"]);
    format!(
        "{{ directory: data, queues: 16, writers: {writers}, wal_file_bytes: {wal_file}, wal_bytes_max: {wal}, \
         head_bytes_max: {head}, flush_interval: {flush}, sync_interval: 20ms }}"
    )
}

/// Lets all clients send until the kill.
fn live(server: &mut Server, clients: &mut [Client], life: Duration, hits: &mut Hits) {
    let (address, answers, start) = (server.address, Answers::default(), Instant::now());
    let unanswered = thread::scope(|scope| {
        let answers = &answers;
        let sending: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || client.send(address, answers))).collect();
        thread::sleep(life);
        server.kill();
        sending.into_iter().map(|client| client.join().unwrap()).filter(|unanswered| *unanswered).count()
    });
    hits.sending += start.elapsed();
    hits.traffic += u32::from(unanswered > 0);
    hits.stored += answers.stored.into_inner();
    hits.refused += answers.refused.into_inner();
    hits.replays += server.count_in_log("The log is read back");
    hits.flushes += server.count_in_log("The head is in segments.");
    hits.merges += server.count_in_log("Segments are merged.");
}

fn unsealed_files(folder: &Folder) -> u32 {
    let files = ["data/segments", "data/manifest"].map(|name| std::fs::read_dir(folder.path(name)));
    let names = files.into_iter().flatten().flatten().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".tmp")).count() as u32
}

fn verify(folder: &Folder) -> String {
    let output = Command::new(executable("serenod")).arg("verify").arg(folder.path("data")).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{report}{}", String::from_utf8_lossy(&output.stderr));
    report
}

#[test]
fn nothing_acknowledged_is_lost() {
    let cycles: u32 = std::env::var("SERENO_CRASH_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let mut rng = Rng::from_environment();
    let folder = Folder::new(&[], "");
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|c| Client::new(&format!("c{c}"))).collect();
    let (mut hits, mut unchecked_since) = (Hits::default(), now_secs());
    for cycle in 0..cycles {
        folder.set_storage(&storage(&mut rng));
        if rng.below(4) == 0 {
            let mut server = folder.launch();
            thread::sleep(Duration::from_micros(rng.below(START_MICROS_MAX)));
            server.kill();
            hits.starts += 1;
        }
        let mut server = folder.start();
        // Sometimes the clients do not wait until the log is read back.
        if rng.below(2) == 0 {
            let is_full = cycle % CYCLES_PER_FULL_CHECK == CYCLES_PER_FULL_CHECK - 1;
            // A second for the clock, which may be stepped.
            let since = if is_full { 0.0 } else { unchecked_since - 1.0 };
            unchecked_since = now_secs();
            clients.iter_mut().for_each(|client| client.check(server.address, since));
        }
        let life = Duration::from_micros(rng.below(LIFE_MICROS_MAX));
        live(&mut server, &mut clients, life, &mut hits);
        hits.unsealed_files += unsealed_files(&folder);
    }
    let report = verify(&folder);
    println!("{report}");
    let sent: usize = clients.iter().map(Client::sent).sum();
    let rate = (hits.stored + hits.refused) as f64 / hits.sending.as_secs_f64();
    println!("{cycles} cycles, {sent} samples sent, {rate:.0} a second answered, {hits:?}");
    assert!(
        hits.traffic * 10 >= cycles * 7,
        "only {} of {cycles} kills hit live traffic: this run proves nothing",
        hits.traffic
    );
    assert!(hits.flushes > 0 && hits.merges > 0 && hits.replays > 0, "the store had nothing to do: {hits:?}");
    let mut server = folder.start();
    clients.iter_mut().for_each(|client| client.check(server.address, 0.0));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
    let report = verify(&folder);
    assert!(report.ends_with(" 0 files are damaged, 0 samples are lost\n"), "{report}");
}
