//! The thread, its order, and what is sent again.

use std::sync::{Arc, Mutex};

use sereno_model::{Confirmations, LOG, Lacking, Outgoing};
use sereno_runtime::{Clock, Disk, ManualClock, Metrics, Queue, SimDisk};

use super::super::journal::{Journal, Recovered, Surroundings};
use super::super::keeper::Settings;
use super::super::record::{ChangedRule, Record, TickRecord};
use super::world::*;
use crate::rule::Labels;

struct Server {
    journal: Journal,
    recovered: Recovered,
    notifications: Queue<Outgoing>,
    confirmations: Confirmations,
}

fn start(disk: &SimDisk, sinks: &[&str]) -> Server {
    let metrics = Metrics::default();
    let notifications = Queue::bounded("notification_messages", 1_000, &metrics);
    let confirmations = Confirmations::new(sinks.iter().copied());
    let around = Surroundings {
        disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
        clock: Arc::new(ManualClock::new(at(1_000))) as Arc<dyn Clock>,
        notifications: notifications.clone(),
        confirmations: confirmations.clone(),
        metrics,
    };
    let (journal, recovered) = Journal::open(around, Settings::in_directory(directory())).unwrap();
    Server { journal, recovered, notifications, confirmations }
}

impl Server {
    fn tell(&self, second: i64, then: impl FnOnce(&[Outgoing]) + Send + 'static) {
        let number = self.journal.number(&"cpu".into());
        let labels: Labels = vec![("host".into(), second.to_string())];
        let record = TickRecord {
            tick: at(second),
            every: EVERY,
            evaluated: vec![number],
            changed: vec![ChangedRule {
                number,
                own: None,
                instances: vec![(Arc::new(labels.clone()), Some(instance()))],
            }],
            notifications: vec![notification("cpu", &labels, second, "firing", 1)],
            ..TickRecord::default()
        };
        self.journal.commit(Record::Tick(record), Some(Box::new(then)));
    }

    fn sent(&self) -> Vec<(u64, i64, Lacking)> {
        let next = || self.notifications.try_recv();
        let shown =
            |outgoing: Outgoing| (outgoing.number, outgoing.tick.nanos() / 1_000_000_000, outgoing.lacking);
        std::iter::from_fn(next).map(shown).collect()
    }
}

#[test]
fn what_is_told_is_told_in_order_after_it_is_durable() {
    let disk = SimDisk::new();
    disk.write_file("/data/other", b"the directory of the store is there already");
    let server = start(&disk, &[]);
    let order = Arc::new(Mutex::new(Vec::new()));
    for second in 0..100 {
        let (order, disk) = (order.clone(), disk.clone());
        server.tell(10 * second, move |outgoing| {
            let durable = disk.crash(0, sereno_runtime::sim_disk::Loss::Unsynced);
            let found = start(&durable, &[]).recovered;
            assert!(found.rules["cpu"].last >= Some(at(10 * second)));
            order.lock().unwrap().push((second, outgoing.len()));
        });
    }
    server.journal.close();
    assert_eq!(*order.lock().unwrap(), (0..100).map(|second| (second, 1)).collect::<Vec<_>>());
    let sent = server.sent();
    assert_eq!(sent.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert!(sent.iter().map(|(_, second, _)| *second).is_sorted());
}

#[test]
fn what_is_not_confirmed_is_sent_again_to_those_who_lack_it() {
    let disk = SimDisk::new();
    let server = start(&disk, &["a", "b"]);
    (1..=4).for_each(|second| server.tell(second, |_| {}));
    server.journal.close();
    assert_eq!(server.sent().len(), 4);

    // Nobody has confirmed anything; then some do.
    let server = start(&disk, &["a", "b"]);
    assert_eq!(server.recovered.rules["cpu"].instances.len(), 4);
    server.tell(5, |_| {});
    server.confirmations.confirm(LOG, 4);
    server.confirmations.confirm("a", 3);
    // No number is beyond what was told, whatever somebody says.
    server.confirmations.confirm("b", 1);
    server.tell(6, |_| {});
    server.journal.close();
    let sent = server.sent();
    assert_eq!(sent.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let all = Lacking::Only { log: true, sinks: vec!["a".into(), "b".into()] };
    assert!(sent[..4].iter().all(|(.., lacking)| *lacking == all));
    assert!(sent[4..].iter().all(|(.., lacking)| *lacking == Lacking::All));

    // A sink that is gone is not waited for, and a new one does not get what was told before it came.
    let server = start(&disk, &["a", "c"]);
    server.journal.close();
    let only =
        |log, sinks: &[&str]| Lacking::Only { log, sinks: sinks.iter().map(|sink| (*sink).into()).collect() };
    assert_eq!(
        server.sent(),
        [(4, 4, only(false, &["a"])), (5, 5, only(true, &["a"])), (6, 6, only(true, &["a"]))]
    );

    // Once all have confirmed, there is silence, and numbers go on.
    let server = start(&disk, &["a", "c"]);
    for name in [LOG, "a", "c"] {
        server.confirmations.confirm(name, 6);
    }
    server.journal.close();
    let server = start(&disk, &["a", "c"]);
    server.tell(7, |_| {});
    server.journal.close();
    assert_eq!(server.sent(), [(7, 7, Lacking::All)]);
}
