use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sereno_model::Timestamp;
use sereno_runtime::ManualClock;

use super::*;
use crate::labels::testing;

const NO_LIMITS: Limits =
    Limits { series_max: u32::MAX, series_per_minute_max: 0, labels_max: 64, label_value_bytes_max: 1_024 };

fn registry(limits: Limits) -> (Registry, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    (Registry::new(4, limits, clock.clone()), clock)
}

fn key(text: &str) -> SeriesKey {
    text.parse().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Resolve(SeriesKey),
    Restore(SeriesKey),
    Retire(Vec<SeriesKey>),
    Settle,
    Freeze,
    Select(Selector),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => testing::key().prop_map(Step::Resolve),
        2 => testing::key().prop_map(Step::Restore),
        1 => prop::collection::vec(testing::key(), 0..6).prop_map(Step::Retire),
        1 => Just(Step::Settle),
        1 => Just(Step::Freeze),
        4 => testing::selector().prop_map(Step::Select),
    ]
}

proptest! {
    /// The registry is a map from keys to ids, whatever part of the index a series is in.
    #[test]
    fn it_answers_like_a_map(steps in prop::collection::vec(step(), 1..120)) {
        let (registry, _) = registry(NO_LIMITS);
        let mut model: BTreeMap<SeriesKey, SeriesId> = BTreeMap::new();
        let mut given = HashSet::new();
        for step in steps {
            match step {
                Step::Resolve(key) | Step::Restore(key) if model.contains_key(&key) => {
                    prop_assert_eq!(registry.resolve(&key), Ok(model[&key]));
                    prop_assert_eq!(registry.restore(&key), model[&key]);
                }
                Step::Resolve(key) => {
                    prop_assert_eq!(registry.find(&key), None);
                    let id = registry.resolve(&key).unwrap();
                    prop_assert!(given.insert(id), "an id is given once");
                    model.insert(key, id);
                }
                Step::Restore(key) => {
                    let id = registry.restore(&key);
                    prop_assert!(given.insert(id), "an id is given once");
                    model.insert(key, id);
                }
                Step::Retire(keys) => {
                    let ids: Vec<_> = keys.iter().filter_map(|key| model.remove(key)).collect();
                    registry.retire(&ids);
                    ids.iter().for_each(|id| assert_eq!(registry.key(*id), None));
                }
                Step::Settle => registry.rebuild(),
                // As if a merge were under way: selections see all three parts.
                Step::Freeze => {
                    let mut view = registry.view_mut();
                    if view.frozen.is_none() && view.dead.is_empty() {
                        view.frozen = Some(std::mem::take(&mut view.fresh));
                        drop(view);
                        check_select(&registry, &model, &"*".parse().unwrap())?;
                        registry.thaw();
                    }
                }
                Step::Select(selector) => check_select(&registry, &model, &selector)?,
            }
            prop_assert_eq!(registry.count() as usize, model.len());
        }
        for (key, id) in &model {
            prop_assert_eq!(registry.find(key), Some(*id));
            prop_assert_eq!(registry.key(*id), Some(key.clone()));
        }
        check_cardinality(&registry, &model)?;
        let ordinals: usize = (0..4).map(|queue| registry.len(queue)).sum();
        prop_assert_eq!(ordinals, given.len());
    }
}

impl Registry {
    /// Ends what `Step::Freeze` began.
    fn thaw(&self) {
        let View { base, frozen, .. } = self.view();
        let next = Base::merge(&base, &fresh::read(&frozen.unwrap()), |_| false);
        let mut view = self.view_mut();
        (view.base, view.frozen) = (Arc::new(next), None);
    }
}

fn check_select(
    registry: &Registry,
    model: &BTreeMap<SeriesKey, SeriesId>,
    selector: &Selector,
) -> Result<(), TestCaseError> {
    let wanted: Vec<_> =
        model.iter().filter(|(key, _)| selector.matches(key)).map(|(key, id)| (key.clone(), *id)).collect();
    prop_assert_eq!(registry.select(selector), wanted, "{}", selector);
    Ok(())
}

fn check_cardinality(
    registry: &Registry,
    model: &BTreeMap<SeriesKey, SeriesId>,
) -> Result<(), TestCaseError> {
    // A retired series' values are gone from the count with the next base.
    let top = registry.cardinality(100);
    for share in &top.names {
        let series = model.keys().filter(|key| key.name() == &*share.name).count();
        prop_assert_eq!(share.series as usize, series);
    }
    for share in &top.labels {
        let mut values: Vec<_> =
            model.keys().map(|key| key.label(&share.name)).filter(|v| !v.is_empty()).collect();
        prop_assert_eq!(share.series as usize, values.len());
        values.sort_unstable();
        values.dedup();
        prop_assert_eq!(share.values, values.len());
    }
    prop_assert!(top.labels.is_sorted_by(|a, b| a.series >= b.series));
    Ok(())
}

#[test]
fn limits_refuse_new_series_and_name_their_key() {
    let limits = Limits { series_max: 3, series_per_minute_max: 2, labels_max: 1, label_value_bytes_max: 4 };
    let (registry, clock) = registry(limits);
    let refused = |text: &str| registry.resolve(&key(text)).unwrap_err().to_string();
    assert_eq!(
        refused(r#"m{a="1",b="2"}"#),
        r#"`m{a="1",b="2"}` has 2 labels, more than 1; raise `storage.labels_max` or send fewer labels"#
    );
    assert_eq!(
        refused(r#"m{a="12345"}"#),
        "label `a` of `m` has a value of 5 bytes, more than 4; raise `storage.label_value_bytes_max` or shorten it"
    );
    let first = registry.resolve(&key("m1")).unwrap();
    registry.resolve(&key("m2")).unwrap();
    assert_eq!(
        refused("m3"),
        "more than 2 new series in a minute, so `m3` is refused for now; raise `storage.series_per_minute_max`, or find \
         the label whose values never repeat"
    );
    clock.advance(Duration::from_secs(30));
    registry.resolve(&key("m3")).unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(
        refused("m4"),
        "there are 3 series already, so `m4` is refused; raise `storage.series_max` or send fewer"
    );
    assert_eq!(registry.resolve(&key("m1")), Ok(first), "known series keep flowing");
    registry.restore(&key(r#"m{a="12345",b="2"}"#));
    assert_eq!(registry.count(), 4, "what the log holds was accepted once");
    registry.retire(&[first]);
    assert_eq!(registry.count(), 3);
}

#[test]
fn a_retired_key_gets_a_new_ordinal() {
    let (registry, _) = registry(NO_LIMITS);
    let old = registry.resolve(&key("m")).unwrap();
    registry.retire(&[old, old]);
    assert_eq!((registry.find(&key("m")), registry.key(old), registry.count()), (None, None, 0));
    let new = registry.resolve(&key("m")).unwrap();
    assert_eq!((new.queue, new.ordinal), (old.queue, old.ordinal + 1));
    assert_eq!(registry.select(&Selector::exact("m")), [(key("m"), new)]);
}

#[test]
fn counters_tell_what_came_since_the_start_from_what_was_there() {
    let (registry, _) = registry(NO_LIMITS);
    for host in ["a", "b", "c"] {
        registry.restore(&SeriesKey::new("old", [("host", host)]).unwrap());
    }
    for host in ["c", "d"] {
        registry.resolve(&SeriesKey::new("new", [("host", host)]).unwrap()).unwrap();
    }
    let share = |name: &str, series, created, values| Share { name: name.into(), series, created, values };
    let top = registry.cardinality(1);
    assert_eq!(top.names, [share("old", 3, 0, 1)]);
    assert_eq!(top.names_created, [share("new", 2, 2, 1)]);
    assert_eq!(top.labels, [share("host", 5, 2, 4)]);
    assert_eq!(top.labels_created, top.labels);
}

/// Whoever got an id finds the series, while bases are built all the time.
#[test]
fn creators_find_their_series_while_the_index_is_merged() {
    let (registry, _) = registry(NO_LIMITS);
    let (registry, created) = (&registry, &AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for i in 0..2_000 {
                    let key =
                        SeriesKey::new("m", [("i", i.to_string()), ("t", format!("{thread}"))]).unwrap();
                    let id = registry.resolve(&key).unwrap();
                    let selector = format!(r#"m{{i="{i}",t="{thread}"}}"#).parse().unwrap();
                    assert_eq!(registry.select(&selector), [(key, id)]);
                    created.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(move || {
            while created.load(Ordering::Relaxed) < 4_000 {
                let _one = registry.maintenance.lock().unwrap();
                registry.rebuild();
            }
        });
    });
    let found = registry.select(&"m".parse().unwrap());
    assert!(found.len() == 4_000 && found.is_sorted_by(|a, b| a.0 < b.0));
}
