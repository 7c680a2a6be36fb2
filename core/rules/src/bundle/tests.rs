//! What is stored is what was active, whatever happened while it was stored.

use proptest::prelude::*;
use sereno_model::Timestamp;
use sereno_runtime::ManualClock;
use sereno_runtime::sim_disk::{Loss, SimDisk};
use sereno_script::Limits;

use super::*;
use crate::generation::load;
use crate::history::Past;
use crate::outcome::{Report, Trigger};
use crate::report::Time;

fn host() -> Host {
    Host {
        limits: Limits::default(),
        clock: Arc::new(ManualClock::new(Timestamp::from_nanos(0))),
        retention: None,
    }
}

fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        let content = match *text {
            "?" => Err("the file is not UTF-8".to_owned()),
            text => Ok(Arc::from(text)),
        };
        match path.strip_prefix("scripts/") {
            Some(place) => {
                files.scripts.insert(place.into(), Script { display: path.into(), content });
            }
            None => {
                files.rules.insert(path.into(), content);
            }
        }
    }
    files
}

/// The rules by their ids, in the versions in which they run; a `*` marks stale ones.
fn shown(generation: &Generation) -> String {
    let shown = |(id, rule): (&Arc<str>, &Arc<crate::rule::Rule>)| {
        let mark = if generation.stale.contains(id) { "*" } else { "" };
        let limit = rule.variants[0].limit.map_or(0.0, |limit| limit.number);
        let script = rule.script().map_or(0, |script| script.crc32);
        format!("{id}{mark}={limit}/{script:x}@{}", rule.path.display())
    };
    let stale: Vec<&str> = generation.library.stale().collect();
    format!("{} scripts {stale:?}", generation.rules.iter().map(shown).collect::<Vec<_>>().join(" "))
}

fn bundle(generation: &Generation) -> Bundle {
    let info =
        GenerationInfo { number: generation.number, at: Time(generation.loaded_at), ..Default::default() };
    Bundle::of(generation, info, None)
}

/// Stored and read again, it is the same.
fn kept(generation: &Generation) -> Generation {
    let bundle = bundle(generation);
    let read = decode(&encode(&bundle).unwrap()).unwrap();
    assert_eq!(read, bundle);
    read.load(read.info.number, &host())
}

fn rule(id: &str, limit: u32) -> String {
    format!("  - {{ id: {id}, metric: m, agg: max, window: 15s, limit: {limit} }}\n")
}

fn of(rules: &[String]) -> String {
    format!("rules:\n{}", rules.concat())
}

#[test]
fn a_good_generation_is_kept_as_it_is() {
    let text = of(&[rule("a", 1), rule("b", 2)]);
    let generation = load(
        files(&[
            ("x.yaml", &text),
            ("y.yaml", "# nothing\n"),
            ("scripts/rules/odd.rhai", "import \"lib/l\" as l; fn check(s) { l::f() }"),
            ("scripts/lib/l.rhai", "fn f() { true }"),
        ]),
        &host(),
        None,
    );
    assert_eq!(shown(&kept(&generation)), shown(&generation));
    assert_eq!(kept(&generation).files, generation.files);
}

#[test]
fn what_is_broken_is_kept_as_it_was_when_it_was_good() {
    let odd = ("scripts/rules/odd.rhai", "fn check(s) { true }");
    let scripted = "rules:\n  - { id: s, metric: m, script: odd.rhai }\n";
    let load = |texts: &[(&str, &str)], before: Option<&Generation>| load(files(texts), &host(), before);
    let first = load(&[("x.yaml", &of(&[rule("a", 1), rule("b", 1)])), ("s.yaml", scripted), odd], None);
    // `a` advances, `b` does not; the script is broken.
    let half = of(&[rule("a", 2), rule("b", 2).replace("max", "mx")]);
    let broken = ("scripts/rules/odd.rhai", "fn check(s) { treu }");
    let second = load(&[("x.yaml", &half), ("s.yaml", scripted), broken], Some(&first));
    assert_eq!(shown(&kept(&second)), shown(&second));
    assert_eq!(second.bases.keys().collect::<Vec<_>>(), [&1]);
    // The whole file is broken: `a` comes from the second, `b` from the first. The script is gone, its rule stays.
    let third = load(&[("x.yaml", "rules: ["), ("s.yaml", scripted)], Some(&second));
    assert_eq!(shown(&kept(&third)), shown(&third));
    insta::assert_snapshot!(shown(&third), @"a*=2/0@x.yaml b*=1/0@x.yaml s*=0/c8f8e3d3@s.yaml scripts []");
    // Unreadable, then good again: nothing old is needed any more.
    let fourth = load(&[("x.yaml", "?"), ("s.yaml", scripted), odd], Some(&third));
    assert_eq!(shown(&kept(&fourth)), shown(&fourth));
    let fifth = load(&[("x.yaml", &of(&[rule("a", 9)])), ("s.yaml", scripted), odd], Some(&fourth));
    assert_eq!((fifth.bases.len(), shown(&kept(&fifth))), (0, shown(&fifth)));
}

#[test]
fn a_rule_that_was_taken_out_does_not_come_back() {
    let load = |texts: &[(&str, &str)], before: Option<&Generation>| load(files(texts), &host(), before);
    let first = load(&[("x.yaml", &of(&[rule("a", 1)])), ("y.yaml", &of(&[rule("b", 1)]))], None);
    let broken = of(&[rule("b", 1).replace("max", "mx")]);
    let second = load(&[("x.yaml", "rules: []"), ("y.yaml", &broken)], Some(&first));
    let third = load(&[("x.yaml", "rules: ["), ("y.yaml", &broken)], Some(&second));
    assert_eq!(shown(&third), "b*=1/0@y.yaml scripts []");
    assert_eq!(shown(&kept(&third)), shown(&third));
}

/// One of a few contents of a few files.
fn edits() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let content = |(file, content): &(usize, usize)| !(*file == 3 && *content == 5);
    prop::collection::vec((0..4_usize, 0..6_usize).prop_filter("libraries stay", content), 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// After any edits, good and broken ones, what is stored gives what was active: which scripts count as stale may
    /// differ, where one is broken because another is. Libraries stay: what imports one that comes back broken may after a
    /// restart be newer than it was, over the library's last good version.
    #[test]
    fn any_history_of_edits_is_kept(edits in edits()) {
        let names = ["x.yaml", "y.yaml", "scripts/rules/odd.rhai", "scripts/lib/l.rhai"];
        let contents: [[Option<String>; 6]; 4] = [
            [
                Some(of(&[rule("a", 1), rule("b", 1)])),
                Some(of(&[rule("a", 2), rule("b", 2).replace("max", "mx")])),
                Some("rules: [".into()),
                Some(of(&[rule("b", 3)])),
                Some("?".into()),
                None,
            ],
            [
                Some("rules:\n  - { id: s, metric: m, script: odd.rhai }\n".into()),
                Some("rules:\n  - { id: s, metric: m, script: odd.rhai, every: 1m }\n".into()),
                Some("rules:\n  - { id: s, metric: m, script: odd.rhai, evry: 1m }\n".into()),
                Some(of(&[rule("a", 7)])),
                Some("rules: []".into()),
                None,
            ],
            [
                Some("import \"lib/l\" as l; fn check(s) { l::f() }".into()),
                Some("import \"lib/l\" as l; fn check(s) { !l::f() }".into()),
                Some("fn check(s) { true }".into()),
                Some("fn check(s) { treu }".into()),
                Some("fn check(".into()),
                None,
            ],
            [
                Some("fn f() { true }".into()),
                Some("fn f() { false }".into()),
                Some("fn f() { treu }".into()),
                Some("fn g() { true }".into()),
                Some("?".into()),
                None,
            ],
        ];
        let mut now = [0_usize; 4];
        let mut active: Option<Generation> = None;
        for (file, content) in edits {
            now[file] = content;
            let texts: Vec<(&str, &str)> = (0..4)
                .filter_map(|file| Some((names[file], contents[file][now[file]].as_deref()?)))
                .collect();
            let next = load(files(&texts), &host(), active.as_ref());
            let running = |generation: &Generation| {
                let shown = shown(generation).replace('*', "");
                shown.split(" scripts ").next().map(str::to_owned)
            };
            prop_assert_eq!(running(&kept(&next)), running(&next));
            active = Some(next);
        }
    }
}

/// A generation of one rule, with this limit.
fn one(number: u64, limit: u32) -> Generation {
    let text = of(&[rule("a", limit)]);
    let mut generation = load(files(&[("x.yaml", &text)]), &host(), None);
    generation.number = number;
    generation
}

fn open(disk: &SimDisk) -> io::Result<Bundles> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Bundles::open(&disk, Path::new("/data/rules"))
}

#[test]
fn a_crash_at_any_call_leaves_the_newest_that_was_stored_or_the_one_under_way() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.record();
    // What has been promised, by the calls that were made then.
    let mut stored = vec![(0, 0)];
    let bundles = open(&disk).unwrap();
    let template = bundle(&one(0, 1));
    let numbered = |number: u64| {
        let info = GenerationInfo { number, ..template.info.clone() };
        Bundle { info, files: files(&[("x.yaml", &of(&[rule("a", number as u32)]))]), ..template.clone() }
    };
    for number in 1..=23_u64 {
        bundles.store(&numbered(number)).unwrap();
        stored.push((disk.calls(), number));
    }
    assert_eq!(bundles.numbers().unwrap(), (4..=23).collect::<Vec<_>>());
    for moment in disk.history() {
        let promised = stored.iter().rev().find(|(calls, _)| *calls <= moment.calls).unwrap().1;
        for loss in Loss::ALL {
            let after = moment.disk.crash(7, loss);
            let bundles = open(&after).unwrap();
            let newest = bundles.numbers().unwrap().last().copied().unwrap_or(0);
            let context = format!("{moment:?} {loss:?}");
            assert!((promised..=promised + 1).contains(&newest), "{newest}, not {promised}: {context}");
            if newest > 0 {
                let read = bundles.read(newest).unwrap_or_else(|error| panic!("{error}: {context}"));
                assert_eq!(read, numbered(newest), "{context}");
            }
        }
    }
}

#[test]
fn a_full_disk_leaves_what_is_there() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    let bundles = open(&disk).unwrap();
    bundles.store(&bundle(&one(1, 1))).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 10));
    assert_eq!(bundles.store(&bundle(&one(2, 2))).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.set_capacity(None);
    assert_eq!(open(&disk).unwrap().numbers().unwrap(), [1]);
    bundles.store(&bundle(&one(2, 2))).unwrap();
    assert_eq!(bundles.numbers().unwrap(), [1, 2]);
}

#[test]
fn damage_is_told_and_the_one_before_stands_in() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    let bundles = open(&disk).unwrap();
    for number in [1, 2] {
        bundles.store(&bundle(&one(number, number as u32))).unwrap();
    }
    let path = "/data/rules/generations/000000000002.jsonl";
    let size = disk.read(Path::new(path)).unwrap().len() as u64;
    for (what, damaged) in [("a bit", disk.fork()), ("the end", disk.fork()), ("all", disk.fork())] {
        match what {
            "a bit" => damaged.flip(path, size - 10, 1),
            "the end" => damaged.cut(path, size - 1),
            _ => damaged.cut(path, 0),
        }
        let bundles = open(&damaged).unwrap();
        assert!(matches!(bundles.read(2), Err(BundleError::Damaged { number: 2, .. })), "{what}");
        let config = crate::config::Reload::default();
        let broken = files(&[("x.yaml", "rules: [")]);
        let first = crate::start::begin(broken, &host(), Some(&bundles), &config, &|_| false);
        assert_eq!(shown(&first.report.generation), "a*=1/0@x.yaml scripts []", "{what}");
        assert_eq!(first.report.generation.number, 3, "the number of the lost one is not used again");
    }
    insta::assert_snapshot!(decode(b"{\"format\":2").unwrap_err(), @"its first line does not end");
    insta::assert_snapshot!(decode(b"{\n").unwrap_err(), @"EOF while parsing an object at line 1 column 1");
    let other = String::from_utf8(encode(&bundle(&one(1, 1))).unwrap()).unwrap();
    insta::assert_snapshot!(decode(other.replace("\"format\":1", "\"format\":2").as_bytes()).unwrap_err(), @"it has format 2, and this version reads 1");
}

#[test]
fn the_past_tells_what_was_and_how_it_differs() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    let first = Arc::new(one(1, 10));
    let report = Report::of(first.clone(), Trigger::Start.into());
    let past = Past::new(Some(open(&disk).unwrap()), &report);
    past.store(&first, None).unwrap();
    let text = of(&[rule("a", 20), rule("b", 1)]);
    let second =
        load(files(&[("x.yaml", &text), ("scripts/lib/l.rhai", "fn f() {}")]), &host(), Some(&first));
    let changes = crate::changes::Changes::between(&first, &second);
    let second = Arc::new(second);
    let report = Report { changes, ..Report::of(second.clone(), Trigger::Files.into()) };
    past.note(&report);
    past.store(&second, None).unwrap();
    let all = past.all();
    let told: Vec<_> =
        all.iter().map(|info| (info.number, info.active, info.trigger.as_str(), info.rules)).collect();
    assert_eq!(told, [(2, true, "files", 2), (1, false, "start", 1)]);
    let difference = past.difference(1, 2, &host()).unwrap();
    let rules: Vec<_> =
        difference.rules.iter().map(|change| format!("{} {}", change.rule, change.class)).collect();
    assert_eq!(rules, ["a logic", "b added"]);
    let diffs: Vec<_> =
        difference.files.iter().map(|file| format!("{}\n{}", file.change, file.diff)).collect();
    insta::assert_snapshot!(diffs.join("---\n"), @r"
    changed
    --- x.yaml
    +++ x.yaml
    @@ -1,2 +1,3 @@
     rules:
    -  - { id: a, metric: m, agg: max, window: 15s, limit: 10 }
    +  - { id: a, metric: m, agg: max, window: 15s, limit: 20 }
    +  - { id: b, metric: m, agg: max, window: 15s, limit: 1 }
    ---
    added
    --- /dev/null
    +++ scripts/lib/l.rhai
    @@ -0,0 +1 @@
    +fn f() {}
    \ No newline at end of file
    ");
    assert!(matches!(past.difference(1, 9, &host()), Err(BundleError::Missing { number: 9 })));
}
