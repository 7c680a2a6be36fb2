//! Must-hold: rules are edited all the time, in every style in which editors and deployments write, good and broken,
//! while alerts fire; nobody who is not edited notices. `SERENO_TEST_THOROUGH=1` makes 1,000 edits in a minute of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sereno_model::EventKind;

use crate::{Bench, file, quick, replace, rule};

const STEADY: usize = 10;
const EDITED: usize = 6;
/// The time between two edits.
const PACE: Duration = Duration::from_millis(60);
/// A machine on which this test itself is held up for longer cannot be asked to meet every tick.
const HELD_UP: Duration = Duration::from_millis(300);

fn is_thorough() -> bool {
    std::env::var_os("SERENO_TEST_THOROUGH").is_some()
}

/// The way in which a file is saved.
#[derive(Clone, Copy, Debug)]
enum Style {
    InPlace,
    RenameOver,
    TwoHalves,
    DeleteAndCreate,
    ConfigMap,
    Touch,
}

const STYLES: [Style; 6] = [
    Style::InPlace,
    Style::RenameOver,
    Style::TwoHalves,
    Style::DeleteAndCreate,
    Style::ConfigMap,
    Style::Touch,
];

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// A file for each style, each of one rule `edited<n>`; that of the ConfigMap lies behind `..data`.
struct Edited {
    folder: PathBuf,
    version: usize,
}

impl Edited {
    fn path(&self, style: Style) -> PathBuf {
        match style {
            Style::ConfigMap => self.folder.join("map/edited.yaml"),
            style => self.folder.join(format!("edited{}.yaml", style as usize)),
        }
    }

    fn save(&mut self, style: Style, text: &[u8]) {
        let path = self.path(style);
        match style {
            Style::InPlace => fs::write(&path, text).unwrap(),
            Style::RenameOver => replace(&path, &String::from_utf8_lossy(text)),
            Style::TwoHalves => {
                let (first, second) = text.split_at(text.len() / 2);
                fs::write(&path, first).unwrap();
                std::thread::sleep(PACE / 6);
                let mut whole = first.to_vec();
                whole.extend(second);
                fs::write(&path, whole).unwrap();
            }
            Style::DeleteAndCreate => {
                fs::remove_file(&path).unwrap();
                std::thread::sleep(PACE / 6);
                fs::write(&path, text).unwrap();
            }
            Style::ConfigMap => self.swap(text),
            Style::Touch => {
                let same = fs::read(&path).unwrap();
                fs::write(&path, same).unwrap();
            }
        }
    }

    /// As the kubelet does: a new folder, and a link that is renamed over the old one.
    fn swap(&mut self, text: &[u8]) {
        self.version += 1;
        let map = self.folder.join("map");
        let (old, new) = (format!("..v{}", self.version - 1), format!("..v{}", self.version));
        fs::create_dir_all(map.join(&new)).unwrap();
        fs::write(map.join(&new).join("edited.yaml"), text).unwrap();
        symlink(&new, map.join("..data_tmp")).unwrap();
        fs::rename(map.join("..data_tmp"), map.join("..data")).unwrap();
        if !map.join("edited.yaml").is_symlink() {
            symlink("..data/edited.yaml", map.join("edited.yaml")).unwrap();
        }
        let _none_before_the_first = fs::remove_dir_all(map.join(old));
    }
}

fn text(style: Style, limit: usize) -> String {
    file(&[rule(&format!("edited{}", style as usize), u32::try_from(limit).unwrap())])
}

/// A text that cannot be taken over, for one of several reasons.
fn broken(style: Style, limit: usize, kind: usize) -> Vec<u8> {
    let good = text(style, limit);
    match kind {
        0 => good.replace("max", "maxx").into_bytes(),
        1 => good.replace("limit", "lmit").into_bytes(),
        2 => b"rules: [".to_vec(),
        _ => vec![b'r', 0xff, 0xfe],
    }
}

/// The open files of this process; those of other tests too, where they run in it.
fn descriptors(folder: &Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let alone = std::env::var_os("NEXTEST").is_some();
    let is_ours = |path: &PathBuf| alone || path.starts_with(folder);
    all.filter_map(|entry| fs::read_link(entry.path()).ok()).filter(is_ours).count()
}

fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[test]
fn edits_in_every_style_are_taken_over_and_nobody_else_notices() {
    let edits = if is_thorough() { 1_000 } else { 60 };
    let steady: Vec<String> = (0..STEADY).map(|index| rule(&format!("steady{index}"), 1)).collect();
    let mut bench = Bench::start(&[("rules/steady.yaml", &file(&steady))], quick());
    let folder = bench.path("rules");
    let mut edited = Edited { folder, version: 0 };
    for style in STYLES {
        let start = text(style, 1_000);
        match style {
            Style::ConfigMap => edited.swap(start.as_bytes()),
            style => fs::write(edited.path(style), start).unwrap(),
        }
    }
    bench.until("all rules", |bench| bench.rules.generation().rules.len() == STEADY + EDITED);
    let feed = |bench: &Bench| (0..STEADY).for_each(|index| bench.send(&format!("steady{index}"), 5.0));
    bench.until("all alerts", |bench| {
        feed(bench);
        bench.rules.alerts().len() == STEADY
    });
    let alerts = |bench: &Bench| -> Vec<_> {
        bench.rules.alerts().into_iter().map(|alert| (alert.rule, alert.since, alert.level)).collect()
    };
    let before = alerts(&bench);
    let root = bench.folder.path().to_owned();
    let (files_before, bytes_before) = (descriptors(&root), resident_bytes());
    let missed_before = bench.metric("rule_missed_ticks_total");

    let mut dice = Dice(7);
    let (started, mut worst) = (Instant::now(), Duration::ZERO);
    for number in 1..=edits {
        let style = STYLES[dice.below(STYLES.len())];
        let limit = 1_000 + number;
        let is_broken = dice.below(10) < 3;
        let new = match is_broken {
            true => broken(style, limit, dice.below(4)),
            false => text(style, limit).into_bytes(),
        };
        edited.save(style, &new);
        feed(&bench);
        let due = PACE * u32::try_from(number).unwrap();
        worst = worst.max(started.elapsed().saturating_sub(due));
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
    for (index, style) in STYLES.into_iter().enumerate() {
        if matches!(style, Style::Touch) {
            fs::write(edited.path(style), text(style, 9_000 + index)).unwrap();
        } else {
            edited.save(style, text(style, 9_000 + index).as_bytes());
        }
    }
    let saved = Instant::now();
    bench.until("the final content", |bench| {
        feed(bench);
        (0..EDITED).all(|index| {
            let rule = bench.limit_of(&format!("edited{index}")).unwrap();
            rule.contains(&format!("{}.0", 9_000 + index))
        })
    });
    let took = saved.elapsed();
    bench.until("the report", |bench| bench.rules.diagnostics().is_good());

    assert_eq!(alerts(&bench), before, "alerts that nobody has edited are the same episodes");
    for index in 0..STEADY {
        let id = format!("steady{index}");
        let told = [EventKind::Firing, EventKind::Resolved, EventKind::Closed, EventKind::Stale]
            .map(|kind| bench.told(&id, kind));
        assert_eq!(told, [1, 0, 0, 0], "{id}");
    }
    let missed = bench.metric("rule_missed_ticks_total") - missed_before;
    if worst < HELD_UP {
        assert_eq!(missed, 0.0, "ticks were missed though the machine kept up");
        assert!(took < Duration::from_secs(2), "{took:?} until the final content was active");
    }
    let files = descriptors(&root);
    assert!(files <= files_before + 2, "{files_before} open files before, {files} after");
    let grown = resident_bytes().saturating_sub(bytes_before);
    assert!(!is_thorough() || grown < 32 << 20, "{grown} bytes more than before");
    assert!(bench.rules.history().len() <= 20);
    println!("{edits} edits, held up {worst:?}, active after {took:?}, missed {missed}, {grown} bytes");
}
