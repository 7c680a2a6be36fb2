//! A monitor misses nothing that the server remembers, and says where it may have.

use std::io;
use std::time::Duration;

use sereno_client::messages::monitor_part::Part;
use sereno_client::messages::{
    self, Alert, Code, Error, Event, Gap, Heartbeat, MonitorPart, Position, Response, Snapshot, Stopping,
    request, response,
};
use sereno_client::{ClientError, Monitor, Notice, Options, Timeouts, Waiting};

use crate::fake::{Peer, patient, serve};

fn position(sequence: u64) -> Option<Position> {
    Some(Position { epoch: 9, sequence })
}

fn event(sequence: u64) -> Part {
    Part::Event(Event { position: position(sequence), rule: "cpu_high".into(), ..Event::default() })
}

/// Shakes hands, and gives the request for notifications.
async fn watched(peer: &mut Peer) -> io::Result<(u64, messages::Monitor)> {
    peer.welcome().await?;
    match peer.request().await? {
        (id, request::Body::Monitor(request)) => Ok((id, request)),
        (_, other) => panic!("a monitor asked {other:?}"),
    }
}

/// In a word.
fn word(notice: &Notice) -> String {
    match notice {
        Notice::Snapshot(snapshot) => format!("snapshot of {}", snapshot.alerts.len()),
        Notice::Event(event) => format!("event {}", event.position.unwrap().sequence),
        Notice::Gap { missed } => format!("gap of {missed:?}"),
        Notice::Heartbeat(_) => "heartbeat".into(),
        Notice::Lost(error) => format!("lost: {}", if error.is_lost() { "gone" } else { "refused" }),
        Notice::Resumed => "resumed".into(),
        Notice::Stopping => "stopping".into(),
    }
}

async fn words(monitor: &mut Monitor, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..count {
        words.push(word(&monitor.next().await.unwrap()));
    }
    words
}

#[tokio::test]
async fn a_monitor_goes_on_where_it_was() {
    let address = serve(|connection, mut peer| async move {
        let (id, request) = watched(&mut peer).await?;
        let (since, snapshot, level) = (request.since, request.snapshot, request.level);
        assert_eq!(level, "warn", "filters stay");
        match connection {
            0 => {
                assert_eq!((since, snapshot), (None, true));
                let alerts = vec![Alert::default(); 2];
                peer.notify(id, Part::Snapshot(Snapshot { position: position(3), alerts })).await?;
                peer.notify(id, event(5)).await
            }
            1 => {
                assert_eq!((since, snapshot), (position(5), false), "the alerts were told already");
                peer.notify(id, Part::Gap(Gap { missed: Some(2) })).await?;
                peer.notify(id, Part::Heartbeat(Heartbeat { time: 1, position: position(9) })).await
            }
            // The server has no room for a while.
            2 => {
                peer.error(id, Error { code: Code::Overloaded.into(), retry_after_ms: 1, ..Error::default() })
                    .await
            }
            3 => {
                assert_eq!(since, position(9), "a heartbeat has a position too");
                peer.notify(id, event(12)).await?;
                peer.notify(id, Part::Stopping(Stopping {})).await?;
                peer.respond(&Response { id, more: false, body: None }).await
            }
            _ => {
                assert_eq!(since, position(12));
                peer.notify(id, event(13)).await?;
                peer.until_gone().await
            }
        }
    })
    .await;
    let request = messages::Monitor { snapshot: true, level: "warn".into(), ..messages::Monitor::default() };
    let mut monitor = Monitor::open(&patient(&address), request).await.unwrap();
    let expected = [
        "snapshot of 2",
        "event 5",
        "lost: gone",
        "resumed",
        "gap of Some(2)",
        "heartbeat",
        "lost: gone",
        "resumed",
        "lost: refused",
        "resumed",
        "event 12",
        "stopping",
        "resumed",
        "event 13",
    ];
    assert_eq!(words(&mut monitor, expected.len()).await, expected);
    assert_eq!(monitor.position(), position(13));
}

#[tokio::test]
async fn a_loss_before_the_first_word_loses_nothing() {
    let address = serve(|connection, mut peer| async move {
        let (id, request) = watched(&mut peer).await?;
        match connection {
            0 => assert_eq!(request.since_time, None),
            _ => {
                // The server's clock stood at 77 when it said welcome.
                assert_eq!((request.since_time, request.snapshot), (Some(77), true));
                peer.notify(id, event(1)).await?;
                peer.until_gone().await?;
            }
        }
        Ok(())
    })
    .await;
    let request = messages::Monitor { snapshot: true, ..messages::Monitor::default() };
    let mut monitor = Monitor::open(&patient(&address), request).await.unwrap();
    assert_eq!(words(&mut monitor, 3).await, ["lost: gone", "resumed", "event 1"]);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_not_tried_twice() {
    let address = serve(|connection, mut peer| async move {
        assert_eq!(connection, 0);
        let (id, _) = watched(&mut peer).await?;
        peer.error(
            id,
            Error { code: Code::Invalid.into(), message: "no level `hot`".into(), ..Error::default() },
        )
        .await
    })
    .await;
    let mut monitor = Monitor::open(&patient(&address), messages::Monitor::default()).await.unwrap();
    assert_eq!(monitor.next().await.unwrap_err().code(), Some(Code::Invalid));
}

#[tokio::test]
async fn what_a_later_version_tells_is_passed_over() {
    let address = serve(|_, mut peer| async move {
        let (id, _) = watched(&mut peer).await?;
        peer.part(id, response::Body::Monitor(MonitorPart { part: None })).await?;
        peer.respond(&Response { id, more: true, body: None }).await?;
        peer.notify(id + 1, event(1)).await?;
        peer.notify(id, event(2)).await?;
        peer.until_gone().await
    })
    .await;
    let mut monitor = Monitor::open(&patient(&address), messages::Monitor::default()).await.unwrap();
    assert_eq!(words(&mut monitor, 1).await, ["event 2"]);
}

#[tokio::test]
async fn a_server_without_a_heartbeat_is_taken_for_dead() {
    let address = serve(|_, mut peer| async move {
        let _ = watched(&mut peer).await?;
        peer.until_gone().await
    })
    .await;
    let timeouts = Timeouts { answer: Duration::from_millis(1), ..patient("").timeouts };
    let request = messages::Monitor { heartbeat_ms: 1, ..messages::Monitor::default() };
    let mut monitor = Monitor::open(&Options { timeouts, ..patient(&address) }, request).await.unwrap();
    let notice = monitor.next().await.unwrap();
    let Notice::Lost(ClientError::Timeout { waiting: Waiting::Notification, after, .. }) = notice else {
        panic!("{notice:?}")
    };
    assert_eq!(after, Duration::from_millis(3));
}

#[tokio::test]
async fn impatience_loses_nothing() {
    let address = serve(|connection, mut peer| async move {
        let (id, _) = watched(&mut peer).await?;
        for sequence in 0..50 {
            peer.notify(id, event(connection as u64 * 100 + sequence)).await?;
            tokio::task::yield_now().await;
        }
        if connection == 0 { Ok(()) } else { peer.until_gone().await }
    })
    .await;
    let mut monitor = Monitor::open(&patient(&address), messages::Monitor::default()).await.unwrap();
    let mut words = Vec::new();
    while words.len() < 102 {
        // Cancelled whenever it is not ready at once.
        tokio::select! {
            biased;
            notice = monitor.next() => words.push(word(&notice.unwrap())),
            () = tokio::task::yield_now() => {}
        }
    }
    let first = (0..50).map(|sequence| format!("event {sequence}"));
    let then = ["lost: gone".to_owned(), "resumed".to_owned()];
    let second = (100..150).map(|sequence| format!("event {sequence}"));
    assert_eq!(words, first.chain(then).chain(second).collect::<Vec<_>>());
}
