//! What becomes of work: no room, no time, no client, a bug.

use std::sync::atomic::{AtomicBool, Ordering};

use sereno_protocol::v2::messages::ListSeries;

use super::*;
use crate::query::{Job, start_workers};

fn slow() -> Query {
    Query {
        selector: "m".into(),
        aggregation: "slow".into(),
        window: 1_000_000_000,
        start: Some(ago(10_000).nanos()),
        ..Query::default()
    }
}

/// A script that takes some milliseconds for each of ten thousand windows.
const SLOW: (&str, &str) = (
    "scripts/aggregations/slow.rhai",
    "fn aggregate(w) {\n  let x = 0;\n  for i in 0..90000 { x += i; }\n  x\n}\n",
);

fn every_second(world: &World) {
    let samples: Vec<(i64, f64)> = (1..10_000).map(|secs| (secs, 1.0)).collect();
    world.put("m", &samples);
}

/// The clock stands still, so no deadline ends what nobody waits for: only the cancelling does.
#[test]
fn a_query_that_is_dropped_frees_its_worker() {
    run(async || {
        let world = World::with(&[SLOW], 1);
        every_second(&world);
        let outbox = Outbox::new(ROOM);
        let task = tokio::task::spawn_local(world.start(Asked::Query(slow()), &outbox));
        let begun = world.services.metrics.counter("queries_total", &[]);
        while begun.get() == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
        // The one worker is free again long before it could be through.
        let Body::Series(series) = world.ask_one(Asked::ListSeries(ListSeries::default())).await else {
            panic!()
        };
        assert_eq!(series.series, ["m"]);
        outbox.close();
        assert_eq!(read_all(&outbox).await, [], "nobody is told");
    });
}

#[test]
fn work_that_nobody_waits_for_is_not_begun() {
    run(async || {
        let mut world = World::with(&[], 0);
        let begun = Arc::<AtomicBool>::default();
        let flag = begun.clone();
        let (job, waiting) = Job::new("a test".to_owned(), move |_| flag.store(true, Ordering::SeqCst));
        drop(waiting);
        assert!(world.services.jobs.try_send(job).is_ok());
        let Services { jobs, metrics, .. } = &*world.services;
        world.workers = start_workers(1, jobs, metrics).unwrap();
        let (next, waiting) = Job::new("a test".to_owned(), |_| 5);
        assert!(jobs.send(next).await.is_ok());
        assert_eq!(waiting.answer().await, Some(5));
        assert!(!begun.load(Ordering::SeqCst));
    });
}

#[test]
fn too_much_work_is_refused_and_late_work_is_given_up() {
    run(async || {
        let mut world = World::with(&[], 0);
        let outbox = Outbox::new(ROOM);
        let list = || Asked::ListSeries(ListSeries::default());
        let waits = tokio::task::spawn_local(world.start(list(), &outbox));
        while world.services.jobs.is_empty() {
            tokio::task::yield_now().await;
        }
        let (code, error) = world.fail(list()).await;
        assert_eq!((code, error.retry_after_ms), (Code::Overloaded, 200));
        assert_eq!(
            (&*error.message, &*error.hint),
            ("too many queries wait for a worker", "try again in a moment")
        );
        world.clock.advance(Duration::from_secs(30));
        let Services { jobs, metrics, .. } = &*world.services;
        world.workers = start_workers(1, jobs, metrics).unwrap();
        waits.await.unwrap();
        outbox.close();
        let Some(Body::Error(error)) = read_all(&outbox).await.remove(0).body else { panic!() };
        assert_eq!((error.code(), &*error.message), (Code::Deadline, "the deadline has passed"));
        world.services.jobs.close();
        assert_eq!(world.fail(list()).await.0, Code::Closing);
    });
}

#[test]
fn a_panic_is_an_answer_and_the_worker_goes_on() {
    run(async || {
        let world = World::new();
        let (job, waiting) = Job::new("a test".to_owned(), |_| -> u8 { panic!("as told") });
        assert!(world.services.jobs.try_send(job).is_ok());
        assert_eq!(waiting.answer().await, None);
        assert!(matches!(world.ask_one(Asked::ListSeries(ListSeries::default())).await, Body::Series(_)));
    });
}

#[test]
fn a_query_can_have_less_time() {
    run(async || {
        let mut world = World::with(&[], 0);
        let query = Query { timeout_ms: 10, ..Query { aggregation: "mean".into(), ..slow() } };
        let outbox = Outbox::new(ROOM);
        let waits = tokio::task::spawn_local(world.start(Asked::Query(query), &outbox));
        while world.services.jobs.is_empty() {
            tokio::task::yield_now().await;
        }
        world.clock.advance(Duration::from_millis(10));
        let Services { jobs, metrics, .. } = &*world.services;
        world.workers = start_workers(1, jobs, metrics).unwrap();
        waits.await.unwrap();
        outbox.close();
        let Some(Body::Error(error)) = read_all(&outbox).await.remove(0).body else { panic!() };
        assert_eq!(error.code(), Code::Deadline);
    });
}

#[test]
fn what_is_no_request_of_this_version_is_told_so() {
    run(async || {
        let world = World::new();
        let outbox = Outbox::new(ROOM);
        answer(world.services.clone(), 7, None, outbox.clone()).await;
        outbox.close();
        let Some(Body::Error(error)) = read_all(&outbox).await.remove(0).body else { panic!() };
        assert_eq!(error.code(), Code::Unsupported);
    });
}
