//! A disk that fills up refuses writes with a clear status, answers queries, and takes writes again as soon as there is
//! room, with no restart and nothing lost.

use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use sereno_tests::client::{OK, query};
use sereno_tests::mount::Mount;
use sereno_tests::server::{Folder, Server};
use sereno_tests::traffic::{Answers, Client};
use sereno_tests::until;

const CONNECTIONS: usize = 4;
/// Room for what the test is about, and for the states of rules, which set theirs aside first.
const DISK_MEBIBYTES: u32 = 20;
/// A disk that is full is noticed by the next sample that finds no room. The room that the log has set aside may take
/// some first.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// What fills the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filler {
    /// Somebody else, whatever the store gives back.
    Ballast,
    /// The store itself.
    Log,
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Stop,
    Kill,
    /// Killed while the disk is full, and started on the full disk.
    KillWhileFull,
}

#[test]
fn a_full_disk_refuses_and_a_disk_with_room_takes() {
    let folder = Folder::new(&[], "");
    let mount = match Mount::new(folder.path("small"), DISK_MEBIBYTES) {
        Ok(mount) => mount,
        Err(error) => {
            // Past the capture of the test's output.
            let told =
                writeln!(std::io::stderr(), "\nSKIPPED: full_disk, which needs `mount -t tmpfs`: {error}");
            return told.unwrap();
        }
    };
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|c| Client::new(&format!("c{c}"))).collect();
    let rounds = [
        (Filler::Ballast, End::Stop),
        (Filler::Log, End::Kill),
        (Filler::Ballast, End::KillWhileFull),
        (Filler::Log, End::KillWhileFull),
        (Filler::Ballast, End::Kill),
        (Filler::Log, End::Stop),
    ];
    for (filler, end) in rounds {
        // What fills by the log must not be moved to segments meanwhile, where it takes a tenth of the room.
        let flush_interval = if filler == Filler::Log { "1h" } else { "200ms" };
        folder.set_storage(&format!(
            "{{ directory: small/data, queues: 16, writers: 2, wal_file_bytes: 256KiB, flush_interval: {flush_interval} }}"
        ));
        round(&folder, &mount, &mut clients, filler, end);
        let server = folder.start();
        clients.iter_mut().for_each(|client| client.check(server.address, 0.0));
    }
}

fn round(folder: &Folder, mount: &Mount, clients: &mut [Client], filler: Filler, end: End) {
    let mut server = folder.start();
    let is_first = clients.iter().all(|client| client.sent() == 0);
    let noticed = with_traffic(&server, clients, |answers| {
        until("some traffic", || (answers.stored.load(Relaxed) > 1_000).then_some(()));
        if is_first {
            // The one that is asked for later may be the last to begin.
            goes_on(&server, "some traffic of the first client");
        }
        // Room for some 50,000 samples.
        mount.fill("ballast", if filler == Filler::Log { 1 << 20 } else { 0 });
        let full = Instant::now();
        until("a refusal", || {
            if filler == Filler::Ballast {
                mount.fill("ballast", 0);
            }
            (answers.refused.load(Relaxed) > 0).then_some(())
        });
        let noticed = full.elapsed();
        stays_full(&server, mount, filler, answers);
        if end == End::KillWhileFull {
            return noticed;
        }
        mount.remove("ballast");
        resumes(answers);
        noticed
    });
    assert!(
        noticed < NOTICED_WITHIN || filler == Filler::Log,
        "{filler:?}, {end:?}: refused after {noticed:?}"
    );
    assert_eq!(server.count_in_log("panicked"), 0, "{:#?}", server.log());
    match end {
        End::Stop => {
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
        }
        End::Kill => server.kill(),
        End::KillWhileFull => {
            server.kill();
            starts_full(folder, mount, clients, filler);
        }
    }
}

/// Clients end also when a test fails, or it would wait for them.
struct StopWhenDone<'a>(&'a Answers);

impl Drop for StopWhenDone<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Relaxed);
    }
}

/// Lets all clients send while `body` runs.
fn with_traffic<T>(server: &Server, clients: &mut [Client], body: impl FnOnce(&Answers) -> T) -> T {
    let (address, answers) = (server.address, Answers::default());
    thread::scope(|scope| {
        let answers = &answers;
        let sending: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || client.send(address, answers))).collect();
        let outcome = {
            let _stop = StopWhenDone(answers);
            body(answers)
        };
        let hung_up = sending.into_iter().any(|client| client.join().unwrap());
        assert!(!hung_up, "{:#?}", server.log());
        outcome
    })
}

/// Writes are refused, one after the other, and queries are answered.
fn stays_full(server: &Server, mount: &Mount, filler: Filler, answers: &Answers) {
    let before = answers.refused.load(Relaxed);
    until("refusals", || {
        if filler == Filler::Ballast {
            mount.fill("ballast", 0);
        }
        (answers.refused.load(Relaxed) > before + 1_000).then_some(())
    });
    goes_on(server, "queries to go on");
}

/// Waits until a query is answered: a server that has just started may still be reading its log back.
fn goes_on(server: &Server, what: &str) {
    until(what, || {
        let answer = query(server.address, b"c0.0", "count", 1e300, 0.0, 0.0);
        matches!(answer[..], [(OK, 1.0..)]).then_some(())
    });
}

fn resumes(answers: &Answers) {
    let before = answers.stored.load(Relaxed);
    until("writes to be taken again", || (answers.stored.load(Relaxed) > before + 1_000).then_some(()));
}

/// A server starts on a disk that is full, tells what it knows, and takes writes once there is room.
fn starts_full(folder: &Folder, mount: &Mount, clients: &mut [Client], filler: Filler) {
    mount.fill("ballast", 0);
    let mut server = folder.start();
    clients.iter_mut().for_each(|client| client.check(server.address, 0.0));
    with_traffic(&server, clients, |answers| {
        until("a refusal", || {
            mount.fill("ballast", 0);
            (answers.refused.load(Relaxed) > 0).then_some(())
        });
        stays_full(&server, mount, filler, answers);
        mount.remove("ballast");
        resumes(answers);
    });
    server.kill();
}
