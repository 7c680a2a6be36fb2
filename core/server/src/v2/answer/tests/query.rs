//! Windows, samples, moments, and what cannot be asked.

use sereno_protocol::v2::messages::param::Value;
use sereno_protocol::v2::messages::{Alignment, Grouping, Matcher, MatcherKind, Param};

use super::*;

const MINUTE: u64 = 60_000_000_000;

fn asked(selector: &str, aggregation: &str) -> Query {
    Query {
        selector: selector.into(),
        aggregation: aggregation.into(),
        window: MINUTE,
        start: Some(ago(300).nanos()),
        ..Query::default()
    }
}

fn stored() -> World {
    let world = World::with(
        &[
            (
                "scripts/aggregations/range.rhai",
                "fn aggregate(w) {\n  if w.count() > 1 { #{ low: w.min(), high: w.max() } } else { w.min() }\n}\n",
            ),
            ("scripts/aggregations/broken.rhai", "fn aggregate(w) {\n  throw \"no idea\";\n}\n"),
        ],
        2,
    );
    world.put(r#"cpu{env="prod",host="a"}"#, &[(250, 1.0), (245, 3.0), (100, 5.0), (1, 7.0)]);
    world.put(r#"cpu{env="test",host="b"}"#, &[(250, 10.0), (90, 30.0)]);
    world.put(r#"disk{host="a"}"#, &[(250, 0.5)]);
    world
}

#[test]
fn each_series_is_a_group_and_a_small_answer_is_one_part() {
    run(async || {
        let world = stored();
        let responses = world.ask(Asked::Query(asked("cpu", "mean"))).await;
        assert_eq!(responses.len(), 1);
        let answer = joined(responses);
        assert_eq!(
            lines(&answer),
            ["cpu{env=prod,host=a} 300:2 120:5 60:7", "cpu{env=test,host=b} 300:10 120:30"]
        );
        let (head, end) = (answer.head.unwrap(), answer.end.unwrap());
        assert_eq!((head.as_of, head.exact, head.series, &*head.across), (now(&world), true, 2, ""));
        assert_eq!((end.points, end.samples_read), (5, 6));
        let empty = world.query(asked("nothing", "mean")).await;
        assert_eq!((empty.chunks.len(), empty.head.unwrap().series, empty.end.unwrap().points), (0, 0, 0));
    });
}

#[test]
fn groups_are_joined_as_suits_the_aggregation() {
    run(async || {
        let world = stored();
        let all = |aggregation: &str| Query { grouping: Grouping::All.into(), ..asked("cpu", aggregation) };
        for (aggregation, across, line) in [
            ("sum", "sum", "{} 300:14 120:35 60:7"),
            ("min", "min", "{} 300:1 120:5 60:7"),
            ("max", "max", "{} 300:10 120:30 60:7"),
            ("median", "pool", "{} 300:3 120:17.5 60:7"),
        ] {
            let answer = world.query(all(aggregation)).await;
            assert_eq!((lines(&answer), answer.head.unwrap().across), (vec![line.into()], across.into()));
        }
        let mean = world.query(Query { across: "mean".into(), ..all("max") }).await;
        assert_eq!(lines(&mean), ["{} 300:6.5 120:17.5 60:7"]);
        let by = Query {
            grouping: Grouping::Labels.into(),
            by: vec!["host".into(), "rack".into()],
            ..asked("*", "count")
        };
        assert_eq!(
            lines(&world.query(by).await),
            ["{host=a,rack=} 300:3 120:1 60:1", "{host=b,rack=} 300:1 120:1"]
        );
        let (code, error) = world.fail(Asked::Query(all("last"))).await;
        assert_eq!(
            (code, &*error.message, &*error.hint),
            (
                Code::Invalid,
                "2 series are matched",
                "say how to join them with `across`: `sum`, `mean`, `min`, `max`, `count` or `pool`"
            )
        );
    });
}

#[test]
fn several_values_come_in_columns() {
    run(async || {
        let world = stored();
        let answer = world.query(asked(r#"cpu{host="a"}"#, "range")).await;
        assert_eq!(lines(&answer), ["cpu{env=prod,host=a} 300:high=3/low=1 120:value=5 60:value=7"]);
        assert!(answer.chunks[0].values.is_empty());
        let wide = Query { window: 10 * MINUTE, start: None, ..asked(r#"cpu{host="a"}"#, "range") };
        let answer = world.query(wide).await;
        assert_eq!(lines(&answer), ["cpu{env=prod,host=a} 840:high=3/low=1 240:high=7/low=5"]);
        assert!(answer.chunks[0].columns.iter().all(|column| column.at.is_empty()), "at all times");
    });
}

#[test]
fn windows_lie_where_they_are_asked_for() {
    run(async || {
        let world = stored();
        let of = |query: Query| async { lines(&world.query(query).await).join("") };
        let base = || Query { start: Some(ago(290).nanos()), ..asked(r#"cpu{host="a"}"#, "count") };
        assert_eq!(of(base()).await, "cpu{env=prod,host=a} 300:2 120:1 60:1");
        let start = Query { alignment: Alignment::Start.into(), ..base() };
        assert_eq!(of(start).await, "cpu{env=prod,host=a} 290:2 110:1 50:1");
        let first = Query { alignment: Alignment::FirstSample.into(), ..base() };
        assert_eq!(of(first).await, "cpu{env=prod,host=a} 250:2 130:1 10:1");
        let unknown = Query { alignment: 99, ..base() };
        assert_eq!(of(unknown).await, "cpu{env=prod,host=a} 300:2 120:1 60:1", "as the unspecified one");
        let open = Query { start: None, end: Some(ago(60).nanos()), ..base() };
        assert_eq!(of(open).await, "cpu{env=prod,host=a} 300:2 120:1");
        let steps = Query { step: 2 * MINUTE, ..base() };
        assert_eq!(of(steps).await, "cpu{env=prod,host=a} 120:1");
    });
}

#[test]
fn selectors_come_as_text_or_in_pieces() {
    run(async || {
        let world = stored();
        let matcher = |kind: MatcherKind, value: &str| Matcher {
            label: "host".into(),
            kind: kind.into(),
            value: value.into(),
        };
        let pieces = |metric: &str, matchers: Vec<Matcher>| Query {
            metric: metric.into(),
            matchers,
            ..asked("", "count")
        };
        let names = |query: Query| async {
            let answer = world.query(query).await;
            answer
                .chunks
                .iter()
                .map(|chunk| format!("{}/{}", chunk.name, chunk.labels.last().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(pieces("c*", vec![matcher(MatcherKind::Unspecified, "a")])).await, ["cpu/a"]);
        assert_eq!(names(pieces("", vec![matcher(MatcherKind::NotEqual, "b")])).await, ["cpu/a", "disk/a"]);
        assert_eq!(names(pieces("cpu", vec![matcher(MatcherKind::Regex, "a|b")])).await, ["cpu/a", "cpu/b"]);
        assert_eq!(names(pieces("cpu", vec![matcher(MatcherKind::NotRegex, "a.*")])).await, ["cpu/b"]);
        assert_eq!(names(asked(r#"{"cpu",env!="test"}"#, "count")).await, ["cpu/a"]);
    });
}

#[test]
fn what_makes_no_sense_is_told_with_what_to_do() {
    run(async || {
        let world = stored();
        let told = |query: Query| async {
            let (code, error) = world.fail(Asked::Query(query)).await;
            (code, error.message, error.hint)
        };
        let is = |found: (Code, String, String), code, message: &str, hint: &str| {
            assert_eq!(found, (code, message.to_owned(), hint.to_owned()));
        };
        let base = || asked("cpu", "mean");
        is(
            told(asked("cpu", "maen")).await,
            Code::NotFound,
            "there is no aggregation `maen`",
            "did you mean `mean`?",
        );
        let (code, message, hint) = told(asked("cpu", "")).await;
        assert_eq!((code, &*message), (Code::Invalid, "the query has windows, but names no aggregation"));
        assert!(hint.starts_with("aggregations: `") && hint.contains("`broken`, "), "{hint}");
        is(
            told(asked("", "mean")).await,
            Code::Invalid,
            "the query does not say which series",
            "`selector: \"*\"` means all",
        );
        let both = Query { metric: "cpu".into(), ..base() };
        assert_eq!(told(both).await.0, Code::Invalid);
        let params = vec![Param { name: "q".into(), value: None }];
        is(
            told(Query { params, ..base() }).await,
            Code::Invalid,
            "aggregation `mean` takes no parameters",
            "leave out `q`",
        );
        let across = Query { across: "median".into(), grouping: Grouping::All.into(), ..base() };
        assert_eq!(told(across).await.0, Code::Invalid);
        let by = Query { by: vec!["host".into()], ..base() };
        assert_eq!(told(by).await.0, Code::Invalid);
        let twice =
            Query { by: vec!["host".into(), "host".into()], grouping: Grouping::Labels.into(), ..base() };
        is(told(twice).await, Code::Invalid, "`by` names `host` twice", "name it once");
        let backwards = Query { end: Some(ago(400).nanos()), ..base() };
        is(
            told(backwards).await,
            Code::Invalid,
            "the period ends before it starts",
            "swap `start` and `end`",
        );
        let matchers = vec![Matcher { label: "host".into(), kind: 99, value: "a".into() }];
        let unknown = Query { matchers, ..asked("", "mean") };
        assert_eq!(
            told(unknown).await.0,
            Code::Invalid,
            "a condition that is not understood is never dropped"
        );
    });
}

#[test]
fn a_script_is_given_its_parameters() {
    run(async || {
        let text = "fn aggregate(w, params) {\n  let n = w.count_above(params.limit);\n  if params.twice { n * params.by } else { n }\n}\n";
        let world = World::with(&[("scripts/aggregations/over.rhai", text)], 1);
        world.put("m", &[(30, 1.0), (20, 2.0), (10, 3.0)]);
        let param = |name: &str, value| Param { name: name.into(), value: Some(value) };
        let params = vec![
            param("limit", Value::Number(1.5)),
            param("twice", Value::Flag(true)),
            param("by", Value::Number(2.0)),
        ];
        let query = Query { params: params.clone(), ..asked("m", "over") };
        assert_eq!(lines(&world.query(query).await), ["m{} 60:4"]);
        let twice = Query { params: [&params[..], &params[..]].concat(), ..asked("m", "over") };
        let (code, error) = world.fail(Asked::Query(twice)).await;
        assert_eq!((code, &*error.message), (Code::Invalid, "parameter `limit` is given twice"));
    });
}

#[test]
fn mistakes_in_selectors_and_scripts_have_a_place() {
    run(async || {
        let world = stored();
        let found = |query: Query| async {
            let (code, mut error) = world.fail(Asked::Query(query)).await;
            assert_eq!(error.diagnostics.len(), 1);
            (code, error.message.clone(), error.diagnostics.remove(0))
        };
        let (code, _, place) = found(asked("cpu{host}", "mean")).await;
        assert_eq!((code, place.line, place.column), (Code::Invalid, 1, 9));
        assert_eq!(
            (&*place.message, &*place.excerpt, &*place.path),
            ("expected `=`, `!=`, `=~` or `!~`", "cpu{host}", "")
        );
        let (code, _, place) = found(asked(r#"cpu{host=~"a("}"#, "mean")).await;
        assert_eq!((code, place.column), (Code::Invalid, 12));
        assert_eq!(place.message, "`a(` is not a regular expression: unclosed group");
        let (code, message, place) = found(asked("cpu", "broken")).await;
        assert_eq!((code, &*message), (Code::Script, "aggregation `broken` failed: no idea"));
        assert_eq!((place.line, &*place.excerpt), (2, "  throw \"no idea\";"));
        assert!(place.path.ends_with("aggregations/broken.rhai"), "{}", place.path);
    });
}

#[test]
fn the_lower_limit_counts() {
    run(async || {
        let world = stored();
        let told = |query: Query| async {
            let (code, error) = world.fail(Asked::Query(query)).await;
            assert_eq!(code, Code::Limit);
            (error.message, error.hint)
        };
        let is = |found: (String, String), message: &str, hint: &str| {
            assert_eq!(found, (message.into(), hint.into()))
        };
        let endless = Query { start: Some(0), window: 1, ..asked("cpu", "mean") };
        let (message, hint) = told(endless).await;
        assert!(message.ends_with("windows, more than the 11000 that one query may give"), "{message}");
        assert_eq!(hint, "ask for a shorter period or longer steps");
        is(
            told(Query { points_max: 3, ..asked("cpu", "mean") }).await,
            "6 windows, more than the 3 that one query may give",
            "ask for a shorter period or longer steps",
        );
        is(
            told(Query { series_max: 1, ..asked("cpu", "mean") }).await,
            "2 series match, more than the 1 that one query may read",
            "select fewer by their labels",
        );
        let more = Query { points_max: 1 << 40, series_max: 1 << 40, ..asked("cpu", "mean") };
        assert_eq!(world.query(more).await.chunks.len(), 2);
        let samples = Query { window: 0, points_max: 3, ..asked("cpu", "") };
        assert!(told(samples).await.0.starts_with("more samples to read than the 3"));
    });
}

#[test]
fn without_a_window_the_samples_come_as_they_are() {
    run(async || {
        let world = stored();
        let samples = |selector: &str| Query { window: 0, ..asked(selector, "whatever") };
        let answer = world.query(samples("cpu")).await;
        assert_eq!(
            lines(&answer),
            ["cpu{env=prod,host=a} 250:1 245:3 100:5 1:7", "cpu{env=test,host=b} 250:10 90:30"]
        );
        assert_eq!((answer.head.unwrap().series, answer.end.unwrap().points), (2, 6));
        let some = Query { start: Some(ago(245).nanos()), end: Some(ago(90).nanos()), ..samples("*") };
        assert_eq!(lines(&world.query(some).await), ["cpu{env=prod,host=a} 245:3 100:5"], "right-open");
        let joined = Query { grouping: Grouping::All.into(), ..samples("cpu") };
        assert_eq!(world.fail(Asked::Query(joined)).await.0, Code::Invalid);
    });
}

/// A page of graphs is of one moment, whatever comes in meanwhile and whenever its queries run.
#[test]
fn the_same_moment_gives_the_same_bytes_while_samples_come() {
    run(async || {
        let world = stored();
        let query = || asked("cpu", "sum");
        let first = world.query(query()).await;
        let as_of = first.head.as_ref().unwrap().as_of;
        let bytes = |mut part: QueryPart| {
            part.end.as_mut().unwrap().elapsed = 0;
            part.encode_to_vec()
        };
        let again = || Query { as_of: Some(as_of), ..query() };
        let first = bytes(first);
        for late in 0..20 {
            world.put(r#"cpu{env="prod",host="a"}"#, &[(250 - late, 1_000.0)]);
            let fresh = world.query(query()).await;
            assert!(fresh.head.as_ref().unwrap().as_of > as_of, "two moments have two names");
            assert_ne!(bytes(fresh), first);
            assert_eq!(bytes(world.query(again()).await), first);
        }
        world.clock.advance(Duration::from_secs(5));
        let late = world.query(again()).await;
        let head = late.head.as_ref().unwrap();
        assert_eq!((head.as_of, head.exact), (as_of, false), "the snapshot is gone, and the answer says so");
        assert_ne!(bytes(late), first);
    });
}

#[test]
fn snapshots_are_let_go_although_nobody_asks_again() {
    run(async || {
        let world = stored();
        world.query(asked("cpu", "sum")).await;
        assert_eq!(world.services.snapshots.kept(), 1);
        world.clock.advance(Duration::from_secs(6));
        while world.services.snapshots.kept() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for _ in 0..100 {
            world.query(asked("cpu", "sum")).await;
        }
        assert_eq!(world.services.snapshots.kept(), 64);
    });
}

/// A long answer waits for its reader, in the memory of a few parts.
#[test]
fn a_slow_reader_gets_a_long_answer_piece_by_piece() {
    run(async || {
        let world = World::new();
        let samples: Vec<(i64, f64)> = (0..5_000).map(|secs| (5_000 - secs, secs as f64)).collect();
        let many: Vec<String> = (0..40).map(|host| format!("m{{host=\"{host:02}\"}}")).collect();
        many.iter().for_each(|series| world.put(series, &samples));
        for window in [0, 1_000_000_000] {
            let query = Query { selector: "m".into(), aggregation: "max".into(), window, ..Query::default() };
            let outbox = Outbox::new(64 << 10);
            let asked = world.start(Asked::Query(query), &outbox);
            let task = tokio::task::spawn_local(asked);
            let mut responses = Vec::new();
            while responses.last().is_none_or(|last: &Response| last.more) {
                let frames = outbox.take(Vec::new()).await.unwrap();
                assert!(frames.len() < 192 << 10, "{} bytes wait", frames.len());
                responses.extend(decode(&frames));
            }
            task.await.unwrap();
            assert!(responses.len() > 20, "{} parts", responses.len());
            let answer = joined(responses);
            assert_eq!(answer.end.unwrap().points, 200_000);
            let lines = lines(&answer);
            assert_eq!(lines.len(), 40);
            let expected: Vec<String> =
                samples.iter().map(|(secs, value)| format!("{secs}:{value}")).collect();
            assert_eq!(lines[32], format!("m{{host=32}} {}", expected.join(" ")));
        }
    });
}
