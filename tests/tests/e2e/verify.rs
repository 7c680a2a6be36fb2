//! What an operator asks about a store: whether it is whole (`serenod verify`), and what it holds (`sereno storage`).

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sereno_tests::client::{OK, connect, metric, status};
use sereno_tests::server::{Folder, executable};
use sereno_tests::until;

/// Samples per write of a client, which is one commit.
const BATCH: u32 = 100;

/// No configuration is anywhere near.
fn verify(args: &[&Path], working_directory: &Path) -> Output {
    let mut command = Command::new(executable("serenod"));
    command.arg("verify").args(args).current_dir(working_directory).output().unwrap()
}

/// The exit code and the output, in which what differs from run to run is replaced.
fn told(output: &Output, folder: &Folder) -> String {
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    let text = text.replace(&folder.path("").display().to_string(), "FOLDER/");
    let text =
        [" at byte ", "bytes ", " to "].iter().fold(text, |text, before| without_numbers(&text, before));
    format!("exit code {}\n{text}", output.status.code().unwrap())
}

/// Replaces the number behind each `before`.
fn without_numbers(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if rest.len() < part.len() { "N" } else { "" };
        text + before + number + rest
    })
}

fn send(folder: &Folder, batches: u32) {
    let mut server = folder.start();
    let mut stream = connect(server.address, 1);
    for batch in 0..batches {
        // Values that take up room.
        let values = (0..BATCH).map(|n| (batch * BATCH + n).wrapping_mul(2_654_435_761));
        let records: Vec<u8> = values.flat_map(|value| metric(b"foo", value)).collect();
        stream.write_all(&records).unwrap();
        for _ in 0..BATCH {
            assert_eq!(status(&mut stream).unwrap(), OK);
        }
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
}

fn only_file(folder: &Folder, name: &str) -> PathBuf {
    let files: Vec<PathBuf> =
        fs::read_dir(folder.path(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

/// Flips a bit in the middle of a file; gives back what it was.
fn damage(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 0x10;
    fs::write(path, bytes).unwrap();
    whole
}

#[test]
fn verify_names_what_is_damaged_and_what_is_left() {
    let never = "{ directory: data, queues: 1, flush_interval: 1h }";
    let folder = Folder::new(&[], "").with_storage(never);
    send(&folder, 10);
    // What is read back is moved to one segment as a whole.
    folder.set_storage(&never.replace("1h", "20ms"));
    let mut server = folder.start();
    until("a flush", || (server.count_in_log("The head is in segments.") > 0).then_some(()));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
    folder.set_storage(never);
    send(&folder, 5);

    let data = folder.path("data");
    let elsewhere = tempfile::tempdir().unwrap();
    let ask = || told(&verify(&[&data], elsewhere.path()), &folder);
    insta::assert_snapshot!(ask(), @"
    exit code 0
    3 files, 1500 samples can be read, 0 files are damaged, 0 samples are lost
    ");
    let (segment, log) = (only_file(&folder, "data/segments"), only_file(&folder, "data/wal"));
    let whole = damage(&segment);
    insta::assert_snapshot!(ask(), @"
    exit code 1
    damaged: segment FOLDER/data/segments/0000000000000000.seg: foo: a block at byte N: the bytes are damaged
             0 samples of it can be read, 1000 cannot
    3 files, 500 samples can be read, 1 files are damaged, 1000 samples are lost
    ");
    fs::write(&segment, &whole).unwrap();
    let whole_log = damage(&log);
    insta::assert_snapshot!(ask(), @"
    exit code 1
    damaged: wal FOLDER/data/wal/0000000000000002.wal: bytes N to N do not verify
             400 samples of it can be read; those in the damaged bytes cannot
    3 files, 1400 samples can be read, 1 files are damaged, 0 samples are lost, and those in the damaged bytes of the log
    ");
    damage(&segment);
    assert!(ask().contains("2 files are damaged"), "{}", ask());
    fs::write(&segment, &whole).unwrap();
    fs::write(&log, &whole_log).unwrap();
    fs::remove_file(&segment).unwrap();
    insta::assert_snapshot!(ask(), @"
    exit code 1
    damaged: segment FOLDER/data/segments/0000000000000000.seg: the manifest names it, and it is not there
             0 samples of it can be read, 1000 cannot
    3 files, 500 samples can be read, 1 files are damaged, 1000 samples are lost
    ");
    fs::write(&segment, &whole).unwrap();
    assert!(ask().starts_with("exit code 0\n"), "verify changes nothing: {}", ask());
}

#[test]
fn verify_refuses_what_it_cannot_look_at() {
    let folder = Folder::new(&[], "");
    let elsewhere = tempfile::tempdir().unwrap();
    let ask = |args: &[&Path]| told(&verify(args, elsewhere.path()), &folder);
    let data = folder.path("data");
    fs::create_dir_all(&data).unwrap();
    insta::assert_snapshot!(ask(&[&data]), @"
    exit code 1
    error: failed to verify the store
      cause: failed to read `FOLDER/data/STORE`
      cause: No such file or directory (os error 2)
      hint:  is there a store in `FOLDER/data`?
    ");
    insta::assert_snapshot!(ask(&[]), @"
    exit code 1
    error: failed to read the configuration: No such file or directory (os error 2)
     --> config/server.yaml
      = hint: name an existing file with `--config FILE`
    error: `config/server.yaml` is refused, nothing was started
    ");
    let server = folder.start();
    insta::assert_snapshot!(ask(&[&data]), @"
    exit code 1
    error: failed to verify the store
      cause: the store in `FOLDER/data` is open in another process; stop that one, or choose another `storage.directory`
    ");
    drop(server);
    assert!(ask(&[&data]).starts_with("exit code 0\n"));
    // The folder of the configuration is as good.
    let command = Command::new(executable("serenod"))
        .arg("--config")
        .arg(folder.path("server.yaml"))
        .arg("verify")
        .output();
    assert_eq!(command.unwrap().status.code(), Some(0));
}

fn storage(server: std::net::SocketAddr, args: &[&str]) -> Output {
    Command::new(executable("sereno"))
        .arg("--server")
        .arg(server.to_string())
        .arg("storage")
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn storage_tells_what_the_store_holds() {
    let folder = Folder::new(&[], "").with_storage("{ directory: data, flush_interval: 100ms }");
    let server = folder.start();
    let mut stream = connect(server.address, 1);
    stream.write_all(&metric(b"foo", 7)).unwrap();
    assert_eq!(status(&mut stream).unwrap(), OK);
    let json = until("the server to tell of its first flush", || {
        let output = storage(server.address, &["-o", "json"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (json["flushes"].as_u64() >= Some(1)).then_some(json)
    });
    assert!(json["series"].as_u64() >= Some(1), "{json}");
    assert_eq!(json["flush_failures"], 0, "{json}");
    let levels = json["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 3, "{json}");
    let samples: u64 = levels.iter().map(|level| level["samples"].as_u64().unwrap()).sum();
    assert!(samples > 0 && levels.iter().all(|level| level["bytes"].is_u64()), "{json}");
    let output = storage(server.address, &[]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for row in
        ["head", "log", "segments, as flushed", "segments, merged", "segments, whole days", "live series"]
    {
        assert!(table.contains(row), "`{row}` in {table}");
    }
}
