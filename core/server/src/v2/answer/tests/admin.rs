//! The server, its store, its rules and alerts.

use sereno_protocol::v2::messages::{
    Alerts, Busiest, GetBusiest, GetInfo, GetStorage, Info, ListAlerts, ListRules, Reload, Reloaded, Rules,
    Storage,
};

use super::*;

const RULES: &str = "rules:
  - { id: cpu_high, metric: cpu, by: [host], agg: max, window: 60s, limit: 10 }
  - { id: cpu_low, metric: cpu, agg: min, window: 60s, below: 1 }
  - { id: nothing, metric: nothing, agg: max, window: 60s, limit: 1 }
";

/// Rules at a tick at which `cpu{host=\"a\"}` fires.
fn firing() -> World {
    let world = World::with(&[("rules/a.yaml", RULES)], 1);
    world.put(r#"cpu{host="a"}"#, &[(-30, 50.0)]);
    world.put(r#"cpu{host="b"}"#, &[(-30, 5.0)]);
    tick(&world);
    world
}

/// Moves the clock to the next tick of rules of a minute, and waits until they have been evaluated.
pub(super) fn tick(world: &World) {
    let services = &world.services;
    // The world begins at a tick. A rule that is still at it would miss the next one, and never be where it is waited for.
    let first = services.rules.rules().len() as u64;
    until(world, || services.metrics.counter("rule_evaluations_total", &[]).get() >= first);
    world.clock.advance(Duration::from_secs(60));
    until(world, || services.rules.rules().iter().all(|rule| rule.last_tick == Some(ago(-60))));
}

fn until(world: &World, holds: impl Fn() -> bool) {
    while !holds() {
        world.services.rules.wake();
        std::thread::yield_now();
    }
}

async fn reload(world: &World, allow_removal: bool) -> Reloaded {
    let Body::Reloaded(reloaded) = world.ask_one(Asked::Reload(Reload { allow_removal })).await else {
        panic!()
    };
    reloaded
}

#[test]
fn the_server_tells_of_itself() {
    run(async || {
        let world = firing();
        let info = async |figures| {
            let Body::Info(info) = world.ask_one(Asked::GetInfo(GetInfo { figures })).await else { panic!() };
            info
        };
        let Info {
            server, time, started, recovering, series, generation, rules, alerts, figures, v1, ..
        } = info(true).await;
        assert_eq!(server, concat!("serenod ", env!("CARGO_PKG_VERSION")));
        assert_eq!((time, started, recovering, v1), (ago(-60).nanos(), ago(0).nanos(), false, true));
        assert_eq!((series, generation, rules, alerts), (2, 1, 3, 1));
        assert!(figures.iter().any(|figure| figure.name == "storage_series" && figure.value == 2.0));
        assert_eq!(info(false).await.figures, []);
    });
}

#[test]
fn the_store_tells_what_it_holds() {
    run(async || {
        let world = firing();
        let storage = async |top| {
            let Body::Storage(storage) = world.ask_one(Asked::GetStorage(GetStorage { top })).await else {
                panic!()
            };
            storage
        };
        let before = storage(0).await;
        assert_eq!((before.series, before.head_samples, before.levels.len(), before.oldest), (2, 2, 3, None));
        assert_eq!((before.names, before.labels), (vec![], vec![]));
        world.put(r#"disk{host="a"}"#, &[(100, 1.0)]);
        world.services.store.flush().unwrap();
        let Storage { head_samples, levels, names, labels, activity, oldest, newest, flushes, .. } =
            storage(1).await;
        assert_eq!((head_samples, levels[0].segments > 0, levels[0].samples), (0, true, 3));
        assert_eq!((&*activity, flushes), ("idle", 1));
        assert_eq!((oldest, newest), (Some(ago(100).nanos()), Some(ago(-30).nanos())));
        let told = |counts: &[sereno_protocol::v2::messages::LabelCount]| {
            counts
                .iter()
                .map(|count| format!("{} {} {}", count.text, count.series, count.values))
                .collect::<Vec<_>>()
        };
        assert_eq!((told(&names), told(&labels)), (vec!["cpu 2 1".into()], vec!["host 3 2".into()]));
    });
}

#[test]
fn rules_and_alerts_are_listed() {
    run(async || {
        let world = firing();
        let rules = async |globs: &[&str]| {
            let rules = globs.iter().map(|glob| (*glob).to_owned()).collect();
            let Body::Rules(rules) = world.ask_one(Asked::ListRules(ListRules { rules })).await else {
                panic!()
            };
            rules
        };
        let Rules { rules: all, generation, diagnostics, .. } = rules(&[]).await;
        assert_eq!((generation, diagnostics), (1, vec![]));
        let told: Vec<String> = all
            .iter()
            .map(|rule| {
                format!(
                    "{} {} {} {} {}/{}",
                    rule.id, rule.aggregation, rule.limit, rule.health, rule.firing, rule.instances
                )
            })
            .collect();
        assert_eq!(
            told,
            ["cpu_high max >= 10 ok 1/2", "cpu_low min < 1 ok 0/1", "nothing max >= 1 unmatched 0/0"]
        );
        assert!(all[0].place.ends_with("rules/a.yaml:2"), "{}", all[0].place);
        assert_eq!(
            (&*all[0].selector, all[0].window, all[0].last_tick),
            ("cpu", 60_000_000_000, Some(ago(-60).nanos()))
        );
        assert_eq!(rules(&["cpu_*"]).await.rules.len(), 2);
        assert_eq!(rules(&["zzz*"]).await.rules, [], "a pattern may match nothing");
        let (code, error) = world.fail(Asked::ListRules(ListRules { rules: vec!["cpu_hihg".into()] })).await;
        assert_eq!((code, &*error.hint), (Code::NotFound, "did you mean `cpu_high`?"));

        let alerts = async |level: &str| {
            let asked = ListAlerts { level: level.into(), ..ListAlerts::default() };
            let Body::Alerts(Alerts { alerts }) = world.ask_one(Asked::ListAlerts(asked)).await else {
                panic!()
            };
            alerts
        };
        let fires = alerts("").await;
        assert_eq!(fires.len(), 1);
        assert_eq!((&*fires[0].rule, &*fires[0].level, &*fires[0].state), ("cpu_high", "crit", "firing"));
        assert_eq!((fires[0].instance.join("="), fires[0].value), ("host=a".into(), Some(50.0)));
        assert_eq!(alerts("warning").await.len(), 1, "crit is above it");
        let red = ListAlerts { level: "red".into(), ..ListAlerts::default() };
        assert_eq!(world.fail(Asked::ListAlerts(red)).await.0, Code::Invalid);
    });
}

#[test]
fn a_reload_tells_its_outcome() {
    run(async || {
        let world = firing();
        let outcome =
            |reloaded: &Reloaded| format!("{} {} {}", reloaded.outcome, reloaded.generation, reloaded.rules);
        assert_eq!(outcome(&reload(&world, false).await), "unchanged 1 3");
        put_file(world.folder.path(), "rules/a.yaml", &RULES.replace("limit: 1 }", "lmit: 1 }"));
        let partial = reload(&world, false).await;
        // The watcher may have been faster.
        assert!(["partial 2 3", "unchanged 2 3"].contains(&&*outcome(&partial)), "{}", outcome(&partial));
        assert_eq!(partial.diagnostics.len(), 1);
        let found = &partial.diagnostics[0];
        assert_eq!((&*found.severity, found.line, found.path.ends_with("rules/a.yaml")), ("error", 4, true));
        assert!(found.hint.contains("limit"), "{}", found.hint);
        put_file(world.folder.path(), "rules/a.yaml", "");
        let refused = reload(&world, false).await;
        assert_eq!(outcome(&refused), "refused 2 3");
        assert!(refused.refusal.contains("cpu_high"), "{}", refused.refusal);
        assert_eq!(outcome(&reload(&world, true).await), "applied 3 0");
        drop(world.services.rules.stop(Duration::from_secs(30)));
        assert_eq!(world.fail(Asked::Reload(Reload::default())).await.0, Code::Closing);
    });
}

#[test]
fn the_busiest_metrics_are_counted_by_name() {
    run(async || {
        let mut world = World::new();
        let second: Vec<(i64, f64)> = (0..120).map(|secs| (secs, 1.0)).collect();
        world.put(r#"cpu{host="a"}"#, &second);
        world.put(r#"cpu{host="b"}"#, &second);
        world.put("disk", &[(59, 1.0), (1, 1.0), (0, 1.0)]);
        world.put("old", &[(60, 1.0)]);
        let busiest = async |world: &World, top| {
            let Body::Busiest(Busiest { metrics }) =
                world.ask_one(Asked::GetBusiest(GetBusiest { top })).await
            else {
                panic!()
            };
            metrics
                .iter()
                .map(|busy| format!("{} {} {}", busy.name, busy.samples_per_second, busy.series))
                .collect::<Vec<_>>()
        };
        assert_eq!(busiest(&world, 0).await, ["cpu 2 2", "disk 0.05 1"]);
        assert_eq!(busiest(&world, 1).await, ["cpu 2 2"]);
        // With more series than may be looked through, those with the most series are counted as long as they fit.
        let services = Rc::get_mut(&mut world.services).unwrap();
        services.limits.series_max = 3;
        assert_eq!(busiest(&world, 0).await, ["cpu 2 2", "disk 0.05 1"]);
        Rc::get_mut(&mut world.services).unwrap().limits.series_max = 1;
        assert_eq!(busiest(&world, 0).await, ["disk 0.05 1"]);
    });
}
