//! Nothing that a script does hurts the server, and nothing of it can be caught by the script.

use std::time::Duration;

use super::*;
use crate::{ErrorKind, ScriptError};

/// The error of the aggregation `x`, under these limits.
fn broken(text: &str, limits: Limits) -> ScriptError {
    let clock = clock();
    let (library, found) = Library::load(&sources(&[("aggregations/x.rhai", text)]), &limits, &clock, None);
    assert_eq!(found, []);
    let error = library.aggregation("x").unwrap().reduce(&window(&[1.0, 2.0])).unwrap_err();
    *error.source.downcast::<ScriptError>().unwrap()
}

#[test]
fn what_never_ends_is_stopped() {
    on_script_stack(|| {
        let few = Limits { operations_max: 100_000, ..Limits::default() };
        let cases = [
            ("fn aggregate(w) { loop {} }", "the script used up its operations for one call"),
            (
                "fn aggregate(w) { while true { try { loop {} } catch {} } }",
                "the script used up its operations for one call",
            ),
            (
                "fn aggregate(w) { for a in 0..1000000000000 { } }",
                "the script used up its operations for one call",
            ),
            ("fn f(n) { f(n + 1) } fn aggregate(w) { f(0) }", "functions call each other too deep"),
            (
                "fn f(n) { try { f(n + 1) } catch {} } fn aggregate(w) { f(0) }",
                "functions call each other too deep",
            ),
            (
                "fn f() { loop {} } fn aggregate(w) { try { f() } catch {} 1 }",
                "the script used up its operations for one call",
            ),
            (
                "fn f(n) { f(n + 1) } fn aggregate(w) { try { f(0) } catch {} 1 }",
                "functions call each other too deep",
            ),
            (
                "fn f() { let s = \"x\"; loop { s += s; } } fn aggregate(w) { try { f() } catch {} 1 }",
                "a text grew too large",
            ),
            ("fn aggregate(w) { let s = \"x\"; loop { s += s; } }", "a text grew too large"),
            ("fn aggregate(w) { let s = \"x\"; s.pad(1000000000, \"y\"); s }", "a text grew too large"),
            ("fn aggregate(w) { let a = []; a.pad(1000000000, 1); a }", "an array grew too large"),
            ("fn aggregate(w) { let m = #{}; loop { m.a = m; m.b = m; } }", "a map grew too large"),
        ];
        for (text, expected) in cases {
            let error = broken(text, few);
            assert_eq!(error.kind, ErrorKind::Limit, "{text}: {error}");
            assert!(error.diagnostic.message.contains(expected), "{text}: {error}");
        }
    });
}

/// Every nesting that the limits allow fits the stack of a script thread, in debug builds too: an overflow would
/// abort the process, and nothing could catch it. Half the stack is for a rule, half for an aggregation that it calls.
#[test]
fn the_deepest_allowed_recursion_fits_the_stack() {
    let shapes = [
        ("1 + (", ")"),
        ("if n >= 0 { ", " }"),
        ("for i in 0..1 { ", " }"),
        ("[", "]"),
        ("`${", "}`"),
        ("[n].map(|n| ", ")"),
        ("try { ", " } catch { 1 }"),
    ];
    let thread = spawn("script", SCRIPT_STACK_BYTES / 2, move || {
        for (open, close) in shapes {
            let script = |depth| {
                let deep = format!("{}f(n + 1){}", open.repeat(depth), close.repeat(depth));
                format!("fn f(n) {{ {deep} }} fn aggregate(w) {{ f(0); 1 }}")
            };
            let loads = |depth: &usize| load(&[("aggregations/x.rhai", &script(*depth))], None).1.is_empty();
            let deepest = (1..64).take_while(loads).last().unwrap();
            assert!(deepest >= 4, "`{open}` can be nested {deepest} times only");
            assert_eq!(broken(&script(deepest), Limits::default()).kind, ErrorKind::Limit, "`{open}`");
        }
    });
    thread.unwrap().join().unwrap();
}

/// Freeing or printing a value recurses as deep as it nests, and not even the operation count would notice.
#[test]
fn values_nest_no_deeper_than_the_stack_allows() {
    on_script_stack(|| {
        let nested = |use_it: &str| {
            answer(&format!("fn aggregate(w) {{ let a = []; for i in 0..900 {{ a = [a]; }} {use_it} }}"), &[])
        };
        assert_eq!(nested("`${a}`.len()"), "1802");
        assert_eq!(nested("if a == a { 1 }"), "1");
        assert!(nested("for i in 0..900 { a = [a]; } 1").contains("an array grew too large"));
        let captured =
            findings("aggregations/x.rhai", "fn aggregate(w) { let f = 1; let g = |x| f + x; g.call(1) }");
        assert_eq!(captured, ["1:42 undefined variable: f"]);
        let curried = findings("aggregations/x.rhai", "fn aggregate(w) { let f = |x| x; f.curry(f); 1 }");
        assert_eq!(curried.len(), 1, "{curried:?}");
        let hidden = answer("fn aggregate(w) { let f = |x| x; Fn(\"curry\").call(f, f); 1 }", &[]);
        assert!(hidden.starts_with("aggregation `x` failed"), "{hidden}");
    });
}

#[test]
fn a_panic_in_a_native_function_is_an_error_of_the_call() {
    let error = broken("fn aggregate(w) { try { panic_in_a_test() } catch { 1 } }", Limits::default());
    assert_eq!(error.kind, ErrorKind::Panic);
    assert!(
        error.diagnostic.message.contains("the server panicked while it ran `aggregate`: as told"),
        "{error}"
    );
    assert_eq!(answer("fn aggregate(w) { w.max() + 0 }", &[1.0]), "1", "the thread goes on");
}

#[test]
fn the_deadline_is_met_by_slow_clocks_and_slow_functions() {
    /// A clock that passes a millisecond whenever someone looks.
    #[derive(Debug)]
    struct Running(ManualClock);
    impl Clock for Running {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn monotonic(&self) -> Duration {
            self.0.advance(Duration::from_millis(1));
            self.0.monotonic()
        }
    }
    let limits = Limits { deadline: Duration::from_millis(10), ..Limits::default() };
    let running: Arc<dyn Clock> = Arc::new(Running(ManualClock::new(Timestamp::default())));
    for text in [
        "fn aggregate(w) { loop {} }",
        "fn aggregate(w) { loop { w.mean(); } }",
        "fn aggregate(w) { loop { try { w.mean() } catch {} } }",
    ] {
        let (library, _) = Library::load(&sources(&[("aggregations/x.rhai", text)]), &limits, &running, None);
        let error = library.aggregation("x").unwrap().reduce(&window(&[1.0])).unwrap_err();
        let text = crate::error::describe(&error);
        assert!(text.contains("the script ran longer than its 10ms"), "{text}");
    }
}

#[test]
fn samples_that_are_looked_at_are_counted() {
    let limits = Limits { samples_max: 5, ..Limits::default() };
    let error = broken("fn aggregate(w) { try { w.median() + w.stddev() + w.slope() } catch { 0 } }", limits);
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!(error.diagnostic.message, "the script looked at more than its 5 samples");
}

#[test]
fn what_reaches_outside_is_refused_at_load() {
    let refused = |body: &str| findings("aggregations/x.rhai", &format!("fn aggregate(w) {{ {body} }}"));
    assert!(refused("eval(\"1\")")[0].contains("eval"), "{:?}", refused("eval(\"1\")"));
    assert!(refused("sleep(10); 1")[0].contains("there is no function `sleep` | a script cannot wait"));
    assert!(refused("timestamp()")[0].contains("there is no clock"));
    assert!(refused("rand()")[0].contains("there is no randomness"));
    assert!(refused("open(\"/etc/passwd\")")[0].contains("there is no function `open`"));
    // What hides from the lint fails when it is called.
    let hidden = answer("fn aggregate(w) { Fn(\"sleep\").call(10) }", &[1.0]);
    assert!(hidden.contains("a script cannot wait"), "{hidden}");
    let eval = answer("fn aggregate(w) { Fn(\"ev\" + \"al\").call(\"1 + 1\") }", &[1.0]);
    assert!(eval.starts_with("aggregation `x` failed"), "{eval}");
}

#[test]
fn imports_stay_among_the_scripts() {
    for path in ["../../etc/passwd", "/etc/passwd", "lib/../lib/a", "rules/x", "lib/a.rhai", "LIB/a"] {
        let text = format!("import \"{path}\" as a;\nfn aggregate(w) {{ a::f() }}");
        let (_, found) = load(&[("aggregations/x.rhai", &text), ("lib/a.rhai", "fn f() { 1 }")], None);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert_eq!(found[0].message, format!("there is no library \"{path}\""));
        assert_eq!((found[0].line, found[0].column), (1, 1));
    }
    let computed = findings("aggregations/x.rhai", "fn aggregate(w) { import `lib/${w}` as a; 1 }");
    assert!(computed[0].contains("the path of an import is a plain text"), "{computed:?}");
}
