use std::time::Duration;

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Code, Ping, response};

use crate::peer::{Site, batch, frame, hello};

#[tokio::test(flavor = "multi_thread")]
async fn frames_may_be_cut_anywhere() {
    let site = Site::start().await;
    let frames =
        [frame(1, Body::Hello(hello())), frame(2, Body::Write(batch(0..3))), frame(3, Body::Ping(Ping {}))]
            .concat();
    for cut in 1..frames.len() {
        let mut peer = site.connect().await;
        peer.send(&frames[..cut]).await;
        tokio::task::yield_now().await;
        peer.send(&frames[cut..]).await;
        peer.welcome().await;
        assert_eq!(peer.written(2).await.stored, 3, "cut at {cut}");
        assert!(matches!(peer.body(3).await, response::Body::Pong(_)));
    }
    let mut peer = site.connect().await;
    for byte in &frames {
        peer.send(&[*byte]).await;
    }
    peer.welcome().await;
    assert_eq!(peer.written(2).await.stored, 3);
}

/// A frame that is longer than what is read at once goes through a buffer of its own.
#[tokio::test(flavor = "multi_thread")]
async fn long_frames_and_what_follows_them_arrive_whole() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    let count = 40_000;
    let mut frames = frame(2, Body::Write(batch(0..count)));
    assert!(frames.len() > 1 << 20);
    let mut again = batch(0..count);
    again.series.clear();
    for id in 3..5 {
        frames.extend(frame(id, Body::Write(again.clone())));
        frames.extend(frame(id + 100, Body::Ping(Ping {})));
    }
    peer.send(&frames).await;
    assert_eq!(peer.written(2).await.stored, u64::from(count));
    let (mut stored, mut pongs) = (0, 0);
    for _ in 0..4 {
        match peer.next().await.body {
            Some(response::Body::Written(written)) => stored += written.stored,
            Some(response::Body::Pong(_)) => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((stored, pongs), (u64::from(count) * 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_ends_the_session_after_what_came_before() {
    let site = Site::start().await;
    let bad: [(&[u8], Code); 5] = [
        // A length without end; one that is too long; no message; a message that ends early; a group.
        (&[0xFF; 6], Code::Malformed),
        (&[0xFF, 0xFF, 0xFF, 0x7F, 0], Code::TooLarge),
        (&[3, 0xFF, 0xFF, 0xFF], Code::Malformed),
        (&[2, 0x12, 0x05], Code::Malformed),
        (&[1, 0x0B], Code::Malformed),
    ];
    for (bytes, code) in bad {
        let mut peer = site.session().await;
        peer.send(&[&frame(2, Body::Write(batch(0..1))), bytes].concat()).await;
        assert_eq!(peer.written(2).await.stored, 1);
        peer.is_closed_with(0, code).await;
    }
    let mut peer = site.session().await;
    peer.send(&[0]).await;
    peer.is_closed_with(0, Code::Invalid).await;
}

/// Whatever byte of a conversation is broken, the server answers or closes, and goes on with others.
#[tokio::test(flavor = "multi_thread")]
async fn no_broken_byte_breaks_the_server() {
    let site = Site::with(|config| config.server.request_timeout = Duration::from_millis(50)).await;
    let frames = [frame(1, Body::Hello(hello())), frame(2, Body::Write(batch(0..2)))].concat();
    for at in 0..frames.len() {
        for mask in [0x80, 0x01, 0xFF] {
            let mut peer = site.connect().await;
            let mut broken = frames.clone();
            broken[at] ^= mask;
            peer.send(&broken).await;
            // Half a frame may be left, which only time ends.
            tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.expect("a socket");
            while peer.try_next().await.is_some() {}
        }
    }
    let mut peer = site.session().await;
    peer.ask(2, Body::Write(batch(0..1))).await;
    assert_eq!(peer.written(2).await.stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_must_not_wait_for_ever_but_an_idle_session_may() {
    let site = Site::with(|config| config.server.request_timeout = Duration::from_millis(300)).await;
    let mut idle = site.session().await;
    let mut slow = site.session().await;
    let ping = frame(2, Body::Ping(Ping {}));
    slow.send(&ping[..2]).await;
    slow.is_closed_with(0, Code::Deadline).await;
    idle.send(&ping).await;
    assert!(matches!(idle.body(2).await, response::Body::Pong(_)));
}
