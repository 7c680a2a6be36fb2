//! The writer's promises one by one: what is batched, when it is sent, what is sent again, and what it says of it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sereno_client::messages::{Ack, Code, Error, Limits, Reason, Rejection, Write, Written, response};
use sereno_client::{ClientError, Counters, Full, Options, SeriesRef, Timeouts, Writer, WriterConfig};
use sereno_model::{SeriesKey, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::fake::{LIMITS, Peer, patient, serve, text};

/// Never sends on its own account, and tries again at once.
fn config() -> WriterConfig {
    WriterConfig {
        linger: Duration::from_secs(3_600),
        pause_max: Duration::from_millis(1),
        ..WriterConfig::default()
    }
}

fn key(host: &str) -> SeriesKey {
    SeriesKey::new("cpu", [("host", host)]).unwrap()
}

/// What a batch says, in a line: number, whether it was sent before, definitions, references, counts, values.
fn line(write: &Write) -> String {
    let series: Vec<_> =
        write.series.iter().map(|series| format!("{}={}", series.r#ref, text(series))).collect();
    let again = if write.resent { " again" } else { "" };
    let values: Vec<_> = write.values.iter().map(|value| value.to_string()).collect();
    format!(
        "{}{again} [{}] {:?}x{:?} {}",
        write.number,
        series.join(" "),
        write.refs,
        write.counts,
        values.join(" ")
    )
}

type Lines = mpsc::UnboundedReceiver<String>;

/// A server that says welcome and then what `script` says, given the number of the connection and where to report.
async fn serve_lines<F>(
    script: impl Fn(usize, Peer, mpsc::UnboundedSender<String>) -> F + Send + Sync + 'static,
) -> (String, Lines)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let script = Arc::new(script);
    let address = serve(move |connection, mut peer| {
        let (script, sender) = (Arc::clone(&script), sender.clone());
        async move {
            peer.welcome().await?;
            script(connection, peer, sender).await
        }
    });
    (address.await, receiver)
}

/// A server that stores all.
async fn storing() -> (String, Lines) {
    serve_lines(|_, mut peer, lines| async move {
        loop {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            peer.stored(id, &write).await?;
        }
    })
    .await
}

async fn connect(address: &str, config: WriterConfig) -> Writer {
    Writer::connect(patient(address), config).await.unwrap()
}

fn sums(counters: &Counters) -> [u64; 5] {
    [counters.pushed, counters.stored, counters.rejected, counters.dropped, counters.unknown]
}

fn drain(lines: &mut Lines) -> Vec<String> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}

#[tokio::test]
async fn samples_go_in_batches_and_series_are_defined_once() {
    let (address, mut lines) = storing().await;
    let writer = connect(&address, WriterConfig { batch_samples: 3, ..config() }).await;
    let (a, b) = (writer.series(&key("a")), writer.series(&key("b")));
    assert_eq!(writer.series(&key("a")), a, "a series has one reference");
    let samples = [(a, None, 1.0), (b, None, 2.0), (b, None, 3.0), (b, None, 4.0), (a, None, 5.0)];
    writer.push_all(&samples).await.unwrap();
    writer.flush().await.unwrap();
    let expected = [r#"1 [0=cpu{host="a"} 1=cpu{host="b"}] [0, 1]x[1, 2] 1 2 3"#, "2 [] [1, 0]x[] 4 5"];
    assert_eq!(drain(&mut lines), expected);
    assert_eq!(sums(&writer.close().await), [5, 5, 0, 0, 0]);
}

#[tokio::test]
async fn samples_with_times_and_without_go_apart_and_in_order() {
    let (sender, mut times) = mpsc::unbounded_channel();
    let address = serve(move |_, mut peer| {
        let sender = sender.clone();
        async move {
            peer.welcome().await?;
            loop {
                let (id, write) = peer.batch().await?;
                let unit = if write.times.is_empty() { 0 } else { write.time_unit };
                drop(sender.send((write.times.clone(), unit, write.values.clone())));
                peer.stored(id, &write).await?;
            }
        }
    })
    .await;
    let writer = connect(&address, config()).await;
    let a = writer.series(&key("a"));
    let at = |millis| Some(Timestamp::from_millis(millis));
    let samples =
        [(a, None, 1.0), (a, at(5), 2.0), (a, at(7), 3.0), (a, None, 4.0), (a, at(9), 5.0), (a, at(9), 6.0)];
    writer.push_all(&samples).await.unwrap();
    assert_eq!(sums(&writer.close().await), [6, 6, 0, 0, 0]);
    let batches: Vec<_> = std::iter::from_fn(|| times.try_recv().ok()).collect();
    let expected = [
        (vec![], 0, vec![1.0]),
        (vec![5, 2], 1_000_000, vec![2.0, 3.0]),
        (vec![], 0, vec![4.0]),
        (vec![9], 1_000_000, vec![5.0, 6.0]),
    ];
    assert_eq!(batches, expected, "what has one time says it once");
}

#[tokio::test]
async fn a_sample_alone_waits_for_company_no_longer_than_it_should() {
    let (address, mut lines) = storing().await;
    let writer = connect(&address, WriterConfig { linger: Duration::from_millis(1), ..config() }).await;
    writer.push(writer.series(&key("a")), None, 1.0).await.unwrap();
    assert_eq!(lines.recv().await.unwrap(), r#"1 [0=cpu{host="a"}] [0]x[] 1"#);
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_in_order_under_the_same_numbers() {
    let (address, mut lines) = serve_lines(|connection, mut peer, lines| async move {
        for count in 0.. {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            match (connection, count) {
                (0, 0 | 2) => {}
                (0, 3) => return Ok(()),
                _ => peer.stored(id, &write).await?,
            }
        }
        Ok(())
    })
    .await;
    let writer = connect(&address, WriterConfig { batch_samples: 1, ..config() }).await;
    let (a, b) = (writer.series(&key("a")), writer.series(&key("b")));
    let samples = [(a, None, 1.0), (a, None, 2.0), (b, None, 3.0), (a, None, 4.0)];
    writer.push_all(&samples).await.unwrap();
    writer.flush().await.unwrap();
    writer.push(a, None, 5.0).await.unwrap();
    let counters = writer.close().await;
    let expected = [
        r#"1 [0=cpu{host="a"}] [0]x[] 1"#,
        "2 [] [0]x[] 2",
        r#"3 [1=cpu{host="b"}] [1]x[] 3"#,
        "4 [] [0]x[] 4",
        // 2 was answered. The new connection knows no series.
        r#"1 again [0=cpu{host="a"}] [0]x[] 1"#,
        r#"3 again [1=cpu{host="b"}] [1]x[] 3"#,
        "4 again [] [0]x[] 4",
        "5 [] [0]x[] 5",
    ];
    assert_eq!(drain(&mut lines), expected);
    assert_eq!(sums(&counters), [5, 5, 0, 0, 0]);
    assert_eq!((counters.batches, counters.resent, counters.reconnects), (5, 3, 1));
    assert!(counters.last_error.unwrap().is_lost());
}

#[tokio::test]
async fn what_has_no_room_is_sent_again_and_what_came_after_waits() {
    let (address, mut lines) = serve_lines(|_, mut peer, lines| async move {
        let (id, write) = peer.batch().await?;
        drop(lines.send(line(&write)));
        let full = |spans: &[u32]| Rejection {
            reason: Reason::QueueFull.into(),
            retry: true,
            spans: spans.to_vec(),
            message: "full".into(),
        };
        let written =
            Written { stored: 1, rejected: vec![full(&[1, 2])], retry_after_ms: 1, ..Written::default() };
        peer.answer(id, response::Body::Written(written)).await?;
        let (id, write) = peer.batch().await?;
        drop(lines.send(line(&write)));
        peer.answer(id, response::Body::Written(Written { stored: 3, unknown: true, ..Written::default() }))
            .await?;
        let (id, write) = peer.batch().await?;
        drop(lines.send(line(&write)));
        peer.error(id, Error { code: Code::Overloaded.into(), retry_after_ms: 1, ..Error::default() })
            .await?;
        loop {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            peer.stored(id, &write).await?;
        }
    })
    .await;
    let writer = connect(&address, config()).await;
    let a = writer.series(&key("a"));
    writer.push_all(&[(a, None, 1.0), (a, None, 2.0), (a, None, 3.0)]).await.unwrap();
    let counters = writer.close().await;
    let expected = [
        r#"1 [0=cpu{host="a"}] [0]x[3] 1 2 3"#,
        "1 again [] [0]x[3] 1 2 3",
        "1 again [] [0]x[3] 1 2 3",
        // Whether the definitions of a batch with an error were read is not known.
        r#"1 again [0=cpu{host="a"}] [0]x[3] 1 2 3"#,
    ];
    assert_eq!(drain(&mut lines), expected);
    assert_eq!(sums(&counters), [3, 3, 0, 0, 0]);
}

#[tokio::test]
async fn a_series_too_many_is_told_and_the_known_ones_go_on() {
    // Sending it again until there is room for it held up all that came after, for as long as the limit stood.
    let (address, mut lines) = serve_lines(|_, mut peer, lines| async move {
        loop {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            let limit = Rejection {
                reason: Reason::SeriesLimit.into(),
                retry: true,
                spans: vec![1, 1],
                message: "as many series as there may be".into(),
            };
            let written =
                Written { stored: 1, rejected: vec![limit], retry_after_ms: 1, ..Written::default() };
            peer.answer(id, response::Body::Written(written)).await?;
        }
    })
    .await;
    let writer = connect(&address, config()).await;
    let (a, b) = (writer.series(&key("a")), writer.series(&key("b")));
    for value in [1.0, 2.0] {
        writer.push_all(&[(a, None, value), (b, None, value)]).await.unwrap();
        writer.flush().await.unwrap();
    }
    let counters = writer.close().await;
    assert_eq!(drain(&mut lines).len(), 2, "each batch was sent once");
    assert_eq!(sums(&counters), [4, 2, 2, 0, 0]);
}

#[tokio::test]
async fn a_batch_that_leant_on_a_refused_one_is_sent_again_with_all_definitions() {
    let (address, mut lines) = serve_lines(|_, mut peer, lines| async move {
        let (first, _) = peer.batch().await?;
        let (second, _) = peer.batch().await?;
        // It does not know the series of the first, since it had no room to read it.
        peer.error(first, Error { code: Code::Overloaded.into(), ..Error::default() }).await?;
        peer.error(second, Error { code: Code::Invalid.into(), ..Error::default() }).await?;
        for _ in 0..2 {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            peer.error(id, Error { code: Code::Invalid.into(), message: "still".into(), ..Error::default() })
                .await?;
        }
        loop {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            peer.stored(id, &write).await?;
        }
    })
    .await;
    let writer = connect(&address, WriterConfig { batch_samples: 1, ..config() }).await;
    let a = writer.series(&key("a"));
    writer.push_all(&[(a, None, 1.0), (a, None, 2.0)]).await.unwrap();
    let counters = writer.close().await;
    let lines = drain(&mut lines);
    assert!(lines.iter().any(|line| line == r#"2 again [0=cpu{host="a"}] [0]x[] 2"#), "{lines:#?}");
    assert_eq!(counters.pushed, counters.stored + counters.rejected, "{lines:#?}");
    assert!(counters.rejected >= 1, "what is invalid with all its definitions is given up: {lines:#?}");
}

#[tokio::test]
async fn what_is_rejected_is_told_with_its_mark() {
    let (address, _lines) = serve_lines(|_, mut peer, _| async move {
        let (id, _) = peer.batch().await?;
        let rejection = |reason: Reason, spans: &[u32]| Rejection {
            reason: reason.into(),
            retry: false,
            spans: spans.to_vec(),
            message: format!("{reason:?}"),
        };
        // More than there are, twice, half a span: a server is believed only so far.
        let rejected = vec![
            rejection(Reason::TooOld, &[1, 2]),
            rejection(Reason::Forgotten, &[4, 1, 9, 9]),
            rejection(Reason::TooOld, &[4, u32::MAX, 0, 1, 0, 5, 3]),
        ];
        peer.answer(id, response::Body::Written(Written { stored: 100, rejected, ..Written::default() }))
            .await?;
        peer.until_gone().await
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let on_rejected: Arc<dyn Fn(&sereno_client::Rejected) + Send + Sync> = Arc::new(move |rejected| {
        let series = rejected.series.label("host").to_owned();
        tell.lock().unwrap().push((rejected.tag, series, rejected.value, rejected.reason));
    });
    let writer = connect(&address, WriterConfig { on_rejected: Some(on_rejected), ..config() }).await;
    let (a, b) = (writer.series(&key("a")), writer.series(&key("b")));
    writer.push(a, None, 0.0).await.unwrap();
    writer.push_tagged(a, None, 1.0, 11).await.unwrap();
    writer.push_all_tagged(&[(b, None, 2.0), (b, None, 3.0), (b, None, 4.0)], &[12, 13]).await.unwrap();
    let counters = writer.close().await;
    let told = told.lock().unwrap();
    assert_eq!(told[0], (11, "a".into(), 1.0, Reason::TooOld));
    assert_eq!(told[1], (12, "b".into(), 2.0, Reason::TooOld));
    assert_eq!(told[2], (0, "b".into(), 4.0, Reason::Forgotten));
    assert_eq!(told.len(), 5, "no more than there are: {told:?}");
    assert_eq!(sums(&counters), [5, 0, 4, 0, 1], "what is forgotten may be stored");
    assert_eq!(counters.last_rejected.len(), 5);
}

#[tokio::test]
async fn without_room_whoever_pushes_waits() {
    let go = Arc::new(Notify::new());
    let gone = Arc::clone(&go);
    let (address, _lines) = serve_lines(move |_, mut peer, _| {
        let go = Arc::clone(&gone);
        async move {
            let (id, write) = peer.batch().await?;
            go.notified().await;
            peer.stored(id, &write).await?;
            loop {
                let (id, write) = peer.batch().await?;
                peer.stored(id, &write).await?;
            }
        }
    })
    .await;
    let writer = connect(&address, WriterConfig { batch_samples: 4, buffer_samples: 6, ..config() }).await;
    let a = writer.series(&key("a"));
    let samples = vec![(a, None, 1.0); 20];
    let mut push = Box::pin(writer.push_all(&samples));
    tokio::select! {
        biased;
        _ = &mut push => panic!("there is no room for 20 samples"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(writer.counters().pushed, 6);
    go.notify_one();
    push.await.unwrap();
    assert_eq!(sums(&writer.close().await), [20, 20, 0, 0, 0]);
}

#[tokio::test]
async fn without_room_samples_are_dropped_where_that_is_wanted() {
    let (address, _lines) = serve_lines(|_, mut peer, _| async move { peer.until_gone().await }).await;
    let config = WriterConfig { buffer_samples: 6, full: Full::Drop, ..config() };
    let writer = connect(&address, config).await;
    let a = writer.series(&key("a"));
    writer.push_all(&vec![(a, None, 1.0); 20]).await.unwrap();
    let counters = writer.counters();
    assert_eq!((sums(&counters), counters.open()), ([20, 0, 0, 14, 0], 6));
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let (address, _lines) = serve_lines(|connection, mut peer, _| async move {
        let (id, write) = peer.batch().await?;
        if connection > 0 {
            peer.stored(id, &write).await?;
        }
        peer.until_gone().await
    })
    .await;
    let give_up = Some(Duration::from_millis(20));
    let writer =
        connect(&address, WriterConfig { batch_samples: 1, in_flight_batches: 1, give_up, ..config() }).await;
    let a = writer.series(&key("a"));
    writer.push_all(&[(a, None, 1.0), (a, None, 2.0)]).await.unwrap();
    let counters = writer.close().await;
    assert_eq!((counters.pushed, counters.stored), (2, 0));
    assert!(counters.unknown >= 1, "it was sent, and nobody knows: {counters:?}");
    assert_eq!(counters.open(), 0);
}

#[tokio::test]
async fn a_server_that_will_never_take_it_ends_the_writer() {
    let address = serve(|connection, mut peer| async move {
        if connection == 0 {
            peer.welcome().await?;
            peer.batch().await?;
            return Ok(());
        }
        let (id, _) = peer.hello().await?;
        peer.error(id, Error { code: Code::Unauthenticated.into(), message: "no".into(), ..Error::default() })
            .await
    })
    .await;
    let writer = connect(&address, config()).await;
    let a = writer.series(&key("a"));
    writer.push(a, None, 1.0).await.unwrap();
    let error = writer.flush().await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error}");
    let closed = writer.push(a, None, 2.0).await.unwrap_err();
    assert!(matches!(closed.0, ClientError::Unauthorized { .. }));
    assert_eq!(sums(&writer.close().await), [1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_left_for_another() {
    let (address, mut lines) = serve_lines(|connection, mut peer, lines| async move {
        loop {
            let (id, write) = peer.batch().await?;
            drop(lines.send(line(&write)));
            if connection > 0 {
                peer.stored(id, &write).await?;
            }
        }
    })
    .await;
    let timeouts = Timeouts { answer: Duration::from_millis(20), ..patient("").timeouts };
    let options = Options { timeouts, ..patient(&address) };
    let writer = Writer::connect(options, config()).await.unwrap();
    writer.push(writer.series(&key("a")), None, 1.0).await.unwrap();
    writer.flush().await.unwrap();
    let error = writer.counters().last_error.unwrap();
    assert!(error.is_timeout(), "{error}");
    assert!(drain(&mut lines).len() >= 2);
}

#[tokio::test]
async fn no_batch_is_larger_than_the_server_takes() {
    let limits = Limits { write_bytes_max: 2_000, batch_samples_max: 50, dictionary_len_max: 8, ..LIMITS };
    let address = serve(move |_, mut peer| async move {
        peer.welcome_with(limits).await?;
        loop {
            let (id, write) = peer.batch().await?;
            let bytes = prost::Message::encoded_len(&write) + 10;
            let fits = bytes <= 2_000
                && write.values.len() <= 50
                && write.refs.iter().all(|reference| *reference < 8);
            if !fits {
                let error = Error { code: Code::TooLarge.into(), message: line(&write), ..Error::default() };
                peer.error(id, error).await?;
                continue;
            }
            peer.stored(id, &write).await?;
        }
    })
    .await;
    let writer = connect(&address, config()).await;
    let long = "x".repeat(300);
    let series: Vec<_> = (0..20).map(|number| writer.series(&key(&format!("{number}{long}")))).collect();
    let samples: Vec<_> = (0..1_000).map(|number| (series[number * 7 % 20], None, number as f64)).collect();
    writer.push_all(&samples).await.unwrap();
    let huge = SeriesKey::new("m", (0..3).map(|number| (format!("l{number}"), "y".repeat(1_000)))).unwrap();
    writer.push(writer.series(&huge), None, 1.0).await.unwrap();
    writer.push(SeriesRef::clone(&series[0]), None, 2.0).await.unwrap();
    let counters = writer.close().await;
    assert_eq!(sums(&counters), [1_002, 1_001, 1, 0, 0], "{:?}", counters.last_rejected);
    assert_eq!(counters.last_rejected[0].series, huge);
    assert!(counters.batches >= 21);
}

#[tokio::test]
async fn a_writer_that_is_dropped_delivers_what_it_has() {
    let (address, mut lines) = storing().await;
    let writer = connect(&address, WriterConfig { ack: Ack::Disk, ..config() }).await;
    writer.push(writer.series(&key("a")), None, 1.0).await.unwrap();
    drop(writer);
    assert_eq!(lines.recv().await.unwrap(), r#"1 [0=cpu{host="a"}] [0]x[] 1"#);
}

#[tokio::test]
async fn a_clone_is_the_same_writer() {
    let (address, _lines) = storing().await;
    let writer = connect(&address, config()).await;
    let clone = writer.clone();
    let a = clone.series(&key("a"));
    clone.push(a, None, 1.0).await.unwrap();
    assert_eq!(writer.close().await.stored, 1);
    let closed = clone.push(a, None, 2.0).await.unwrap_err();
    assert!(matches!(closed.0, ClientError::WriterClosed));
    clone.flush().await.unwrap();
}

#[tokio::test]
async fn a_client_has_a_number_and_keeps_it() {
    let (sender, mut ids) = mpsc::unbounded_channel();
    let address = serve(move |connection, mut peer| {
        let sender = sender.clone();
        async move {
            let hello = peer.welcome().await?;
            sender.send(hello.client_id).ok();
            let (id, write) = peer.batch().await?;
            if connection > 0 { peer.stored(id, &write).await } else { Ok(()) }
        }
    })
    .await;
    let writer = connect(&address, config()).await;
    writer.push(writer.series(&key("a")), None, 1.0).await.unwrap();
    writer.close().await;
    let other = connect(&address, config()).await;
    let ids = [ids.recv().await.unwrap(), ids.recv().await.unwrap(), ids.recv().await.unwrap()];
    assert!(ids[0] == ids[1] && ids[0] != ids[2] && ids.iter().all(|id| *id != 0), "{ids:?}");
    drop(other);
}
