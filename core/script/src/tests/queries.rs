//! What `s` and its queries read.

use std::time::Duration;

use super::world::{TICK, World, ask, labels};
use super::*;
use crate::{Budget, ErrorKind, Memory, Verdict};

fn world() -> World {
    World::new(&[
        ("m{host=a}", &[(50, 1.0), (40, 2.0), (30, 3.0)]),
        ("m{host=b}", &[(50, 10.0), (40, 20.0)]),
        ("m{host=a}", &[(3_650, 100.0), (3_640, 200.0)]),
        ("disk{host=a,disk=sda}", &[(50, 5.0), (10, 7.0)]),
        ("disk{host=a,disk=sdb}", &[(50, 1.0)]),
        ("disk{host=b,disk=sda}", &[(50, 90.0)]),
        ("disk{disk=sda}", &[(50, 400.0)]),
        ("old{host=a}", &[(9_000, 1.0)]),
        ("http.requests{host=a,code=200}", &[(100, 0.0), (10, 90.0)]),
        ("http.requests{host=a,code=500}", &[(100, 0.0), (10, 6.0)]),
        ("http.requests{host=a,code=503}", &[(100, 0.0), (10, 4.0)]),
    ])
}

#[test]
fn a_query_reads_the_series_that_have_the_labels_of_the_instance() {
    let world = world();
    let cases = [
        ("s.query(\"disk\", \"max\", \"1m\")", "7"),
        ("s.query(\"disk\", \"count\", \"1m\")", "3"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [] })", "400"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [\"host\"] })", "7"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [], where: #{ host: \"!a\" } })", "400"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [], where: #{ host: [\"a\", \"b\"] } })", "90"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [], where: #{ host: [\"!a\", \"!\"] } })", "90"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [], where: #{ host: \"~a|c\" } })", "7"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", on: [], where: #{ host: \"!~a|b\" } })", "400"),
        ("s.query(#{ metric: \"disk\", agg: \"mean\", across: \"sum\" })", "7"),
        ("s.query(#{ metric: \"disk\", agg: \"mean\", across: \"count\" })", "2"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", window: \"20s\" })", "7"),
        (
            "s.query(#{ metric: \"disk\", agg: \"mean\", window: \"20s\", offset: \"35s\", across: \"sum\" })",
            "6",
        ),
        ("s.query(#{ metric: \"d*k\", agg: \"max\" })", "7"),
        ("s.query(\"disk\", \"max\", \"5s\")", "none"),
        ("s.query(\"nothing\", \"count\", \"1m\")", "none"),
        ("s.query(\"nothing\", \"count\", \"1m\") ?? 0", "0"),
        ("s.query(\"old\", \"last\", \"1m\")", "none"),
        ("s.query(\"old\", \"age\", \"1h\")", "3600"),
        ("s.query(\"m\", \"age\", \"1h\")", "30"),
        (
            "s.query(#{ metric: \"http.requests\", where: #{ code: \"~5..\" }, agg: \"increase\", window: \"2m\" })",
            "10",
        ),
        (
            "s.query(#{ metric: \"http.requests\", where: #{ code: 500 }, agg: \"increase\", window: \"2m\" })",
            "6",
        ),
    ];
    for (expression, expected) in cases {
        assert_eq!(world.number("host=a", expression), expected, "{expression}");
    }
    assert_eq!(
        world.number("host=", "s.query(\"disk\", \"max\", \"1m\")"),
        "400",
        "a label that is missing is \"\""
    );
    assert_eq!(world.number("", "s.query(\"disk\", \"max\", \"1m\")"), "400", "one instance of all");
}

#[test]
fn a_query_that_means_nothing_is_an_error() {
    let world = world();
    let cases = [
        (
            "s.query(#{ metric: \"disk\", agg: \"last\" })",
            "2 series are matched; say how to join them with `across`",
        ),
        (
            "s.query(#{ metric: \"disk\", agg: \"max\", on: [\"disk\"] })",
            "`on`: the instance has no label `disk`, only [host]",
        ),
        (
            "let q = #{ metric: \"disk\", agg: \"max\", whre: #{} }; s.query(q)",
            "a query has no `whre`; did you mean `where`?",
        ),
        ("let q = #{ agg: \"max\" }; s.query(q)", "a query needs `metric`"),
        (
            "let q = #{ metric: \"disk\", agg: \"meen\" }; s.query(q)",
            "there is no aggregation `meen`; did you mean `mean`?",
        ),
        ("s.query(#{ metric: 7, agg: \"max\" })", "`metric` is a text, not a number"),
        ("s.query(#{ metric: \"disk\", agg: \"max\", where: \"a\" })", "`where` is a map such as"),
        (
            "s.query(#{ metric: \"disk\", agg: \"max\", where: #{ host: [] } })",
            "`where`: `host` has no values",
        ),
        (
            "s.query(#{ metric: \"disk\", agg: \"max\", where: #{ host: \"~(\" } })",
            "`(` is not a regular expression",
        ),
        (
            "s.query(#{ metric: \"disk\", agg: \"max.score\" })",
            "`max` gives one number, so there is no `max.score`",
        ),
        (
            "s.query(#{ metric: \"disk\", agg: #{ name: \"max\", params: #{} } })",
            "the aggregation `max` takes no parameters",
        ),
    ];
    for (body, expected) in cases {
        let text = match body.split_once("; ") {
            Some((first, second)) => format!("{first}; ok({second})"),
            None => format!("ok({body})"),
        };
        let error = world.check("host=a", &text).unwrap_err();
        assert!(error.diagnostic.message.starts_with(expected), "{body}: {error}");
    }
}

#[test]
fn a_window_may_end_earlier() {
    let world = world();
    assert_eq!(world.number("host=a", "s.series(\"1m\", \"1h\").mean()"), "150");
    assert_eq!(world.number("host=a", "s.series(\"1m\").mean()"), "2");
    assert_eq!(
        world.number("host=a", "ratio(s.series(\"1m\").mean(), s.series(\"1m\", \"1d\").mean())"),
        "none"
    );
}

#[test]
fn inputs_are_read_each_in_its_own_window() {
    let world = world();
    let mut instance = world.instance("host=a", &[("err", "disk"), ("all", "m"), ("gone", "old")]);
    instance.inputs[1].offset = Duration::from_secs(35);
    instance.inputs[1].window = Duration::from_secs(10);
    instance.inputs[2].otherwise = Some(-1.0);
    let holds = [
        "s.value == 13.0 / 3",
        "s.input(\"err\").value == s.value && s.n == 3 && s.input(\"err\").n == 3",
        "s.input(\"all\").value == 2 && s.input(\"all\").n == 1",
        "s.input(\"all\").series(\"20s\").max() == 2",
        "s.input(\"all\").series(\"20s\", \"1h\").max() == 200",
        "s.input(\"all\").agg(\"max\", \"1m\") == 2",
        "s.input(\"gone\").value == -1",
        "s.input(\"all\").name == \"all\"",
        "s.state == \"inactive\" && s.level == ()",
    ];
    for condition in holds {
        let answer = ask(&instance, &format!("fn check(s) {{ {condition} }}")).unwrap();
        assert_eq!(answer.given, Verdict::Alert(sereno_model::Level::Crit, None), "{condition}");
    }
    let error = ask(&instance, "fn check(s) { s.input(\"er\").value > 1 }").unwrap_err();
    assert_eq!(error.diagnostic.message, "this rule has no input `er`; did you mean `err`?");
    instance.value = Some(Some(0.25));
    assert_eq!(ask(&instance, "fn check(s) { ok(s.value) }").unwrap().given, Verdict::Ok(Some(0.25)));
    instance.value = Some(None);
    assert_eq!(ask(&instance, "fn check(s) { ok(s.value) }").unwrap().given, Verdict::Ok(None));
    instance.value = None;
    instance.inputs.clear();
    let error = ask(&instance, "fn check(s) { s.value > 1 }").unwrap_err();
    assert_eq!(error.diagnostic.message, "this rule has no inputs, so there are no samples; use `s.query`");
}

#[test]
fn one_of_several_values_is_picked() {
    let world = world();
    let spread = "fn aggregate(w, p) { if !w.is_empty() { #{ low: w.min() * (p.get(\"scale\") ?? 1), high: w.max() } } }";
    let ask = |body: &str| {
        let scripts =
            [("aggregations/spread.rhai", spread), ("rules/x.rhai", &*format!("fn check(s) {{ {body} }}"))];
        let instance = Arc::new(world.instance("host=a", &[("v", "m")]));
        let script = library(&scripts).rule("x.rhai").unwrap();
        let answer = script.check(&mut Memory::default(), &instance, &mut Budget::default());
        answer
            .map(|answer| format!("{:?}", answer.given))
            .unwrap_or_else(|error| error.diagnostic.message.clone())
    };
    let params = "let p = #{ scale: 3 };";
    assert_eq!(ask(&format!("{params} ok(s.agg(\"spread.low\", \"1m\", p))")), "Ok(Some(3.0))");
    assert_eq!(ask(&format!("{params} ok(s.agg(\"spread\", \"1m\", p).high)")), "Ok(Some(3.0))");
    assert_eq!(
        ask(
            "ok(s.query(#{ metric: \"m\", agg: #{ name: \"spread\", params: #{ scale: 2 }, value: \"low\" } }))"
        ),
        "Ok(Some(2.0))"
    );
    assert_eq!(ask(&format!("{params} ok(s.agg(\"spread.low\", \"1ms\", p))")), "Ok(None)");
    assert_eq!(
        ask(&format!("{params} ok(s.agg(\"spread.mid\", \"1m\", p))")),
        "`spread` has no value `mid`; it has high, low"
    );
    assert_eq!(
        ask(
            "s.query(#{ metric: \"m\", agg: #{ name: \"spread\", params: #{ scale: 2 } }, keep: [\"host\"] }).len() > 1"
        ),
        "`spread` gives several values; name the one that you mean, as in `spread.high`"
    );
}

#[test]
fn what_is_asked_is_read_at_the_tick_and_nothing_is_read_unasked() {
    let world = world();
    let instance = Arc::new(world.instance("host=a", &[("v", "m")]));
    let script =
        library(&[("rules/x.rhai", "fn check(s) { s.now > 0 && s.labels.host == \"b\" }")]).rule("x.rhai");
    let mut budget = Budget::default();
    script.unwrap().check(&mut Memory::default(), &instance, &mut budget).unwrap();
    assert_eq!(budget.samples(), 0);
    assert_eq!(world.number("host=a", "s.series(\"1m\").last_time()"), "1700000030");
    assert_eq!(world.number("host=a", "s.series(\"1m\").age()"), "30");
    assert_eq!(world.number("host=a", "s.series(\"30d\").age()"), "30");
    assert_eq!(world.number("host=a", "s.series(\"5s\").age()"), "5", "as old as the window at least");
    assert_eq!(TICK, 1_700_000_060_000);
}

#[test]
fn queries_cost_operations_by_the_series_that_they_find() {
    let keys: Vec<String> = (0..500).map(|i| format!("m{{host=h{i:03}}}")).collect();
    let series: Vec<(&str, &[(i64, f64)])> =
        keys.iter().map(|key| (key.as_str(), &[(10, 1.0)][..])).collect();
    let world = World::new(&series);
    let instance = world.instance("", &[("v", "m")]);
    let operations =
        |body: &str| ask(&instance, &format!("fn check(s) {{ {body}; ok() }}")).unwrap().operations;
    let (one, none) =
        (operations("s.query(\"m\", \"sum\", \"1m\")"), operations("s.query(\"n\", \"sum\", \"1m\")"));
    assert_eq!(one - none, 500, "deterministic");
    let limits = Limits { operations_max: 2_000, ..Limits::default() };
    let text = "fn check(s) { for i in 0..10 { try { s.query(\"m\", \"sum\", \"1m\"); } catch { } } ok() }";
    let (library, _) = Library::load(&sources(&[("rules/x.rhai", text)]), &limits, &clock(), None);
    let script = library.rule("x.rhai").unwrap();
    let error =
        script.check(&mut Memory::default(), &Arc::new(instance), &mut Budget::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!(error.diagnostic.message, "the script used up its operations for one call");
    assert_eq!(labels("a=1,b=2").len(), 2);
}

#[test]
fn scripts_know_the_hour_of_a_place() {
    let world = World::new(&[("m", &[(10, 1.0)])]);
    // The tick is 2023-11-14 22:14:20 UTC, a Tuesday.
    let cases = [
        ("hour(s.now, \"UTC\")", "22"),
        ("hour(s.now, \"Europe/Madrid\")", "23"),
        ("hour(s.now, \"Asia/Kolkata\")", "3"),
        ("weekday(s.now, \"UTC\")", "2"),
        ("weekday(s.now, \"Asia/Kolkata\")", "3"),
        ("hour(0, \"UTC\")", "0"),
        ("hour(-1, \"UTC\")", "23"),
        ("dur(\"14d\")", "1209600"),
        ("date(s.now, \"Asia/Kolkata\").len()", "10"),
    ];
    for (expression, expected) in cases {
        assert_eq!(world.number("", expression), expected, "{expression}");
    }
    let wrong = world.number("", "hour(s.now, s.params.zone ?? \"Mars/Base\")");
    assert!(wrong.contains("there is no `zone`"), "{wrong}");
    let wrong = world.check("", "let zone = \"Mars/Base\"; hour(s.now, zone) > 1").unwrap_err();
    assert_eq!(
        wrong.diagnostic.message,
        "there is no time zone `Mars/Base`; zones are like `Europe/Madrid` and `UTC`"
    );
}
