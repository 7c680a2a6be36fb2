//! `sereno send`: what is stored, what is told, and how it ends.

use std::io::Write as _;
use std::process::Stdio;

use sereno_cli::Exit;

use crate::site::{Caller, Site};

/// Ahead of the server's clock by more than it allows, whenever this runs.
const FAR_AHEAD: &str = "2200-01-01T00:00:00Z";

#[test]
fn values_are_stored_in_every_form_of_the_command_line() {
    let site = Site::start();
    let ok = |args: &[&str]| {
        let done = site.run_words(&[&["send"], args].concat());
        assert_eq!((done.exit, done.out.as_str(), done.err.as_str()), (Exit::Ok, "ok\n", ""), "{args:?}");
    };
    ok(&["foo", "5"]);
    ok(&["foo", "-1.5"]);
    ok(&["foo", "NaN"]);
    ok(&["foo=7"]);
    ok(&["bar{host=\"a\"}", "1e3", "odd=2", "{\"odd name\",x=\"=\"}=3", "--ack", "disk"]);
    ok(&["old", "9", "--time", "-1h"]);
    ok(&["old", "8", "--time", "-2h"]);
    assert_eq!(site.values("foo"), "5 -1.5 NaN 7");
    assert_eq!((site.values("bar"), site.values("odd")), ("1000".into(), "2".into()));
    assert_eq!(site.values("{\"odd name\"}"), "3");
    assert_eq!(site.values("old"), "8 9", "they are in order of the times that were given");
}

#[test]
fn what_means_nothing_is_said() {
    let caller = Caller::default();
    let told = |args: &[&str]| caller.run(args).told();
    insta::assert_snapshot!(
        [
            told(&["send"]),
            told(&["send", "foo"]),
            told(&["send", "foo", "many"]),
            told(&["send", "foo{host=a}", "1"]),
            told(&["send", "foo*", "1"]),
            told(&["send", "foo", "1", "--time", "yesterday"]),
            told(&["send", "foo", "1", "--file", "x"]),
            told(&["sned", "foo", "1"]),
            told(&["--server", "localhost", "send", "foo", "1"]),
        ]
        .join("\n\n"),
        @"
        Usage
        --- out
        --- err
        error: the following required arguments were not provided:
          <NAME VALUE>...

        Usage: sereno send [OPTIONS] <NAME> <VALUE> [<NAME> <VALUE>]...
               sereno send [OPTIONS] <NAME=VALUE>...
               sereno send [OPTIONS] -
               sereno send [OPTIONS] --file <FILE>...

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: `foo` has no value
          hint:  `sereno send 'foo' 1`

        Usage
        --- out
        --- err
        error: invalid value 'many' for '<VALUE>': it is not a number

        Usage
        --- out
        --- err
        error: invalid value 'foo{host=a}' for '<NAME>': expected a quoted text at character 10 of `foo{host=a}`

        Usage
        --- out
        --- err
        error: invalid value 'foo*' for '<NAME>': `foo*` selects series; one series is wanted, with `=` only and no `*` or `?`

        Usage
        --- out
        --- err
        error: invalid value 'yesterday' for '--time <TIME>': it is a time like `2026-11-23T08:00:00Z`, a Unix time, `now`, or a time ago like `-1h`

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: the argument '[NAME VALUE]...' cannot be used with '--file <FILE>...'

        Usage: sereno send [OPTIONS] <NAME> <VALUE> [<NAME> <VALUE>]...
               sereno send [OPTIONS] <NAME=VALUE>...
               sereno send [OPTIONS] -
               sereno send [OPTIONS] --file <FILE>...

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: unrecognized subcommand 'sned'

          tip: a similar subcommand exists: 'send'

        Usage: sereno [OPTIONS] <COMMAND>

        For more information, try '--help'.

        Usage
        --- out
        --- err
        error: invalid value 'localhost' for '--server <HOST:PORT>': it is HOST:PORT, like `127.0.0.1:5678` or `[::1]:5678`

        For more information, try '--help'.
        "
    );
}

#[test]
fn what_the_server_refuses_is_said() {
    let site = Site::start();
    insta::assert_snapshot!(site.run(&format!("send foo 1 --time {FAR_AHEAD}")).told(), @"
    Refused
    --- out
    --- err
    error: `SERVER` refused the metric: the time lies further ahead of the server's clock than `storage.future_max`
      hint:  the server's log tells more
    ");
    insta::assert_snapshot!(site.run(&format!("send foo 1 bar 2 --time {FAR_AHEAD}")).told(), @"
    Refused
    --- out
    --- err
    foo: the time lies further ahead of the server's clock than `storage.future_max`
    bar: the time lies further ahead of the server's clock than `storage.future_max`
    error: `SERVER` refused 2 of 2 metrics
      hint:  the server's log tells more
    ");
    assert_eq!(site.values("foo"), "");
}

#[test]
fn a_server_that_asks_for_a_token_gets_one() {
    let site = Site::with_tokens("open sesame and thirty thieves\n");
    insta::assert_snapshot!(site.run("send foo 1").told(), @"
    Refused
    --- out
    --- err
    error: `SERVER` refused the connection: this server asks for a token
      hint:  name the file with the server's token: `--token-file PATH`, or set SERENO_TOKEN, or use a context
    ");
    let token = site.file("token", "open sesame and thirty thieves\n");
    let done = site.run_words(&["--token-file", &token.display().to_string(), "send", "foo", "1"]);
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, "ok\n"));
    let wrong = site.file("token", "open barley and thirty thieves\n");
    let done = site.run_words(&["--token-file", &wrong.display().to_string(), "send", "foo", "1"]);
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("the token is wrong"), "{}", done.err);
}

#[test]
fn files_are_read_in_their_form_and_bad_lines_are_told() {
    let site = Site::start();
    site.file("a.txt", "# two series\nfoo 1\nbar{host=\"a\"} 2\n\nfoo\nfoo 3 x\nfoo 4");
    site.file("b.csv", "name,value,host\nfoo,5,a\nfoo,six,a\nfoo,7\nfoo,8,b\n");
    site.file("c.jsonl", "{\"name\":\"foo\",\"value\":9}\n{\"name\":\"foo\"}\n");
    let paths = ["a.txt", "b.csv", "c.jsonl", "no.txt"].map(|name| site.folder.path().join(name));
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let done = site.run_words(&["send", "-f", &paths[0], &paths[1], &paths[2]]);
    insta::assert_snapshot!(done.told_timeless(), @"
    Negative
    --- out
    --- err
    FOLDER/a.txt:5: the value is missing
    FOLDER/a.txt:6: `x` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`
    FOLDER/b.csv:3: `six` is no number
    FOLDER/b.csv:4: 2 fields, but the header has 3
    FOLDER/c.jsonl:2: the value is missing
    14 lines, 6 stored, 5 bad; …
    error: 5 lines are not stored
    ");
    assert_eq!(site.values("bar"), "2");
    let mut values: Vec<_> = site.values("foo").split(' ').map(str::to_owned).collect();
    values.sort();
    assert_eq!(values, ["1", "4", "5", "8", "9"]);
    insta::assert_snapshot!(site.run_words(&["send", "-f", &paths[3]]).told_timeless(), @"
    Negative
    --- out
    --- err
    0 lines, 0 stored; …
    error: failed to read `FOLDER/no.txt`
      cause: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(site.run_words(&["send", "-f", &paths[0], "--format", "csv"]).told_timeless(), @"
    Negative
    --- out
    --- err
    FOLDER/a.txt:1: the header of the CSV is none: no column is called `name` or `metric`
    1 lines, 0 stored, 1 bad; …
    error: without a header, nothing of it can be read
      hint:  the first line names the columns, like `name,value,time,host`; or is it of another `--format`?
    ");
}

#[test]
fn a_row_means_what_the_header_of_its_own_file_says() {
    // The rows of one file were taken for those of the file before, whose labels had other names.
    let site = Site::start();
    site.file("a.csv", "name,value,host\ncpu,1,web\n");
    site.file("b.csv", "name,value,dc\ncpu,2,web\n");
    site.file("c.jsonl", "{\"name\":\"cpu\",\"labels\":{\"zone\":\"web\"},\"value\":3}\n");
    let paths = ["a.csv", "b.csv", "c.jsonl"].map(|name| site.folder.path().join(name).display().to_string());
    let done = site.run_words(&["send", "-f", &paths[0], &paths[1], &paths[2]]);
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    let listed = site.run("series cpu").out;
    assert_eq!(listed, "cpu{dc=\"web\"}\ncpu{host=\"web\"}\ncpu{zone=\"web\"}\n");
}

#[test]
fn many_bad_lines_are_counted_and_the_first_twenty_told() {
    let site = Site::start();
    let file = site.file("lines", &format!("foo 1\n{}foo 2 {FAR_AHEAD}\nfoo 3\n", "foo x\n".repeat(30)));
    let done = site.run_words(&["send", "-f", &file.display().to_string()]);
    assert_eq!(done.exit, Exit::Negative);
    let told: Vec<&str> = done.err.lines().collect();
    assert_eq!(told.len(), 23, "{}", done.err);
    assert_eq!(
        (told[0], told[19]),
        ("FOLDER/lines:2: `x` is no number", "FOLDER/lines:21: `x` is no number")
    );
    assert_eq!(told[20], "… and 11 more");
    assert!(told[21].starts_with("33 lines, 2 stored, 30 bad, 1 rejected; "), "{}", told[21]);
    assert_eq!(told[22], "error: 31 lines are not stored");
    assert_eq!(site.values("foo"), "1 3");
}

#[test]
fn what_the_server_rejects_is_told_with_its_line() {
    let site = Site::start();
    let file = site.file("lines", &format!("foo 1\n\nfoo 2 {FAR_AHEAD}\nfoo 3\n"));
    insta::assert_snapshot!(site.run_words(&["send", "-f", &file.display().to_string()]).told_timeless(), @"
    Negative
    --- out
    --- err
    FOLDER/lines:3: rejected: the time lies further ahead of the server's clock than `storage.future_max`
    4 lines, 2 stored, 1 rejected; …
    error: one line is not stored
    ");
    assert_eq!(site.values("foo"), "1 3");
}

#[test]
fn a_strict_run_stops_at_the_first_bad_line() {
    let site = Site::start();
    let file = site.file("lines", "foo 1\nfoo 2\nfoo x\nfoo 3\n");
    let done = site.run_words(&["send", "--strict", "-f", &file.display().to_string()]);
    insta::assert_snapshot!(done.told_timeless(), @"
    Negative
    --- out
    --- err
    FOLDER/lines:3: `x` is no number
    3 lines, 2 stored, 1 bad; …
    error: a line is bad, and what follows it was not read
      hint:  without `--strict`, bad lines are told and all others stored
    ");
    assert_eq!(site.values("foo"), "1 2");
}

#[test]
fn every_line_of_many_is_stored_once() {
    let site = Site::start();
    let lines: String = (0..60_000).map(|i| format!("load{{series=\"{}\"}} {i}\n", i % 300)).collect();
    let file = site.file("lines", &lines);
    let done = site.run_words(&["send", "-f", &file.display().to_string()]);
    assert!(done.err.contains("60000 lines, 60000 stored; "), "{}", done.err);
    assert_eq!(done.exit, Exit::Ok);
    let mut values: Vec<u32> =
        site.values("load").split(' ').map(|value| value.parse().expect("a number")).collect();
    values.sort_unstable();
    assert_eq!(values, (0..60_000).collect::<Vec<_>>());
}

#[test]
fn a_line_in_a_pipe_is_stored_before_the_next_comes() {
    let site = Site::start();
    let mut child = site.executable(&["send", "-"]);
    let mut input = child.stdin.take().expect("a pipe");
    for (line, values) in [("foo 1\n", "1"), ("foo 2\n", "1 2")] {
        input.write_all(line.as_bytes()).expect("it reads");
        while site.values("foo") != values {
            std::thread::yield_now();
        }
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(err.starts_with("2 lines, 2 stored; ") && !err.contains('\x1b'), "{err}");
}

#[test]
fn a_server_that_goes_away_is_told_with_what_is_not_known() {
    let mut site = Site::start();
    let mut child = site.executable(&["--timeout", "0.2", "--retries", "1", "send", "-"]);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"foo 1\n").expect("it reads");
    while site.values("foo") != "1" {
        std::thread::yield_now();
    }
    site.stop();
    input.write_all(b"foo 2\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("\n2 lines, 1 stored, 1 rejected; ") && err.contains("failed to connect"), "{err}");
}

#[test]
fn whoever_interrupts_is_told_what_is_stored() {
    let site = Site::start();
    let mut child = site.executable(&["send", "-"]);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"foo 1\nfoo x\n").expect("it reads");
    while site.values("foo") != "1" {
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("it runs").success());
    let output = child.wait_with_output().expect("it ends while its input is open");
    drop(input);
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("line 2: `x` is no number\n2 lines, 1 stored, 1 bad; "), "{err}");
    assert!(err.ends_with("error: interrupted; what follows was not sent\n"), "{err}");
}

#[test]
fn nobody_there_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let done = Caller::default().run(&["--server", &address, "--retries", "0", "send", "-f", "/dev/null"]);
    insta::assert_snapshot!(done.told().replace(&address, "SERVER"), @"
    Unreachable
    --- out
    --- err
    error: failed to connect to `SERVER`
      cause: Connection refused (os error 111)
      hint:  start `serenod`, or name the server with `--server HOST:PORT`, SERENO_SERVER or `sereno context use NAME`
    ");
}

#[test]
fn the_executable_reads_nothing_where_nothing_is() {
    let site = Site::start();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_sereno"))
        .args(["--server", &site.address, "send", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(child.status.success(), "{child:?}");
    assert!(child.stderr.starts_with(b"0 lines, 0 stored; "), "{child:?}");
}
