//! Imports, and what happens from one generation to the next.

use super::*;

const MATH: (&str, &str) = ("lib/math.rhai", "fn half(x) { x / 2 }");
const USER: (&str, &str) =
    ("aggregations/x.rhai", "import \"lib/math\" as m;\nfn aggregate(w) { m::half(w.max()) }");

fn x(library: &Library) -> Reduced {
    library.aggregation("x").unwrap().reduce(&window(&[4.0])).unwrap()
}

#[test]
fn imports_are_part_of_the_script() {
    let first = library(&[MATH, USER]);
    assert_eq!(x(&first), Reduced::Number(2.0));
    let (second, found) = load(&[("lib/math.rhai", "fn half(x) { x / 4 }"), USER], Some(&first));
    assert_eq!(found, []);
    assert_eq!(x(&second), Reduced::Number(1.0), "a changed library reaches those that import it");
    assert_eq!(x(&first), Reduced::Number(2.0), "and no earlier generation");
    assert_ne!(first.crc32(USER.0), second.crc32(USER.0), "which shows in the checksum");
    assert_eq!(first.crc32("aggregations/p95.rhai"), second.crc32("aggregations/p95.rhai"));
}

#[test]
fn libraries_import_libraries_but_not_themselves() {
    let scripts = [
        ("lib/a.rhai", "import \"lib/math\" as m; fn quarter(x) { m::half(m::half(x)) }"),
        MATH,
        ("aggregations/x.rhai", "import \"lib/a\" as a; fn aggregate(w) { a::quarter(w.max()) }"),
    ];
    assert_eq!(x(&library(&scripts)), Reduced::Number(1.0));
    let circle = [
        ("lib/a.rhai", "import \"lib/b\" as b; fn f() { b::f() }"),
        ("lib/b.rhai", "import \"lib/a\" as a; fn f() { a::f() }"),
    ];
    let (_, found) = load(&circle, None);
    assert!(found.iter().any(|finding| finding.message.contains("imports this script itself")), "{found:?}");
}

#[test]
fn a_mistake_in_a_library_is_shown_in_the_library() {
    let math = ("lib/math.rhai", "fn half(x) {\n    throw \"odd\"\n}");
    let error = library(&[math, USER]).aggregation("x").unwrap().reduce(&window(&[4.0])).unwrap_err();
    let text = crate::error::describe(&error);
    assert_eq!(text, "aggregation `x` failed: odd at scripts/lib/math.rhai:2:5");
    let unknown = ("aggregations/y.rhai", "import \"lib/math\" as m; fn aggregate(w) { m::haff(1) }");
    let (_, found) = load(&[MATH, unknown], None);
    assert_eq!(found[0].message, "there is no function `haff` with 1 argument in `m`");
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `m::half`?"));
}

#[test]
fn a_broken_script_keeps_its_last_good_version_and_the_others_advance() {
    let first = library(&[USER, MATH, ("rules/r.rhai", "fn check(s) { true }")]);
    let broken = [
        ("aggregations/x.rhai", "fn aggregate(w) { w.nope() }"),
        MATH,
        ("rules/r.rhai", "fn check(s) { false }"),
    ];
    let (second, found) = load(&broken, Some(&first));
    assert_eq!(found.len(), 1);
    assert_eq!(second.stale().collect::<Vec<_>>(), ["aggregations/x.rhai"]);
    assert_eq!(x(&second), Reduced::Number(2.0));
    assert_eq!(second.crc32("aggregations/x.rhai"), first.crc32("aggregations/x.rhai"));
    assert_ne!(second.crc32("rules/r.rhai"), first.crc32("rules/r.rhai"));
    let (third, _) = load(&broken, Some(&second));
    assert_eq!(third.stale().count(), 1, "it stays stale until it is mended");
    let (mended, found) = load(&[USER, MATH], Some(&third));
    assert_eq!((mended.stale().count(), found.len()), (0, 0));
    assert!(mended.rule("r.rhai").is_none(), "a script that is gone is gone");
}

#[test]
fn a_broken_library_keeps_its_last_good_version_for_those_that_import_it() {
    let first = library(&[USER, MATH]);
    let (second, found) = load(&[USER, ("lib/math.rhai", "fn half(x) {")], Some(&first));
    assert_eq!(found.len(), 1, "the mistake is told once: {found:?}");
    assert_eq!(second.stale().collect::<Vec<_>>(), ["lib/math.rhai"]);
    assert_eq!(x(&second), Reduced::Number(2.0));
}

#[test]
fn without_a_good_version_a_broken_script_is_missing() {
    let (library, found) = load(&[("aggregations/p95.rhai", "fn aggregate(w) { w.p95() }"), MATH], None);
    assert!(library.aggregation("p95").is_none(), "what the user replaced does not come back in secret");
    assert!(library.aggregation("p99").is_some());
    assert_eq!(found.len(), 1);
}

#[test]
fn the_users_script_replaces_the_shipped_one() {
    let library = library(&[("aggregations/mean.rhai", "fn aggregate(w) { 42 }")]);
    let mean = library.aggregation("mean").unwrap();
    assert_eq!(mean.reduce(&window(&[1.0])).unwrap(), Reduced::Number(42.0));
}

#[test]
fn the_shipped_library_tells_when_a_trend_reaches_a_level() {
    let trend = ("lib/trend.rhai", include_str!("../../../../scripts/lib/trend.rhai"));
    let time_to = |level: &str, values: &[f64]| {
        let text = format!("import \"lib/trend\" as trend; fn aggregate(w) {{ trend::time_to(w, {level}) }}");
        let reducer = library(&[trend, ("aggregations/x.rhai", &text)]).aggregation("x").unwrap();
        reducer.reduce(&window(values)).unwrap()
    };
    // One less each second from 100, and the window ends at 60 s: at 40.
    assert_eq!(time_to("0", &[100.0, 99.0, 98.0]), Reduced::Number(40.0));
    assert_eq!(time_to("200", &[100.0, 99.0, 98.0]), Reduced::None);
    assert_eq!(time_to("0", &[5.0, 5.0]), Reduced::None);
    assert_eq!(time_to("0", &[5.0]), Reduced::None);
}
