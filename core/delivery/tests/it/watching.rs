//! Watching one run of the server.

use super::*;

#[tokio::test]
async fn events_come_numbered_and_in_order_as_they_happen() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &config(100), &clock);
    let mut watch = run.watch(Since::Now);
    assert_eq!(watch.start(), position(START, 0));
    run.send(0..1);
    let mut seen = events(&mut watch, 1).await;
    clock.advance(Duration::from_secs(5));
    run.send(1..3);
    seen.extend(events(&mut watch, 2).await);
    let places: Vec<_> =
        seen.iter().map(|event| (event.position.to_string(), event.at.millis() - START)).collect();
    let place = |sequence: u64, ms: i64| (format!("{START}-{sequence}"), ms);
    assert_eq!(places, [place(1, 0), place(2, 5_000), place(3, 5_000)]);
    assert_eq!(numbers(&seen), [0, 1, 2]);
    let mut later = run.watch(Since::Time(Timestamp::from_millis(START + 5_000)));
    assert_eq!(later.start(), seen[2].position);
    assert_eq!(events(&mut later, 2).await, seen[1..]);
    assert_eq!(later.try_next(), None);
    run.stop().await;
}

#[tokio::test]
async fn fifty_that_never_read_delay_nobody_and_learn_what_they_missed() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &config(100), &clock);
    let mut sleepers: Vec<Watch> = (0..50).map(|_| run.watch(Since::Now)).collect();
    let mut reads = run.watch(Since::Now);
    let mut seen = Vec::new();
    for round in 0..100 {
        run.send(round * 50..(round + 1) * 50);
        seen.extend(numbers(&events(&mut reads, 50).await));
    }
    assert_eq!(seen, (0..5_000).collect::<Vec<_>>());
    for sleeper in &mut sleepers {
        assert_eq!(sleeper.next().await, Step::Gap { missed: Some(4_900) });
        assert_eq!(numbers(&events(sleeper, 100).await), (4_900..5_000).collect::<Vec<_>>());
        assert_eq!(sleeper.try_next(), None);
    }
    assert_eq!(run.metric("monitors_missed_total"), 50.0 * 4_900.0);
    assert_eq!(run.metric("monitors_dropped_total"), 0.0);
    run.stop().await;
}

#[tokio::test]
async fn a_stop_is_told_after_everything_that_came_before() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &config(1_000), &clock);
    let (mut waits, mut lags) = (run.watch(Since::Now), run.watch(Since::Now));
    let monitors = run.monitors.clone();
    let waiting = async {
        let seen = numbers(&events(&mut waits, 600).await);
        (seen, waits.next().await, waits.next().await)
    };
    let stopping = async {
        run.send(0..600);
        run.stop().await;
    };
    let ((seen, last, again), ()) = in_time(async { tokio::join!(waiting, stopping) }).await;
    assert_eq!((seen, last, again), ((0..600).collect(), Step::Stopping, Step::Stopping));
    assert_eq!(numbers(&events(&mut lags, 600).await), (0..600).collect::<Vec<_>>());
    assert_eq!(lags.next().await, Step::Stopping);
    assert!(monitors.watch(Since::Now).is_none(), "nobody begins to watch what has ended");
}

#[tokio::test]
async fn a_stop_wakes_who_waits_for_nothing() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &config(100), &clock);
    let mut idle = run.watch(Since::Now);
    // Joined in this order, it waits before the word to stop is given.
    let (step, ()) = in_time(async { tokio::join!(idle.next(), run.stop()) }).await;
    assert_eq!(step, Step::Stopping);
}

#[tokio::test]
async fn waiting_that_is_given_up_loses_nothing() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &config(100), &clock);
    let mut watch = run.watch(Since::Now);
    for number in 0..20 {
        tokio::select! {
            biased;
            step = watch.next() => panic!("{step:?} was not due"),
            () = std::future::ready(()) => {}
        }
        run.send(number..number + 1);
        assert_eq!(event(&mut watch).await.notification.generation, number);
    }
    run.stop().await;
}

#[tokio::test]
async fn both_kinds_of_monitors_share_the_places() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &Config { monitors_max: 2, ..Config::default() }, &clock);
    let (watch, subscription) = (run.watch(Since::Now), run.monitors.subscribe().unwrap());
    assert!(run.monitors.watch(Since::Now).is_none() && run.monitors.subscribe().is_none());
    assert_eq!(run.metric("monitors_connected"), 2.0);
    drop(watch);
    let again = run.monitors.subscribe();
    assert!(again.is_some());
    drop((again, subscription));
    assert_eq!(run.metric("monitors_connected"), 0.0);
    run.stop().await;
}

#[tokio::test]
async fn one_place_holds_at_least_what_a_queue_would() {
    let (_dir, log, clock) = bench();
    let run = Run::start(&log, &Config { history: 0, monitor_queue_len_max: 7, ..Config::default() }, &clock);
    let (mut slow, mut reads) = (run.watch(Since::Now), run.watch(Since::Now));
    run.send(0..7);
    events(&mut reads, 7).await;
    assert_eq!(numbers(&events(&mut slow, 7).await), (0..7).collect::<Vec<_>>());
    run.stop().await;
}
