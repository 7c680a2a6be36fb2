use std::sync::Arc;
use std::time::Duration;

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Ack, Code, Ping, Write, response};
use sereno_server::Config;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::disk::HeldDisk;
use crate::peer::{Peer, Site, batch, definition, frame, wide};

/// A server whose batches with [`Ack::Disk`] wait until the disk is released.
async fn held(change: impl FnOnce(&mut Config)) -> (Site, HeldDisk) {
    let disk = HeldDisk::default();
    let site = Site::on(Arc::new(disk.clone()), change).await;
    disk.hold();
    (site, disk)
}

fn durable(batch: Write) -> Body {
    Body::Write(Write { ack: Ack::Disk.into(), ..batch })
}

async fn pings(peer: &mut Peer, id: u64) {
    peer.ask(id, Body::Ping(Ping {})).await;
    assert!(matches!(peer.body(id).await, response::Body::Pong(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_wait_for_their_sync_together_while_the_session_goes_on() {
    let (site, disk) = held(|_| {}).await;
    let mut peer = site.session().await;
    for id in 2..7 {
        peer.ask(id, durable(batch(0..10))).await;
    }
    peer.ask(7, Body::Write(batch(0..10))).await;
    assert_eq!(peer.written(7).await.stored, 10, "it does not wait for the disk");
    // Ids are taken until they are answered; a batch cannot be taken back.
    peer.ask(2, Body::Ping(Ping {})).await;
    assert_eq!(peer.error(2).await.code(), Code::Invalid);
    peer.ask(3, durable(batch(0..1))).await;
    assert_eq!(peer.error(3).await.code(), Code::Invalid);
    peer.ask(8, Body::Cancel(sereno_protocol::v2::messages::Cancel { request: 4 })).await;
    pings(&mut peer, 9).await;
    disk.release();
    let mut answered = Vec::new();
    for _ in 2..7 {
        let response = peer.next().await;
        assert!(matches!(response.body, Some(response::Body::Written(written)) if written.stored == 10));
        answered.push(response.id);
    }
    answered.sort_unstable();
    assert_eq!(answered, [2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_much_under_way_is_not_read_until_some_is_answered() {
    let change = |config: &mut Config| {
        config.server.in_flight_bytes = 10_000;
        // On the same event loop the pings below come after what the other session could have read.
        config.server.session_handlers = 1;
    };
    let (site, disk) = held(change).await;
    let (mut busy, mut other) = (site.session().await, site.session().await);
    busy.ask(2, durable(batch(0..1_000))).await;
    site.reaches("batches_total", 1.0).await;
    for id in 3..5 {
        busy.ask(id, durable(batch(0..1_000))).await;
    }
    busy.ask(9, Body::Ping(Ping {})).await;
    for id in 2..20 {
        pings(&mut other, id).await;
    }
    assert_eq!(site.figure("batches_total"), 1.0, "the next one is not read");
    disk.release();
    let mut answered = Vec::new();
    for _ in 0..4 {
        answered.push(busy.next().await.id);
    }
    answered.sort_unstable();
    assert_eq!(answered, [2, 3, 4, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_batches_are_answered_at_once_and_all_memory_comes_back() {
    let (site, disk) = held(|config| config.server.memory_max = 1 << 20).await;
    let (mut first, mut second) = (site.session().await, site.session().await);
    first.ask(2, durable(wide(2_000))).await;
    site.reaches("batches_total", 1.0).await;
    second.ask(2, durable(wide(2_000))).await;
    let error = second.error(2).await;
    assert_eq!(error.code(), Code::Overloaded);
    assert!(error.retry_after_ms > 0 && error.hint.contains("memory_max"), "{error:?}");
    pings(&mut second, 3).await;
    disk.release();
    assert_eq!(first.written(2).await.stored, 20_000);
    // Its samples were refused, its definitions were not.
    second.ask(4, Body::Write(Write { series: Vec::new(), ..wide(2_000) })).await;
    assert_eq!(second.written(4).await.stored, 20_000);
    assert!(site.figure("session_memory_bytes") > 0.0, "dictionaries are counted");
    drop((first, second));
    site.reaches("sessions_open", 0.0).await;
    site.reaches("session_memory_bytes", 0.0).await;
}

/// Definitions that are lost cannot be told one by one; a new session begins afresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_that_outgrows_the_memory_ends_its_session() {
    let site = Site::with(|config| config.server.memory_max = 1 << 20).await;
    let mut peer = site.session().await;
    peer.ask(2, Body::Write(batch(0..20_000))).await;
    let error = peer.is_closed_with(0, Code::Overloaded).await;
    assert!(error.retry_after_ms > 0);
    site.reaches("session_memory_bytes", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_waits_for_memory() {
    let change = |config: &mut Config| {
        config.server.memory_max = 9_500_000;
        config.server.session_handlers = 1;
    };
    let (site, disk) = held(change).await;
    let mut peers = [site.session().await, site.session().await, site.session().await];
    let [first, second, third] = &mut peers;
    first.ask(2, durable(wide(10_000))).await;
    second.ask(2, durable(wide(10_000))).await;
    site.reaches("batches_total", 2.0).await;
    third.send(&frame(2, Body::Write(wide(10_000)))).await;
    for id in 3..10 {
        pings(second, id).await;
    }
    assert_eq!(site.figure("batches_total"), 2.0);
    disk.release();
    for peer in &mut peers {
        assert_eq!(peer.written(2).await.stored, 100_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_does_not_come_ends_the_session_with_a_hint() {
    let change = |config: &mut Config| {
        config.server.memory_max = 1 << 20;
        config.server.request_timeout = Duration::from_millis(200);
    };
    let site = Site::with(change).await;
    let mut peer = site.session().await;
    let long = frame(2, Body::Write(batch(0..100_000)));
    peer.send(&long[..1_000]).await;
    let error = peer.is_closed_with(0, Code::Overloaded).await;
    assert!(error.retry_after_ms > 0);
    assert_eq!(site.figure("sessions_closed_total{reason=\"memory\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_answers_is_closed() {
    let site = Site::with(|config| config.server.request_timeout = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(site.server.address()).await.expect("the server listens");
    stream.write_all(&sereno_protocol::v2::INTENTION).await.expect("it reads");
    let hello = frame(1, Body::Hello(crate::peer::hello()));
    stream.write_all(&hello).await.expect("it reads");
    // Each is answered with the name that is not allowed, every character of it spelt out.
    let bad = vec![definition(0, "metric", &[(&"\u{1}".repeat(250), "x")])];
    let first = Write { series: bad, ..batch(0..1) };
    stream.write_all(&frame(2, Body::Write(first))).await.expect("it reads");
    let name_it = |id| frame(id, Body::Write(Write { series: Vec::new(), ..batch(0..1) }));
    let bad: Vec<u8> = (3..100).flat_map(name_it).collect();
    while stream.write_all(&bad).await.is_ok() {}
    site.reaches("sessions_closed_total{reason=\"slow_reader\"}", 1.0).await;
    site.reaches("session_memory_bytes", 0.0).await;
}
