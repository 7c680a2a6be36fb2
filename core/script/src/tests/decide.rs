//! `decide`: vectors, joins, and what a rule tells as a whole.

use sereno_model::Level;

use super::world::{World, decide, labels, show};
use super::*;
use crate::{Budget, ErrorKind, Memory, TraceValue, Whole};

/// Requests and errors by route, limits by service, one total.
fn world() -> World {
    World::new(&[
        ("req{route=a,svc=x}", &[(30, 100.0)]),
        ("req{route=b,svc=x}", &[(30, 50.0)]),
        ("req{route=c,svc=y}", &[(30, 10.0)]),
        ("err{route=a,svc=x}", &[(30, 10.0)]),
        ("err{route=c,svc=y}", &[(30, 1.0)]),
        ("err{route=d,svc=y}", &[(30, 3.0)]),
        ("limit{svc=x}", &[(30, 0.5)]),
        ("limit{svc=y}", &[(30, 0.25)]),
        ("total", &[(30, 1_000.0)]),
    ])
}

const REQ: &str = "let req = ctx.query(\"req\", [\"route\", \"svc\"], \"max\", \"1m\");";
const ERR: &str = "let err = ctx.query(\"err\", [\"route\", \"svc\"], \"max\", \"1m\");";
const LIMIT: &str = "let limit = ctx.query(\"limit\", [\"svc\"], \"max\", \"1m\");";
const EMIT: &str = "ctx.emit(r.labels, alert(\"warn\", r.a / r.b))";

#[test]
fn joins_pair_rows_by_their_labels() {
    let world = world();
    let by = ["route", "svc"];
    let told = |body: String| world.told(&by, &body);
    assert_eq!(
        told(format!("{REQ} {ERR} for r in err.join(req) {{ {EMIT}; }}")),
        "route=a,svc=x: warn 0.1; route=c,svc=y: warn 0.1",
        "only what both have"
    );
    assert_eq!(
        told(format!("{REQ} {ERR} for r in req.join_or(err, 0) {{ ctx.emit(r.labels, ok(r.b)); }}")),
        "route=a,svc=x: ok 10; route=b,svc=x: ok 0; route=c,svc=y: ok 1",
        "all of the left"
    );
    assert_eq!(
        told(format!("{REQ} {LIMIT} for r in req.join(limit) {{ ctx.emit(r.labels, ok(r.b)); }}")),
        "route=a,svc=x: ok 0.5; route=b,svc=x: ok 0.5; route=c,svc=y: ok 0.25",
        "many to one"
    );
    assert_eq!(
        told(format!(
            "{REQ} let all = ctx.query(\"total\", [], \"max\", \"1m\"); for r in req.join(all) {{ {EMIT}; }}"
        )),
        "route=a,svc=x: warn 0.1; route=b,svc=x: warn 0.05; route=c,svc=y: warn 0.01",
        "one number for all"
    );
    assert_eq!(
        told(format!(
            "{REQ} {ERR} {LIMIT} for r in req.join(err).join(limit) {{ ctx.emit(r.labels, ok(r.a + r.b + r.c)); }}"
        )),
        "route=a,svc=x: ok 110.5; route=c,svc=y: ok 11.25"
    );
    let wrong = told(format!("{REQ} {LIMIT} for r in limit.join(req) {{ {EMIT}; }}"));
    assert_eq!(
        wrong,
        "`join`: the right side has the label `route`, which the left one lacks ([route, svc] and [svc]); join from the \
         side with more labels"
    );
    let wrong = told(format!("{REQ} {ERR} req.join(req.join(err));"));
    assert!(wrong.contains("the right side is a join itself"), "{wrong}");
    let wrong = told(format!("{REQ} req.join(req).join(req).join(req).join(req);"));
    assert!(wrong.contains("a row has at most 4 numbers"), "{wrong}");
    let wrong = told(format!("{REQ} req.join(5);"));
    assert_eq!(wrong, "`join` wants a vector, not a number");
}

#[test]
fn vectors_are_measured_and_looked_up() {
    let world = world();
    let holds = [
        "req.len() == 3 && !req.is_empty()",
        "req.sum() == 160 && req.mean() == 160.0 / 3 && req.min() == 10 && req.max() == 100",
        "req.get(#{ route: \"a\", svc: \"x\" }) == 100 && req.get(#{ route: \"z\", svc: \"x\" }) == ()",
        "req.get(#{ route: \"b\", svc: \"x\", more: \"y\" }) == 50",
        "req.values() == [100, 50, 10]",
        "req.labels()[1].route == \"b\" && req.labels().len() == 3",
        "req.top(2).values() == [100, 50] && req.top(0).is_empty() && req.top(9).len() == 3",
        "req.top(2).get(#{ route: \"b\", svc: \"x\" }) == 50",
        "req.join(req).len() == 3",
        "req.top(1).join(req).len() == 1",
        "none.is_empty() && none.sum() == 0 && none.mean() == () && none.max() == () && none.top(3).len() == 0",
        "none.join_or(req, 0).len() == 0 && req.join(none).len() == 0 && req.join_or(none, 7).len() == 3",
    ];
    let none = "let none = ctx.query(\"nothing\", [\"route\", \"svc\"], \"max\", \"1m\");";
    for condition in holds {
        let told = world.told(&[], &format!("{REQ} {none} ctx.emit(#{{}}, {condition});"));
        assert_eq!(told, ": crit", "{condition}");
    }
    let wrong = [
        ("req.get(#{ route: \"a\" });", "`get` needs all labels of the vector, [route, svc], as texts"),
        (
            "req.join(req).sum();",
            "`sum` is for one number by label set, and this is a join; go through its rows",
        ),
        ("req.top(-1);", "`top(-1)`: how many?"),
        ("for r in req { r.a; }", "this row has one number, `r.value`"),
        (
            "for r in req.join(req) { r.value; }",
            "this row comes from a join: its numbers are `r.a` and `r.b`",
        ),
        ("for r in req.join(req) { r.c; }", "this row has 2 numbers, so there is no such one"),
        ("for r in req { r.level; }", "a row of a vector has no level"),
    ];
    for (body, expected) in wrong {
        assert_eq!(world.told(&[], &format!("{REQ} {body}")), expected, "{body}");
    }
}

#[test]
fn a_rule_tells_of_each_instance_once_and_by_its_labels() {
    let world = world();
    assert_eq!(
        world.told(&["svc", "route"], "ctx.emit(#{ svc: \"x\", route: \"b\" }, true); ctx.emit(#{ route: \"a\", svc: \"y\" }, skip(\"later\"));"),
        "route=a,svc=y: skip later; route=b,svc=x: crit",
        "in order of the labels, whatever the order of the calls"
    );
    assert_eq!(world.told(&[], "ctx.emit(#{}, \"info\");"), ": info");
    assert_eq!(world.told(&["a"], ""), "");
    assert_eq!(
        world.told(&["route"], "ctx.emit(#{ route: \"a\", svc: \"x\" }, true);"),
        "`ctx.emit` is given the labels [route, svc], and the rule is `by` [route]"
    );
    assert_eq!(
        world.told(&["route"], "ctx.emit(#{ route: \"a\" }, true); ctx.emit(#{ route: \"a\" }, false);"),
        "`ctx.emit` is called twice for [route=a]"
    );
    assert_eq!(
        world.told(&["route"], "ctx.emit(#{ route: 5 }, true);"),
        "the label `route` is a number, not a text"
    );
    assert!(world.told(&[], "ctx.emit(#{}, 5);").starts_with("`ctx.emit` is given a number; use `ok(v)`"));
    let answer = world.decide(&[], "ctx.emit(#{}, true); 5").unwrap_err();
    assert_eq!(answer.kind, ErrorKind::Answer);
    assert!(answer.diagnostic.message.starts_with("`decide` answers with a number; tell about instances"));
    assert_eq!(
        world.told(&["a"], "ctx.seen(#{ a: \"1\" }); ctx.emit(#{ a: \"1\" }, true); ctx.seen(#{ a: \"1\" }); ctx.seen(#{ a: \"2\" });"),
        "a=1: crit; a=2: ok",
        "what is said outweighs what is seen, in either order"
    );
}

#[test]
fn a_rule_sees_what_it_told_before_and_what_others_have_firing() {
    let world = world();
    let firing = |rule: &str| match rule {
        "db_down" => Some(vec![(labels("host=a"), Level::Crit), (labels("host=b"), Level::Warn)]),
        "quiet" => Some(Vec::new()),
        _ => None,
    };
    let whole = Whole {
        known: vec![(labels("host=a"), Some(Level::Warn)), (labels("host=b"), None)],
        alerts: Arc::new(firing),
        ..world.whole(&["host"])
    };
    let told = |body: &str| match decide(&whole, &format!("fn decide(ctx) {{ {body} }}")) {
        Ok(answer) => show(&answer.given),
        Err(error) => error.diagnostic.message.clone(),
    };
    assert_eq!(
        told("for k in ctx.known { ctx.emit(k.labels, k.level ?? \"info\"); }"),
        "host=a: warn; host=b: info"
    );
    assert_eq!(
        told(
            "let down = ctx.alerts(\"db_down\"); for k in ctx.known { ctx.emit(k.labels, down.get(k.labels) == \"crit\"); }"
        ),
        "host=a: crit; host=b: ok"
    );
    assert_eq!(
        told("ctx.emit(#{ host: `${ctx.alerts(\"quiet\").len() + ctx.alerts(\"db_down\").len()}` }, true);"),
        "host=2: crit"
    );
    assert_eq!(told("ctx.alerts(\"other\");"), "`ctx.alerts`: this rule does not name `other` in `after`");
    assert_eq!(
        told(
            "ctx.alerts(\"db_down\").get(#{ host: \"c\" }) == (); ctx.emit(#{ host: \"c\" }, ctx.known.len() == 2);"
        ),
        "host=c: crit"
    );
}

#[test]
fn a_failed_decision_leaves_everything_as_it_was() {
    let world = world();
    let text = "fn init() { #{ n: 0 } } fn decide(ctx) { this.n += 1; ctx.emit(#{}, ok(this.n)); trace(\"n\", this.n); \
                if this.n == 2 && !(\"late\" in this) { throw \"late\" } }";
    let script = library(&[("rules/x.rhai", text)]).rule("x.rhai").unwrap();
    let (mut memory, mut budget) = (Memory::default(), Budget::default());
    let whole = Arc::new(world.whole(&[]));
    let first = script.decide(&mut memory, &whole, &mut budget).unwrap();
    assert_eq!(show(&first.given), ": ok 1");
    assert_eq!(first.traces[0].value, TraceValue::Number(1.0));
    assert!(first.operations > 0);
    let kept = memory.clone();
    assert!(script.decide(&mut memory, &whole, &mut budget).is_err());
    assert_eq!(memory, kept);
}

#[test]
fn traces_are_kept_by_name_and_never_break_a_rule() {
    let world = world();
    let many = "for i in 0..100 { trace(`t${i}`, i); } trace(\"t0\", \"again\"); trace(\"x\", true);";
    let answer = decide(&world.whole(&[]), &format!("fn decide(ctx) {{ {many} }}")).unwrap();
    assert_eq!(answer.traces.len(), 32);
    assert_eq!(answer.traces[0].value, TraceValue::Text("again".to_owned()));
    assert_eq!((&*answer.traces[31].name, &answer.traces[31].value), ("t31", &TraceValue::Number(31.0)));
    let kinds = "trace(\"a\", ()); trace(\"b\", false); let s = \"é\"; s.pad(400, \"é\"); trace(\"c\", s);";
    let answer = decide(&world.whole(&[]), &format!("fn decide(ctx) {{ {kinds} }}")).unwrap();
    assert_eq!(answer.traces[0].value, TraceValue::Nothing);
    assert_eq!(answer.traces[1].value, TraceValue::Flag(false));
    assert_eq!(answer.traces[2].value, TraceValue::Text("é".repeat(128)));
    assert_eq!(
        world.told(&[], "trace(\"a\", [1]);"),
        "`trace` shows a number, a text, a truth value or `()`, not an array"
    );
    let long = world.told(&[], "let name = \"x\"; name.pad(65, \"x\"); trace(name, 1);");
    assert_eq!(long, "`trace`: a name has at most 64 bytes, not 65");
    let elsewhere = "fn aggregate(w) { trace(\"elsewhere\", 1); w.max() }";
    assert_eq!(aggregate(elsewhere, &[1.0]).unwrap().number(), Some(1.0));
    let next = decide(&world.whole(&[]), "fn decide(ctx) { }").unwrap();
    assert!(next.traces.is_empty(), "none of an earlier call");
}

/// Caught as the very last thing that the script does, so that no further operation would fail.
#[test]
fn what_stops_a_script_cannot_be_caught_at_its_end() {
    let keys: Vec<String> = (0..300).map(|i| format!("m{{host=h{i:03}}}")).collect();
    let series: Vec<(&str, &[(i64, f64)])> =
        keys.iter().map(|key| (key.as_str(), &[(10, 1.0)][..])).collect();
    let world = World::new(&series);
    let limits = Limits { operations_max: 200, ..Limits::default() };
    let text = "fn decide(ctx) { try { ctx.query(\"m\", [], \"sum\", \"1m\"); } catch { } }";
    let (library, _) = Library::load(&sources(&[("rules/x.rhai", text)]), &limits, &clock(), None);
    let script = library.rule("x.rhai").unwrap();
    let whole = Arc::new(world.whole(&[]));
    let error = script.decide(&mut Memory::default(), &whole, &mut Budget::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!(error.diagnostic.message, "the script used up its operations for one call");
}

#[test]
fn a_vector_too_large_is_an_error_that_helps() {
    let keys: Vec<String> = (0..1_200).map(|i| format!("m{{host=h{i:04}}}")).collect();
    let series: Vec<(&str, &[(i64, f64)])> =
        keys.iter().map(|key| (key.as_str(), &[(10, 1.0)][..])).collect();
    let world = World::new(&series);
    let query = "let v = ctx.query(\"m\", [\"host\"], \"last\", \"1m\");";
    assert_eq!(world.told(&[], &format!("{query} ctx.emit(#{{}}, ok(v.sum()));")), ": ok 1200");
    let two = "let v = ctx.query(\"m\", [\"host\", \"zone\"], \"last\", \"1m\").top(600);";
    assert!(world.told(&[], &format!("{two} v.labels();")).starts_with("`labels`: 1200 entries"));
    assert_eq!(
        world.told(&[], &format!("{query} v.values();")),
        "`values`: 1200 entries, where an array has at most 1000; go through the rows by `for`"
    );
}

mod joins {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rhai::{Dynamic, Map};

    use crate::engine;
    use crate::instance::Labels;
    use crate::limits::Limits;
    use crate::vector::{Row, Vector};

    static ENGINE: LazyLock<rhai::Engine> = LazyLock::new(|| engine::build(&Limits::default()));

    /// A vector with these labels: few values, so that many rows meet.
    fn vector(names: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<Labels, f64>> {
        let labels = prop::collection::vec("[ab]?", names.len()).prop_map(move |values| {
            names.iter().map(|name| (*name).to_owned()).zip(values).collect::<Labels>()
        });
        prop::collection::btree_map(labels, -100.0..100.0_f64, 0..9)
    }

    fn build(names: &[&str], rows: &BTreeMap<Labels, f64>) -> Vector {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let row = |(labels, number): (&Labels, &f64)| Row::new(labels.clone().into(), *number);
        Vector::new(names, rows.iter().map(row).collect())
    }

    /// What a script goes through: labels, `a` and `b` of each row.
    fn rows(engine: &rhai::Engine, expression: &str, left: Vector, right: Vector) -> Vec<(Map, f64, f64)> {
        let mut scope = rhai::Scope::new();
        scope.push("left", left).push("right", right);
        let script = format!("let out = []; for r in {expression} {{ out.push([r.labels, r.a, r.b]); }} out");
        let out: rhai::Array = engine.eval_with_scope(&mut scope, &script).unwrap();
        let row = |row: Dynamic| {
            let mut parts = row.into_array().unwrap().into_iter();
            let mut next = || parts.next().unwrap();
            (next().cast::<Map>(), next().as_float().unwrap(), next().as_float().unwrap())
        };
        out.into_iter().map(row).collect()
    }

    fn map(labels: &Labels) -> Map {
        labels.iter().map(|(name, value)| (name.as_str().into(), value.clone().into())).collect()
    }

    proptest! {
        /// A join is what a person does with two lists and a finger.
        #[test]
        fn are_those_of_the_slow_way(left in vector(&["host", "zone"]), right in vector(&["zone"])) {
            let (a, b) = (build(&["host", "zone"], &left), build(&["zone"], &right));
            let partner = |labels: &Labels| right.iter().find(|(other, _)| other[0] == labels[1]).map(|(_, b)| *b);
            let mut inner = Vec::new();
            let mut outer = Vec::new();
            for (labels, number) in &left {
                inner.extend(partner(labels).map(|b| (labels.clone(), *number, b)));
                outer.push((labels.clone(), *number, partner(labels).unwrap_or(7.0)));
            }
            for (expression, expected) in [("left.join(right)", inner), ("left.join_or(right, 7)", outer)] {
                let found = rows(&ENGINE, expression, a.clone(), b.clone());
                prop_assert_eq!(found.len(), expected.len());
                for ((labels, x, y), (wanted, a, b)) in found.into_iter().zip(expected) {
                    prop_assert_eq!(format!("{labels:?}"), format!("{:?}", map(&wanted)));
                    prop_assert_eq!((x, y), (a, b));
                }
            }
        }
    }
}
