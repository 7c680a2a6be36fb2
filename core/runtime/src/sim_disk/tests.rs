//! The promises of the simulator itself: what it never does, and what it does do for some seed.

use std::collections::BTreeSet;

use super::*;
use crate::disk::replace;

const SEEDS: u64 = 2_000;

fn path(path: &str) -> &Path {
    Path::new(path)
}

/// A file with a durable name and durable content.
fn durable_file(disk: &SimDisk, name: &str, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.create(path(name)).unwrap();
    file.append(content).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("/")).unwrap();
    file
}

/// All contents that one file may have after a loss of power; `None`: it is not there.
fn fates(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| disk.crash(seed, Loss::Random).files().remove(path(name))).collect()
}

fn text(fates: BTreeSet<Option<Vec<u8>>>) -> Vec<String> {
    let show = |content: Option<Vec<u8>>| content.map_or("-".into(), |it| String::from_utf8(it).unwrap());
    fates.into_iter().map(show).collect()
}

#[test]
fn what_is_synced_never_vanishes_and_the_rest_may() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"one");
    file.append(b"two").unwrap();
    for seed in 0..SEEDS {
        for loss in Loss::ALL {
            assert!(disk.crash(seed, loss).read(path("/a")).unwrap().starts_with(b"one"));
        }
    }
    assert_eq!(text(fates(&disk, "/a")), ["one", "one\0\0\0", "onetwo"]);
    file.sync().unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["onetwo"]);
}

#[test]
fn each_loss_leaves_its_state() {
    let disk = SimDisk::new();
    durable_file(&disk, "/a", b"one").append(b"two").unwrap();
    disk.create(path("/b")).unwrap().append(b"new").unwrap();
    let after = |loss| {
        let files = disk.crash(0, loss).files().into_iter();
        let show = |(path, content): (PathBuf, Vec<u8>)| {
            format!("{} {}", path.display(), String::from_utf8_lossy(&content).replace('\0', "."))
        };
        files.map(show).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(after(Loss::Unsynced), "/a one");
    assert_eq!(after(Loss::Nothing), "/a onetwo, /b new");
    assert_eq!(after(Loss::Content), "/a one, /b ");
    assert_eq!(after(Loss::Zeroed), "/a one..., /b ...");
    assert_eq!(after(Loss::Names), "/a onetwo");
    assert!(
        disk.crash(0, Loss::Nothing).crash(0, Loss::Unsynced).files().len() == 2,
        "what is left is durable"
    );
}

#[test]
fn a_name_needs_its_directory_synced() {
    let disk = SimDisk::new();
    let file = disk.create(path("/a")).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["-", "x"]);
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["x"]);
    disk.remove(path("/a")).unwrap();
    assert_eq!(disk.read(path("/a")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(text(fates(&disk, "/a")), ["-", "x"], "an un-synced removal may be undone");
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["-"]);
}

#[test]
fn a_directory_takes_its_files_along() {
    let disk = SimDisk::new();
    disk.create_dir_all(path("/x/y")).unwrap();
    disk.create(path("/x/y/a")).unwrap();
    disk.sync_dir(path("/x/y")).unwrap();
    assert_eq!(text(fates(&disk, "/x/y/a")), ["-", ""]);
    disk.sync_dir(path("/x")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(text(fates(&disk, "/x/y/a")), [""]);
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let disk = SimDisk::new();
    durable_file(&disk, "/a", b"old");
    disk.record();
    replace(&disk, path("/a"), b"new").unwrap();
    let mut seen = BTreeSet::new();
    for moment in disk.history() {
        seen.extend(fates(&moment.disk, "/a"));
    }
    assert_eq!(text(seen), ["new", "old"]);
    assert_eq!(text(fates(&disk, "/a")), ["new"]);
}

#[test]
fn a_rename_without_a_sync_of_the_content_may_keep_the_name_alone() {
    let disk = SimDisk::new();
    durable_file(&disk, "/a", b"old");
    disk.create(path("/b")).unwrap().append(b"new").unwrap();
    disk.rename(path("/b"), path("/a")).unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["", "\0\0\0", "new", "old"]);
}

#[test]
fn a_file_moved_between_directories_has_one_name() {
    let disk = SimDisk::new();
    disk.write_file("/from/a", b"x");
    disk.create_dir_all(path("/to")).unwrap();
    disk.rename(path("/from/a"), path("/to/a")).unwrap();
    disk.sync_dir(path("/to")).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let files = disk.crash(seed, Loss::Random).files();
        assert_eq!(files.len(), 1, "{files:?}");
        seen.extend(files.into_keys());
    }
    assert_eq!(seen.len(), 2, "where it was, as long as the new directory itself has no durable name");
    disk.sync_dir(path("/")).unwrap();
    assert!(fates(&disk, "/from/a") == [None].into());
}

#[test]
fn names_are_lost_out_of_order_too() {
    let disk = SimDisk::new();
    durable_file(&disk, "/old", b"");
    disk.create(path("/new")).unwrap();
    disk.remove(path("/old")).unwrap();
    let trees: BTreeSet<usize> =
        (0..SEEDS).map(|seed| disk.crash(seed, Loss::Random).files().len()).collect();
    assert_eq!(trees, [0, 1, 2].into(), "the removal may survive without what it was waiting for");
}

#[test]
fn writes_tear_at_sectors_and_leave_holes() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", &[1; 100]);
    file.append(&[2; 5_000]).unwrap();
    file.append(&[3; 5_000]).unwrap();
    let whole = disk.read(path("/a")).unwrap();
    let (mut torn, mut holes, mut zeroed_tails, mut nothing, mut everything) = (0, 0, 0, 0, 0);
    for found in fates(&disk, "/a").into_iter().flatten() {
        assert_eq!(found[..100], whole[..100]);
        for (number, sector) in found.chunks(512).enumerate() {
            let there = &whole[number * 512..][..sector.len()];
            let fresh = sector.iter().zip(there).skip_while(|(byte, there)| byte == there);
            assert!(
                fresh.clone().all(|(byte, _)| *byte == 0),
                "a sector is in one version, and the rest is zeros"
            );
        }
        let missing = |place: usize| found[place] == 0;
        torn += u32::from(found.len() > 5_100 && found.len() < 10_100);
        holes += u32::from(!(100..found.len()).is_sorted_by_key(missing));
        zeroed_tails += u32::from(found.len() == 10_100 && missing(10_099) && !missing(100));
        nothing += u32::from(found.len() == 100);
        everything += u32::from(found == whole);
    }
    assert!(torn > 5 && holes > 100 && zeroed_tails > 5, "{torn} torn, {holes} holes, {zeroed_tails} zeroed");
    assert_eq!((nothing, everything), (1, 1));
}

#[test]
fn a_cut_may_not_have_happened_and_what_it_took_never_shows_up_in_new_space() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"abcdef");
    file.truncate(3).unwrap();
    // The size is the old one or the new one, and the page may be ahead of it.
    assert_eq!(text(fates(&disk, "/a")), ["abc", "abc\0\0\0", "abcdef"]);
    file.append(b"XY").unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["abc", "abc\0\0", "abc\0\0\0", "abcXY", "abcXY\0", "abcdef"]);
    file.sync().unwrap();
    assert_eq!(text(fates(&disk, "/a")), ["abcXY"]);
}

#[test]
fn cutting_a_file_to_its_size_changes_nothing() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"abc");
    file.append(b"d").unwrap();
    file.reserve(100).unwrap();
    assert_eq!((disk.used_bytes(), file.size().unwrap()), (100, 4));
    file.truncate(4).unwrap();
    assert_eq!(disk.used_bytes(), 4);
    assert_eq!(text(fates(&disk, "/a")), ["abc", "abc\0", "abcd"]);
}

#[test]
fn a_kill_keeps_all_and_makes_nothing_durable() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"one");
    file.append(b"two").unwrap();
    disk.create(path("/b")).unwrap();
    let _held = disk.lock(path("/")).unwrap();
    assert_eq!(disk.lock(path("/")).map(|_| ()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let next = disk.kill();
    file.append(b"a thread that still runs").unwrap();
    assert_eq!(next.files().into_values().collect::<Vec<_>>(), [&b""[..], b"onetwo", b""], "LOCK, a, b");
    let _taken = next.lock(path("/")).unwrap();
    assert_eq!(next.crash(0, Loss::Unsynced).files().len(), 1, "a loss of power may still come");
}

#[test]
fn a_dropped_lock_is_free() {
    let disk = SimDisk::new();
    drop(disk.lock(path("/")).unwrap());
    disk.lock(path("/")).unwrap();
}

#[test]
fn the_machine_stops_at_every_call() {
    let run = |disk: &SimDisk| -> io::Result<()> {
        disk.create_dir_all(path("/d"))?;
        let file = disk.create(path("/d/a"))?;
        file.reserve(10)?;
        file.append(b"abcd")?;
        file.sync()?;
        file.truncate(2)?;
        disk.rename(path("/d/a"), path("/d/b"))?;
        disk.sync_dir(path("/d"))?;
        disk.remove(path("/d/b"))
    };
    let whole = SimDisk::new();
    whole.record();
    run(&whole).unwrap();
    assert_eq!(whole.calls(), 9);
    let history = whole.history();
    for calls in 0..9 {
        let disk = SimDisk::new();
        disk.crash_after(calls);
        let error = run(&disk).unwrap_err();
        assert!(Stopped::is(&error) && disk.is_stopped());
        assert_eq!(disk.calls(), calls);
        assert!(Stopped::is(&disk.list(path("/")).unwrap_err()), "calls that only look fail too");
        assert!(Stopped::is(&disk.lock(path("/")).map(|_| ()).unwrap_err()));
        let moment = &history[calls as usize];
        assert_eq!(moment.calls, calls);
        for seed in 0..50 {
            let (stopped, recorded) = (disk.crash(seed, Loss::Random), moment.disk.crash(seed, Loss::Random));
            assert_eq!(stopped.files(), recorded.files(), "both ways give the same state");
            stopped.create(path("/goes_on")).unwrap();
        }
    }
    let disk = SimDisk::new();
    disk.crash_within(3, Part::Half);
    run(&disk).unwrap_err();
    assert_eq!(disk.files()[path("/d/a")], b"ab");
    let disk = SimDisk::new();
    disk.crash_within(6, Part::All);
    run(&disk).unwrap_err();
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), [path("/d/b")]);
}

#[test]
fn faults_come_at_their_turn() {
    let disk = SimDisk::new();
    let file = disk.create(path("/a")).unwrap();
    disk.fail(Fault::nth(Call::Append, 2, EIO).part(Part::Half));
    file.append(b"ab").unwrap();
    file.size().unwrap();
    assert_eq!(file.append(b"cdef").unwrap_err().raw_os_error(), Some(EIO));
    file.append(b"g").unwrap();
    assert_eq!(disk.files()[path("/a")], b"abcdg");

    disk.fail(Fault::always(Call::Open, ENOSPC).within("/b"));
    disk.open(path("/a")).unwrap();
    for _ in 0..3 {
        assert_eq!(disk.open(path("/b")).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    disk.heal();
    assert_eq!(disk.open(path("/b")).unwrap_err().kind(), io::ErrorKind::NotFound);

    disk.fail(Fault::nth(Call::Any, 2, EINTR));
    disk.read(path("/a")).unwrap();
    assert_eq!(disk.list(path("/")).unwrap_err().kind(), io::ErrorKind::Interrupted);
    disk.fail(Fault::nth(Call::AnyChange, 1, EIO).part(Part::All));
    disk.read(path("/a")).unwrap();
    disk.remove(path("/a")).unwrap_err();
    assert!(disk.files().is_empty(), "it took effect and did not say so");
    disk.fail(Fault::nth(Call::Create, 1, EIO).part(Part::All));
    disk.create(path("/c")).unwrap_err();
    assert_eq!(disk.files().len(), 1);
}

#[test]
fn a_second_sync_does_not_make_up_for_one_that_failed() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"one");
    file.append(b"two").unwrap();
    disk.fail(Fault::nth(Call::Sync, 1, EIO));
    file.sync().unwrap_err();
    file.append(b"six").unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read(path("/a")).unwrap(), b"onetwosix", "readers see the kernel's copy");
    for loss in Loss::ALL {
        assert_eq!(disk.crash(1, loss).read(path("/a")).unwrap(), b"one\0\0\0six");
    }
    disk.fail(Fault::nth(Call::Sync, 1, EIO).part(Part::All));
    file.append(b"!").unwrap();
    file.sync().unwrap_err();
    assert_eq!(disk.crash(0, Loss::Unsynced).read(path("/a")).unwrap(), b"one\0\0\0six!");
}

#[test]
fn a_full_disk_takes_what_fits_and_works_again() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(10));
    let file = disk.create(path("/a")).unwrap();
    file.append(b"abcdef").unwrap();
    assert_eq!(disk.free_bytes(path("/a")).unwrap(), 4);
    assert_eq!(file.append(b"ghijkl").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.files()[path("/a")], b"abcdefghij");
    file.truncate(2).unwrap();
    let other = disk.create(path("/b")).unwrap();
    other.reserve(8).unwrap();
    assert_eq!(file.append(b"x").unwrap_err().raw_os_error(), Some(ENOSPC));
    assert_eq!(file.reserve(3).unwrap_err().raw_os_error(), Some(ENOSPC));
    other.append(&[0; 8]).expect("its room is set aside");
    disk.remove(path("/b")).unwrap();
    file.append(b"x").expect_err("the removed file is still open");
    drop(other);
    file.append(b"x").unwrap();
    disk.set_capacity(Some(1));
    file.append(b"x").unwrap_err();
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 0);
    disk.set_capacity(None);
    file.append(b"x").unwrap();
    assert!(disk.free_bytes(path("/")).unwrap() > 1 << 30);
    disk.free_bytes(path("/missing")).unwrap_err();
}

#[test]
fn open_files_outlive_their_names() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "/a", b"abc");
    disk.rename(path("/a"), path("/b")).unwrap();
    file.append(b"d").unwrap();
    assert_eq!(disk.read(path("/b")).unwrap(), b"abcd");
    disk.remove(path("/b")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    let mut buffer = [0; 2];
    file.read_exact_at(&mut buffer, 2).unwrap();
    assert_eq!(&buffer, b"cd");
    let beyond = file.read_exact_at(&mut buffer, 3);
    assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    file.append(b"e").unwrap();
    file.sync().unwrap();
    assert_eq!((file.size().unwrap(), disk.used_bytes()), (5, 5));
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn errors_are_those_of_the_real_disk() {
    let real = tempfile::tempdir().unwrap();
    let errors = |disk: &dyn Disk, root: &Path| {
        disk.create_dir_all(&root.join("d/e")).unwrap();
        disk.create(&root.join("a")).unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        [
            kind(disk.create(&root.join("a")).map(drop)),
            kind(disk.create(&root.join("d")).map(drop)),
            kind(disk.create(&root.join("none/a")).map(drop)),
            kind(disk.create(&root.join("a/b")).map(drop)),
            kind(disk.open(&root.join("none")).map(drop)),
            kind(disk.open(&root.join("d")).map(drop)),
            kind(disk.read(&root.join("none")).map(drop)),
            kind(disk.read(&root.join("d")).map(drop)),
            kind(disk.list(&root.join("none")).map(drop)),
            kind(disk.list(&root.join("a")).map(drop)),
            kind(disk.create_dir_all(&root.join("a"))),
            kind(disk.create_dir_all(&root.join("a/b"))),
            kind(disk.rename(&root.join("none"), &root.join("b"))),
            kind(disk.rename(&root.join("a"), &root.join("d"))),
            kind(disk.rename(&root.join("a"), &root.join("none/b"))),
            kind(disk.remove(&root.join("none"))),
            kind(disk.remove(&root.join("d"))),
            kind(disk.sync_dir(&root.join("none"))),
            kind(disk.free_bytes(&root.join("none")).map(drop)),
            kind(disk.lock(&root.join("none")).map(drop)),
        ]
    };
    let sim = SimDisk::new();
    sim.create_dir_all(real.path()).unwrap();
    assert_eq!(errors(&sim, real.path()), errors(&crate::RealDisk, real.path()));
    let list = |disk: &dyn Disk| disk.list(real.path()).unwrap();
    assert_eq!(list(&sim), list(&crate::RealDisk));
}

#[test]
fn damage_is_durable_and_a_fork_goes_its_own_way() {
    let disk = SimDisk::new();
    disk.write_file("/d/a", b"abc");
    let fork = disk.fork();
    disk.flip("/d/a", 1, 0x20);
    disk.cut("/d/a", 2);
    assert_eq!(disk.crash(0, Loss::Unsynced).files()[path("/d/a")], b"aB");
    assert_eq!(fork.files()[path("/d/a")], b"abc");
    disk.write_file("/d/a", b"new");
    assert_eq!(disk.crash(0, Loss::Unsynced).files()[path("/d/a")], b"new");
    assert_eq!(format!("{disk:?}"), r#"{"/d/a": 3}"#);
}

#[test]
fn a_seed_gives_the_same_state_again() {
    let disk = SimDisk::new();
    for number in 0..20 {
        disk.create(&path("/").join(number.to_string())).unwrap().append(&[number; 3_000]).unwrap();
    }
    let states: BTreeSet<_> = (0..100)
        .map(|seed| {
            let state = disk.crash(seed, Loss::Random).files();
            assert_eq!(state, disk.crash(seed, Loss::Random).files());
            state
        })
        .collect();
    assert!(states.len() > 60, "and other seeds other states: {}", states.len());
}
