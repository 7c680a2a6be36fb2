//! What a rule reads: a value, how many samples it rests on, and the time of the newest; from the store and from memory.

use std::time::Duration;

use proptest::prelude::*;
use sereno_model::{Sample, Selector, TimeRange};
use sereno_storage::{Selection, Snapshot};

use super::{Model, Op, World, at, bits, instant, natives, op, samples};
use crate::tally::Tally;
use crate::{Across, Native, Reduced, measure, prefetch, reduce_group};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn a_measure_is_the_answer_and_what_it_rests_on(
        ops in proptest::collection::vec(op(), 1..12),
        spans in proptest::collection::vec((instant(), prop_oneof![Just(60), 1..10_000_i64]), 3),
    ) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.apply(op));
        let now = (world.store().snapshot(), world.model.clone());
        for (snapshot, model) in world.earlier.iter().chain([&now]) {
            for (start, len) in &spans {
                check_measures(snapshot, model, TimeRange::new(at(*start), at(start + len)))?;
            }
        }
    }
}

/// [`measure`] gives the value of [`reduce_group`], of all series and of each, and what it rests on; from memory too.
fn check_measures(snapshot: &Snapshot, model: &Model, range: TimeRange) -> Result<(), TestCaseError> {
    let mut selection = Selection::new(Selector::exact("m"));
    let mut tally = Tally::new(u64::MAX, None);
    let fresh = snapshot.select(selection.selector(), TimeRange::ALL).unwrap();
    let wide = TimeRange::before(range.end + Duration::from_secs(600), Duration::from_secs(7_200));
    for held in [None, Some(range), Some(wide)] {
        if let Some(held) = held {
            prefetch(&mut selection, snapshot, held, &tally).unwrap();
        }
        let (series, _) = selection.series(snapshot, TimeRange::ALL).unwrap();
        prop_assert_eq!(series.len(), fresh.len());
        let ways = [None, Some(Across::Pool), Some(Across::Sum), Some(Across::Min), Some(Across::Mean)];
        for (native, across) in
            natives().into_iter().chain([Native::Age]).flat_map(|native| ways.map(|across| (native, across)))
        {
            let members: Vec<usize> = (0..3).filter(|index| !model[*index].is_empty()).collect();
            for few in [0..series.len(), 0..series.len().min(1), 0..0] {
                Tally::renew(&mut tally, u64::MAX, None);
                let expected = reduce_group(&fresh[few.clone()], range, &native, across, &tally);
                let found = measure(&series[few.clone()], range, &native, across, &tally);
                let (Ok(expected), Ok(found)) = (&expected, &found) else {
                    prop_assert!(expected.is_err() && found.is_err() && across.is_none() && few.len() > 1);
                    continue;
                };
                let context = format!("{native:?} across {across:?} of {few:?}, held {held:?}");
                prop_assert_eq!(bits(found.value.number()), bits(expected.number()), "{}", &context);
                let windows = members[few].iter().map(|index| samples(&model[*index], range));
                let windows: Vec<Vec<Sample>> = windows.collect();
                let newest = windows.iter().filter_map(|window| Some(window.last()?.time)).max();
                let count = windows.iter().map(|window| window.len() as u64).sum::<u64>();
                prop_assert_eq!((found.count, found.newest), (count, newest), "{}", context);
            }
        }
    }
    Ok(())
}

#[test]
fn of_one_time_the_sample_of_the_later_series_is_the_newest() {
    let mut world = World::new();
    world.apply(&Op::One(0, 10, 1.0));
    world.apply(&Op::One(1, 20, 2.0));
    world.apply(&Op::One(2, 20, 3.0));
    let series = world.store().snapshot().select(&Selector::exact("m"), TimeRange::ALL).unwrap();
    let tally = Tally::new(u64::MAX, None);
    let range = TimeRange::new(at(0), at(60));
    for (members, last, count) in [(0..3, 3.0, 3), (0..2, 2.0, 2), (0..1, 1.0, 1)] {
        let measured = measure(&series[members], range, &Native::Last, Some(Across::Pool), &tally).unwrap();
        assert_eq!((measured.value, measured.count), (Reduced::Number(last), count));
    }
}
