//! However a line is cut, and whoever is killed: a sample that a writer counts as stored is there exactly once, one that
//! it counts as rejected is not there, and in the end it knows of every one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sereno_client::{Counters, Writer, WriterConfig};
use sereno_model::Timestamp;
use sereno_tests::proxy::{Cut, Proxy};
use sereno_tests::rng::Rng;
use sereno_tests::server::{Folder, Server, executable};
use sereno_tests::{now_secs, until};

use crate::v2::{client, count, options, runtime, samples, series, values};

const SECOND: i64 = 1_000_000_000;

fn now() -> i64 {
    now_secs() as i64 * SECOND
}

/// Connects, however often that is cut.
async fn writer(address: SocketAddr, config: &WriterConfig) -> Writer {
    loop {
        match Writer::connect(options(address), config.clone()).await {
            Ok(writer) => return writer,
            Err(error) => assert!(error.is_lost(), "{error}"),
        }
    }
}

fn eager() -> WriterConfig {
    WriterConfig { batch_samples: 4, pause_max: Duration::from_millis(2), ..WriterConfig::default() }
}

/// Checks that nothing is open, and that what was rejected is as many as these.
fn settled(counters: &Counters, pushed: u64, rejected: u64) {
    let Counters { pushed: all, stored, rejected: refused, unknown, dropped, .. } = counters;
    let known = [*all, *stored, *refused, *unknown, *dropped];
    assert_eq!(known, [pushed, pushed - rejected, rejected, 0, 0], "{counters:?}");
}

/// A session of some batches: the server stamps some, two are resolved on the way, and one sample is too far ahead.
async fn short_session(address: SocketAddr, run: &str, base: i64) -> Writer {
    let writer = writer(address, &eager()).await;
    let [a, b, c] = ["a", "b", "c"].map(|s| writer.series(&series("cut", [("run", run), ("s", s)])));
    let at = |second: i64| Some(Timestamp::from_nanos(base + second * SECOND));
    let far = Some(Timestamp::from_nanos(base + 400 * 86_400 * SECOND));
    writer.push_all(&[(a, None, 0.0), (b, None, 0.0), (a, None, 1.0), (a, None, 2.0)]).await.unwrap();
    writer.push_all(&[(c, at(1), 1.0), (c, at(3), 3.0), (c, far, -1.0), (c, at(2), 2.0)]).await.unwrap();
    writer.flush().await.unwrap();
    writer.push_all(&[(b, None, 1.0), (a, None, 3.0), (a, None, 4.0), (b, None, 2.0)]).await.unwrap();
    writer.flush().await.unwrap();
    writer
}

/// Cuts in one direction at every byte in turn, the connection that comes after it too, until a session ends uncut.
async fn cut_at_every_byte(server: SocketAddr, is_up: bool, next: Arc<AtomicU64>, done: Arc<AtomicBool>) {
    let base = now() - 100 * SECOND;
    while !done.load(Ordering::Relaxed) {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let cut = if is_up { Cut { up: Some(at), down: None } } else { Cut { up: None, down: Some(at) } };
        let proxy = Proxy::new(server, move |connection| if connection < 2 { cut } else { Cut::NEVER });
        let run = format!("{}{at}", if is_up { "up" } else { "down" });
        let writer = short_session(proxy.address, &run, base).await;
        settled(&writer.close().await, 12, 1);
        done.fetch_or(proxy.cuts() == 0, Ordering::Relaxed);
    }
}

#[test]
fn a_session_that_is_cut_at_any_byte_stores_each_sample_once() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let runtime = runtime();
    let mut lengths = Vec::new();
    runtime.block_on(async {
        let mut at_work = Vec::new();
        for is_up in [true, false] {
            let (next, done) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
            for _ in 0..4 {
                at_work.push(tokio::spawn(cut_at_every_byte(
                    server.address,
                    is_up,
                    next.clone(),
                    done.clone(),
                )));
            }
            lengths.push(next);
        }
        for one in at_work {
            one.await.unwrap();
        }
        let found = samples(&client(server.address).await, "cut").await;
        let runs: u64 = lengths.iter().map(|length| length.load(Ordering::Relaxed)).sum();
        assert!(runs > 300, "sessions are longer than {runs} bytes");
        assert_eq!(found.len() as u64, 3 * runs);
        for (key, samples) in &found {
            let wanted: &[f64] = match key {
                key if key.contains("s=\"a\"") => &[0.0, 1.0, 2.0, 3.0, 4.0],
                key if key.contains("s=\"b\"") => &[0.0, 1.0, 2.0],
                _ => &[1.0, 2.0, 3.0],
            };
            assert_eq!(values(samples), wanted, "{key}");
        }
    });
}

#[test]
fn what_was_stored_and_never_answered_is_not_stored_again() {
    let folder = Folder::new(&[], "");
    let mut server = folder.start();
    let proxy = Proxy::new(server.address, |_| Cut::NEVER);
    runtime().block_on(async {
        let writer = writer(proxy.address, &eager()).await;
        let lost = writer.series(&series("lost", []));
        for round in 0..4 {
            proxy.hold_answers(true);
            for value in 0..100 {
                writer.push(lost, None, f64::from(round * 100 + value)).await.unwrap();
                // So that no more batches are under way than a window has.
                if value % 20 == 19 {
                    let wanted = f64::from(round * 100 + value + 1);
                    let looking = client(server.address).await;
                    while count(&looking, "lost").await < wanted.min(f64::from(round * 100 + 60)) {
                        tokio::task::yield_now().await;
                    }
                }
            }
            // The server has them, its answers wait in the line; now the line goes, and every other time the server.
            if round % 2 == 1 {
                server.kill();
                server = folder.start();
                proxy.set_server(server.address);
            }
            proxy.cut_all();
            proxy.hold_answers(false);
            writer.flush().await.unwrap();
        }
        let counters = writer.close().await;
        settled(&counters, 400, 0);
        assert!(counters.resent > 0 && counters.reconnects >= 4, "{counters:?}");
        let found = samples(&client(server.address).await, "lost").await;
        let mut there = values(&found["lost"]);
        // A batch that must wait until the log is read back may be stored after one that need not.
        there.sort_by(f64::total_cmp);
        assert_eq!(there, (0..400).map(f64::from).collect::<Vec<_>>());
    });
}

/// A writer that is told to push without end, and what it was told of it.
struct Long {
    writer: Writer,
    name: String,
    rejected: Arc<Mutex<Vec<u64>>>,
    stamped: u64,
    timed: u64,
    base: i64,
}

const SERIES: u64 = 5;

impl Long {
    async fn start(address: SocketAddr, name: String) -> Self {
        let rejected = Arc::<Mutex<Vec<u64>>>::default();
        let told = rejected.clone();
        let config = WriterConfig {
            batch_samples: 200,
            linger: Duration::from_millis(1),
            buffer_samples: 10_000,
            pause_max: Duration::from_millis(20),
            on_rejected: Some(Arc::new(move |sample| told.lock().unwrap().push(sample.tag))),
            ..WriterConfig::default()
        };
        let writer = writer(address, &config).await;
        Self { writer, name, rejected, stamped: 0, timed: 0, base: now() - 50_000 * SECOND }
    }

    /// Pushes some that the server stamps and some that it does not.
    async fn push(&mut self, rng: &mut Rng) {
        let series = |kind: &str, n: u64| {
            let n = (n % SERIES).to_string();
            self.writer.series(&series(&self.name, [("kind", kind), ("n", &n)]))
        };
        let few = rng.below(300);
        let stamped: Vec<_> =
            (self.stamped..self.stamped + few).map(|n| (series("stamped", n), None, n as f64)).collect();
        let some = rng.below(300);
        let timed: Vec<_> = (self.timed..self.timed + some)
            .map(|n| {
                let far = if n % 97 == 0 { 10_000 * 86_400 } else { n as i64 };
                let time = Timestamp::from_nanos(self.base + far * SECOND);
                (series("timed", n), Some(time), n as f64)
            })
            .collect();
        let tags: Vec<u64> = (self.timed..self.timed + some).collect();
        self.stamped += few;
        self.timed += some;
        self.writer.push_all(&stamped).await.unwrap();
        self.writer.push_all_tagged(&timed, &tags).await.unwrap();
    }

    async fn check(self, server: SocketAddr) -> Counters {
        let counters = self.writer.close().await;
        let far: Vec<u64> = (0..self.timed).filter(|n| n % 97 == 0).collect();
        let mut rejected = std::mem::take(&mut *self.rejected.lock().unwrap());
        rejected.sort_unstable();
        assert_eq!(rejected, far, "{}: what is rejected", self.name);
        settled(&counters, self.stamped + self.timed, far.len() as u64);
        let mut found = samples(&client(server).await, &self.name).await;
        for (kind, pushed) in [("stamped", self.stamped), ("timed", self.timed)] {
            for n in 0..SERIES.min(pushed) {
                let key = series(&self.name, [("kind", kind), ("n", &n.to_string())]).to_string();
                let is_wanted =
                    |value: &u64| value % SERIES == n && (kind == "stamped" || !value.is_multiple_of(97));
                let wanted: Vec<f64> = (0..pushed).filter(is_wanted).map(|value| value as f64).collect();
                let mut there = values(&found.remove(&key).unwrap_or_default());
                // A batch that waited for room may have been stamped after the one that came behind it.
                there.sort_by(f64::total_cmp);
                assert_eq!(there, wanted, "{key}");
            }
        }
        assert_eq!(found, BTreeMap::new(), "never pushed");
        counters
    }
}

/// A store that is flushed, merged and read back all the time.
fn busy_storage(rng: &mut Rng) -> String {
    let (writers, wal) = (rng.pick(&[1, 3]), rng.pick(&["1MiB", "8MiB"]));
    format!(
        "{{ directory: data, queues: 16, writers: {writers}, wal_file_bytes: 64KiB, wal_bytes_max: {wal}, \
         head_bytes_max: 2MiB, flush_interval: 100ms, sync_interval: 20ms }}"
    )
}

fn random_cut(rng: &mut Rng) -> Cut {
    match rng.below(3) {
        0 => Cut { up: Some(rng.below(60_000)), down: None },
        1 => Cut { up: None, down: Some(rng.below(1_500)) },
        _ => Cut { up: Some(rng.below(200_000)), down: Some(rng.below(5_000)) },
    }
}

/// Ends the server, mostly at once, and starts another one with another store.
fn restart(folder: &Folder, server: &mut Server, proxies: &[Proxy], rng: &mut Rng) {
    if rng.below(4) == 0 {
        server.signal("TERM");
        server.wait();
    } else {
        server.kill();
    }
    folder.set_storage(&busy_storage(rng));
    *server = folder.start();
    proxies.iter().for_each(|proxy| proxy.set_server(server.address));
}

#[test]
fn writers_get_through_cuts_and_kills_with_each_sample_stored_once() {
    const WRITERS: usize = 4;
    const ROUNDS: u64 = 12;
    let mut rng = Rng::from_environment();
    let folder = Folder::new(&[], "").with_storage(&busy_storage(&mut rng));
    let mut server = folder.start();
    let proxies: Vec<Proxy> = (0..WRITERS)
        .map(|_| {
            let mut rng = rng.fork();
            Proxy::new(server.address, move |_| random_cut(&mut rng))
        })
        .collect();
    let runtime = runtime();
    let stored = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let at_work: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (address, mut rng) = (proxies[n].address, rng.fork());
            let (stored, stop) = (stored.clone(), stop.clone());
            runtime.spawn(async move {
                let mut long = Long::start(address, format!("long{n}")).await;
                let mut before = 0;
                while !stop.load(Ordering::Relaxed) {
                    long.push(&mut rng).await;
                    let now = long.writer.counters().stored;
                    stored.fetch_add(now - before, Ordering::Relaxed);
                    before = now;
                }
                long
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        let wanted = round * 4_000;
        until("samples to be stored", || (stored.load(Ordering::Relaxed) >= wanted).then_some(()));
        restart(&folder, &mut server, &proxies, &mut rng);
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Counters::default();
    for one in at_work {
        let long = runtime.block_on(one).unwrap();
        let counters = runtime.block_on(long.check(server.address));
        all.stored += counters.stored;
        all.resent += counters.resent;
        all.reconnects += counters.reconnects;
    }
    println!("{} stored, {} batches resent, {} reconnects", all.stored, all.resent, all.reconnects);
    assert!(all.resent > ROUNDS && all.reconnects > ROUNDS, "nothing was cut: {all:?}");
}

/// `sereno send -`, with its standard input.
fn send_lines(address: SocketAddr) -> Child {
    Command::new(executable("sereno"))
        .args(["--server", &address.to_string(), "--timeout", "60s", "send", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lines with these values, each with its own time.
fn lines(values: impl Iterator<Item = u64>, base: i64) -> String {
    values.fold(String::new(), |mut text, value| {
        writeln!(text, "killed {value} {}", base / SECOND + value as i64).unwrap();
        text
    })
}

#[test]
fn a_client_that_is_killed_loses_nothing_that_is_stored_and_doubles_nothing_when_it_starts_again() {
    const LINES: u64 = 60_000;
    let mut rng = Rng::from_environment();
    let folder = Folder::new(&[], "").with_storage(&busy_storage(&mut rng));
    let mut server = folder.start();
    let proxy = Proxy::new(server.address, |connection| match connection {
        1 => Cut { up: Some(50_000), down: None },
        2 => Cut { up: None, down: Some(100) },
        _ => Cut::NEVER,
    });
    let base = now() - 2 * LINES as i64 * SECOND;
    let runtime = runtime();
    let there = |address| {
        runtime.block_on(async {
            let mut found = samples(&client(address).await, "killed").await;
            values(&found.remove("killed").unwrap_or_default()).into_iter().map(|value| value as u64)
        })
    };
    let mut rest = 0;
    for share in 1..=4 {
        let mut sending = send_lines(proxy.address);
        let mut input = sending.stdin.take().unwrap();
        input.write_all(lines(rest..LINES * share / 5, base).as_bytes()).unwrap();
        let wanted = LINES * share / 5 - LINES / 10;
        until("most of it to be stored", || {
            let count = runtime.block_on(async { count(&client(server.address).await, "killed").await });
            (count >= wanted as f64).then_some(())
        });
        // Its input is still open, so it has more to do.
        assert!(sending.try_wait().unwrap().is_none());
        sending.kill().unwrap();
        sending.wait().unwrap();
        let before: Vec<u64> = there(server.address).collect();
        restart(&folder, &mut server, std::slice::from_ref(&proxy), &mut rng);
        let after: Vec<u64> = there(server.address).collect();
        assert!(
            before.iter().all(|value| after.binary_search(value).is_ok()),
            "what was seen is still there"
        );
        // The first line that is not stored, and some that are once more.
        let missing = (0..).zip(&after).find(|(line, value)| line != *value).map(|(line, _)| line);
        rest = missing.unwrap_or(after.len() as u64).saturating_sub(500);
    }
    let mut sending = send_lines(proxy.address);
    let mut input = sending.stdin.take().unwrap();
    input.write_all(lines(rest..LINES, base).as_bytes()).unwrap();
    drop(input);
    let output = sending.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let rest = LINES - rest;
    assert!(told.starts_with(&format!("{rest} lines, {rest} stored; ")), "{told}");
    assert!(there(server.address).eq(0..LINES), "each line once");
}
