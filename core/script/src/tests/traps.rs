//! The traps of the language that would make a broken system look healthy. Each line pins one.

use super::*;

#[test]
fn comparisons_mean_what_they_say() {
    let cases = [
        ("1.0 / 0.0 > 0.5", "true"),
        ("1.0 / 0.0 == 1.0 / 0.0", "true"),
        ("0.5 < 1 / 0", "true"),
        ("-1 / 0 < 0", "true"),
        ("1e-17 > 0", "true"),
        ("1.0000000000000002 > 1.0", "true"),
        ("0.0 / 0.0 == 0.0 / 0.0", "false"),
        ("0.0 / 0.0 != 1", "true"),
        ("2 > 1.5", "true"),
        ("1 == 1.0", "true"),
        ("() == ()", "true"),
        ("5 == ()", "false"),
        ("5 != ()", "true"),
        ("w.mean() == ()", "false"),
        ("\"a\" < \"b\"", "true"),
        ("\"a\" == \"a\"", "true"),
        ("true != false", "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("3 in [1, 2, 3]", "true"),
    ];
    for (expression, expected) in cases {
        let text = format!("fn aggregate(w) {{ if {expression} {{ 1 }} else {{ 0 }} }}");
        assert_eq!(answer(&text, &[1.0]), if expected == "true" { "1" } else { "0" }, "{expression}");
    }
}

#[test]
fn what_cannot_be_compared_is_an_error_and_never_false() {
    let cases = [
        ("let x = 0.0 / 0.0; x > 5", "`>` with NaN has no answer; ask `x.is_nan()` first"),
        ("let x = 0.0 / 0.0; 5 <= x", "`<=` with NaN has no answer; ask `x.is_nan()` first"),
        (
            "let x = (); x > 5",
            "`>` cannot compare `()` with a number; `()` means that there is no value: ask `x == ()` first",
        ),
        ("let x = (); 5.0 >= x", "`>=` cannot compare a number with `()`"),
        ("let x = (); let y = (); x < y", "`<` cannot compare `()` with `()`"),
        (
            "let x = [w]; x[0] > 5",
            "`>` cannot compare a window with a number; take a number from the window first",
        ),
        ("let x = [w]; x[0] == 5", "`==` cannot compare a window with a number"),
        ("let x = [w]; 5 != x[0]", "`!=` cannot compare a number with a window"),
        ("let x = \"7\"; x > 5", "`>` cannot compare a text with a number"),
        ("let x = \"7\"; x == 7", "`==` cannot compare a text with a number"),
        ("let x = true; x == 1", "`==` cannot compare a truth value with a number"),
        ("let x = (); x + 1 > 5", "there is no function `+ ((), i64)`"),
    ];
    for (code, expected) in cases {
        let text = format!("fn aggregate(w) {{ {code}; if true {{ 1 }} }}");
        let error = answer(&text.replace("; if true", "\nif true").replace("\nif", ";\nif"), &[1.0]);
        assert!(error.contains(expected), "{code}: {error}");
    }
}

/// In Rhai `1 / 2` is 0, and a limit from YAML may well be an integer.
#[test]
fn the_division_of_integers_is_a_division() {
    assert_eq!(answer("fn aggregate(w) { 1 / 2 }", &[]), "0.5");
    assert_eq!(answer("fn aggregate(w) { let a = 7; let b = 2; a / b }", &[]), "3.5");
    assert_eq!(answer("fn aggregate(w) { 7 % 2 + 2 ** 3 }", &[]), "9");
    assert_eq!(answer("fn aggregate(w) { let a = 8; a /= 2; a }", &[]), "4");
    let inexact = answer("fn aggregate(w) { let a = 7; a /= 2; a }", &[]);
    assert!(inexact.contains("`7 /= 2` is no whole number; write `x = x / y`"), "{inexact}");
    let by_zero = answer("fn aggregate(w) { let a = 7; a /= 0; a }", &[]);
    assert!(by_zero.contains("`7 /= 0` is no whole number"), "{by_zero}");
}

#[test]
fn integers_and_floats_serve_alike_as_arguments() {
    assert_eq!(
        answer("fn aggregate(w) { w.quantile(1) + w.count_above(1) + clamp(7, 0, 5) }", &[1.0, 2.0]),
        "8"
    );
    assert_eq!(answer("fn aggregate(w) { round(2.345, 2) + round(1, 0) }", &[]), "3.35");
    let wrong = answer("fn aggregate(w) { w.quantile(\"0.9\") }", &[1.0]);
    assert!(wrong.contains("`quantile` wants a number, not a text"), "{wrong}");
}

#[test]
fn a_share_of_nothing_has_no_value() {
    for expression in ["ratio(5, 0)", "ratio(5, 0.0)", "ratio((), 5)", "ratio(w.mean(), 2)"] {
        assert_eq!(
            answer(&format!("fn aggregate(w) {{ let x = 1; {expression} }}"), &[]),
            "none",
            "{expression}"
        );
    }
    assert_eq!(answer("fn aggregate(w) { let x = 1; ratio(1, 4) }", &[]), "0.25");
}

#[test]
fn people_read_round_numbers() {
    let text = |expression: &str| {
        let script = format!("fn aggregate(w) {{ throw {expression} }}");
        answer(&script, &[])
            .replace("aggregation `x` failed: ", "")
            .replace(" at scripts/aggregations/x.rhai:1:19", "")
    };
    assert_eq!(text("fmt(3.14159, 2)"), "3.14");
    assert_eq!(text("fmt((), 2)"), "none");
    assert_eq!(text("human_bytes(1536)"), "1.5 KiB");
    assert_eq!(text("human_bytes(12)"), "12 B");
    assert_eq!(text("human_duration(273600)"), "3d 4h");
    assert_eq!(text("human_duration(0.2)"), "0s");
    assert_eq!(text("human_duration(-90)"), "-1m 30s");
    assert_eq!(text("pct(0.125, 1)"), "12.5 %");
    assert_eq!(text("pct((), 1) + human_bytes(()) + human_duration(())"), "nonenonenone");
}
