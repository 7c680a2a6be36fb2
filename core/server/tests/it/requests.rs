use std::sync::Arc;
use std::time::Duration;

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Ack, Cancel, Code, Monitor, Ping, Write, monitor_part, response};
use sereno_server::{Config, Stopped};

use crate::disk::HeldDisk;
use crate::peer::{Peer, Site, batch, frame};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_later_version_is_refused_and_the_session_goes_on() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    // Id 2, and field 900, which nobody knows.
    peer.send(&[5, 0x08, 2, 0xA2, 0x38, 0]).await;
    assert_eq!(peer.error(2).await.code(), Code::Unsupported);
    peer.send(&[2, 0x08, 3]).await;
    assert_eq!(peer.error(3).await.code(), Code::Unsupported);
    peer.ask(4, Body::Ping(Ping {})).await;
    assert!(matches!(peer.body(4).await, response::Body::Pong(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_can_be_used_again_once_they_are_answered() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    for _ in 0..3 {
        peer.ask(2, Body::Write(batch(0..2))).await;
        assert_eq!(peer.written(2).await.stored, 2);
        peer.ask(2, Body::Ping(Ping {})).await;
        assert!(matches!(peer.body(2).await, response::Body::Pong(_)));
    }
    // There is nothing to cancel, and nothing comes of it.
    peer.ask(3, Body::Cancel(Cancel { request: 2 })).await;
    peer.ask(4, Body::Ping(Ping {})).await;
    assert!(matches!(peer.body(4).await, response::Body::Pong(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bodies_are_one_too_many() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    let one = &frame(2, Body::Write(batch(0..1)))[1..];
    let write = &one[2..];
    let mut two = vec![(one.len() + write.len()) as u8];
    two.extend_from_slice(one);
    two.extend_from_slice(write);
    peer.send(&two).await;
    peer.is_closed_with(0, Code::Malformed).await;
}

fn monitor() -> Body {
    Body::Monitor(Monitor { snapshot: true, ..Monitor::default() })
}

/// Opens a monitor, and sees that it is open.
async fn open_monitor(peer: &mut Peer, id: u64) {
    peer.ask(id, monitor()).await;
    let response = peer.next().await;
    assert_eq!((response.id, response.more), (id, true), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_cancelled_ends_and_leaves_its_id() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    for _ in 0..2 {
        open_monitor(&mut peer, 2).await;
        peer.ask(2, Body::Ping(Ping {})).await;
        assert_eq!(peer.error(2).await.code(), Code::Invalid, "the id is taken");
        peer.ask(3, Body::Cancel(Cancel { request: 2 })).await;
        assert_eq!(peer.error(2).await.code(), Code::Cancelled);
    }
    open_monitor(&mut peer, 3).await;
    drop(peer);
    site.reaches("sessions_open", 0.0).await;
    site.reaches("session_memory_bytes", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_requests_are_under_way_at_once() {
    let site = Site::with(|config| config.server.in_flight_requests_max = 2).await;
    let mut peer = site.session().await;
    open_monitor(&mut peer, 2).await;
    open_monitor(&mut peer, 3).await;
    peer.ask(4, monitor()).await;
    let error = peer.error(4).await;
    assert_eq!(error.code(), Code::Overloaded);
    assert!(error.retry_after_ms > 0);
    // Batches and what is answered at once are not counted.
    peer.ask(5, Body::Write(batch(0..1))).await;
    assert_eq!(peer.written(5).await.stored, 1);
    peer.ask(6, Body::Cancel(Cancel { request: 2 })).await;
    assert_eq!(peer.error(2).await.code(), Code::Cancelled);
    open_monitor(&mut peer, 4).await;
}

/// A client that floods its connection leaves the others of the same event loop their turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_one_connection_does_not_starve_another() {
    let site = Site::with(|config| config.server.session_handlers = 1).await;
    let mut flood = site.session().await;
    let mut calm = site.session().await;
    let pings: Vec<u8> = (2..20_000).flat_map(|id| frame(id, Body::Ping(Ping {}))).collect();
    let flooding = async {
        flood.send(&pings).await;
        for id in 2..20_000 {
            flood.body(id).await;
        }
    };
    let calmly = async {
        for id in 2..50 {
            calm.ask(id, Body::Ping(Ping {})).await;
            calm.body(id).await;
        }
    };
    tokio::join!(flooding, calmly);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_tells_monitors_and_closes_the_rest() {
    let site = Site::with(|config| config.server.shutdown_timeout = Duration::from_secs(20)).await;
    let (mut idle, mut peer, mut watching) =
        (site.session().await, site.session().await, site.session().await);
    peer.ask(2, Body::Write(batch(0..100))).await;
    assert_eq!(peer.written(2).await.stored, 100);
    open_monitor(&mut watching, 2).await;
    assert_eq!(site.stop().await, Stopped::Clean);
    assert_eq!(idle.try_next().await, None);
    assert_eq!(peer.try_next().await, None);
    let response = watching.next().await;
    let Some(response::Body::Monitor(part)) = &response.body else { panic!("{response:?}") };
    assert!(matches!(part.part, Some(monitor_part::Part::Stopping(_))) && !response.more, "{response:?}");
    assert_eq!(watching.try_next().await, None);
}

/// Batches that wait for the disk are answered before the server is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_answers_what_it_has_read() {
    let disk = HeldDisk::default();
    let change = |config: &mut Config| config.server.shutdown_timeout = Duration::from_secs(20);
    let site = Site::on(Arc::new(disk.clone()), change).await;
    let mut peer = site.session().await;
    disk.hold();
    peer.ask(2, Body::Write(Write { ack: Ack::Disk.into(), ..batch(0..100) })).await;
    site.reaches("batches_total", 1.0).await;
    let answered = async {
        disk.release();
        assert_eq!(peer.written(2).await.stored, 100);
        assert_eq!(peer.try_next().await, None);
    };
    let (stopped, ()) = tokio::join!(site.stop(), answered);
    assert_eq!(stopped, Stopped::Clean);
}
