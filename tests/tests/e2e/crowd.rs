//! Thousands who say nothing, hundreds who say it a byte at a time, and those who speak nonsense of every sort: none of
//! them takes anything from those who mean well, and when they have gone, nothing of them stays.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use sereno_client::messages::request::Body;
use sereno_client::messages::response::Body as Answered;
use sereno_client::messages::{Ack, Hello, Ping};
use sereno_client::{Batch, Client};
use sereno_tests::client::connect;
use sereno_tests::rng::Rng;
use sereno_tests::server::Folder;
use sereno_tests::{now_secs, until};

use crate::v2::{Wire, batch, client, count, figure, framed, runtime, samples, series, values};

const SLOW: usize = 200;
const GOOD: usize = 50;
const ROUNDS: u32 = 3;
const MIB: u64 = 1 << 20;

/// How many idle connections the limit of open files allows beside everything else, of which both ends count.
fn idle_max() -> usize {
    let limit = sereno_runtime::open_files::raise_limit().unwrap_or(u64::MAX);
    let idle = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(1_500).min(10_000);
    assert!(idle >= 500, "the limit of {limit} open files leaves too few connections");
    idle
}

/// Connections that are silent: most have said Hello, some a part of it, some nothing.
fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let hello = framed(1, Body::Hello(Hello { major: 2, ..Hello::default() }));
    let connection = |n: usize| match n % 20 {
        0 => TcpStream::connect(address).unwrap(),
        1 => connect(address, 4),
        2 => {
            let mut stream = connect(address, 4);
            stream.write_all(&hello[..2]).unwrap();
            stream
        }
        _ => Wire::greet(address).stream,
    };
    (0..count).map(connection).collect()
}

/// Clients that say Hello and send a batch, a byte at a time, taking turns.
fn slow(address: SocketAddr, base: i64) {
    let mut wires: Vec<Wire> = (0..SLOW).map(|_| Wire::open(address)).collect();
    let hello = framed(1, Body::Hello(Hello { major: 2, ..Hello::default() }));
    let batch = batch(2, &[(0, "slow")], &[(0, &[1.0, 2.0])], base, Ack::Os);
    for byte in [hello, batch].concat() {
        for wire in &mut wires {
            wire.stream.write_all(&[byte]).unwrap();
        }
    }
    for wire in &mut wires {
        assert!(matches!(wire.read().unwrap().body, Some(Answered::Welcome(_))));
        let body = wire.read().unwrap().body;
        assert!(matches!(&body, Some(Answered::Written(written)) if written.stored == 2), "{body:?}");
    }
}

/// Bytes after the intention that break the protocol in one way or another; and whether the client stops there.
fn nonsense(rng: &mut Rng) -> Vec<Vec<u8>> {
    let hello = || framed(1, Body::Hello(Hello { major: 2, ..Hello::default() }));
    let ping = |id| framed(id, Body::Ping(Ping {}));
    let after = |rest: &[u8]| [&hello(), rest].concat();
    let random: Vec<u8> = (0..rng.below(3_000)).map(|_| rng.below(256) as u8).collect();
    let mut batch = batch(2, &[(0, "bad")], &[(0, &[1.0, 2.0, 3.0])], 0, Ack::Os);
    let cut = rng.below(batch.len() as u64) as usize;
    let truncated = after(&batch[..cut]);
    let place = 2 + rng.below(batch.len() as u64 - 2) as usize;
    batch[place] ^= 1 << rng.below(8);
    vec![
        random.clone(),
        after(&random),
        truncated,
        after(&batch),
        // Lengths: of more than five bytes, of 4 GiB, of a little more than a batch may have.
        vec![0x80; 12],
        after(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
        after(&[0x81, 0x80, 0x80, 0x04, 0, 0]),
        hello()[..1].to_vec(),
        // Something else before the Hello, two of it, no id, one id twice, a version that is not there.
        ping(1),
        after(&hello()),
        after(&ping(0)),
        after(&[ping(7), ping(7)].concat()),
        framed(1, Body::Hello(Hello { major: 3, ..Hello::default() })),
        framed(1, Body::Hello(Hello { major: 2, client: "x".repeat(5_000), ..Hello::default() })),
        // Requests without a body, with one that is unknown, with two.
        after(&[2, 8, 9]),
        after(b"\x07\x08\x04\xc2\x02\x02\x08\x01"),
        after(b"\x06\x08\x05\x3a\x00\x52\x00"),
        // A batch that says nothing, a text that is no UTF-8, a field of no type.
        after(b"\x04\x08\x02\x1a\x00"),
        after(b"\x0a\x08\x02\x1a\x06\x0a\x04\x12\x02\xff\xfe"),
        after(b"\x03\x08\x02\x0f"),
        Vec::new(),
    ]
}

/// Speaks nonsense of every sort, and sees that the server has an end to it.
fn babble(address: SocketAddr, mut rng: Rng) {
    for _ in 0..10 {
        for bytes in nonsense(&mut rng) {
            let mut stream = connect(address, 4);
            // The server may have closed before all is sent.
            drop(stream.write_all(&bytes));
            drop(stream.shutdown(Shutdown::Write));
            let mut told = Vec::new();
            match stream.read_to_end(&mut told) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:02x?}"),
            }
        }
    }
}

/// Writes and asks, and gets what is right.
async fn mean_well(address: SocketAddr, name: String) {
    let mut batch = Batch::default();
    batch.define(0, &series(&name, []));
    let client: Client = client(address).await;
    for round in 0..20 {
        batch.push(0, f64::from(round));
        assert_eq!(client.write(&batch).await.unwrap().stored, batch.len() as u64);
        batch.clear();
        assert_eq!(count(&client, &name).await, f64::from(round + 1), "{name}");
        client.ping().await.unwrap();
    }
    let found = samples(&client, &name).await;
    assert_eq!(values(&found[&name]), (0..20).map(f64::from).collect::<Vec<_>>());
}

fn round(address: SocketAddr, round: u32, idle_count: usize, rng: &mut Rng) {
    let silent = idle(address, idle_count);
    let base = (now_secs() as i64 - 3_600) * 1_000_000_000;
    let slow = thread::spawn(move || slow(address, base));
    let babble: Vec<_> = (0..4)
        .map(|_| {
            let rng = rng.fork();
            thread::spawn(move || babble(address, rng))
        })
        .collect();
    runtime().block_on(async {
        let good: Vec<_> =
            (0..GOOD).map(|n| tokio::spawn(mean_well(address, format!("good.{round}.{n}")))).collect();
        for one in good {
            one.await.unwrap();
        }
    });
    slow.join().unwrap();
    babble.into_iter().for_each(|one| one.join().unwrap());
    drop(silent);
}

#[test]
fn a_crowd_takes_nothing_from_those_who_mean_well_and_leaves_nothing_behind() {
    let mut rng = Rng::from_environment();
    let idle_count = idle_max();
    let folder = Folder::new(&[], "").with_server(
        "{ listen: 127.0.0.1:0, connections_max: 20000, queue_len_max: 20000, request_timeout: 60s }",
    );
    let mut server = folder.start();
    let before = server.sockets();
    let mut memory = Vec::new();
    for n in 0..ROUNDS {
        round(server.address, n, idle_count, &mut rng);
        until("all connections to be closed", || (server.sockets() <= before).then_some(()));
        memory.push(server.memory().0);
        until("the budget to be given back", || {
            // The one who asks has a little of it.
            let used = runtime()
                .block_on(async { figure(&client(server.address).await, "session_memory_bytes").await });
            (used < 64.0 * 1024.0).then_some(())
        });
        until("the last connection to be closed", || (server.sockets() <= before).then_some(()));
    }
    println!(
        "{idle_count} idle ones; {} MiB after each round",
        memory.iter().map(|m| format!("{} ", m / MIB)).collect::<String>()
    );
    assert!(memory[ROUNDS as usize - 1] < memory[0] + 48 * MIB, "{memory:?}");
    assert!(server.is_running());
    let panics: Vec<_> = server.log().into_iter().filter(|line| line.contains("panic")).collect();
    assert_eq!(panics, [""; 0]);
}
