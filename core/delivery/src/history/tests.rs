use proptest::collection::vec;
use proptest::prelude::*;
use sereno_plugin::testkit;

use super::*;

fn event(epoch: u64, sequence: u64, at: i64) -> Arc<Sequenced> {
    let position = Position { epoch, sequence };
    let notification = Arc::new(testkit::notification());
    Arc::new(Sequenced { position, at: Timestamp::from_millis(at), notification })
}

/// Everything that is there for a reader: `3-1` for an event, `gap 2` or `gap ?`.
fn read(history: &History, mut cursor: Cursor) -> String {
    let steps = std::iter::from_fn(|| history.step(&mut cursor)).take_while(|step| *step != Step::Stopping);
    let words = steps.map(|step| match step {
        Step::Event(event) => event.position.to_string(),
        Step::Gap { missed } => format!("gap {}", missed.map_or("?".into(), |missed| missed.to_string())),
        Step::Stopping => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Two earlier runs, of which the log has `5-3 5-4 5-6` and `7-1 7-2`, and the present one, 9, with three so far.
/// What was handled at 1-based place n has the time n × 10 ms.
fn history() -> History {
    let mut history = History::new(100, 9);
    let places = [(5, 3), (5, 4), (5, 6), (7, 1), (7, 2), (9, 1), (9, 2), (9, 3)];
    for (at, (epoch, sequence)) in (1..).zip(places) {
        history.push(event(epoch, sequence, at * 10));
    }
    history
}

fn since(position: &str) -> String {
    let history = history();
    read(&history, history.place(Since::Position(position.parse().unwrap())))
}

#[test]
fn a_position_that_is_there_is_taken_up_exactly() {
    assert_eq!(since("9-1"), "9-2 9-3");
    assert_eq!(since("9-3"), "");
    assert_eq!(since("9-0"), "9-1 9-2 9-3");
    assert_eq!(since("7-2"), "9-1 9-2 9-3");
    assert_eq!(since("5-3"), "5-4 gap 1 5-6 7-1 7-2 9-1 9-2 9-3", "a line that the log could not take");
}

#[test]
fn a_position_between_known_numbers_is_counted() {
    assert_eq!(since("5-5"), "5-6 7-1 7-2 9-1 9-2 9-3");
    assert_eq!(since("5-1"), "gap 1 5-3 5-4 gap 1 5-6 7-1 7-2 9-1 9-2 9-3");
    assert_eq!(since("7-0"), "7-1 7-2 9-1 9-2 9-3");
}

#[test]
fn a_position_that_says_nothing_gets_a_gap_and_all_that_is_left() {
    let all = "gap ? 5-3 5-4 gap 1 5-6 7-1 7-2 9-1 9-2 9-3";
    for position in ["4-9", "6-1", "8-1", "10-1", "9-4"] {
        assert_eq!(since(position), all, "{position}");
    }
    // The end of that run was lost, with a power cut perhaps: what follows are the later runs.
    assert_eq!(since("7-3"), "gap ? 9-1 9-2 9-3");
    let empty = History::new(10, 9);
    assert_eq!(read(&empty, empty.place(Since::Position(Position { epoch: 8, sequence: 1 }))), "gap ?");
    assert_eq!(read(&empty, empty.place(Since::Position(empty.newest()))), "");
}

#[test]
fn a_time_is_taken_up_where_it_is_and_told_where_it_is_gone() {
    let mut history = history();
    let since = |history: &History, ms| read(history, history.place(Since::Time(Timestamp::from_millis(ms))));
    assert_eq!(since(&history, 70), "9-2 9-3", "what was handled at that very time is told");
    assert_eq!(since(&history, 71), "9-3");
    assert_eq!(since(&history, 81), "");
    assert_eq!(since(&history, 0), "5-3 5-4 gap 1 5-6 7-1 7-2 9-1 9-2 9-3", "nothing is known to be missing");
    history.forget_earlier();
    assert!(since(&history, 10).starts_with("gap ? 5-3 5-4"));
    assert!(since(&history, 11).starts_with("5-4"));
    let mut short = History::new(2, 9);
    for sequence in 1..=4 {
        assert_eq!(short.push(event(9, sequence, sequence as i64)).is_some(), sequence > 2);
    }
    assert_eq!(since(&short, 2), "gap ? 9-3 9-4");
    assert_eq!(since(&short, 3), "9-3 9-4");
}

#[test]
fn now_is_what_comes_from_now_on() {
    let mut history = history();
    let cursor = history.place(Since::Now);
    history.push(event(9, 4, 90));
    assert_eq!(read(&history, cursor), "9-4");
}

#[test]
fn a_gap_that_grows_before_it_is_read_is_one_gap() {
    let mut history = History::new(3, 9);
    (1..=5).for_each(|sequence| drop(history.push(event(9, sequence, 0))));
    let old = history.place(Since::Position(Position { epoch: 9, sequence: 1 }));
    let unknown = history.place(Since::Position(Position { epoch: 8, sequence: 1 }));
    (6..=7).for_each(|sequence| drop(history.push(event(9, sequence, 0))));
    assert_eq!(read(&history, old), "gap 3 9-5 9-6 9-7");
    assert_eq!(read(&history, unknown), "gap ? 9-5 9-6 9-7");
}

/// Runs of the server: for each of its notifications, whether the log could take it.
fn runs() -> impl Strategy<Value = Vec<Vec<bool>>> {
    vec(vec(prop::bool::weighted(0.8), 0..8), 1..6)
}

proptest! {
    /// From every position of the log, exactly what came after it, with every hole counted that the numbers show.
    #[test]
    fn resuming_from_every_position_gives_the_tail(runs in runs()) {
        let all: Vec<(Position, bool)> = (1..).zip(&runs).flat_map(|(epoch, run)| {
            (1..).zip(run).map(move |(sequence, kept)| (Position { epoch, sequence }, *kept))
        }).collect();
        let mut history = History::new(100, runs.len() as u64);
        for (position, _) in all.iter().filter(|(_, kept)| *kept) {
            history.push(event(position.epoch, position.sequence, 0));
        }
        for (from, _) in all.iter().enumerate().filter(|(_, (_, kept))| *kept) {
            let (mut expected, mut lost) = (Vec::new(), 0);
            let mut epoch = all[from].0.epoch;
            for (position, kept) in &all[from + 1..] {
                // What an earlier run lost at its end shows in no number.
                if position.epoch != epoch {
                    (epoch, lost) = (position.epoch, 0);
                }
                if !kept {
                    lost += 1;
                    continue;
                }
                expected.extend((lost > 0).then(|| format!("gap {lost}")));
                expected.push(position.to_string());
                lost = 0;
            }
            let since = Since::Position(all[from].0);
            prop_assert_eq!(read(&history, history.place(since)), expected.join(" "), "from {}", all[from].0);
        }
    }

    /// Whoever reads, at whatever pace, can account for every notification: seen, or in the one gap between two seen.
    #[test]
    fn a_slow_reader_gets_one_gap_with_the_exact_count(len_max in 1_usize..6, paces in vec((0_u64..8, 0_u64..4), 1..40)) {
        let mut history = History::new(len_max, 1);
        let mut cursor = history.place(Since::Now);
        let (mut pushed, mut seen) = (0, 0);
        for (pushes, reads) in paces {
            for _ in 0..pushes {
                pushed += 1;
                history.push(event(1, pushed, 0));
            }
            for _ in 0..reads {
                let oldest = (pushed + 1).saturating_sub(len_max as u64).max(1);
                let expected = match (seen + 1 < oldest, seen < pushed) {
                    (true, _) => Some(Step::Gap { missed: Some(oldest - 1 - seen) }),
                    (false, true) => Some(Step::Event(event(1, seen + 1, 0))),
                    (false, false) => None,
                };
                prop_assert_eq!(&history.step(&mut cursor), &expected);
                match expected {
                    Some(Step::Event(_)) => seen += 1,
                    Some(Step::Gap { .. }) => seen = oldest - 1,
                    _ => {}
                }
            }
        }
    }
}
