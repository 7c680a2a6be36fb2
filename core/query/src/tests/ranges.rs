//! Range queries: shapes, limits, threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Selector, SeriesKey, TimeRange, Timestamp};
use sereno_runtime::{ManualClock, Metrics, SimDisk};
use sereno_storage::{Config, Row, Store};

use super::{METHODS, Stored, Told, secs};
use crate::{
    Across, Alignment, Budget, Grouping, Identity, Native, QueryError, RangeAnswer, RangeQuery, Reduced,
    Reducer, Tally, anchored, range_query, reduce_group,
};

fn query(window: u64, step: u64, reducer: impl Reducer + 'static) -> RangeQuery {
    RangeQuery {
        selector: Selector::exact("m"),
        range: TimeRange::new(secs(0), secs(60)),
        window: Duration::from_secs(window),
        step: Duration::from_secs(step),
        alignment: Alignment::Epoch,
        by: Grouping::All,
        across: Some(Across::Sum),
        reducer: Arc::new(reducer),
    }
}

fn run(stored: &Stored, query: &RangeQuery) -> Result<RangeAnswer, QueryError> {
    range_query(&stored.store.snapshot(), query, &stored.budget())
}

/// The points as `start:value`.
fn points(answer: &RangeAnswer) -> Vec<String> {
    let point = |(start, reduced): &(_, Reduced)| format!("{start}:{}", reduced.number().unwrap());
    answer.groups.iter().map(|group| group.points.iter().map(point).collect::<Vec<_>>().join(" ")).collect()
}

fn stored() -> Stored {
    Stored::new(&[
        ("a", &[(1, 1.0), (11, 2.0), (12, 3.0), (35, 4.0)]),
        ("b", &[(2, 10.0), (13, 20.0), (59, 30.0)]),
    ])
}

#[test]
fn windows_lie_on_the_grid_overlap_and_leave_gaps() {
    let stored = stored();
    let found = |window, step, reducer: Native| points(&run(&stored, &query(window, step, reducer)).unwrap());
    assert_eq!(found(10, 10, Native::Sum), ["0:11 10:25 30:4 50:30"]);
    assert_eq!(found(20, 10, Native::Count), ["0:5 10:3 20:1 30:1 40:1 50:1"]);
    assert_eq!(found(5, 10, Native::Max), ["0:11 10:23"], "35 and 59 lie in gaps");
    assert_eq!(found(10, 15, Native::Increase), ["0:11 30:1"], "from the sample in the gap");
    let cut = RangeQuery { range: TimeRange::new(secs(12), secs(36)), ..query(10, 10, Native::Count) };
    assert_eq!(points(&run(&stored, &cut).unwrap()), ["10:2 30:1"], "windows are cut, and keep their names");
    let anchored = RangeQuery { alignment: Alignment::FirstSample, ..query(10, 10, Native::Count) };
    assert_eq!(points(&run(&stored, &anchored).unwrap()), ["1:2 11:3 31:1 51:1"]);
    let from = |start| TimeRange::new(start, secs(60));
    let started = |start, alignment, reducer: Native| {
        let asked = RangeQuery { alignment, range: from(start), ..query(10, 10, reducer) };
        points(&run(&stored, &asked).unwrap())
    };
    assert_eq!(started(secs(3), Alignment::Start, Native::Count), ["3:2 13:1 33:1 53:1"]);
    assert_eq!(started(Timestamp::MIN, Alignment::Start, Native::Count), ["1:2 11:3 31:1 51:1"]);
    assert_eq!(started(Timestamp::MIN, Alignment::Epoch, Native::Count), ["0:2 10:3 30:1 50:1"]);
    assert_eq!(
        started(Timestamp::MIN, Alignment::Epoch, Native::Rate),
        ["0:1.1 10:1.2 30:0.1 50:1"],
        "the first window of a period without a start is a whole one"
    );
}

#[test]
fn groups_have_their_identities() {
    let stored = stored();
    let by = |by: Grouping| {
        let answer = run(&stored, &RangeQuery { by, across: None, ..query(60, 60, Native::Last) }).unwrap();
        answer.groups.into_iter().map(|group| (group.identity, group.points[0].1.clone())).collect::<Vec<_>>()
    };
    let key = |host| Identity::Series(SeriesKey::new("m", [("host", host)]).unwrap());
    let (four, thirty) = (Reduced::Number(4.0), Reduced::Number(30.0));
    assert_eq!(by(Grouping::Series), [(key("a"), four.clone()), (key("b"), thirty.clone())]);
    let labels = |host: &str| Identity::Labels(vec![host.to_owned(), String::new()]);
    let named = Grouping::Labels(vec!["host".to_owned(), "rack".to_owned()]);
    assert_eq!(by(named), [(labels("a"), four), (labels("b"), thirty)]);
    let nobody = RangeQuery { selector: Selector::exact("n"), ..query(1, 1, Native::Last) };
    assert_eq!(run(&stored, &nobody).unwrap().groups, []);
}

#[test]
fn several_values_are_joined_by_name() {
    let spread = Told(|window| {
        let values = [("low", window.min()), ("high", window.max())].into_iter();
        Reduced::Map(values.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    });
    let answer = run(&stored(), &query(30, 30, spread)).unwrap();
    let map = |low, high| Reduced::Map(BTreeMap::from([("low".to_owned(), low), ("high".to_owned(), high)]));
    assert_eq!(answer.groups[0].points, [(secs(0), map(11.0, 23.0)), (secs(30), map(34.0, 34.0))]);
}

#[test]
fn limits_say_what_to_do() {
    let stored = stored();
    let snapshot = stored.store.snapshot();
    let error =
        |query: &RangeQuery, budget: &Budget| range_query(&snapshot, query, budget).unwrap_err().to_string();
    let usual = stored.budget();
    assert_eq!(
        error(&query(1, 1, Native::Mean), &Budget { points_max: 50, ..usual.clone() }),
        "60 windows, more than the 50 that one query may give; ask for a shorter period or longer steps"
    );
    assert_eq!(
        error(&query(1, 1, Native::Mean), &Budget { series_max: 1, ..usual.clone() }),
        "2 series match, more than the 1 that one query may read; select fewer by their labels"
    );
    assert_eq!(
        error(&query(9, 9, Native::Median), &Budget { samples_max: 5, ..usual.clone() }),
        "more samples to read than the 5 that one query may; ask for a shorter period or fewer series"
    );
    assert_eq!(
        error(&query(0, 9, Native::Median), &usual),
        "a window of 0ns every 9s: give both at least a nanosecond"
    );
    let open = RangeQuery { across: None, ..query(9, 9, Native::Last) };
    assert!(matches!(range_query(&snapshot, &open, &usual), Err(QueryError::AcrossMissing { series: 2 })));
    let endless = RangeQuery { range: TimeRange::ALL, ..query(1, 1, Native::Mean) };
    assert!(matches!(range_query(&snapshot, &endless, &usual), Err(QueryError::TooManyPoints { .. })));
    assert_eq!(
        error(
            &RangeQuery { by: Grouping::Series, ..query(20, 1, Native::Last) },
            &Budget { samples_max: 8, ..usual.clone() }
        ),
        "more than the 8 points that one query may give in all; ask for a shorter period, longer steps or fewer groups"
    );
    let cancelled = Budget { cancelled: Some(Arc::new(true.into())), ..usual.clone() };
    assert!(matches!(
        range_query(&snapshot, &query(9, 9, Native::Sum), &cancelled),
        Err(QueryError::Deadline)
    ));
    stored.clock.advance(Duration::from_secs(2));
    assert!(matches!(range_query(&snapshot, &query(9, 9, Native::Sum), &usual), Err(QueryError::Deadline)));
}

/// A store whose segment has lost everything but what is read when it is opened.
fn damaged() -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let config = Config { directory: "/data".into(), retention: Duration::ZERO, ..Config::default() };
    let open = |disk: &SimDisk| {
        let clock = Arc::new(ManualClock::new(secs(1_000_000)));
        let store = Store::open(&config, Arc::new(disk.clone()), clock, &Metrics::default()).unwrap();
        assert!(!store.wait_recovered().is_damaged());
        store
    };
    let store = open(&disk);
    let id = store.series(&SeriesKey::new("m", [("host", "a")]).unwrap()).unwrap();
    let rows = (0..5_000).map(|second| Row::at(id, secs(second), ((second * 7_919) % 1_000) as f64 / 7.0));
    assert!(store.append(rows.collect()).wait().is_ok());
    store.flush().unwrap();
    store.close();
    let disk = disk.kill();
    for (path, bytes) in disk.files() {
        if path.extension().is_some_and(|extension| extension == "seg") {
            (64..bytes.len() / 4).for_each(|offset| disk.flip(&path, offset as u64, 0x10));
        }
    }
    let store = open(&disk);
    (disk, store)
}

/// A window that cannot be read looks empty, and an empty window is an answer: nobody may take the one for the other.
#[test]
fn damage_is_an_error_and_never_an_empty_window() {
    let (_disk, store) = damaged();
    let snapshot = store.snapshot();
    let range = TimeRange::new(secs(0), secs(5_000));
    let series = snapshot.select(&Selector::exact("m"), range).unwrap();
    assert_eq!(series.len(), 1);
    let budget = Budget::new(Arc::new(ManualClock::new(secs(0))), Duration::from_secs(1));
    for (method, arguments) in METHODS {
        let native = Native::from_call(method, arguments).unwrap();
        let tally = Tally::new(u64::MAX, None);
        let reduced = reduce_group(&series, range, &native, None, &tally);
        assert!(matches!(reduced, Err(QueryError::Damaged(_))), "{method}: {reduced:?}");
        let asked = RangeQuery { range, ..query(60, 60, native) };
        let found = range_query(&snapshot, &asked, &budget);
        assert!(matches!(found, Err(QueryError::Damaged(_))), "{method}: {found:?}");
        let found = anchored(&snapshot, &Selector::exact("m"), range, 60.0, &native, &budget);
        assert!(matches!(found, Err(QueryError::Damaged(_))), "{method}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn any_number_of_threads_gives_the_same_bits(
        values in proptest::collection::vec(-1e6..1e6_f64, 400),
        flush in any::<bool>(),
    ) {
        let stored = Stored::new(&[]);
        let rows = values.iter().enumerate().map(|(index, value)| {
            let (host, zone) = ((index % 100).to_string(), (index % 7).to_string());
            let key = SeriesKey::new("m", [("host", host.as_str()), ("zone", zone.as_str())]).unwrap();
            let id = stored.store.series(&key).unwrap();
            Row::at(id, secs((index as i64 * 31) % 600), *value)
        });
        prop_assert!(stored.store.append(rows.collect()).wait().is_ok());
        if flush {
            stored.store.flush().unwrap();
        }
        let snapshot = stored.store.snapshot();
        for (reducer, across) in [
            (Native::Mean, Across::Pool),
            (Native::Sum, Across::Sum),
            (Native::Increase, Across::Mean),
            (Native::Median, Across::Pool),
            (Native::Stddev, Across::Sum),
        ] {
            for by in [Grouping::All, Grouping::Series, Grouping::Labels(vec!["zone".to_owned()])] {
                let range = TimeRange::new(secs(0), secs(600));
                let query = RangeQuery { range, by, across: Some(across), ..query(60, 60, reducer) };
                let answers = (1..=4).map(|threads| {
                    let budget = Budget { threads, ..stored.budget() };
                    format!("{:?}", range_query(&snapshot, &query, &budget).unwrap().groups)
                });
                let answers: Vec<String> = answers.collect();
                prop_assert!(answers.iter().all(|answer| *answer == answers[0]), "{:?}", query);
            }
        }
    }
}
