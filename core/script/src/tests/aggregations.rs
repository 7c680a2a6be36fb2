//! Aggregations: the shipped ones, scripted ones, and that both ways of running agree.

use std::collections::BTreeMap;

use super::*;
use crate::ParamValue;

#[test]
fn the_shipped_ones_are_there_and_native() {
    let (library, found) = load(&[], None);
    assert_eq!(found, []);
    let names: Vec<&str> = library.aggregation_names().collect();
    let expected = "count delta first increase last max mean median min p90 p95 p99 rate stddev sum";
    assert_eq!(names.join(" "), expected);
    for name in names {
        let reducer = format!("{:?}", library.aggregation(name).unwrap());
        assert!(!reducer.contains("Scripted"), "`{name}` would enter Rhai for every window: {reducer}");
    }
}

#[test]
fn a_lowered_script_answers_what_it_answers_in_rhai() {
    let windows: [&[f64]; 4] = [&[], &[3.0], &[1.0, f64::NAN, 5.0], &[0.1, 0.2, 7.5, 7.4, 1e9, -2.0]];
    let (shipped, _) = load(&[], None);
    for name in shipped.aggregation_names() {
        let text = crate::shipped::sources()
            .into_iter()
            .find(|source| source.path.ends_with(&format!("/{name}.rhai")))
            .unwrap()
            .text;
        // A local variable keeps the body from being one call.
        let scripted = text.replace("(w) {", "(w) { let one = 1;");
        for values in windows {
            let native = shipped.aggregation(name).unwrap().reduce(&window(values)).unwrap();
            let in_rhai = aggregate(&scripted, values).unwrap();
            assert_eq!(bits(&native), bits(&in_rhai), "{name} of {values:?}");
        }
    }
}

fn bits(reduced: &Reduced) -> Option<u64> {
    reduced.number().map(f64::to_bits)
}

#[test]
fn only_a_single_call_on_the_window_is_lowered() {
    let is_lowered = |text: &str| {
        let reducer = library(&[("aggregations/x.rhai", text)]).aggregation("x").unwrap();
        !format!("{reducer:?}").contains("Scripted")
    };
    assert!(is_lowered("fn aggregate(w) { w.quantile(0.95) }"));
    assert!(is_lowered("fn aggregate(window) { return window.count_above(-5); }"));
    assert!(is_lowered("fn aggregate(w, params) { w.mean() }"));
    assert!(!is_lowered("fn aggregate(w) { w.mean() + 1 }"));
    assert!(!is_lowered("fn mean() { 7 } fn aggregate(w) { w.mean() }"), "the script's own `mean` is meant");
    assert!(!is_lowered("fn aggregate(w) { w.quantile(7) }"), "a mistake is told, not lowered");
}

#[test]
fn scripts_compute_what_they_say() {
    let values = [1.0, 2.0, 3.0, 4.0, 100.0];
    let cases = [
        ("fn aggregate(w) { w.between(w.quantile(0), w.quantile(0.8)).mean() }", "2.5"),
        ("fn aggregate(w) { let sum = 0; for v in w { sum += v; } sum / w.count() }", "22"),
        ("fn aggregate(w, params) { if w.count_above(3) >= 2 { w.max() } }", "100"),
        ("fn aggregate(w) { if w.max() > 1000 { 1 } }", "none"),
        ("fn aggregate(w) { #{ low: w.min(), high: w.max(), none: () } }", r#"{"high": 100.0, "low": 1.0}"#),
        ("fn aggregate(w) { w.count() / w.seconds() }", "0.08333333333333333"),
        ("fn aggregate(w) { [w.first(), w.last(), w.last_time(), w.changes(), w.resets()].len() }", "5"),
        ("fn spread(w) { w.max() - w.min() } fn aggregate(w) { spread(w) }", "99"),
        ("const SCALE = 10; fn aggregate(w) { w.min() * global::SCALE }", "10"),
    ];
    for (text, expected) in cases {
        assert_eq!(answer(text, &values), expected, "{text}");
    }
}

#[test]
fn an_aggregation_may_take_parameters() {
    let takes = "fn aggregate(w, params) { w.quantile(params.q) + params.add }";
    let library = library(&[
        ("aggregations/x.rhai", takes),
        ("aggregations/y.rhai", "fn aggregate(w) { w.max() + 1 }"),
    ]);
    let params =
        BTreeMap::from([("q".to_owned(), ParamValue::Float(0.5)), ("add".to_owned(), ParamValue::Int(10))]);
    let reducer = library.aggregation_with("x", &params).unwrap();
    assert_eq!(reducer.reduce(&window(&[1.0, 2.0, 3.0])).unwrap(), Reduced::Number(12.0));
    assert!(
        library.aggregation("x").unwrap().reduce(&window(&[1.0])).is_err(),
        "without them there is no number"
    );
    assert!(library.aggregation_with("y", &params).is_none());
    assert!(library.aggregation_with("z", &params).is_none());
}

#[test]
fn a_failing_aggregation_says_where() {
    let error = answer("fn aggregate(w) {\n  let a = w.mean();\n  a.foo\n}", &[1.0]);
    assert!(error.starts_with("aggregation `x` failed: "), "{error}");
    assert!(error.ends_with(" at scripts/aggregations/x.rhai:3:5"), "{error}");
    let text = answer("fn aggregate(w) { `${w.mean()}` }", &[1.0]);
    assert!(text.contains("answers with a number, `()` or a map of numbers, not a text"), "{text}");
    let quantile = answer("fn aggregate(w) { w.quantile(7) }", &[1.0]);
    assert!(quantile.contains("`quantile(7)`: give a share from 0 to 1, such as 0.95"), "{quantile}");
    let thrown = answer("fn aggregate(w) { throw \"no way\" }", &[1.0]);
    assert!(thrown.contains("failed: no way at"), "{thrown}");
}
