//! `histogram_quantile`, against what Prometheus documents and tests.

use super::world::World;

/// Buckets of one histogram: bounds with counts.
fn world(buckets: &[(&str, f64)]) -> World {
    let keys: Vec<String> = buckets.iter().map(|(bound, _)| format!("b{{le={bound}}}")).collect();
    let samples: Vec<[(i64, f64); 1]> = buckets.iter().map(|(_, count)| [(30, *count)]).collect();
    let series: Vec<(&str, &[(i64, f64)])> =
        keys.iter().zip(&samples).map(|(key, samples)| (key.as_str(), &samples[..])).collect();
    World::new(&series)
}

fn quantile(q: &str, buckets: &[(&str, f64)]) -> String {
    let query = "s.query(#{ metric: \"b\", agg: \"max\", keep: [\"le\"] })";
    world(buckets).number("", &format!("histogram_quantile({q}, {query})"))
}

#[test]
fn quantiles_are_interpolated_within_the_bucket() {
    let buckets = [("0.1", 10.0), ("0.5", 30.0), ("1", 40.0), ("+Inf", 50.0)];
    let cases = [
        ("0", "0"),
        ("0.2", "0.1"),
        ("0.4", "0.30000000000000004"),
        ("0.6", "0.5"),
        ("0.7", "0.75"),
        ("0.8", "1"),
        ("0.99", "1"),
        ("1", "1"),
    ];
    for (q, expected) in cases {
        assert_eq!(quantile(q, &buckets), expected, "{q}");
    }
    assert_eq!(quantile("0.1", &[("2", 10.0), ("+Inf", 10.0)]), "0.2", "the lowest bucket begins at 0");
    assert_eq!(quantile("0.1", &[("-2", 10.0), ("+Inf", 10.0)]), "-2", "unless its bound is not above it");
    assert_eq!(
        quantile("0.5", &[("1", 0.0), ("2", 0.0), ("3", 8.0), ("+Inf", 8.0)]),
        "2.5",
        "empty buckets below"
    );
    assert_eq!(
        quantile("0.5", &[("10", 4.0), ("9", 2.0), ("+Inf", 4.0)]),
        "9",
        "bounds are numbers, not texts"
    );
    assert_eq!(
        quantile("0.5", &[("1", 2.0), ("1.0", 2.0), ("+Inf", 8.0)]),
        "1",
        "one bound written twice is one bucket"
    );
}

#[test]
fn what_has_no_answer_has_none() {
    assert_eq!(quantile("0.5", &[("1", 2.0), ("2", 4.0)]), "none", "no +Inf bucket");
    assert_eq!(quantile("0.5", &[("+Inf", 4.0)]), "none", "one bucket");
    assert_eq!(quantile("0.5", &[("1", 0.0), ("+Inf", 0.0)]), "none", "nothing was counted");
    assert_eq!(quantile("0.5", &[("1", f64::NAN), ("+Inf", 4.0)]), "none");
    let falls = [("1", 4.0), ("2", 3.0), ("+Inf", 8.0)];
    assert_eq!(quantile("0.5", &falls), "1", "counts that fall are raised");
    assert_eq!(
        quantile("0.5", &[("abc", 1.0), ("+Inf", 1.0)]),
        "`histogram_quantile`: `le` is `abc`, which is no number"
    );
    assert_eq!(
        quantile("7", &[("+Inf", 1.0)]),
        "`histogram_quantile(7, …)`: give a share from 0 to 1, such as 0.99"
    );
    let world = World::new(&[("b", &[(30, 1.0)])]);
    let without = "histogram_quantile(0.5, s.query(#{ metric: \"b\", agg: \"max\", keep: [\"le\"] }))";
    assert_eq!(world.number("", without), "`histogram_quantile`: there are series without the label `le`");
    let number = "histogram_quantile(0.5, s.query(\"b\", \"max\", \"1m\"))";
    assert_eq!(world.number("", number), "`histogram_quantile` wants a vector that keeps `le`, not a number");
}

#[test]
fn each_label_set_has_its_quantile() {
    let world = World::new(&[
        ("b{route=a,le=1}", &[(90, 0.0), (30, 10.0)]),
        ("b{route=a,le=+Inf}", &[(90, 0.0), (30, 10.0)]),
        ("b{route=b,le=1}", &[(90, 0.0), (30, 0.0)]),
        ("b{route=b,le=3}", &[(90, 0.0), (30, 4.0)]),
        ("b{route=b,le=+Inf}", &[(90, 0.0), (30, 4.0)]),
        ("b{route=c,le=+Inf}", &[(90, 0.0), (30, 0.0)]),
    ]);
    let buckets =
        "ctx.query(#{ metric: \"b\", by: [\"route\"], keep: [\"le\"], agg: \"increase\", window: \"1m\" })";
    let told = world.told(
        &["route"],
        &format!("for r in histogram_quantile(0.5, {buckets}) {{ ctx.emit(r.labels, ok(r.value)); }}"),
    );
    assert_eq!(told, "route=a: ok 0.5; route=b: ok 2");
    let one = world.number(
        "route=b",
        "histogram_quantile(0.5, s.query(#{ metric: \"b\", agg: \"increase\", keep: [\"le\"] }))",
    );
    assert_eq!(one, "2", "an instance has its own");
}
