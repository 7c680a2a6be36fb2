//! Bad scripts delay nobody.

use sereno_model::EventKind;

use crate::{Bench, file, quick, rule};

const BAD: &[(&str, &str)] = &[
    ("loop", "fn check(s) { loop { } }"),
    ("recursion", "fn deeper(n) { deeper(n + 1) } fn check(s) { deeper(0) }"),
    ("doubling", "fn check(s) { let t = \"x\"; loop { t += t; } }"),
    ("growing", "fn check(s) { let a = []; loop { a.push(a); } }"),
    ("throwing", "fn check(s) { throw \"no\" }"),
    ("answer", "fn check(s) { \"perhaps\" }"),
    ("caught", "fn check(s) { loop { try { loop { } } catch { } } }"),
];

#[test]
fn good_rules_meet_every_tick_beside_bad_ones() {
    let mut rules: Vec<String> = (0..10).map(|n| rule(&format!("good{n}"), 1)).collect();
    let mut files = Vec::new();
    for (name, script) in BAD {
        rules.push(format!(
            "  - {{ id: {name}, metric: good0, script: {name}.rhai, window: 1s, every: 1s }}\n"
        ));
        files.push((format!("scripts/rules/{name}.rhai"), *script));
    }
    let rules = file(&rules);
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    files.push(("rules/all.yaml", &rules));
    let mut bench = Bench::start(&files, quick());
    assert_eq!(
        bench.rules.generation().rules.len(),
        10 + BAD.len(),
        "{:?}",
        bench.rules.generation().diagnostics
    );
    let missed = |bench: &Bench, rule: &str| {
        let all = bench.metrics.snapshot().into_iter();
        all.filter(|(name, _)| name.contains("rule_missed_ticks_total") && name.contains(rule))
            .map(|(_, n)| n)
            .sum::<f64>()
    };
    let send_all = |bench: &Bench| (0..10).for_each(|n| bench.send(&format!("good{n}"), 5.0));
    bench.until("all good rules to fire", |bench| {
        send_all(bench);
        (0..10).all(|n| bench.told(&format!("good{n}"), EventKind::Firing) == 1)
    });
    // And to go on for some ticks: each bad one has been evaluated, and the good ones see the recovery.
    bench.until("all good rules to resolve", |bench| {
        (0..10).for_each(|n| bench.send(&format!("good{n}"), 0.0));
        (0..10).all(|n| bench.told(&format!("good{n}"), EventKind::Resolved) == 1)
    });
    assert_eq!((0..10).map(|n| missed(&bench, &format!("good{n}"))).sum::<f64>(), 0.0);
    for (name, _) in BAD {
        assert_eq!(bench.told(name, EventKind::Firing), 0, "{name}");
    }
    assert_eq!(bench.rules.stop(crate::PATIENCE), [""; 0]);
}
