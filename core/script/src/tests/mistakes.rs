//! Mistakes that are found when a script is loaded, with place and advice.

use super::*;

#[test]
fn a_typing_mistake_is_found_in_a_branch_that_never_ran() {
    let cases = [
        (
            "fn aggregate(w) { if false { w.mea() } else { 1 } }",
            "1:32 there is no function `mea` | did you mean `mean`?",
        ),
        ("fn aggregate(w) { w.avg() }", "1:21 there is no function `avg` | did you mean `mean`?"),
        ("fn aggregate(w) {\n    ratoi(1, 2)\n}", "2:5 there is no function `ratoi` | did you mean `ratio`?"),
        ("fn aggregate(w) { ratio(1, 2, 3) }", "1:19 `ratio` takes 2 arguments, not 3"),
        ("fn aggregate(w) { w.quantile() }", "1:21 `quantile` takes 1 argument, not 0"),
        (
            "fn half(x) { x / 2 } fn aggregate(w) { hafl(w.mean()) }",
            "1:40 there is no function `hafl` | did you mean `half`?",
        ),
        ("fn half(x) { x / 2 } fn aggregate(w) { half() }", "1:40 `half` takes 1 argument, not 0"),
        ("fn aggregate(w) { w.mean }", "1:21 a window has no `mean` | did you mean `mean()`?"),
        (
            "fn aggregate(w) { let middle = w.between(1, 2); middle.to_upper() }",
            "1:56 a window has no `to_upper`",
        ),
        (
            "fn aggregate(w) { if w > 5 { 1 } }",
            "1:24 `>` compares a window with something else | take a number from it first, such as `.mean()`",
        ),
        (
            "fn aggregate(w) { if w.between(1, 2) == 5 { 1 } }",
            "1:38 `==` compares a window with something else | take a number from it first, such as `.mean()`",
        ),
        (
            "fn aggregate(w) { if () > 5 { 1 } }",
            "1:25 `>` compares `()` | `()` means that there is no value: ask `x == ()` first",
        ),
        ("fn agregate(w) { 1 }", "0:0 an aggregation needs `fn aggregate(w)`, and there is none"),
        ("fn aggregate(a, b, c) { 1 }", "0:0 an aggregation needs `fn aggregate(w)`, and there is none"),
        (
            "let x = 1; fn aggregate(w) { 1 }",
            "1:1 code outside functions | functions do not see it; put it into a function, or make it a `const`",
        ),
        ("fn aggregate(w) { m::f() }", "1:19 undefined module: m"),
    ];
    for (text, expected) in cases {
        assert_eq!(findings("aggregations/x.rhai", text), [expected], "{text}");
    }
}

#[test]
fn an_instance_is_known_to_the_lint() {
    let cases = [
        ("fn check(s) { s.vaule > 5 }", "1:17 an instance has no `vaule` | did you mean `value`?"),
        (
            "fn check(s) { s.series(\"5m\") > 5 }",
            "1:30 `>` compares a window with something else | take a number from it first, such as `.mean()`",
        ),
        (
            "fn check(s) { s.series(\"5m\").maen() > 5 }",
            "1:30 there is no function `maen` | did you mean `mean`?",
        ),
        (
            "fn check(s) { let w = s.series(\"5m\"); w.mean > 5 }",
            "1:41 a window has no `mean` | did you mean `mean()`?",
        ),
        (
            "fn check(s) { true } fn message(a) { `${a.lable}` }",
            "1:43 an alert has no `lable` | did you mean `labels`?",
        ),
        ("fn check(s) { alert() }", "1:15 `alert` takes 1 or 2 arguments, not 0"),
        (
            "fn chek(s) { true }",
            "0:0 a rule script needs `fn check(s)` or `fn decide(ctx)`, and there is none",
        ),
        (
            "fn check() { true }",
            "0:0 a rule script needs `fn check(s)` or `fn decide(ctx)`, and there is none",
        ),
        (
            "fn check(s) { true } fn decide(ctx) { }",
            "0:0 a rule script has `fn check(s)` and `fn decide(ctx)`; only one can be asked",
        ),
        ("fn check(s) { true } fn message() { \"\" }", "0:0 `fn message` takes 1 argument, not 0"),
        ("fn check(s) { true } fn migrate(old) { old }", "0:0 `fn migrate` takes 2 arguments, not 1"),
        ("fn init(s) { 1 } fn check(s) { true }", "0:0 `fn init` takes 0 arguments, not 1"),
    ];
    for (text, expected) in cases {
        assert_eq!(findings("rules/x.rhai", text), [expected], "{text}");
    }
}

#[test]
fn a_whole_rule_and_its_vectors_are_known_to_the_lint() {
    let cases = [
        (
            "fn decide(ctx) { ctx.emmit(#{}, true) }",
            "1:22 there is no function `emmit` | did you mean `emit`?",
        ),
        ("fn decide(ctx) { ctx.value }", "1:22 a rule has no `value`"),
        (
            "fn decide(ctx) { let v = ctx.query(\"m\", [], \"sum\", \"5m\"); for r in v { r.lables } }",
            "1:74 a row has no `lables` | did you mean `labels`?",
        ),
        (
            "fn decide(ctx) { let v = ctx.query(\"m\", [], \"sum\", \"5m\"); let j = v.join(v); if j > 5 { } }",
            "1:83 `>` compares a vector with something else | take a number from it first, such as `.sum()`",
        ),
        (
            "fn decide(ctx) { if ctx.alerts(\"db\") == 1 { } }",
            "1:38 `==` compares a list of alerts with something else | take a number from it first, such as `.len()`",
        ),
        ("fn decide(ctx) { for k in ctx.known { k.labels; k.foo } }", "1:51 a row has no `foo`"),
        (
            "fn check(s) { s.input(\"err\").vaule > 5 }",
            "1:30 an input has no `vaule` | did you mean `value`?",
        ),
        (
            "fn check(s) { s.input(\"err\") > 5 }",
            "1:30 `>` compares an input with something else | take a number from it first, such as `.value`",
        ),
        (
            "fn check(s) { true } fn message(a) { a.fired }",
            "1:40 an alert has no `fired` | did you mean `fired_at`?",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(findings("rules/x.rhai", text), [expected], "{text}");
    }
}

#[test]
fn arguments_that_are_written_out_are_checked() {
    let cases = [
        ("s.agg(\"p98\", \"5m\") > 1", "1:21 there is no aggregation `p98` | did you mean `p99`?"),
        ("s.agg(\"mean\", \"5\") > 1", "1:29 `5` is no duration | a duration needs a unit: `5s`, `5m`, …"),
        (
            "s.series(\"5m\", \"7 weaks\").mean() > 1",
            "1:30 `7 weaks` is no duration | unknown time unit \"weaks\", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)",
        ),
        ("s.query(\"m\", \"men\", \"5m\") > 1", "1:28 there is no aggregation `men` | did you mean `mean`?"),
        (
            "s.query(#{ metric: \"m\", agg: \"mean\", wher: #{} }) > 1",
            "1:52 a query has no `wher`; did you mean `where`?",
        ),
        (
            "s.query(#{ metric: \"m\", agg: \"mean\", by: [] }) > 1",
            "1:52 a query has no `by`; there are metric, agg, window, offset, where, across, on, keep",
        ),
        (
            "s.query(#{ metric: \"m\", agg: \"mean\", \"else\": 0 }) > 1",
            "1:52 a query has no `else`; write `s.query(…) ?? 0`, or `a.join_or(b, 0)`",
        ),
        (
            "s.query(#{ metric: \"m\", agg: \"mean\", across: \"avg\" }) > 1",
            "1:60 `avg` does not join series; `across` is `sum`, `mean`, `min`, `max`, `count` or `pool`",
        ),
        ("s.query(#{ metric: \"m\" }) > 1", "1:26 a query needs `agg`"),
        (
            "hour(s.now, \"Europe/Madird\") > 8",
            "1:27 there is no time zone `Europe/Madird`; did you mean `Europe/Madrid`?",
        ),
        ("alert(\"red\", 1)", "1:21 `red` is not a level; levels are `info`, `warn` and `crit`"),
        ("dur(\"14\") > 1", "1:19 `14` is no duration | a duration needs a unit: `14s`, `14m`, …"),
    ];
    for (body, expected) in cases {
        let found = findings("rules/x.rhai", &format!("fn check(s) {{ {body} }}"));
        assert_eq!(found, [expected], "{body}");
    }
    let fine = [
        "s.agg(\"apdex.score\", \"5m\") > 1",
        "s.query(#{ metric: \"m\", agg: #{ name: \"apdex\", params: #{ satisfied: 1 } }, on: [], keep: [\"le\"] }).len() > 1",
        "hour(s.now, \"UTC\") + weekday(s.now, \"America/New_York\") > 1",
    ];
    for body in fine {
        assert_eq!(
            findings("rules/x.rhai", &format!("fn check(s) {{ {body} }}")),
            Vec::<String>::new(),
            "{body}"
        );
    }
}

#[test]
fn whole_numbers_divided_are_a_warning_that_stays() {
    let script = [("rules/x.rhai", "fn check(s) { s.value > 1 / 2 }")];
    let (first, found) = load(&script, None);
    assert!(first.rule("x.rhai").is_some());
    let text = |found: &[Diagnostic]| {
        assert!(found.iter().all(|found| !found.is_error()));
        found
            .iter()
            .map(|found| format!("{}:{} {}", found.line, found.column, found.message))
            .collect::<Vec<_>>()
    };
    let expected = ["1:27 `1 / 2` divides two whole numbers, which is 0.5 here"];
    assert_eq!(text(&found), expected);
    let (_, again) = load(&script, Some(&first));
    assert_eq!(text(&again), expected, "what is not compiled anew is still told");
}

#[test]
fn what_is_fine_is_not_found_fault_with() {
    let fine = [
        "fn init() { #{ seen: 0 } } fn check(s) { this.seen += 1; s.labels.host == \"a\" && this.seen > 2 }",
        "fn check(s) { let f = |x| x * 2; f.call(s.value) > 5 }",
        "fn twice() { this * 2 } fn check(s) { let v = s.value; v.twice() > 5 }",
        "fn check(s) { let w = s.series(\"5m\"); w = w.mean(); w > 5 }",
        "fn helper(s) { s > 5 } fn check(s) { helper(s.value) }",
        "fn check(s) { let p = s.params; if p.contains(\"limit\") { s.value > p.limit } else { skip(\"no limit\") } }",
        "fn check(s) { if s.series(\"5m\").is_empty() { return absent(\"silent\"); } print(s.labels); s.level ?? \"warn\" }",
        "fn check(s) { switch s.params.mode { \"a\" => ok(1), _ => alert(\"warn\", s.value) } }",
        "fn check(s) { [1, 2, 3].map(|v| v * 2).filter(|v| v > 2).len() > s.value.to_float().sqrt().floor() }",
    ];
    for text in fine {
        assert_eq!(findings("rules/x.rhai", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_syntax_error_shows_its_line() {
    let (_, found) = load(&[("rules/x.rhai", "fn check(s) {\n    let limit = 5 +;\n    true\n}")], None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].place(), "scripts/rules/x.rhai:2:20");
    assert_eq!(found[0].source_line.as_deref(), Some("    let limit = 5 +;"));
    let reserved = findings("rules/x.rhai", "fn check(s) { s.params.default > 1 }");
    assert_eq!(
        reserved,
        [
            "1:24 `default` is a word that the language keeps for itself | choose another name; a property of that name is \
             `x[\"default\"]`"
        ]
    );
    let undefined = findings("rules/x.rhai", "fn check(s) {\n    s.value > limti\n}");
    assert_eq!(undefined.len(), 1, "{undefined:?}");
    assert!(undefined[0].starts_with("2:15 ") && undefined[0].contains("limti"), "{undefined:?}");
}

#[test]
fn a_script_outside_the_three_folders_is_pointed_out() {
    let (library, found) = load(&[("disk.rhai", "fn check(s) { true }")], None);
    assert!(library.rule("disk.rhai").is_none());
    assert_eq!(found[0].message, "this script is not used");
    assert!(!found[0].is_error());
}
