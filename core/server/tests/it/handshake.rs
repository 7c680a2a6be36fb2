use std::time::Duration;

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Code, Hello, Ping, response};

use crate::peer::{Site, batch, frame, hello, write_file};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_its_limits() {
    let site = Site::with(|config| config.server.in_flight_requests_max = 7).await;
    let mut peer = site.connect().await;
    peer.ask(1, Body::Hello(Hello { minor: 9, features: vec!["future".into()], ..hello() })).await;
    let welcome = peer.welcome().await;
    assert_eq!((welcome.major, welcome.minor), (2, 0));
    assert!(welcome.server.starts_with("serenod "));
    let limits = welcome.limits.expect("limits");
    assert_eq!((limits.in_flight_requests_max, limits.dictionary_len_max), (7, 1 << 20));
    peer.ask(2, Body::Ping(Ping {})).await;
    assert!(matches!(peer.body(2).await, response::Body::Pong(pong) if pong.time > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_need_not_wait_for_the_welcome() {
    let site = Site::start().await;
    let mut peer = site.connect().await;
    let together = [frame(1, Body::Hello(hello())), frame(2, Body::Write(batch(0..3)))].concat();
    peer.send(&together).await;
    peer.welcome().await;
    assert_eq!(peer.written(2).await.stored, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_or_another_request_ends_it() {
    let site = Site::start().await;
    let mut peer = site.connect().await;
    peer.ask(5, Body::Hello(Hello { major: 3, ..hello() })).await;
    let error = peer.is_closed_with(5, Code::Unsupported).await;
    assert!(error.message.contains("2.0"), "{error:?}");
    let mut peer = site.connect().await;
    peer.ask(1, Body::Ping(Ping {})).await;
    peer.is_closed_with(1, Code::Malformed).await;
    let mut peer = site.connect().await;
    peer.ask(1, Body::Write(batch(0..1))).await;
    peer.is_closed_with(1, Code::Malformed).await;
    let mut peer = site.session().await;
    peer.ask(2, Body::Hello(hello())).await;
    assert_eq!(peer.error(2).await.code(), Code::Invalid, "once is enough");
    peer.ask(3, Body::Write(batch(0..1))).await;
    assert_eq!(peer.written(3).await.stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_can_be_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    write_file(&path, "# for tests\nan-old-token-of-ours\n");
    let site = Site::with(|config| config.server.token_file = Some(path.clone())).await;
    let with = async |token: &str| {
        let mut peer = site.connect().await;
        peer.ask(1, Body::Hello(Hello { token: token.into(), ..hello() })).await;
        peer
    };
    with("an-old-token-of-ours").await.welcome().await;
    for wrong in ["", "an-old-token-of-our", "# for tests"] {
        let error = with(wrong).await.is_closed_with(1, Code::Unauthenticated).await;
        assert!(error.hint.contains("token_file") && !error.message.contains("old"), "{error:?}");
    }
    write_file(&path, "a-new-token-of-ours\n");
    site.server.reload().await;
    with("a-new-token-of-ours").await.welcome().await;
    with("an-old-token-of-ours").await.is_closed_with(1, Code::Unauthenticated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_closed() {
    let site = Site::with(|config| config.server.request_timeout = Duration::from_millis(200)).await;
    let mut silent = site.connect().await;
    silent.is_closed_with(0, Code::Deadline).await;
    let mut half = site.connect().await;
    half.send(&frame(1, Body::Hello(hello()))[..5]).await;
    half.is_closed_with(0, Code::Deadline).await;
}
