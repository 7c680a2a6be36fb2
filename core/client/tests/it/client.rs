//! One connection with many requests: every answer finds the one who asked, whatever comes in between.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use sereno_client::messages::{
    Alert, Alerts, Chunk, Code, Column, Diagnostic, Document, Error, File, Info, LabelCount, LabelsPart,
    ListAlerts, ListLabels, ListSeries, PlanRules, Pong, Query, QueryEnd, QueryHead, QueryPart, Response,
    RuleStatus, Rules, SeriesPart, request, response,
};
use sereno_client::{Batch, Client, ClientError, Group, Options, Timeouts, Waiting};
use sereno_model::{SeriesKey, Timestamp};
use tokio::sync::Notify;

use crate::fake::{LIMITS, Peer, patient, serve};

fn pong(time: i64) -> response::Body {
    response::Body::Pong(Pong { time })
}

fn query(selector: &str) -> Query {
    Query { selector: selector.into(), ..Query::default() }
}

/// A client of a server that says welcome, and then what `script` says.
async fn client_of<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> Client
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let script = Arc::new(script);
    let address = serve(move |_, mut peer| {
        let script = Arc::clone(&script);
        async move {
            peer.welcome().await?;
            script(peer).await
        }
    });
    Client::connect(&patient(&address.await)).await.unwrap()
}

/// Lets time fly until `wait` ends. Only for what ends by time: answers come at the speed of the machine.
async fn after_a_long_time<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let value = wait.await;
    tokio::time::resume();
    value
}

#[tokio::test]
async fn the_handshake_says_who_is_there() {
    let address = serve(|_, mut peer| async move {
        let hello = peer.welcome().await?;
        let echo =
            format!("{} {} {} {} {}", hello.major, hello.minor, hello.client, hello.token, hello.client_id);
        let (id, _) = peer.request().await?;
        peer.answer(id, response::Body::Info(Info { server: echo, ..Info::default() })).await
    })
    .await;
    let options = Options { token: Some("secret".into()), client: "ä".repeat(200), ..patient(&address) };
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(client.welcome().server, "fake 1");
    assert_eq!(client.welcome().limits, Some(LIMITS));
    let name = "ä".repeat(127);
    assert_eq!(
        client.info(false).await.unwrap().server,
        format!("2 0 {name} secret 0"),
        "cut between characters"
    );
}

#[tokio::test]
async fn a_server_that_wants_a_token_is_told_from_one_that_is_not_there() {
    let address = serve(|_, mut peer| async move {
        let (id, _) = peer.hello().await?;
        let (message, hint) = ("a token is needed".into(), "set SERENO_TOKEN".into());
        peer.error(id, Error { code: Code::Unauthenticated.into(), message, hint, ..Error::default() })
            .await?;
        peer.until_gone().await
    })
    .await;
    let error = Client::connect(&patient(&address)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{address}` refused the connection: a token is needed"));
    assert_eq!((error.code(), error.hint()), (Some(Code::Unauthenticated), Some("set SERENO_TOKEN")));
    assert!(matches!(error, ClientError::Unauthorized { .. }) && !error.is_refused() && !error.is_lost());

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Client::connect(&patient(&gone)).await.unwrap_err();
    assert!(error.is_refused() && error.is_lost(), "{error}");

    let address = serve(|_, _| async { Ok(()) }).await;
    let error = Client::connect(&patient(&address)).await.unwrap_err();
    assert!(error.is_lost(), "{error}");

    let address = serve(|_, mut peer| async move {
        peer.send(&b"HTTP/1.1 400 Bad Request\r\n".repeat(5)).await?;
        peer.until_gone().await
    })
    .await;
    let error = Client::connect(&patient(&address)).await.unwrap_err();
    assert!(matches!(error, ClientError::Format { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_gets_a_moment() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let start = tokio::time::Instant::now();
    let options = Options { retries: 3, ..patient(&address.to_string()) };
    let error = Client::connect(&options).await.unwrap_err();
    assert!(error.is_refused());
    assert_eq!(start.elapsed().as_millis(), 250 + 500 + 1_000);
}

#[tokio::test]
async fn answers_find_the_one_who_asked() {
    let client = client_of(|mut peer| async move {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(peer.request().await?.0);
        }
        // To nobody, of a later version, and to the wrong request: all of no interest.
        peer.answer(999, pong(0)).await?;
        peer.send(&[3, 0x98, 0x06, 1]).await?;
        peer.send(&[0]).await?;
        peer.respond(&Response { id: ids[0], more: true, body: None }).await?;
        for (place, id) in ids.iter().enumerate().rev() {
            let info = Info { connections: place as u64, ..Info::default() };
            peer.answer(*id, response::Body::Info(info)).await?;
        }
        peer.until_gone().await
    })
    .await;
    let (first, second, third) = tokio::join!(client.info(true), client.info(true), client.info(false));
    let connections = [first, second, third].map(|info| info.unwrap().connections);
    assert_eq!(connections, [0, 1, 2]);
}

#[tokio::test]
async fn a_frame_may_be_cut_anywhere() {
    let client = client_of(|mut peer| async move {
        let (id, _) = peer.request().await?;
        let part = |from: i64| QueryPart {
            chunks: vec![Chunk { times: vec![from, 1, 1], values: vec![1.0, 2.0, 3.0], ..Chunk::default() }],
            ..QueryPart::default()
        };
        let mut bytes = Vec::new();
        for (from, more) in [(10, true), (20, true), (30, false)] {
            let body = Some(response::Body::Query(part(from)));
            bytes.extend(Response { id, more, body }.encode_length_delimited_to_vec());
        }
        for byte in bytes {
            peer.send(&[byte]).await?;
            tokio::task::yield_now().await;
        }
        peer.until_gone().await
    })
    .await;
    let answer = client.query(query("a")).await.unwrap();
    assert_eq!(answer.groups.len(), 1);
    assert_eq!(answer.groups[0].times, [10, 11, 12, 20, 21, 22, 30, 31, 32]);
}

#[tokio::test]
async fn an_answer_is_put_together_from_its_parts() {
    let client = client_of(|mut peer| async move {
        let (id, request) = peer.request().await?;
        assert!(matches!(request, request::Body::Query(query) if query.selector == "cpu"));
        let labels = |host: &str| vec!["host".to_owned(), host.to_owned()];
        let first = QueryPart {
            head: Some(QueryHead { as_of: 5, exact: true, series: 2, across: "sum".into() }),
            chunks: vec![Chunk {
                name: "cpu".into(),
                labels: labels("a"),
                times: vec![100, 10],
                values: vec![1.0, 2.0],
                ..Chunk::default()
            }],
            end: None,
        };
        peer.part(id, response::Body::Query(first)).await?;
        let column = |name: &str, at: &[u32], values: &[f64]| Column {
            name: name.into(),
            at: at.to_vec(),
            values: values.to_vec(),
        };
        let last = QueryPart {
            head: None,
            chunks: vec![
                Chunk { times: vec![120], values: vec![3.0], ..Chunk::default() },
                Chunk {
                    group: 1,
                    labels: labels("b"),
                    times: vec![100, 10],
                    columns: vec![column("p50", &[], &[1.0, 2.0]), column("p99", &[1], &[9.0])],
                    ..Chunk::default()
                },
                Chunk {
                    group: 1,
                    times: vec![-5],
                    columns: vec![column("new", &[0], &[4.0])],
                    ..Chunk::default()
                },
            ],
            end: Some(QueryEnd { points: 6, samples_read: 60, elapsed: 1_000 }),
        };
        peer.answer(id, response::Body::Query(last)).await?;
        peer.until_gone().await
    })
    .await;
    let answer = client.query(query("cpu")).await.unwrap();
    assert_eq!((answer.as_of, answer.exact, answer.series), (Timestamp::from_nanos(5), true, 2));
    assert_eq!((answer.points, answer.samples_read, answer.elapsed), (6, 60, Duration::from_micros(1)));
    let [a, b] = &answer.groups[..] else { panic!("{answer:?}") };
    assert_eq!((a.name.as_str(), &a.labels[..]), ("cpu", &[("host".to_owned(), "a".to_owned())][..]));
    assert_eq!((&a.times[..], &a.values[..]), (&[100, 110, 120][..], &[1.0, 2.0, 3.0][..]));
    assert_eq!((&b.times[..], b.values.len()), (&[100, 110, -5][..], 0));
    let columns: Vec<_> = b.columns.iter().map(|(name, cells)| (name.as_str(), &cells[..])).collect();
    let expected: [(&str, &[Option<f64>]); 3] = [
        ("p50", &[Some(1.0), Some(2.0), None]),
        ("p99", &[None, Some(9.0), None]),
        ("new", &[None, None, Some(4.0)]),
    ];
    assert_eq!(columns, expected);
}

#[test]
fn a_piece_that_does_not_fit_together_is_no_answer() {
    let good = Chunk { times: vec![1, 1], values: vec![1.0, 2.0], ..Chunk::default() };
    assert!(Group::try_from(good.clone()).is_ok());
    let column =
        |at: &[u32], values: &[f64]| Column { at: at.to_vec(), values: values.to_vec(), ..Column::default() };
    let with = |column| Chunk { values: Vec::new(), columns: vec![column], ..good.clone() };
    let bad = [
        Chunk { values: vec![1.0], ..good.clone() },
        Chunk { labels: vec!["host".into()], ..good.clone() },
        with(column(&[], &[1.0])),
        with(column(&[2], &[1.0])),
        with(column(&[0, 1], &[1.0])),
        Chunk { times: vec![0; 1 << 20], columns: vec![Column::default(); 1 << 10], ..Chunk::default() },
    ];
    for chunk in bad {
        assert!(Group::try_from(chunk).is_err());
    }
}

#[tokio::test]
async fn long_lists_of_rules_and_alerts_come_in_parts() {
    let client = client_of(async |mut peer: Peer| {
        let (id, _) = peer.request().await?;
        let rule = |id: &str| vec![RuleStatus { id: id.into(), ..RuleStatus::default() }];
        let part = Rules { rules: rule("a"), generation: 3, ..Rules::default() };
        peer.part(id, response::Body::Rules(part)).await?;
        let diagnostics = vec![Diagnostic::default()];
        let part = Rules { rules: rule("b"), generation: 3, diagnostics, pinned: 2 };
        peer.answer(id, response::Body::Rules(part)).await?;
        let (id, _) = peer.request().await?;
        let alert = |rule: &str| vec![Alert { rule: rule.into(), ..Alert::default() }];
        peer.part(id, response::Body::Alerts(Alerts { alerts: alert("a") })).await?;
        peer.answer(id, response::Body::Alerts(Alerts { alerts: alert("b") })).await?;
        peer.until_gone().await
    })
    .await;
    let rules = client.rules(Vec::new()).await.unwrap();
    assert_eq!(rules.rules.iter().map(|rule| rule.id.as_str()).collect::<String>(), "ab");
    assert_eq!((rules.generation, rules.diagnostics.len(), rules.pinned), (3, 1, 2));
    let alerts = client.alerts(ListAlerts::default()).await.unwrap().alerts;
    assert_eq!(alerts.iter().map(|alert| alert.rule.as_str()).collect::<String>(), "ab");
}

#[tokio::test]
async fn a_report_is_put_together_from_its_parts() {
    let client = client_of(async |mut peer: Peer| {
        let (id, request) = peer.request().await?;
        // Longer than other requests may be.
        assert!(matches!(request, request::Body::PlanRules(plan) if plan.files[0].text.len() == 70 << 10));
        let part = |json: &str| {
            response::Body::Document(Document { kind: "plan".into(), json: json.as_bytes().to_vec() })
        };
        peer.part(id, part(r#"{"a":"#)).await?;
        peer.answer(id, part("1}")).await?;
        let (id, _) = peer.request().await?;
        peer.part(id, part("{")).await?;
        peer.answer(id, pong(1)).await?;
        peer.until_gone().await
    })
    .await;
    let file = File { path: "rules/a.yaml".into(), text: "x".repeat(70 << 10), ..File::default() };
    let plan = client.plan_rules(PlanRules { files: vec![file] }).await.unwrap();
    assert_eq!(plan, br#"{"a":1}"#);
    assert!(matches!(client.show_rule("a".into()).await, Err(ClientError::Unexpected { .. })));
}

#[tokio::test]
async fn lists_come_in_parts() {
    let client = client_of(|mut peer| async move {
        let (id, _) = peer.request().await?;
        let part =
            |name: &str, total| response::Body::Series(SeriesPart { series: vec![name.into()], total });
        peer.part(id, part("a", 0)).await?;
        peer.answer(id, part("b", 7)).await?;
        let (id, _) = peer.request().await?;
        let label = LabelCount { text: "host".into(), series: 2, values: 1 };
        peer.answer(id, response::Body::Labels(LabelsPart { labels: vec![label], total: 1 })).await?;
        peer.until_gone().await
    })
    .await;
    let (series, total) = client.series(ListSeries::default()).await.unwrap();
    assert_eq!((&series[..], total), (&["a".to_owned(), "b".to_owned()][..], 7));
    let (labels, total) = client.labels(ListLabels::default()).await.unwrap();
    assert_eq!((labels[0].text.as_str(), total), ("host", 1));
}

#[tokio::test]
async fn a_no_is_typed_and_ends_nothing_else() {
    let client = client_of(|mut peer| async move {
        let (id, _) = peer.request().await?;
        let diagnostic = Diagnostic { line: 1, column: 4, excerpt: "cpu{".into(), ..Diagnostic::default() };
        let (code, message) = (Code::Invalid.into(), "no such selector".into());
        let error =
            Error { code, message, retry_after_ms: 5, diagnostics: vec![diagnostic], ..Error::default() };
        peer.error(id, error).await?;
        let (id, _) = peer.request().await?;
        peer.error(id, Error { code: Code::Overloaded.into(), retry_after_ms: 250, ..Error::default() })
            .await?;
        let (id, _) = peer.request().await?;
        peer.error(id, Error { code: 1_000, message: "new".into(), ..Error::default() }).await?;
        let (id, _) = peer.request().await?;
        peer.answer(id, response::Body::Info(Info::default())).await?;
        let (id, _) = peer.request().await?;
        peer.answer(id, pong(1)).await?;
        peer.until_gone().await
    })
    .await;
    let error = client.query(query("cpu{")).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Invalid));
    assert_eq!(error.retry_after(), None, "only what is worth a second try has a hint");
    assert_eq!(error.server().unwrap().diagnostics[0].column, 4);
    let error = client.info(true).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
    let error = client.info(true).await.unwrap_err();
    assert_eq!((error.code(), error.hint()), (Some(Code::Unspecified), None));
    let error = client.ping().await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "an Info is no answer to a ping: {error}");
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_ends_all_waiting_at_once() {
    let client = client_of(|mut peer| async move {
        for _ in 0..3 {
            peer.request().await?;
        }
        Ok(())
    })
    .await;
    let other = client.clone();
    // The timeouts are a minute: only the loss can end these.
    let (info, ping, answer) = tokio::join!(client.info(true), other.ping(), client.query(query("a")));
    for error in [info.unwrap_err(), ping.unwrap_err(), answer.unwrap_err()] {
        assert!(error.is_lost(), "{error}");
    }
    assert!(client.ping().await.unwrap_err().is_lost(), "and nobody waits later");
    assert!(client.write(&Batch::default()).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn an_error_of_the_connection_is_told_to_all() {
    let client = client_of(|mut peer| async move {
        peer.request().await?;
        peer.error(0, Error { code: Code::Malformed.into(), message: "no frame".into(), ..Error::default() })
            .await
    })
    .await;
    assert_eq!(client.ping().await.unwrap_err().code(), Some(Code::Malformed));
    assert_eq!(client.ping().await.unwrap_err().code(), Some(Code::Malformed));
}

#[tokio::test]
async fn silence_ends_in_a_timeout_and_a_late_answer_is_nobodys() {
    let address = serve(|_, mut peer| async move {
        peer.welcome().await?;
        let (late, _) = peer.request().await?;
        let (id, _) = peer.request().await?;
        peer.answer(late, pong(1)).await?;
        peer.answer(id, response::Body::Info(Info { series: 3, ..Info::default() })).await?;
        peer.until_gone().await
    })
    .await;
    let timeouts = Timeouts { answer: Duration::from_secs(20), ..patient("").timeouts };
    let client = Client::connect(&Options { timeouts, ..patient(&address) }).await.unwrap();
    let error = after_a_long_time(client.ping()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { waiting: Waiting::Answer, .. }) && error.is_timeout());
    assert_eq!(client.info(false).await.unwrap().series, 3);
}

#[tokio::test]
async fn a_query_that_is_dropped_is_cancelled() {
    let cancelled = Arc::new(Notify::new());
    let seen = Arc::clone(&cancelled);
    let client = client_of(move |mut peer| {
        let seen = Arc::clone(&seen);
        async move {
            let (id, _) = peer.request().await?;
            peer.part(id, response::Body::Query(QueryPart::default())).await?;
            let (_, request) = peer.request().await?;
            assert!(matches!(request, request::Body::Cancel(cancel) if cancel.request == id), "{request:?}");
            seen.notify_one();
            peer.error(id, Error { code: Code::Cancelled.into(), ..Error::default() }).await?;
            let (id, _) = peer.request().await?;
            peer.answer(id, pong(1)).await?;
            peer.until_gone().await
        }
    })
    .await;
    let mut parts = client.query_parts(query("a")).await.unwrap();
    parts.next().await.unwrap().unwrap();
    drop(parts);
    cancelled.notified().await;
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_parts_that_sleeps_holds_up_the_others_for_a_while_only() {
    let address = serve(|_, mut peer| async move {
        peer.welcome().await?;
        let (id, _) = peer.request().await?;
        for _ in 0..100 {
            peer.part(id, response::Body::Query(QueryPart::default())).await?;
        }
        loop {
            if let (ping, request::Body::Ping(_)) = peer.request().await? {
                peer.answer(ping, pong(1)).await?;
            }
        }
    })
    .await;
    let timeouts = Timeouts { answer: Duration::from_millis(50), ..patient("").timeouts };
    let client = Client::connect(&Options { timeouts, ..patient(&address) }).await.unwrap();
    let mut parts = client.query_parts(query("a")).await.unwrap();
    // The first ones wait in vain, and it is the next that shows that the connection goes on.
    while client.ping().await.is_err() {}
    let mut count = 0;
    let error = loop {
        match parts.next().await.unwrap() {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(count < 100 && error.is_timeout(), "{count} parts, then {error}");
}

#[tokio::test]
async fn no_more_is_under_way_than_the_server_allows() {
    let address = serve(|_, mut peer| async move {
        peer.welcome_with(sereno_client::messages::Limits { in_flight_requests_max: 2, ..LIMITS }).await?;
        for _ in 0..5 {
            let (first, _) = peer.request().await?;
            let (second, _) = peer.request().await?;
            // A third would be here by now, if there were one.
            let third = tokio::time::timeout(Duration::from_millis(5), peer.request()).await;
            assert!(third.is_err(), "three requests are under way");
            peer.answer(second, pong(2)).await?;
            peer.answer(first, pong(1)).await?;
        }
        peer.until_gone().await
    })
    .await;
    let client = Client::connect(&patient(&address)).await.unwrap();
    let pings = (0..10).map(|_| {
        let client = client.clone();
        async move { client.ping().await.unwrap() }
    });
    let mut set = tokio::task::JoinSet::new();
    pings.for_each(|ping| drop(set.spawn(ping)));
    assert_eq!(set.join_all().await.len(), 10);
}

#[tokio::test]
async fn what_the_server_would_not_take_is_not_sent() {
    let client = client_of(|mut peer| async move {
        let (id, request) = peer.request().await?;
        assert!(matches!(request, request::Body::Ping(_)), "{request:?}");
        peer.answer(id, pong(1)).await?;
        peer.until_gone().await
    })
    .await;
    let error = client.query(query(&"x".repeat(65 << 10))).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 65_536, .. }), "{error}");
    let batch = Batch { values: vec![0.0; 140_000], ..Batch::default() };
    assert!(matches!(client.write(&batch).await, Err(ClientError::TooLarge { limit: 1_048_576, .. })));
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_batch_is_sent_as_it_is() {
    let client = client_of(|mut peer| async move {
        let (id, write) = peer.batch().await?;
        assert_eq!(crate::fake::text(&write.series[0]), r#"cpu{host="a"}"#);
        assert_eq!(
            (&write.refs[..], &write.values[..], &write.times[..]),
            (&[7, 7][..], &[1.0, 2.0][..], &[1][..])
        );
        assert_eq!((write.time_unit, write.number, write.resent), (1_000_000_000, 0, false));
        peer.stored(id, &write).await?;
        peer.until_gone().await
    })
    .await;
    let mut batch = Batch::new(sereno_client::messages::Ack::Os);
    batch.define(7, &SeriesKey::new("cpu", [("host", "a")]).unwrap());
    batch.push(7, 1.0);
    batch.push(7, 2.0);
    batch.times = sereno_client::BatchTimes::One(Timestamp::from_millis(1_000));
    assert_eq!(client.write(&batch).await.unwrap().stored, 2);
}

#[tokio::test]
async fn the_connection_ends_with_the_last_clone() {
    let gone = Arc::new(Notify::new());
    let left = Arc::clone(&gone);
    let client = client_of(move |mut peer| {
        let left = Arc::clone(&left);
        async move {
            assert!(peer.is_left_alone().await);
            left.notify_one();
            Ok(())
        }
    })
    .await;
    let clone = client.clone();
    drop(client);
    drop(clone);
    gone.notified().await;
}
