//! What protects whoever builds on the client: statuses come back in order however they were sent, and every way in
//! which a server can fail to answer is told apart from the others.

use std::io::{Read, Write};
use std::time::Duration;

use sereno_client::testkit::{BUSY, EMPTY, SILENT, TestServer};
use sereno_client::v1::{FormatError, Metric, NotificationResponse, Query, Status};
use sereno_client::{ClientError, Monitor, Notice, Sender, Timeouts, Waiting, query};
use sereno_model::Timestamp;

const PATIENT: Timeouts = Timeouts { connect: Duration::from_secs(30), answer: Duration::from_secs(30) };
const HASTY: Timeouts = Timeouts { connect: Duration::from_secs(30), answer: Duration::from_millis(20) };

#[tokio::test]
async fn what_was_sent_can_be_queried() {
    let server = TestServer::start(Vec::new());
    let mut sender = Sender::connect(server.address(), PATIENT).await.unwrap();
    for value in [1, 2, 6] {
        assert_eq!(sender.send(Metric::new("foo", value).unwrap()).await.unwrap(), Status::Ok);
    }
    assert_eq!(sender.send(Metric::new(BUSY, 1).unwrap()).await.unwrap(), Status::ServerUnavailable);
    assert_eq!(sender.send(Metric::new("foo", 7).unwrap()).await.unwrap(), Status::Ok, "busy closes nothing");

    let ask = async |id, aggregation, window| {
        let asked = Query::new(id, aggregation, window).unwrap();
        let windows = query(server.address(), &asked, PATIENT).await.unwrap();
        windows.into_iter().map(|window| (window.status, window.value)).collect::<Vec<_>>()
    };
    assert_eq!(ask("foo", "mean", 15.0).await, [(Status::Ok, 4.0)]);
    let raw = [1.0, 2.0, 6.0, 7.0].map(|value| (Status::Ok, value));
    assert_eq!(ask("foo", "", 0.0).await, raw);
    assert_eq!(ask("bar", "mean", 15.0).await, [(Status::DoesNotExist, 0.0)]);
    assert_eq!(ask(EMPTY, "mean", 15.0).await, [(Status::Empty, 0.0)]);
}

#[tokio::test]
async fn pipelined_metrics_are_answered_in_order() {
    let server = TestServer::start(Vec::new());
    let mut sender = Sender::connect(server.address(), PATIENT).await.unwrap();
    let id = |i: u32| if i % 1_000 == 7 { BUSY } else { "foo" };
    let metrics: Vec<_> = (0..100_000).map(|i| Metric::new(id(i), i).unwrap()).collect();
    let mut statuses = Vec::new();
    sender.send_all(&metrics, &mut statuses).await.unwrap();
    assert_eq!(statuses.len(), metrics.len());
    for (i, status) in statuses.iter().enumerate() {
        let expected = if i % 1_000 == 7 { Status::ServerUnavailable } else { Status::Ok };
        assert_eq!(*status, expected, "of metric {i}");
    }
    assert_eq!(server.values("foo").len(), 99_900);
}

#[tokio::test]
async fn a_sender_that_is_cut_off_keeps_the_statuses_that_came() {
    let address = TestServer::script(|mut stream| {
        stream.read_exact(&mut [0; 3 * 32])?;
        stream.write_all(&[0, 1, 0, 2, 0])
    });
    let mut sender = Sender::connect(&address, PATIENT).await.unwrap();
    let metrics = [1, 2, 3].map(|value| Metric::new("foo", value).unwrap());
    let mut statuses = Vec::new();
    let error = sender.send_all(&metrics, &mut statuses).await.unwrap_err();
    assert_eq!(statuses, [Status::Ok, Status::ServerUnavailable]);
    assert!(matches!(error, ClientError::Closed { waiting: Waiting::Statuses, .. }), "{error}");
}

#[tokio::test]
async fn a_monitor_tells_a_clean_end_from_a_cut() {
    let notice = Notice { time: Timestamp::from_millis(1_500), message: "foo_high: it is 12".into() };
    let server = TestServer::start(vec![(notice.time, notice.message.clone())]);
    let mut monitor = Monitor::connect(server.address(), PATIENT).await.unwrap();
    assert_eq!(monitor.next().await.unwrap(), Some(notice.clone()));
    assert_eq!(monitor.next().await.unwrap(), None, "the server said that it stops");

    let bytes = NotificationResponse::new(notice.time, &notice.message).encode();
    let address = TestServer::script(move |mut stream| {
        stream.write_all(&bytes)?;
        stream.write_all(&bytes[..138])
    });
    let mut monitor = Monitor::connect(&address, PATIENT).await.unwrap();
    assert_eq!(monitor.next().await.unwrap(), Some(notice));
    let error = monitor.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. } | ClientError::Connection { .. }), "{error}");
}

#[tokio::test]
async fn a_monitor_that_is_not_wanted_says_why() {
    let refused = NotificationResponse::refused(Timestamp::default(), Status::ServerUnavailable).encode();
    let address = TestServer::script(move |mut stream| stream.write_all(&refused));
    let error = Monitor::connect(&address, PATIENT).await.unwrap().next().await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{address}` refused the monitor: server_unavailable"));
}

#[tokio::test]
async fn silence_ends_in_a_timeout() {
    let server = TestServer::start(Vec::new());
    let mut sender = Sender::connect(server.address(), HASTY).await.unwrap();
    let error = sender.send(Metric::new(SILENT, 1).unwrap()).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let asked = Query::new(SILENT, "mean", 1.0).unwrap();
    let error = query(server.address(), &asked, HASTY).await.unwrap_err();
    let expected =
        format!("`{}` did not answer within 20ms while a query waited for its answer", server.address());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn nobody_there_is_told_from_somebody_else() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Sender::connect(&gone, PATIENT).await.err().unwrap();
    assert!(error.is_refused(), "{error}");

    let address = TestServer::script(|mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        stream.read_exact(&mut [0; 64])
    });
    let asked = Query::new("foo", "mean", 1.0).unwrap();
    let error = query(&address, &asked, PATIENT).await.unwrap_err();
    assert!(matches!(error, ClientError::Format { source: FormatError::Status { .. }, .. }), "{error}");
}
