//! What is said of how far everybody is, and what comes again after a restart.

use std::sync::Mutex;

use sereno_model::{LOG, Lacking};
use sereno_plugin::{BoxFuture, Delivery, Sink};

use super::*;

/// Remembers what it got; refuses for now what it is told to.
struct Remembering {
    got: Arc<Mutex<Vec<String>>>,
    refuses: &'static str,
}

impl Sink for Remembering {
    fn deliver<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Delivery> {
        Box::pin(async {
            if notification.event_id == self.refuses {
                return Delivery::Retry("not now".into());
            }
            self.got.lock().unwrap().push(notification.event_id.clone());
            Delivery::Ok
        })
    }
}

fn sink(name: &str, refuses: &'static str) -> (SinkInstance, Arc<Mutex<Vec<String>>>) {
    let got = Arc::<Mutex<Vec<String>>>::default();
    let sink = Box::new(Remembering { got: got.clone(), refuses });
    (SinkInstance { name: name.into(), sink }, got)
}

fn outgoing(number: u64) -> Outgoing {
    let notification = Notification { event_id: format!("e{number}"), ..testkit::notification() };
    Outgoing { number, ..notification.into() }
}

fn lines(log: &Path) -> Vec<String> {
    let text = String::from_utf8(RealDisk.read(log).unwrap()).unwrap();
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

fn up_to(run: &Run) -> Vec<(String, u64)> {
    run.confirmations.read().map(|(name, up_to)| (name.to_string(), up_to)).collect()
}

#[tokio::test]
async fn everybody_says_how_far_it_is_and_gets_what_it_lacks() {
    let (_dir, log, clock) = bench();
    let ((good, got), (flaky, flaky_got)) = (sink("good", ""), sink("flaky", "e2"));
    let run = Run::start_with(&log, &Config::default(), &clock, vec![good, flaky]);
    (1..=3).for_each(|number| run.inbox.try_send(outgoing(number)).unwrap());
    let confirmations = run.confirmations.clone();
    run.stop().await;
    let confirmed: Vec<_> = confirmations.read().map(|(name, up_to)| (name.to_string(), up_to)).collect();
    let expected = [(LOG, 3), ("good", 3), ("flaky", 1)].map(|(name, up_to)| (name.to_owned(), up_to));
    assert_eq!(confirmed, expected);
    assert_eq!((lines(&log).len(), got.lock().unwrap().len()), (3, 3));
    assert_eq!(*flaky_got.lock().unwrap(), ["e1", "e3"], "each is tried once at the end");

    // The next start sends again what was not confirmed. The log has it, so nobody sees it twice there.
    let ((good, got), (flaky, flaky_got)) = (sink("good", ""), sink("flaky", ""));
    let run = Run::start_with(&log, &Config::default(), &clock, vec![good, flaky]);
    let mut watch = run.watch(Since::Now);
    for number in 2..=3 {
        let lacking = Lacking::Only { log: true, sinks: vec!["flaky".into()] };
        run.inbox.try_send(Outgoing { lacking, ..outgoing(number) }).unwrap();
    }
    // This one never reached the log.
    let lost = Lacking::Only { log: true, sinks: vec!["good".into(), "flaky".into()] };
    run.inbox.try_send(Outgoing { lacking: lost, ..outgoing(4) }).unwrap();
    run.inbox.try_send(outgoing(5)).unwrap();
    let seen = [watch.next().await, watch.next().await].map(|step| match step {
        Step::Event(event) => event.notification.event_id.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(seen, ["e4", "e5"]);
    while up_to(&run).iter().any(|(_, up_to)| *up_to < 5) {
        tokio::task::yield_now().await;
    }
    assert_eq!(lines(&log), ["e1", "e2", "e3", "e4", "e5"]);
    assert_eq!(*got.lock().unwrap(), ["e4", "e5"]);
    assert_eq!(*flaky_got.lock().unwrap(), ["e2", "e3", "e4", "e5"]);
    run.stop().await;
}

#[tokio::test]
async fn what_only_runs_along_is_seen_by_those_who_ask() {
    let (_dir, log, clock) = bench();
    let (good, got) = sink("good", "");
    let run = Run::start_with(&log, &Config::default(), &clock, vec![good]);
    let (mut plain, mut curious) = (run.watch(Since::Now), run.watch(Since::Now).with_shadow(true));
    let subscription = run.monitors.subscribe().unwrap();
    for number in 1..=2 {
        let mut shadow = Notification::clone(&outgoing(number).notification);
        shadow.marks.shadow = number == 1;
        run.inbox.try_send(Outgoing { number, ..shadow.into() }).unwrap();
    }
    let id = |step: Step| match step {
        Step::Event(event) => event.notification.event_id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!([id(curious.next().await), id(curious.next().await)], ["e1", "e2"]);
    assert_eq!(id(plain.next().await), "e2");
    assert_eq!(subscription.recv().await.unwrap().event_id, "e2");
    run.stop().await;
    assert_eq!((lines(&log).len(), got.lock().unwrap().clone()), (2, vec!["e2".to_owned()]));
}
