//! Whoever watches gets every notification, in order and once: across cuts and restarts too, and whatever others do that
//! do not read. Whoever reads too slowly is told exactly how many it has missed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sereno_client::messages::monitor_part::Part;
use sereno_client::messages::request::Body;
use sereno_client::messages::response::Body as Answered;
use sereno_client::messages::{self, Event, Position};
use sereno_client::{Batch, Monitor, Notice};
use sereno_tests::proxy::{Cut, Proxy};
use sereno_tests::rng::Rng;
use sereno_tests::server::{Folder, Server};
use sereno_tests::until;

use crate::v2::{Wire, client, options, runtime, series};

const RULES: usize = 10;
const INSTANCES: usize = 40;
/// What one turn of the values sends out.
const WAVE: u64 = (RULES * INSTANCES) as u64;

/// Rules that all fire, or all resolve, whenever the values turn; each says it in so many bytes.
fn rules(message_bytes: usize) -> String {
    let message = "m".repeat(message_bytes);
    (0..RULES).fold(String::from("rules:\n"), |mut text, n| {
        writeln!(
            text,
            "  - {{ id: r{n}, metric: wave, by: [n], agg: last, window: 1h, every: 250ms, limit: 1, reminder: 0s, \
             message: \"{message}\" }}"
        )
        .unwrap();
        text
    })
}

/// Turns the values: everything fires after an even number of turns, and resolves after an odd one.
async fn turn(address: SocketAddr, wave: u64) {
    let mut batch = Batch::default();
    for n in 0..INSTANCES as u32 {
        batch.define(n, &series("wave", [("n", &n.to_string())]));
        batch.push(n, if wave.is_multiple_of(2) { 5.0 } else { 0.0 });
    }
    let written = client(address).await.write(&batch).await.unwrap();
    assert_eq!(written.stored, INSTANCES as u64, "{written:?}");
}

/// What the log says of one event: its position and id, the rule, and what happened.
type Line = (String, String, String, String);

fn log(folder: &Folder) -> Vec<Line> {
    let log = std::fs::read_to_string(folder.path("data/notifications.jsonl")).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("position"), text("event_id"), text("rule"), text("kind"))
    };
    log.lines().map(line).collect()
}

fn line(event: &Event) -> Line {
    let Position { epoch, sequence } = event.position.unwrap();
    (format!("{epoch}-{sequence}"), event.event_id.clone(), event.rule.clone(), event.kind.clone())
}

/// Watches until so many events have come; nothing else may come but heartbeats, and losses if they are expected.
async fn watch(mut monitor: Monitor, wanted: u64, losses: bool, seen: Arc<AtomicU64>) -> Vec<Line> {
    let mut events = Vec::new();
    while (events.len() as u64) < wanted {
        match monitor.next().await.unwrap() {
            Notice::Event(event) => {
                events.push(line(&event));
                seen.fetch_add(1, Ordering::Relaxed);
            }
            Notice::Heartbeat(_) => {}
            Notice::Lost(_) | Notice::Resumed | Notice::Stopping if losses => {}
            other => panic!("after {} events: {other:?}", events.len()),
        }
    }
    events
}

fn only(rule: &str) -> messages::Monitor {
    messages::Monitor { rules: vec![rule.to_owned()], ..messages::Monitor::default() }
}

/// A monitor that does not read, with a receive buffer as small as the system allows.
async fn stuck(address: SocketAddr) -> Wire {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut wire = Wire::over(stream);
    wire.ask(2, Body::Monitor(messages::Monitor::default()));
    wire
}

/// Reads what a stuck one has got, up to the event at `last`; gives how many came and how many are told to be missing.
fn read_at_last(wire: &mut Wire, last: u64) -> (u64, u64) {
    let (mut at, mut came, mut missing) = (0, 0, 0);
    while at < last {
        let Some(Answered::Monitor(part)) = wire.read().expect("it is not closed").body else {
            panic!("something else at {at}")
        };
        match part.part {
            Some(Part::Event(event)) => {
                let sequence = event.position.unwrap().sequence;
                assert_eq!(sequence, at + 1, "nothing is missing without a word");
                at = sequence;
                came += 1;
            }
            Some(Part::Gap(gap)) => {
                let missed = gap.missed.expect("how many is known");
                assert!(missed > 0);
                missing += missed;
                at += missed;
            }
            Some(Part::Heartbeat(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    (came, missing)
}

#[test]
fn those_who_do_not_read_are_in_nobodys_way_and_learn_what_they_missed() {
    const GOOD: usize = 50;
    const STUCK: usize = 50;
    const WAVES: u64 = 12;
    // The good ones are never further behind than a wave.
    let folder = Folder::new(
        &[("rules/waves.yaml", &rules(4_000))],
        "delivery: { history: 500, monitor_queue_len_max: 500 }\n",
    )
    .with_server("{ listen: 127.0.0.1:0, request_timeout: 300s }");
    let server = folder.start();
    let runtime = runtime();
    let mut stuck_ones: Vec<Wire> =
        runtime.block_on(async { futures(STUCK, |_| stuck(server.address)).await });
    let (all, some) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let good: Vec<_> = runtime.block_on(async {
        let mut good = Vec::new();
        for n in 0..GOOD {
            let (request, wanted, seen) = match n % 5 {
                0 => (messages::Monitor::default(), WAVES * WAVE, &all),
                _ => (only(&format!("r{}", n % RULES)), WAVES * INSTANCES as u64, &some),
            };
            let monitor = Monitor::open(&options(server.address), request).await.unwrap();
            good.push(tokio::spawn(watch(monitor, wanted, false, seen.clone())));
        }
        good
    });
    until("all to watch", || (watching(&runtime, &server) == (GOOD + STUCK) as f64).then_some(()));
    for wave in 0..WAVES {
        runtime.block_on(turn(server.address, wave));
        let (of_all, of_some) = ((wave + 1) * WAVE * 10, (wave + 1) * INSTANCES as u64 * 40);
        until("the good ones to get a wave", || {
            let seen = (all.load(Ordering::Relaxed), some.load(Ordering::Relaxed));
            // One that fails would be waited for in vain.
            assert!(wave + 1 == WAVES || !good.iter().any(|one| one.is_finished()), "{seen:?}");
            (seen == (of_all, of_some)).then_some(())
        });
    }
    let log = log(&folder);
    assert_eq!(log.len() as u64, WAVES * WAVE);
    for (n, one) in good.into_iter().enumerate() {
        let events = runtime.block_on(one).unwrap();
        let rule = format!("r{}", n % RULES);
        let wanted: Vec<_> = log.iter().filter(|(.., of, _)| n % 5 == 0 || *of == rule).cloned().collect();
        assert!(events == wanted, "{n}: every event, in order, once");
    }
    let mut missing = 0;
    for wire in &mut stuck_ones {
        let (came, missed) = read_at_last(wire, WAVES * WAVE);
        assert_eq!(came + missed, WAVES * WAVE);
        missing += missed;
    }
    println!("{} of {} missed by those who did not read", missing, STUCK as u64 * WAVES * WAVE);
    assert!(missing > 0, "nobody was ever stuck");
}

/// Several of the same kind, one after another.
async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Vec<T> {
    let mut made = Vec::new();
    for n in 0..count {
        made.push(make(n).await);
    }
    made
}

fn watching(runtime: &tokio::runtime::Runtime, server: &Server) -> f64 {
    runtime.block_on(async { crate::v2::figure(&client(server.address).await, "monitors_connected").await })
}

#[test]
fn whoever_takes_up_again_misses_nothing_and_gets_nothing_twice() {
    const WAVES: u64 = 12;
    let mut rng = Rng::from_environment();
    let folder = Folder::new(&[("rules/waves.yaml", &rules(100))], "");
    let mut server = folder.start();
    let runtime = runtime();
    let mut cuts = rng.fork();
    // One that the line is cut for again and again, and one that is only told of ends.
    let cut = Proxy::new(server.address, move |_| Cut { up: None, down: Some(500 + cuts.below(60_000)) });
    let quiet = Proxy::new(server.address, |_| Cut::NEVER);
    let counts = [Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default()];
    let good: Vec<_> = [&cut, &quiet]
        .into_iter()
        .zip(&counts)
        .map(|(proxy, seen)| {
            let monitor = runtime.block_on(async {
                loop {
                    let opened = Monitor::open(&options(proxy.address), messages::Monitor::default()).await;
                    if let Ok(monitor) = opened {
                        return monitor;
                    }
                }
            });
            runtime.spawn(watch(monitor, WAVES * WAVE, true, seen.clone()))
        })
        .collect();
    // One that ends, and begins again by hand from the last position that it was told.
    let mut by_hand: Vec<Line> = Vec::new();
    let mut position = None;
    for wave in 0..WAVES {
        runtime.block_on(turn(server.address, wave));
        let request = messages::Monitor {
            since: position,
            since_time: position.is_none().then_some(0),
            ..messages::Monitor::default()
        };
        position = runtime.block_on(async {
            let mut monitor = Monitor::open(&options(server.address), request).await.unwrap();
            while (by_hand.len() as u64) < (wave + 1) * WAVE {
                match monitor.next().await.unwrap() {
                    Notice::Event(event) => by_hand.push(line(&event)),
                    Notice::Heartbeat(_) => {}
                    other => panic!("after {} events: {other:?}", by_hand.len()),
                }
            }
            monitor.position()
        });
        // A restart, at the end of a wave or within it for those on a line that is cut.
        match wave % 4 {
            1 => {
                server.signal("TERM");
                assert_eq!(server.wait().code(), Some(0));
            }
            3 => server.kill(),
            _ => continue,
        }
        server = folder.start();
        cut.set_server(server.address);
        quiet.set_server(server.address);
        cut.cut_all();
    }
    let log = log(&folder);
    let mut ids: Vec<_> = log.iter().map(|(_, id, ..)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((log.len() as u64, ids.len() as u64), (WAVES * WAVE, WAVES * WAVE), "each event once");
    assert!(by_hand == log, "by hand");
    until("the others to get the rest", || {
        counts.iter().all(|count| count.load(Ordering::Relaxed) == WAVES * WAVE).then_some(())
    });
    for (one, how) in good.into_iter().zip(["cut", "restarted"]) {
        let events = runtime.block_on(one).unwrap();
        assert!(events == log, "{how}: every event, in order, once");
    }
    println!("{cut:?}, {quiet:?}");
    assert!(cut.cuts() > 10, "nothing was cut");
}
