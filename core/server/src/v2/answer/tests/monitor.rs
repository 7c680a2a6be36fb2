//! Notifications as they happen: order, snapshots, gaps, heartbeats, filters, the end.

use sereno_model::{EventKind, Level, Marks};
use sereno_protocol::v2::messages::monitor_part::Part;
use sereno_protocol::v2::messages::{Event, Heartbeat, Matcher, Monitor, Position, Snapshot};
use tokio::time::Instant;

use super::admin::tick;
use super::*;

/// How often there is a word when nobody says.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What watches, and what it is sent.
struct Watching {
    outbox: Outbox,
    task: tokio::task::JoinHandle<()>,
    waiting: std::collections::VecDeque<Response>,
}

impl Watching {
    fn start(world: &World, asked: Monitor, room: usize) -> Self {
        let outbox = Outbox::new(room);
        let task = tokio::task::spawn_local(world.start(Asked::Monitor(asked), &outbox));
        Self { outbox, task, waiting: Default::default() }
    }

    async fn response(&mut self) -> Response {
        while self.waiting.is_empty() {
            self.waiting.extend(decode(&self.outbox.take(Vec::new()).await.unwrap()));
        }
        self.waiting.pop_front().unwrap()
    }

    async fn part(&mut self) -> Part {
        match self.response().await.body {
            Some(Body::Monitor(part)) => part.part.unwrap(),
            other => panic!("no part of a monitor: {other:?}"),
        }
    }

    async fn event(&mut self) -> Event {
        match self.part().await {
            Part::Event(event) => event,
            other => panic!("no event: {other:?}"),
        }
    }

    async fn snapshot(&mut self) -> Snapshot {
        match self.part().await {
            Part::Snapshot(snapshot) => snapshot,
            other => panic!("no snapshot: {other:?}"),
        }
    }

    async fn heartbeat(&mut self) -> Heartbeat {
        match self.part().await {
            Part::Heartbeat(heartbeat) => heartbeat,
            other => panic!("no heartbeat: {other:?}"),
        }
    }
}

impl World {
    /// Has notifications handled, until the word to stop.
    fn handle(&mut self) -> Shutdown {
        let stop = Shutdown::default();
        tokio::task::spawn_local(self.handler.take().unwrap().run(stop.clone()));
        stop
    }

    /// Tells of a firing instance, and waits until it is handled.
    async fn tell(&self, number: u64, change: impl FnOnce(&mut Notification)) {
        let handled = self.services.metrics.counter("notifications_total", &[]);
        let before = handled.get();
        let mut notification = Notification {
            event_id: format!("e{number}"),
            kind: EventKind::Firing,
            rule: "cpu_high".into(),
            instance: vec![("host".into(), "a".into())],
            level: Level::Crit,
            value: Some(number as f64),
            extreme: None,
            tick: ago(0),
            previous: None,
            peak: None,
            samples: None,
            episode: 1,
            labels: Vec::new(),
            runbook: None,
            suppressed_by: None,
            marks: Marks::default(),
            fired_at: ago(5),
            message: "high".into(),
            reason: None,
            generation: 3,
        };
        change(&mut notification);
        assert!(self.notifications.send(notification.into()).await.is_ok());
        while handled.get() == before {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn events_come_in_order_with_all_they_have() {
    run(async || {
        let mut world = World::new();
        world.handle();
        let mut watching = Watching::start(&world, Monitor::default(), ROOM);
        tokio::task::yield_now().await;
        for number in 1..=5 {
            world.tell(number, |_| ()).await;
        }
        let first = watching.event().await;
        let epoch = first.position.unwrap().epoch;
        let expected = Event {
            position: Some(Position { epoch, sequence: 1 }),
            at: ago(0).nanos(),
            event_id: "e1".into(),
            kind: "firing".into(),
            rule: "cpu_high".into(),
            instance: vec!["host".into(), "a".into()],
            level: "crit".into(),
            value: Some(1.0),
            extreme: None,
            tick: ago(0).nanos(),
            fired_at: ago(5).nanos(),
            message: "high".into(),
            reason: String::new(),
            generation: 3,
            ..first.clone()
        };
        assert_eq!(first, expected);
        for sequence in 2..=5 {
            assert_eq!(watching.event().await.position, Some(Position { epoch, sequence }));
        }
        // Taken up again somewhere, by its position and by time.
        let since = Some(Position { epoch, sequence: 3 });
        let mut again = Watching::start(&world, Monitor { since, ..Monitor::default() }, ROOM);
        assert_eq!(again.event().await.event_id, "e4");
        let mut all = Watching::start(&world, Monitor { since_time: Some(0), ..Monitor::default() }, ROOM);
        assert_eq!(all.event().await.event_id, "e1");
    });
}

#[test]
fn a_snapshot_comes_first_and_nothing_falls_between() {
    run(async || {
        let mut world = World::with(
            &[(
                "rules/a.yaml",
                "rules:\n  - { id: cpu_high, metric: cpu, by: [host], agg: max, window: 60s, limit: 10 }\n",
            )],
            1,
        );
        world.handle();
        world.put(r#"cpu{host="a"}"#, &[(-30, 50.0)]);
        world.put(r#"cpu{host="b"}"#, &[(-30, 60.0)]);
        let asked = || Monitor { snapshot: true, ..Monitor::default() };
        let mut before = Watching::start(&world, asked(), ROOM);
        assert_eq!(before.snapshot().await.alerts, []);
        tick(&world);
        // They are made durable first, by a thread of their own; time here would pass to the next heartbeat.
        let handled = world.services.metrics.counter("notifications_total", &[]);
        while handled.get() < 2 {
            tokio::task::yield_now().await;
        }
        let hosts = [before.event().await, before.event().await];
        assert_eq!(hosts.each_ref().map(|event| &*event.instance[1]), ["a", "b"]);
        let mut after = Watching::start(&world, asked(), ROOM);
        let Snapshot { position, alerts } = after.snapshot().await;
        assert_eq!(position, hosts[1].position);
        let told: Vec<_> =
            alerts.iter().map(|alert| (&*alert.rule, alert.instance.join("="), alert.value)).collect();
        assert_eq!(
            told,
            [("cpu_high", "host=a".into(), Some(50.0)), ("cpu_high", "host=b".into(), Some(60.0))]
        );
        let matchers = vec![Matcher { label: "host".into(), kind: 0, value: "b".into() }];
        let mut one = Watching::start(&world, Monitor { matchers, ..asked() }, ROOM);
        assert_eq!(one.snapshot().await.alerts.len(), 1);
        let mut other = Watching::start(&world, Monitor { rules: vec!["disk*".into()], ..asked() }, ROOM);
        assert_eq!(other.snapshot().await.alerts, []);
    });
}

#[test]
fn only_what_is_wanted_comes() {
    run(async || {
        let mut world = World::new();
        world.handle();
        let host = |kind, value: &str| vec![Matcher { label: "host".into(), kind, value: value.into() }];
        let wishes = [
            (Monitor { level: "warn".into(), ..Monitor::default() }, vec!["e1", "e3", "e4"]),
            (
                Monitor { rules: vec!["disk".into(), "c*".into()], ..Monitor::default() },
                vec!["e1", "e2", "e3"],
            ),
            (Monitor { kinds: vec!["resolved".into()], ..Monitor::default() }, vec!["e3"]),
            (Monitor { matchers: host(0, "a"), ..Monitor::default() }, vec!["e1", "e2", "e3"]),
            (Monitor { matchers: host(1, "a"), ..Monitor::default() }, vec!["e4"]),
        ];
        let mut watching: Vec<_> =
            wishes.iter().map(|(asked, _)| Watching::start(&world, asked.clone(), ROOM)).collect();
        tokio::task::yield_now().await;
        world.tell(1, |_| ()).await;
        world.tell(2, |notification| notification.level = Level::Info).await;
        world.tell(3, |notification| notification.kind = EventKind::Resolved).await;
        world
            .tell(4, |notification| {
                notification.rule = "net".into();
                notification.instance.clear();
            })
            .await;
        for (watching, (asked, expected)) in watching.iter_mut().zip(&wishes) {
            for event in expected {
                assert_eq!(watching.event().await.event_id, *event, "{asked:?}");
            }
            // The next word is that there is nothing more, up to what was filtered out.
            assert_eq!(watching.heartbeat().await.position.unwrap().sequence, 4, "{asked:?}");
        }
    });
}

#[test]
fn a_quiet_stream_says_so() {
    run(async || {
        let mut world = World::new();
        world.handle();
        let begun = Instant::now();
        let mut usual = Watching::start(&world, Monitor::default(), ROOM);
        let Heartbeat { time, position } = usual.heartbeat().await;
        assert_eq!((time, position.unwrap().sequence), (ago(0).nanos(), 0));
        assert_eq!(begun.elapsed(), HEARTBEAT);
        usual.heartbeat().await;
        assert_eq!(begun.elapsed(), 2 * HEARTBEAT);
        let asked = Monitor { heartbeat_ms: 1_000, level: "crit".into(), ..Monitor::default() };
        let begun = Instant::now();
        let mut often = Watching::start(&world, asked, ROOM);
        for number in 1..=8 {
            // What is filtered out does not put it off, what is sent does.
            world.tell(number, |notification| notification.level = Level::Info).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(often.heartbeat().await.position.unwrap().sequence, 4);
        assert_eq!(often.heartbeat().await.position.unwrap().sequence, 7);
        world.tell(9, |_| ()).await;
        assert_eq!(often.event().await.event_id, "e9");
        let sent = begun.elapsed();
        often.heartbeat().await;
        assert_eq!(begun.elapsed(), sent + Duration::from_secs(1));
        let hasty = Monitor { heartbeat_ms: 1, ..Monitor::default() };
        let begun = Instant::now();
        Watching::start(&world, hasty, ROOM).heartbeat().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(100));
    });
}

/// Much that is not wanted keeps a monitor busy, and its client in the dark, unless there is a word in between.
#[test]
fn a_busy_stream_of_which_nothing_is_wanted_says_so_too() {
    run(async || {
        let mut world = World::remembering(4_000);
        world.handle();
        for number in 1..=4_000 {
            world.tell(number, |notification| notification.level = Level::Info).await;
        }
        let asked =
            Monitor { since_time: Some(0), level: "crit".into(), heartbeat_ms: 1_000, ..Monitor::default() };
        let mut watching = Watching::start(&world, asked, ROOM);
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let between = watching.heartbeat().await.position.unwrap().sequence;
        assert!((1..4_000).contains(&between), "{between}");
        assert_eq!(watching.heartbeat().await.position.unwrap().sequence, 4_000);
    });
}

#[test]
fn who_reads_too_slowly_is_told_how_much_is_missing() {
    run(async || {
        let mut world = World::new();
        world.handle();
        let mut watching = Watching::start(&world, Monitor::default(), 1);
        tokio::task::yield_now().await;
        // The history of this world is eight long.
        for number in 1..=20 {
            world.tell(number, |_| ()).await;
        }
        let first: Vec<u64> = [watching.event().await, watching.event().await]
            .map(|event| event.position.unwrap().sequence)
            .into();
        assert_eq!(first, [1, 2], "one in the outbox, one on its way there");
        let Part::Gap(gap) = watching.part().await else { panic!("no gap") };
        assert_eq!(gap.missed, Some(10));
        for sequence in 13..=20 {
            assert_eq!(watching.event().await.position.unwrap().sequence, sequence);
        }
        let since = Some(Position { epoch: 5, sequence: 5 });
        let mut foreign = Watching::start(&world, Monitor { since, ..Monitor::default() }, ROOM);
        let Part::Gap(gap) = foreign.part().await else { panic!("no gap") };
        assert_eq!(gap.missed, None, "nobody knows");
        assert_eq!(foreign.event().await.position.unwrap().sequence, 13);
    });
}

#[test]
fn the_end_is_told_after_all_that_came_before() {
    run(async || {
        let mut world = World::new();
        let stop = world.handle();
        let mut watching = Watching::start(&world, Monitor::default(), ROOM);
        tokio::task::yield_now().await;
        world.tell(1, |_| ()).await;
        stop.stop();
        assert_eq!(watching.event().await.event_id, "e1");
        let last = watching.response().await;
        let Some(Body::Monitor(part)) = last.body else { panic!() };
        assert!(!last.more && matches!(part.part, Some(Part::Stopping(_))));
        (&mut watching.task).await.unwrap();
        world.services.stop.stop();
        assert_eq!(world.fail(Asked::Monitor(Monitor::default())).await.0, Code::Closing);
    });
}

#[test]
fn a_monitor_that_is_cancelled_gives_up_its_place() {
    run(async || {
        let mut world = World::new();
        world.handle();
        let connected = world.services.metrics.gauge("monitors_connected", &[]);
        let watching = Watching::start(&world, Monitor::default(), ROOM);
        tokio::task::yield_now().await;
        assert_eq!(connected.get(), 1);
        watching.task.abort();
        assert!(watching.task.await.unwrap_err().is_cancelled());
        assert_eq!(connected.get(), 0);
    });
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    run(async || {
        let world = World::new();
        let at = Some(Position { epoch: 1, sequence: 1 });
        let broken = vec![Matcher { label: "host".into(), kind: 2, value: "(".into() }];
        for (asked, message, hint) in [
            (
                Monitor { level: "red".into(), ..Monitor::default() },
                "`red` is not a level; levels are `info`, `warn` and `crit`",
                "",
            ),
            (
                Monitor { kinds: vec!["resolvd".into()], ..Monitor::default() },
                "`resolvd` is not a kind of event",
                "did you mean `resolved`?",
            ),
            (
                Monitor { matchers: broken, ..Monitor::default() },
                "`(` is not a regular expression: unclosed group",
                "",
            ),
            (
                Monitor { since: at, since_time: Some(1), ..Monitor::default() },
                "the monitor begins at a position and at a time",
                "give one of them",
            ),
        ] {
            let (code, error) = world.fail(Asked::Monitor(asked)).await;
            assert_eq!((code, &*error.message, &*error.hint), (Code::Invalid, message, hint));
        }
    });
}
