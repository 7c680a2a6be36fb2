//! Aggregations: the shipped ones, scripted ones, and that both ways of running agree.

use std::collections::BTreeMap;

use super::*;
use crate::ParamValue;

#[test]
fn the_shipped_ones_are_there_and_native() {
    let (library, found) = load(&[], None);
    assert_eq!(found, []);
    let is_scripted = |name: &&str| format!("{:?}", library.aggregation(name).unwrap()).contains("Scripted");
    let (scripted, native): (Vec<&str>, Vec<&str>) = library.aggregation_names().partition(is_scripted);
    let expected = "age count delta first increase last mad max mean median min p90 p95 p99 rate stddev sum";
    assert_eq!(native.join(" "), expected, "the others would enter Rhai for every window");
    assert_eq!(scripted.join(" "), "apdex budget_burn ewma robust_zscore trimmed_mean");
}

#[test]
fn a_lowered_script_answers_what_it_answers_in_rhai() {
    let windows: [&[f64]; 4] = [&[], &[3.0], &[1.0, f64::NAN, 5.0], &[0.1, 0.2, 7.5, 7.4, 1e9, -2.0]];
    let (shipped, _) = load(&[], None);
    let is_native = |name: &&str| shipped.aggregation(name).unwrap().native().is_some();
    for name in shipped.aggregation_names().filter(is_native) {
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

#[test]
fn the_shipped_scripts_compute_what_they_say() {
    let (library, _) = load(&[], None);
    let ask = |name: &str, params: &[(&str, f64)], values: &[f64]| {
        let params =
            params.iter().map(|(name, value)| ((*name).to_owned(), ParamValue::Float(*value))).collect();
        match library.aggregation_with(name, &params).expect(name).reduce(&window(values)) {
            Ok(Reduced::None) => "none".to_owned(),
            Ok(Reduced::Number(number)) => number.to_string(),
            Ok(Reduced::Map(map)) => format!("{map:?}"),
            Err(error) => crate::error::describe(&error),
        }
    };
    let served = [0.1, 0.2, 0.3, 0.5, 1.0, 5.0];
    assert_eq!(
        ask("apdex", &[("satisfied", 0.3)], &served),
        r#"{"lost": 1.0, "score": 0.6666666666666666, "slow": 2.0}"#
    );
    assert_eq!(ask("apdex", &[("satisfied", 0.3), ("tolerated", 0.4)], &served)[..11], *r#"{"lost": 3."#);
    assert_eq!(ask("apdex", &[("satisfied", 0.3)], &[]), "none");
    assert!(ask("apdex", &[], &served).contains("there is no `satisfied`"));
    assert_eq!(ask("budget_burn", &[("objective", 0.75)], &[1.0, 0.0, 1.0, 0.0]), "2");
    assert_eq!(ask("budget_burn", &[("objective", 0.75)], &[1.0]), "0");
    assert_eq!(ask("budget_burn", &[("objective", 0.75)], &[]), "none");
    let outlier = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1_000.0, -1_000.0];
    assert_eq!(ask("trimmed_mean", &[], &outlier), "5");
    assert_eq!(ask("trimmed_mean", &[("share", 0.0)], &outlier), "4.090909090909091");
    assert_eq!(ask("trimmed_mean", &[], &[]), "none");
    assert_eq!(ask("ewma", &[("half_life", 1.0)], &[0.0, 0.0, 7.0]), "4");
    assert_eq!(ask("ewma", &[], &[5.0]), "5");
    assert_eq!(ask("ewma", &[], &[]), "none");
    let score = |values: &[f64]| {
        let reduced = library.aggregation("robust_zscore").unwrap().reduce(&window(values)).unwrap();
        reduced.number()
    };
    let usual = [10.0, 11.0, 9.0, 10.0, 12.0, 8.0, 10.0, 11.0, 9.0];
    assert!(score(&[&usual[..], &[10.0]].concat()).unwrap().abs() < 0.1);
    assert!(score(&[&usual[..], &[20.0]].concat()).unwrap() > 6.0);
    assert!(score(&[&usual[..], &[900.0, 800.0, 20.0]].concat()).unwrap() > 4.0, "whatever came before");
    assert_eq!(score(&usual), None, "too few to tell");
    assert_eq!(score(&[5.0; 20]), None, "what never moves");
}
