//! Bad scripts delay nobody.
//!
//! Ten seconds by default; with `SERENO_TEST_THOROUGH=1` a minute, and how late good rules may be and how much memory may
//! grow is measured too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sereno_model::EventKind;
use sereno_rules::Health;

use crate::{Bench, file, quick, rule};

const GOOD: usize = 100;
const BAD: &[(&str, &str)] = &[
    ("loop", "fn check(s) { loop { } }"),
    ("recursion", "fn deeper(n) { deeper(n + 1) } fn check(s) { deeper(0) }"),
    ("doubling", "fn check(s) { let t = \"x\"; loop { t += t; } }"),
    ("growing", "fn check(s) { let a = []; loop { a.push(a); } }"),
    ("mapping", "fn check(s) { let m = #{}; loop { m = #{ a: m, b: m }; } }"),
    ("throwing", "fn check(s) { throw \"no\" }"),
    ("answer", "fn check(s) { \"perhaps\" }"),
    ("caught", "fn check(s) { loop { try { loop { } } catch { } } }"),
    ("reading", "fn check(s) { loop { s.series(\"1s\").median(); } }"),
    ("remembering", "fn check(s) { if !(\"a\" in this) { this.a = \"x\"; } this.a += this.a; ok() }"),
    ("flapping", "fn init() { #{ on: false } } fn check(s) { this.on = !this.on; this.on }"),
    (
        "flood",
        "fn init() { #{ on: false } }
         fn decide(ctx) { this.on = !this.on; for n in 0..900 { ctx.emit(#{ n: n.to_string() }, this.on); } }",
    ),
];
/// What is refused when it is loaded, and takes no part.
const REFUSED: &[(&str, &str)] = &[
    ("eval", "fn check(s) { eval(\"1\") }"),
    ("sleep", "fn check(s) { sleep(10); ok() }"),
    ("import", "import \"/etc/passwd\" as p; fn check(s) { ok() }"),
];

fn is_thorough() -> bool {
    std::env::var_os("SERENO_TEST_THOROUGH").is_some()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4_096
}

#[test]
fn good_rules_meet_every_tick_beside_bad_ones() {
    let mut rules: Vec<String> = (0..GOOD).map(|n| rule(&format!("good{n}"), 1)).collect();
    let mut files = Vec::new();
    let nested = format!("fn check(s) {{ {}1{} > 0 }}", "(".repeat(32_000), ")".repeat(32_000));
    let refused = REFUSED.iter().map(|(name, script)| (*name, *script)).chain([("nested", nested.as_str())]);
    for (name, script) in BAD.iter().copied().chain(refused.clone()) {
        let keys = match name {
            "flood" => "by: [n], max_instances: 1000",
            _ => "metric: good0, by: [], window: 1s",
        };
        rules.push(format!("  - {{ id: {name}, script: {name}.rhai, {keys}, every: 1s }}\n"));
        files.push((format!("scripts/rules/{name}.rhai"), script));
    }
    let rules = file(&rules);
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    files.push(("rules/all.yaml", &rules));
    let mut bench = Bench::start(&files, quick());
    let generation = bench.rules.generation();
    for (name, _) in refused {
        assert!(!generation.rules.contains_key(name), "{name} is refused");
    }
    assert_eq!(generation.rules.len(), GOOD + BAD.len(), "{:?}", generation.diagnostics);
    let send_all = |bench: &Bench, value| (0..GOOD).for_each(|n| bench.send(&format!("good{n}"), value));
    bench.until("all good rules to fire", |bench| {
        send_all(bench, 5.0);
        (0..GOOD).all(|n| bench.told(&format!("good{n}"), EventKind::Firing) == 1)
    });
    let (started, before) = (Instant::now(), resident_bytes());
    let length = Duration::from_secs(if is_thorough() { 60 } else { 8 });
    bench.until_or(length * 2, "the time to pass", |bench| {
        send_all(bench, 5.0);
        bench.told("flood", EventKind::Firing);
        bench.seen.retain(|told| told.rule.starts_with("good"));
        started.elapsed() >= length
    });
    // They see the recovery; what is bad has never told that anything is wrong with what it looks at.
    bench.until("all good rules to resolve", |bench| {
        send_all(bench, 0.0);
        (0..GOOD).all(|n| bench.told(&format!("good{n}"), EventKind::Resolved) == 1)
    });
    let status: BTreeMap<String, sereno_rules::RuleStatus> =
        bench.rules.rules().into_iter().map(|status| (status.id.to_string(), status)).collect();
    let missed: u64 = (0..GOOD).map(|n| status[&format!("good{n}")].missed_ticks).sum();
    assert_eq!(missed, 0);
    for (name, _) in BAD.iter().take(9) {
        let fares = &status[*name];
        assert!(fares.error.is_some(), "{name}: {fares:?}");
        assert!(matches!(fares.health, Health::Error | Health::Quarantined), "{name} {}", fares.health);
        assert_eq!(bench.told(name, EventKind::Firing), 0, "{name}");
    }
    if is_thorough() {
        let evaluations = bench.metric("rule_evaluations_total");
        let late = bench.metric("rule_late_ticks_total{over=\"100ms\"}");
        assert!(late <= evaluations / 100.0, "{late} of {evaluations} evaluations were late");
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 64 << 20, "memory has grown by {grown} bytes");
    }
    assert_eq!(bench.rules.stop(crate::PATIENCE), [""; 0]);
}
