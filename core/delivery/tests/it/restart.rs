//! Resuming across restarts of the server: the log is all that is left of a run.

use super::*;

/// A run that gives these notifications, and what whoever watched it saw.
async fn earlier(log: &Path, clock: &Arc<ManualClock>, numbers: std::ops::Range<u64>) -> Vec<Arc<Sequenced>> {
    let run = Run::start(log, &config(100), clock);
    let mut watch = run.watch(Since::Now);
    let count = numbers.clone().count();
    run.send(numbers);
    let seen = events(&mut watch, count).await;
    run.stop().await;
    clock.advance(Duration::from_secs(60));
    seen
}

#[tokio::test]
async fn every_position_of_earlier_runs_is_taken_up_to_the_bit() {
    let (_dir, log, clock) = bench();
    let mut seen = earlier(&log, &clock, 0..5).await;
    seen.extend(earlier(&log, &clock, 5..8).await);
    let run = Run::start(&log, &config(100), &clock);
    assert_eq!(run.watch(Since::Now).start(), seen[7].position);
    run.send(8..10);
    let mut all = run.watch(Since::Position(seen[0].position));
    seen.extend(events(&mut all, 9).await.split_off(7));
    assert_eq!(numbers(&seen), (0..10).collect::<Vec<_>>());
    assert_eq!(seen[8].position, position(START + 120_000, 1), "a run begins its own epoch");
    for (index, from) in seen.iter().enumerate() {
        let mut watch = run.watch(Since::Position(from.position));
        assert_eq!(events(&mut watch, 9 - index).await, seen[index + 1..], "from {}", from.position);
        assert_eq!(watch.try_next(), None);
        // By the time of handling: a run handles all of its own at one time here.
        let mut watch = run.watch(Since::Time(from.at));
        let same_time = seen.iter().position(|event| event.at == from.at).unwrap();
        assert_eq!(events(&mut watch, 10 - same_time).await, seen[same_time..]);
    }
    run.stop().await;
}

#[tokio::test]
async fn a_torn_line_costs_itself_and_shows_as_a_gap() {
    let (_dir, log, clock) = bench();
    let seen = earlier(&log, &clock, 0..3).await;
    // The server died while it wrote the third.
    let file = RealDisk.open(&log).unwrap();
    file.truncate(file.size().unwrap() - 40).unwrap();
    let second = earlier(&log, &clock, 3..4).await;
    let run = Run::start(&log, &config(100), &clock);
    let mut watch = run.watch(Since::Position(seen[0].position));
    assert_eq!(events(&mut watch, 2).await, [seen[1].clone(), second[0].clone()]);
    // Whoever saw the torn one, saw something that the log does not know.
    let mut watch = run.watch(Since::Position(seen[2].position));
    assert_eq!(watch.next().await, Step::Gap { missed: None });
    assert_eq!(events(&mut watch, 1).await, second);
    run.stop().await;
}

#[tokio::test]
async fn a_log_that_is_gone_is_an_unknown_gap() {
    let (_dir, log, clock) = bench();
    let seen = earlier(&log, &clock, 0..3).await;
    RealDisk.rename(&log, &log.with_extension("1")).unwrap();
    // And the clock was set back beyond the run before.
    clock.step_to(Timestamp::from_millis(START - 3_600_000));
    let run = Run::start(&log, &config(100), &clock);
    run.send(3..5);
    let mut watch = run.watch(Since::Position(seen[0].position));
    let mut live = run.watch(Since::Position(position(START - 3_600_000, 0)));
    assert_eq!(numbers(&events(&mut live, 2).await), [3, 4]);
    assert_eq!(watch.next().await, Step::Gap { missed: None });
    assert_eq!(numbers(&events(&mut watch, 2).await), [3, 4]);
    run.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_begins_no_epoch_again() {
    let (_dir, log, clock) = bench();
    let first = earlier(&log, &clock, 0..2).await;
    clock.step_to(Timestamp::from_millis(START - 1));
    let second = earlier(&log, &clock, 2..4).await;
    assert_eq!(second[0].position, position(START + 1, 1));
    let run = Run::start(&log, &config(100), &clock);
    let mut watch = run.watch(Since::Position(first[0].position));
    assert_eq!(numbers(&events(&mut watch, 3).await), [1, 2, 3]);
    run.stop().await;
}

#[tokio::test]
async fn a_short_history_reads_back_what_it_can_hold() {
    let (_dir, log, clock) = bench();
    let seen = earlier(&log, &clock, 0..5).await;
    let run = Run::start(&log, &config(2), &clock);
    let mut watch = run.watch(Since::Position(seen[0].position));
    assert_eq!(watch.next().await, Step::Gap { missed: Some(2) });
    assert_eq!(events(&mut watch, 2).await, seen[3..]);
    let mut watch = run.watch(Since::Time(seen[0].at));
    assert_eq!(watch.next().await, Step::Gap { missed: None });
    assert_eq!(events(&mut watch, 2).await, seen[3..]);
    run.stop().await;
}
