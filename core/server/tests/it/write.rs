use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Ack, Code, Hello, Reason, Write, Written};

use sereno_runtime::{Clock as _, SystemClock};

use crate::peer::{Site, batch, definition, hello, wide};

#[tokio::test(flavor = "multi_thread")]
async fn every_level_of_acknowledgement_is_answered() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    for (id, ack) in [(2, Ack::Unspecified), (3, Ack::Received), (4, Ack::Os), (5, Ack::Disk)] {
        peer.ask(id, Body::Write(Write { ack: ack.into(), ..batch(0..10) })).await;
        assert_eq!(peer.written(id).await.stored, 10, "{ack:?}");
    }
    // What is known at once is told at once.
    let some = Write { series: vec![definition(3, "", &[])], ack: Ack::Received.into(), ..batch(0..10) };
    peer.ask(6, Body::Write(some)).await;
    let written = peer.written(6).await;
    assert_eq!((written.stored, written.rejected[0].spans.as_slice()), (9, &[3, 1][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_last_and_can_be_replaced() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    let of = |series| Write { series, refs: vec![7], values: vec![1.0], ..Write::default() };
    peer.ask(2, Body::Write(of(Vec::new()))).await;
    let error = peer.error(2).await;
    assert_eq!(error.code(), Code::Invalid);
    assert!(error.message.contains('7'), "{error:?}");
    peer.ask(3, Body::Write(of(vec![definition(7, "a", &[])]))).await;
    peer.ask(4, Body::Write(of(Vec::new()))).await;
    peer.ask(5, Body::Write(of(vec![definition(7, "bad\u{1}", &[])]))).await;
    peer.ask(6, Body::Write(of(Vec::new()))).await;
    peer.ask(7, Body::Write(of(vec![definition(7, "b", &[("x", "y")])]))).await;
    for (id, stored) in [(3, 1), (4, 1), (5, 0), (6, 0), (7, 1)] {
        assert_eq!(peer.written(id).await.stored, stored, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_told_by_reason_and_place() {
    let site = Site::with(|config| config.storage.series_max = 3).await;
    let mut peer = site.session().await;
    let now = SystemClock::new().now().nanos();
    let far = i64::MAX / 2;
    let write = Write {
        series: vec![
            definition(0, "a", &[]),
            definition(1, "", &[]),
            definition(2, "b", &[]),
            definition(3, "c", &[("x", "1"), ("x", "2")]),
            definition(4, "c", &[]),
            definition(5, "d", &[]),
        ],
        refs: vec![0, 1, 2, 3, 4, 5, 0],
        counts: vec![2, 2, 1, 1, 1, 3, 1],
        times: vec![now, 1, 1, 1, 1, 1, 1, 1, 1, 1, far],
        values: (0..11).map(f64::from).collect(),
        ..Write::default()
    };
    peer.ask(2, Body::Write(write)).await;
    let written = peer.written(2).await;
    let rejected: Vec<_> =
        written.rejected.iter().map(|group| (group.reason(), group.retry, group.spans.as_slice())).collect();
    assert_eq!(written.stored, 4);
    assert_eq!(
        rejected,
        [
            (Reason::InvalidSeries, false, &[2, 2, 5, 1][..]),
            (Reason::SeriesLimit, true, &[7, 3][..]),
            (Reason::TooFarAhead, false, &[10, 1][..]),
        ]
    );
    assert!(written.retry_after_ms > 0);
    assert!(written.rejected[1].message.contains("series_max"), "{:?}", written.rejected[1]);
    for (reason, count) in [("invalid_series", 3.0), ("series_limit", 3.0), ("too_far_ahead", 1.0)] {
        assert_eq!(site.figure(&format!("samples_rejected_total{{reason=\"{reason}\"}}")), count);
    }
    assert_eq!(site.figure("samples_received_total"), 11.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_makes_no_sense_is_refused_as_a_whole() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    let cases = [
        (Write { values: vec![1.0], ..Write::default() }, Code::Invalid),
        (Write { counts: vec![3], ..batch(0..1) }, Code::Invalid),
        (Write { times: vec![1, 2], ..batch(0..1) }, Code::Invalid),
        (Write { refs: vec![0, 9], values: vec![1.0, 2.0], ..batch(0..1) }, Code::Invalid),
        (Write { refs: vec![1 << 20], values: vec![1.0], ..Write::default() }, Code::TooLarge),
        (Write { refs: vec![0; 100_001], values: vec![0.0; 100_001], ..batch(0..1) }, Code::TooLarge),
    ];
    for (id, (write, code)) in (2..).zip(cases) {
        peer.ask(id, Body::Write(write)).await;
        assert_eq!(peer.error(id).await.code(), code, "case {id}");
    }
    peer.ask(50, Body::Write(Write::default())).await;
    assert_eq!(peer.written(50).await.stored, 0, "an empty batch is none");
    assert_eq!(site.figure("storage_samples_total"), 0.0);
}

/// A client that lost its connection sends again what it does not know to be stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_is_stored_once() {
    let site = Site::start().await;
    let hello = Hello { client_id: 42, ..hello() };
    let numbered = |number, resent| Write { number, resent, ..wide(10) };
    for (sending, resent) in [(1, false), (2, true)] {
        let mut peer = site.connect().await;
        peer.ask(1, Body::Hello(hello.clone())).await;
        peer.welcome().await;
        for number in 1..4 {
            peer.ask(number + 1, Body::Write(numbered(number, resent))).await;
            assert_eq!(peer.written(number + 1).await.stored, 100, "sending {sending}");
        }
        assert_eq!(site.figure("storage_samples_total"), 300.0, "sending {sending}");
    }
    // Without a client there are no numbers.
    let mut peer = site.session().await;
    peer.ask(2, Body::Write(numbered(1, true))).await;
    assert_eq!(peer.written(2).await.stored, 100);
    assert_eq!(site.figure("storage_samples_total"), 400.0);
}

/// What was rejected the first time has its second chance in its own place.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_is_stored_when_it_is_sent_again() {
    let site = Site::start().await;
    let mut peer = site.connect().await;
    peer.ask(1, Body::Hello(Hello { client_id: 43, ..hello() })).await;
    peer.welcome().await;
    let write = |middle: &str, resent| Write {
        series: vec![definition(0, "a", &[]), definition(1, middle, &[]), definition(2, "c", &[])],
        refs: vec![0, 1, 2],
        values: vec![0.0, 1.0, 2.0],
        number: 1,
        resent,
        ..Write::default()
    };
    peer.ask(2, Body::Write(write("", false))).await;
    let written = peer.written(2).await;
    assert_eq!((written.stored, written.rejected[0].spans.as_slice()), (2, &[1, 1][..]));
    peer.ask(3, Body::Write(write("b", true))).await;
    assert_eq!(peer.written(3).await, Written { stored: 3, ..Written::default() });
    assert_eq!(site.figure("storage_samples_total"), 3.0, "each once");
}
