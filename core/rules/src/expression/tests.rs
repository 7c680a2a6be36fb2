//! What expressions mean, and what is said about wrong ones.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn scope() -> Scope {
    let params = [
        ("limit".to_owned(), ParamValue::Int(4)),
        ("zone".to_owned(), ParamValue::Text("a".into())),
        ("on".to_owned(), ParamValue::Bool(true)),
        ("list".to_owned(), ParamValue::List(Vec::new())),
    ];
    Scope {
        v: V::Value,
        inputs: vec!["err".into(), "all".into(), "gone".into()],
        labels: Some(vec!["host".into(), "service.name".into(), "a-b".into()]),
        params: params.into(),
        message: None,
    }
}

/// The value of an expression: `v` is 80, `err` 5 of 7 samples, `all` 200, `gone` missing; the tick is Thursday,
/// 2026-01-01, 10:30 UTC.
fn shown(text: &str) -> String {
    let node = match Node::compile(text, &scope()) {
        Ok(node) => node,
        Err(error) => {
            return format!("error at {}+{}: {} ({})", error.offset, error.length, error.message, error.hint);
        }
    };
    let scope = scope();
    let now = Timestamp::from_millis(1_767_263_400_000);
    let newest = Timestamp::from_millis(1_767_263_400_000 - 90_000);
    let inputs = [
        Reading { value: Some(5.0), samples: Some(7), newest: Some(newest) },
        Reading { value: Some(200.0), samples: Some(9), newest: None },
        Reading::default(),
    ];
    let labels = vec![("host".to_owned(), "x".to_owned()), ("service.name".to_owned(), "pay".to_owned())];
    let names = Names {
        value: Some(80.0),
        inputs: &inputs,
        now,
        level: Some(Level::Warn),
        labels: &labels,
        params: &scope.params,
    };
    node.show(&names).unwrap_or_else(|| "missing".to_owned())
}

fn all(texts: &[&str]) -> String {
    let shown: Vec<String> = texts.iter().map(|text| format!("{text}  →  {}", shown(text))).collect();
    shown.join("\n")
}

#[test]
fn what_is_computed() {
    insta::assert_snapshot!(all(&[
        "1 / 2", "1 + 2 * 3 - 4 % 3", "-(2 + 3) * -2", "7 - 2 - 1", "1 / 0", "5 % 0", "0 / 0", "1e3 + 1_000", "1.5e-1",
        "v", "n", "err.n", "err.age", "now - err.newest", "err + gone", "gone ?? 3", "gone.n ?? all",
        "ratio(err, all)", "ratio(err, 0)", "abs(-3)", "min(err, all, 7)", "max(err, gone)", "clamp(v, 0, 10)",
        "clamp(v, 9, 1)", "round(2.5)", "round(1.005, 2)", "floor(-1.5)", "ceil(1.2)", "sqrt(-1)", "log10(1000)", "ln(1)",
        "26h", "14d", "1h30m", "10GiB", "2KB", "dur('14d') / 1d", "params.limit * 2", "1 + 2 ?? 3",
    ]), @"
    1 / 2  →  0.5
    1 + 2 * 3 - 4 % 3  →  6
    -(2 + 3) * -2  →  10
    7 - 2 - 1  →  4
    1 / 0  →  missing
    5 % 0  →  missing
    0 / 0  →  missing
    1e3 + 1_000  →  2000
    1.5e-1  →  0.15
    v  →  80
    n  →  7
    err.n  →  7
    err.age  →  90
    now - err.newest  →  90
    err + gone  →  missing
    gone ?? 3  →  3
    gone.n ?? all  →  200
    ratio(err, all)  →  0.025
    ratio(err, 0)  →  missing
    abs(-3)  →  3
    min(err, all, 7)  →  5
    max(err, gone)  →  missing
    clamp(v, 0, 10)  →  10
    clamp(v, 9, 1)  →  missing
    round(2.5)  →  3
    round(1.005, 2)  →  1
    floor(-1.5)  →  -2
    ceil(1.2)  →  2
    sqrt(-1)  →  missing
    log10(1000)  →  3
    ln(1)  →  0
    26h  →  93600
    14d  →  1209600
    1h30m  →  5400
    10GiB  →  10737418240
    2KB  →  2000
    dur('14d') / 1d  →  14
    params.limit * 2  →  8
    1 + 2 ?? 3  →  3
    ");
}

#[test]
fn what_holds() {
    insta::assert_snapshot!(all(&[
        "v >= 80", "v < 80", "v == 80.0 && n != 7", "!(v > 3) || true", "1 < 2 == true", "gone > 3", "!(gone > 3)",
        "gone > 3 && false", "false && gone > 3", "gone > 3 && true", "gone > 3 || true", "true || gone > 3",
        "gone > 3 || false", "(gone > 3) ?? true", "gone ?? 0 > -1", "labels.host == 'x'", "labels.host != \"x\"",
        "labels.service.name == 'pay'", "labels[\"a-b\"] == ''", "level == 'warn'", "params.zone == 'a'", "params.on",
        "labels.host ?? 'y'",
        "hour(now, 'UTC')", "hour(now, 'Europe/Madrid')", "weekday(now, 'UTC')", "date(now + 14h, 'Europe/Madrid') == '2026-01-02'",
    ]), @r#"
    v >= 80  →  true
    v < 80  →  false
    v == 80.0 && n != 7  →  false
    !(v > 3) || true  →  true
    1 < 2 == true  →  true
    gone > 3  →  missing
    !(gone > 3)  →  missing
    gone > 3 && false  →  false
    false && gone > 3  →  false
    gone > 3 && true  →  missing
    gone > 3 || true  →  true
    true || gone > 3  →  true
    gone > 3 || false  →  missing
    (gone > 3) ?? true  →  true
    gone ?? 0 > -1  →  true
    labels.host == 'x'  →  true
    labels.host != "x"  →  false
    labels.service.name == 'pay'  →  true
    labels["a-b"] == ''  →  true
    level == 'warn'  →  true
    params.zone == 'a'  →  true
    params.on  →  true
    labels.host ?? 'y'  →  x
    hour(now, 'UTC')  →  10
    hour(now, 'Europe/Madrid')  →  11
    weekday(now, 'UTC')  →  4
    date(now + 14h, 'Europe/Madrid') == '2026-01-02'  →  true
    "#);
}

#[test]
fn mistakes_say_where_and_what_to_do() {
    insta::assert_snapshot!(all(&[
        "v >=", "v = 80", "v >= 80 and n > 3", "v & 1 > 0", "v > 80%", "v > 5M", "1 < v < 3", "(v > 3", "v > 3)", "v > 'x'",
        "labels.host > 3", "labels.hots == 'x'", "labels == 'x'", "v > 3 && 1", "err && all", "v + (v > 3)", "vv > 3",
        "er > 1", "host == 'x'", "avg(v) > 3", "rat(err, all)", "ratio(err)", "fmt(v, 1)", "dur('14')", "dur(params.zone)",
        "hour(now, 'Europe/Madird')", "hour(now)", "v ?? 'x'", "params.limt", "params.list", "err.m", "labels.", "${v} > 3", "'abc",
        "1e999", "not v", "v > 3; v", "limit > 3", "labels.host < 'x'", "v v", "n.x", "round(v, 40)",
    ]), @"
    v >=  →  error at 4+1: a value is missing here (write a number, a name or a text)
    v = 80  →  error at 2+1: `=` has no meaning in an expression (equality is `==`)
    v >= 80 and n > 3  →  error at 8+3: `and` is not expected here (`and` is `&&`)
    v & 1 > 0  →  error at 2+1: `&` has no meaning in an expression (`and` is `&&`)
    v > 80%  →  error at 7+1: a value is missing behind `%` (a share is written without `%`: `80`, or `0.8`)
    v > 5M  →  error at 4+2: `5M` is not a number (write `5000000`, `5MB`, or `5m` for minutes)
    1 < v < 3  →  error at 6+1: a comparison is not compared again (write `1 < v && v < 3`)
    (v > 3  →  error at 0+1: this `(` is not closed (close it with `)`)
    v > 3)  →  error at 5+1: this `)` closes nothing (remove it)
    v > 'x'  →  error at 0+7: a number is compared with a text (put both in quotes, or neither: labels are texts, `labels.code == '503'`)
    labels.host > 3  →  error at 0+15: a text is compared with a number (put both in quotes, or neither: labels are texts, `labels.code == '503'`)
    labels.hots == 'x'  →  error at 0+11: instances of the rule have no label `hots` (did you mean `labels.host`?)
    labels == 'x'  →  error at 0+6: `labels` alone is no value (name one of them: `labels.NAME`)
    v > 3 && 1  →  error at 9+1: this is a number, and a condition is needed (compare it with something: `v >= 80`)
    err && all  →  error at 0+3: this is a number, and a condition is needed (compare it with something: `v >= 80`)
    v + (v > 3)  →  error at 4+7: this is a condition, and a number is needed (join conditions by `&&` and `||`)
    vv > 3  →  error at 0+2: there is nothing called `vv` (did you mean `v`?)
    er > 1  →  error at 0+2: there is nothing called `er` (did you mean `err`?)
    host == 'x'  →  error at 0+4: there is nothing called `host` (a label is `labels.host`)
    avg(v) > 3  →  error at 0+6: there is no function `avg` (what is computed over time is said by `agg`, in the rule or in `inputs`)
    rat(err, all)  →  error at 0+13: there is no function `rat` (functions: `ratio`, `abs`, `min`, `max`, `clamp`, `round`, `floor`, `ceil`, `sqrt`, `ln`, `log10`, `dur`, `hour`, `weekday`, `date`, `fmt`, `pct`, `human_bytes`, `human_duration`)
    ratio(err)  →  error at 0+10: `ratio` is not called like this (call it as `ratio(a, b)`)
    fmt(v, 1)  →  error at 0+9: this makes a text for people, which only a message needs (use the number itself)
    dur('14')  →  error at 4+4: `14` is not a duration: a duration needs a unit: `14s`, `14m`, … (like `14d`, `1h30m`)
    dur(params.zone)  →  error at 4+11: `dur` takes a text in quotes (write the duration where it is used, or a number of seconds in `params`)
    hour(now, 'Europe/Madird')  →  error at 10+15: there is no time zone `Europe/Madird`; did you mean `Europe/Madrid`? (the names of zones are those of IANA)
    hour(now)  →  error at 0+9: `hour` is not called like this (call it as `hour(now, 'Europe/Madrid')`)
    v ?? 'x'  →  error at 0+8: `??` stands between a number and a text (both sides must be of one type: `v ?? 0`)
    params.limt  →  error at 0+11: the rule has no parameter `limt` (did you mean `params.limit`?)
    params.list  →  error at 0+11: `params.list` is neither number, truth nor text (only a script can read lists and maps)
    err.m  →  error at 0+5: `err` has no `m` (did you mean `n`?)
    labels.  →  error at 7+1: a name is expected behind the `.` (like `labels.host`)
    ${v} > 3  →  error at 0+1: `$` has no meaning in an expression (names stand alone here: `v`, not `${v}`)
    'abc  →  error at 0+4: this text does not end (close it with `'`)
    1e999  →  error at 0+5: `1e999` is not a number (it must be finite)
    not v  →  error at 0+3: `not` has no meaning in an expression (`not` is `!`)
    v > 3; v  →  error at 5+1: the expression has ended before this (join both by `&&`, `||` or a comparison)
    limit > 3  →  error at 0+5: there is nothing called `limit` (there are: `v`, `err`, `all`, `gone`, `n`, `now`, `level`, `labels.NAME`, `params.NAME`)
    labels.host < 'x'  →  error at 0+17: `<` compares numbers only (texts are equal or not: `==`, `!=`)
    v v  →  error at 2+1: `v` is not expected here (join both by `&&`, `||` or a comparison)
    n.x  →  error at 0+3: `n` has no parts (write `n` alone)
    round(v, 40)  →  error at 9+2: the number of decimals is 0 to 17 (like `fmt(v, 1)`)
    ");
    assert_eq!(shown(""), "error at 0+1: a value is missing here (write a number, a name or a text)");
    assert!(shown(&"(".repeat(100)).contains("nested deeper"));
    assert!(shown(&"!".repeat(100)).contains("nested deeper"));
    assert!(shown(&"1+".repeat(3_000)).contains("more than 4096 bytes"));
    assert!(shown(&"1+".repeat(400)).contains("more than 500 words"));
    assert_eq!(shown(&format!("{}1", "1+".repeat(240))), "241");
}

#[test]
fn a_place_without_a_value_has_no_v() {
    let scope = Scope { v: V::None("name an input"), ..scope() };
    let error = Expression::amount("v * 2", &scope).unwrap_err();
    assert_eq!((error.message.as_str(), error.hint.as_str()), ("there is no `v` here", "name an input"));
    let error = Expression::condition("  err ", &scope).unwrap_err();
    assert_eq!((error.offset, error.length), (2, 3));
    assert_eq!(error.message, "this is a number, and a condition is needed");
}

#[test]
fn what_an_expression_needs_is_known() {
    let needs = |text: &str| {
        let compiled = Expression::condition(text, &scope()).unwrap();
        let of =
            |input| (compiled.uses_value(input), compiled.uses_samples(input), compiled.uses_newest(input));
        format!("{:?} {:?}", of(0), of(1))
    };
    assert_eq!(needs("n > 3 && all > 2"), "(false, true, false) (true, false, false)");
    assert_eq!(needs("err.age > 3 || all.n > 2"), "(false, false, true) (false, true, false)");
    let bound = |text: &str| Expression::condition(text, &scope()).unwrap().as_bound();
    assert_eq!(bound("v < 3"), Some((Comparison::Less, 3.0)));
    assert_eq!(bound("3 < v"), Some((Comparison::More, 3.0)));
    assert_eq!(bound("v * 2 < 3"), None);
    assert_eq!(Expression::limit(10.0, Worse::Higher).text, "v >= 10");
    assert_eq!(Expression::limit(0.5, Worse::Lower).text, "v < 0.5");
}

#[test]
fn the_age_of_data_counts_from_the_tick() {
    let inputs = [Reading { value: None, samples: Some(0), newest: Some(Timestamp::from_millis(1_000)) }];
    let (labels, params) = (Labels::new(), BTreeMap::new());
    let now = Timestamp::from_millis(61_000);
    let names = Names { value: None, inputs: &inputs, now, level: None, labels: &labels, params: &params };
    let scope = Scope { inputs: vec!["v".into()], ..scope() };
    let age = Expression::amount("v.age", &scope).unwrap();
    assert_eq!(age.number(&names), Some(Duration::from_secs(60).as_secs_f64()));
    let quiet = Expression::condition("level == ''", &scope).unwrap();
    assert_eq!(quiet.holds(&names), Some(true), "an instance that does not fire has no level");
}

proptest! {
    /// Whatever is written, it is refused or computed; and it is never NaN.
    #[test]
    fn nothing_panics(text in r#"([a-z.]{1,4}|[0-9]{1,3}[a-zA-Z%]{0,2}|[-+*/%!&|?=<>(),.;"' ]{1,2}){0,12}"#) {
        prop_assert_ne!(shown(&text), "NaN");
    }

    /// Three-valued logic: an answer that is given with something missing is the answer whatever it is.
    #[test]
    fn an_answer_without_something_is_the_answer_with_it(index in 0_usize..8, value in -3.0_f64..3.0) {
        let texts = [
            "gone > 0 && err > 9", "gone > 0 || err > 0", "!(gone > 0 && false)", "(gone > 0 || true) && err == 5",
            "gone > 0 && (gone < 0 && false)", "gone + 1 > 0 || all > 1", "!(gone > 1) && all < 1", "gone > 0",
        ];
        let condition = Expression::condition(texts[index], &scope()).unwrap();
        let holds = |gone: Option<f64>| {
            let reading = |value| Reading { value, ..Reading::default() };
            let inputs = [reading(Some(5.0)), reading(Some(200.0)), reading(gone)];
            let (labels, params) = (Labels::new(), BTreeMap::new());
            let now = Timestamp::from_millis(0);
            condition.holds(&Names { value: None, inputs: &inputs, now, level: None, labels: &labels, params: &params })
        };
        if let Some(answer) = holds(None) {
            prop_assert_eq!(holds(Some(value)), Some(answer));
        }
    }
}
