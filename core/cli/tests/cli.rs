//! What users and their scripts rely on: texts, forms, exit codes. Every command runs in this process, against a small
//! server on the loopback; only what is about the process itself runs the executable.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::rc::Rc;

use sereno_cli::{Console, Exit, run};
use sereno_client::testkit::TestServer;
use sereno_client::v1::NotificationResponse;
use sereno_model::Timestamp;
use sereno_runtime::{Clock, ManualClock, SystemClock};

/// 2017-07-14T02:40:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_500_000_000_000);

/// A stream that a test reads afterwards.
#[derive(Clone, Default)]
struct Text(Rc<RefCell<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Text {
    fn read(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("UTF-8")
    }
}

/// What a command left behind.
#[derive(Debug)]
struct Done {
    exit: Exit,
    out: String,
    err: String,
}

impl Done {
    /// All of it, with the server's address, which differs from run to run, replaced.
    fn told(&self, address: &str) -> String {
        trimmed(
            &format!("{:?}\n--- out\n{}--- err\n{}", self.exit, self.out, self.err)
                .replace(address, "SERVER"),
        )
    }
}

/// Without the blanks at the ends of lines, which a table has and an editor removes.
fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn on_terminal(args: &str, is_tty: bool, clock: &dyn Clock) -> Done {
    let (out, err) = (Text::default(), Text::default());
    let console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        out_is_tty: is_tty,
        // A progress bar would draw on the terminal of whoever runs the tests.
        err_is_tty: false,
        color: is_tty,
        width: 100,
    };
    let args = ["sereno"].into_iter().chain(args.split(' ').filter(|arg| !arg.is_empty()));
    let exit = run(args.map(Into::into), console, clock);
    Done { exit, out: out.read(), err: err.read() }
}

fn sereno(args: &str) -> Done {
    on_terminal(args, false, &ManualClock::new(NOW))
}

/// A server that holds `foo` = 1, 2, 6.
fn server_with_foo() -> TestServer {
    let server = TestServer::start(Vec::new());
    for value in [1, 2, 6] {
        let done = sereno(&format!("--server {} send foo {value}", server.address()));
        assert_eq!((done.exit, done.out.as_str(), done.err.as_str()), (Exit::Ok, "ok\n", ""));
    }
    server
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn help_names_every_command_and_exit_code() {
    let done = sereno("--help");
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    insta::assert_snapshot!(trimmed(&done.out), @"
    Sends metrics to a Sereno server, queries it and watches its notifications

    Usage: sereno [OPTIONS] <COMMAND>

    Commands:
      send         Send one value of a metric; the server stamps the time
      ramp         Send a metric at a rate that changes, and tell how long the server took
      query        Ask for the aggregates of a metric, window by window
      monitor      Watch notifications until the server stops
      storage      What the server stores, where, and in how many bytes a sample
      rules        Work with rule files
      completions  Print the completions of a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: 127.0.0.1:5678]
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Exit codes:
      0  done
      1  the answer is no: no such metric, nothing in the period, a check that failed
      2  the command line means nothing
      3  no server there, or it went away
      4  the server refused
      5  the server did not answer in time
    ");
    insta::assert_snapshot!(trimmed(&sereno("query -h").out), @"
    Ask for the aggregates of a metric, window by window

    Usage: sereno query [OPTIONS] <METRIC> <AGG> <WINDOW>

    Arguments:
      <METRIC>  The metric's name
      <AGG>     `mean`, `min`, `max`, `count`, or any other aggregation that the server has
      <WINDOW>  The length of a window, like `15s`, `1m`, or plain seconds; 0 asks for the values
                themselves

    Options:
          --start <TIME>   The start of the period: RFC 3339, Unix seconds, or `-1h`
          --end <TIME>     The end of the period, inclusive
          --last <TIME>    The last stretch of time until now, like `1h`
      -o, --output <FORM>  The form of the answer [possible values: table, json, csv, plain]
      -h, --help           Print help (see more with '--help')

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: 127.0.0.1:5678]
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]
    ");
    insta::assert_snapshot!(trimmed(&sereno("ramp --help").out), @"
    Send a metric at a rate that changes, and tell how long the server took

    Usage: sereno ramp [OPTIONS] <STRATEGY> <METRIC> <DURATION> <INITIAL> <FINAL>

    Arguments:
      <STRATEGY>
              How the rate goes from INITIAL to FINAL

              Possible values:
              - constant:    It stays at INITIAL
              - linear:      By equal steps
              - exponential: By equal factors

      <METRIC>
              The metric's name; its values are 1, 2, 3, …

      <DURATION>
              How long, like `60s`, `2m`, or plain seconds

      <INITIAL>
              Metrics per second at the start

      <FINAL>
              Metrics per second at the end

    Options:
      -h, --help
              Print help (see a summary with '-h')

    Server:
          --server <HOST:PORT>
              The server to talk to

              [env: SERENO_SERVER]
              [default: 127.0.0.1:5678]

          --timeout <TIME>
              How long to wait for a connection, and for each answer

              [default: 10s]

          --retries <COUNT>
              How often to try again, ever more slowly, while nobody listens there

              [default: 4]
    ");
}

#[test]
fn usage_errors_say_what_would_be_right() {
    let told = |args: &str| sereno(args).told("no server");
    insta::assert_snapshot!(told("send foo 3.5"), @"
    Usage
    --- out
    --- err
    error: invalid value '3.5' for '<VALUE>': version 1 of the protocol carries whole numbers from 0 to 4294967295

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told("query cpu{host=\"a\"} mean 15s"), @r#"
    Usage
    --- out
    --- err
    error: invalid value 'cpu{host="a"}' for '<METRIC>': version 1 of the protocol carries a metric's name alone, without labels

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(told("query foo mean -5"), @"
    Usage
    --- out
    --- err
    error: invalid value '-5' for '<WINDOW>': it is 0 or a positive time, like `15s`, `1m`, `0.5`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told("query foo mean 15s --start now --end -1h"), @"
    Usage
    --- out
    --- err
    error: the period ends before it starts
      hint:  swap `--start` and `--end`
    ");
    insta::assert_snapshot!(told("ramp exponential foo 10 0 100"), @"
    Usage
    --- out
    --- err
    error: an exponential ramp cannot start or end at 0 per second
      hint:  start at a small rate, like 0.1, or use `linear`
    ");
    insta::assert_snapshot!(told("--server localhost send foo 1"), @"
    Usage
    --- out
    --- err
    error: invalid value 'localhost' for '--server <HOST:PORT>': it is HOST:PORT, like `127.0.0.1:5678` or `[::1]:5678`

    For more information, try '--help'.
    ");
}

#[test]
fn a_query_comes_in_the_form_that_was_asked_for() {
    let server = server_with_foo();
    let ask = |args: &str| {
        let done = sereno(&format!("--server {} query {args}", server.address()));
        assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""), "{args}");
        done.out
    };
    assert_eq!(ask("foo mean 15s"), "3\n", "plain is the form of a pipe");
    assert_eq!(ask("foo mean 0"), "1\n2\n6\n");
    assert_eq!(ask("foo max 10 -o csv"), "window,max\n1,6\n");
    assert_eq!(ask("foo max 0 -o csv"), "sample,value\n1,1\n2,2\n3,6\n");
    let json = r#"{"metric":"foo","aggregation":"max","window_seconds":15.0,"values":[6.0]}"#;
    assert_eq!(ask("foo max 15s -o json").trim_end(), json);
    let json = r#"{"metric":"foo","aggregation":null,"window_seconds":0.0,"values":[1.0,2.0,6.0]}"#;
    assert_eq!(ask("foo max 0 -o json").trim_end(), json);
    insta::assert_snapshot!(trimmed(&ask("foo mean 0 -o table")), @"
    ╭────────────────╮
    │ sample   value │
    ╞════════════════╡
    │      1       1 │
    │      2       2 │
    │      3       6 │
    ╰────────────────╯
    ");

    let args = format!("--server {} query foo mean 0", server.address());
    let on_terminal = on_terminal(&args, true, &ManualClock::new(NOW)).out;
    insta::assert_snapshot!(trimmed(&on_terminal), @"
    ╭────────────────╮
    │ sample   value │
    ╞════════════════╡
    │      1       1 │
    │      2       2 │
    │      3       6 │
    ╰────────────────╯
             6 ┤  █
               ┤  █
               ┤  █
               ┤  █
               ┤  █
               ┤  █
               ┤ ▆█
             1 ┤▁██
    ");
}

#[test]
fn a_query_reaches_the_server_with_its_period() {
    let period = |args: &str| {
        let (sent, received) = std::sync::mpsc::channel();
        let address = TestServer::script(move |mut stream| {
            let mut record = [0; 64];
            stream.read_exact(&mut record)?;
            sent.send(record).map_err(io::Error::other)?;
            stream.write_all(&[0, 1, 0x3f, 0x80, 0, 0, 1])
        });
        assert_eq!(sereno(&format!("--server {address} query foo mean 0.5 {args}")).out, "1\n");
        let record: [u8; 64] = received.recv().expect("a query");
        [40, 48, 56].map(|at| f64::from_be_bytes(*record[at..].first_chunk().expect("8 bytes")))
    };
    assert_eq!(period(""), [0.5, 0.0, 0.0]);
    assert_eq!(period("--last 1h"), [0.5, 1_499_996_400.0, 0.0]);
    assert_eq!(period("--start -10m --end now"), [0.5, 1_499_999_400.0, 1_500_000_000.0]);
    assert_eq!(
        period("--start 2017-07-14T04:00:00+02:00 --end 1499999999.5"),
        [0.5, 1_499_997_600.0, 1_499_999_999.5]
    );
}

#[test]
fn an_answer_that_is_no_has_its_exit_code_and_its_reason() {
    let server = server_with_foo();
    let told = |args: &str| sereno(&format!("--server {} {args}", server.address())).told(server.address());
    insta::assert_snapshot!(told("query bar mean 15s"), @"
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `bar`
      hint:  check its spelling, or send it first: `sereno send bar 1`
    ");
    insta::assert_snapshot!(told("query empty mean 15s"), @"
    Negative
    --- out
    --- err
    error: `empty` has no sample in the period
      hint:  widen `--start` and `--end`, or `--last`
    ");
    insta::assert_snapshot!(told("query foo meen 15s"), @"
    Refused
    --- out
    --- err
    error: `SERVER` cannot answer `meen foo`: bad_format
      hint:  is the aggregation spelt right? Besides mean, min, max and count the server has those in its scripts
    ");
    insta::assert_snapshot!(told("send busy 1"), @"
    Refused
    --- out
    --- err
    error: `SERVER` refused the metric: server_unavailable
      hint:  the server is too busy now; try again in a moment
    ");
    insta::assert_snapshot!(told("--timeout 0.02 send silent 1"), @"
    Timeout
    --- out
    --- err
    error: `SERVER` did not answer within 20ms while metrics waited for their status
      hint:  is the server overloaded? `--timeout` waits longer
    ");
}

#[test]
fn nobody_there_is_tried_again_and_then_told() {
    let address = nobody();
    insta::assert_snapshot!(sereno(&format!("--server {address} --retries 0 send foo 1")).told(&address), @"
    Unreachable
    --- out
    --- err
    error: failed to connect to `SERVER`
      cause: Connection refused (os error 111)
      hint:  start `serenod`, or name the server with `--server HOST:PORT` or SERENO_SERVER
    ");
    let again = sereno(&format!("--server {address} --retries 1 monitor"));
    assert_eq!(again.exit, Exit::Unreachable);
    assert!(
        again.err.starts_with(&format!("nobody listens at `{address}`, trying again in 250ms\n")),
        "{}",
        again.err
    );
}

#[test]
fn a_monitor_prints_what_it_is_told_and_nothing_that_steers_a_terminal() {
    let notices =
        ["foo_high: mean(foo) over 15s is 12 (>= 10)", "foo_high: resolved", "evil\x1b[2J\nsecond line"];
    let server = TestServer::start(notices.map(|message| (NOW, message.to_owned())).to_vec());
    let args = format!("--server {} monitor", server.address());
    insta::assert_snapshot!(sereno(&args).told(server.address()), @r"
    Ok
    --- out
    2017-07-14T02:40:00.000Z foo_high: mean(foo) over 15s is 12 (>= 10)
    2017-07-14T02:40:00.000Z foo_high: resolved
    2017-07-14T02:40:00.000Z evil\u{1b}[2J\nsecond line
    --- err
    `SERVER` is shutting down
    ");
    insta::assert_snapshot!(sereno(&format!("{args} -o json")).out, @r#"
    {"time":"2017-07-14T02:40:00.000Z","message":"foo_high: mean(foo) over 15s is 12 (>= 10)"}
    {"time":"2017-07-14T02:40:00.000Z","message":"foo_high: resolved"}
    {"time":"2017-07-14T02:40:00.000Z","message":"evil\u001b[2J\nsecond line"}
    "#);
    let colored = on_terminal(&args, true, &ManualClock::new(NOW)).out.replace('\x1b', "^");
    insta::assert_snapshot!(colored, @r"
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[31mfoo_high: mean(foo) over 15s is 12 (>= 10)^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[32mfoo_high: resolved^[0m
    ^[90m2017-07-14T02:40:00.000Z^[0m ^[31mevil\u{1b}[2J\nsecond line^[0m
    ");
}

#[test]
fn a_monitor_that_is_cut_off_says_so() {
    let bytes = NotificationResponse::new(NOW, "foo_high").encode();
    let address = TestServer::script(move |mut stream| stream.write_all(&bytes));
    insta::assert_snapshot!(sereno(&format!("--server {address} monitor")).told(&address), @"
    Unreachable
    --- out
    2017-07-14T02:40:00.000Z foo_high
    --- err
    error: `SERVER` closed the connection while a monitor waited for notifications
      hint:  the server died, or dropped a monitor that read too slowly; watch again
    ");
}

#[test]
fn a_ramp_sends_exactly_what_its_rates_come_to() {
    let server = TestServer::start(Vec::new());
    let clock = SystemClock::new();
    let args = format!("--server {} ramp linear load 0.2 1000 5000", server.address());
    let done = on_terminal(&args, false, &clock);
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""));
    let rows: Vec<&str> = done.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows, ["600", "ok", "round", "avg", "min", "max", "p50", "p90", "p95", "p99"]);
    assert_eq!(server.values("load"), (1..=600).collect::<Vec<_>>());
}

#[test]
fn a_ramp_counts_what_was_refused() {
    let server = TestServer::start(Vec::new());
    let done = on_terminal(
        &format!("--server {} ramp constant busy 0.01 1000 0", server.address()),
        false,
        &SystemClock::new(),
    );
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.out.contains("server_unavailable          10"), "{}", done.out);
    assert!(done.err.contains("refused 10 of 10 metrics"), "{}", done.err);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = server_with_foo();
    let args = format!("sereno --server {} query foo mean 0", server.address());
    let err = Text::default();
    let console = Console {
        out: Box::new(Gone),
        err: Box::new(err.clone()),
        out_is_tty: false,
        err_is_tty: false,
        color: false,
        width: 60,
    };
    let exit = run(args.split(' ').map(Into::into), console, &SystemClock::new());
    assert_eq!((exit, err.read().as_str()), (Exit::Ok, ""));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the check reads real files")]
fn rules_are_checked_without_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rules, scripts) = (folder.path().join("rules"), folder.path().join("scripts"));
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).and_then(|()| std::fs::write(path, text))
    };
    let check = |command: &str| {
        let args = format!("{command} {} --scripts {}", rules.display(), scripts.display());
        sereno(&args).told(&folder.path().display().to_string())
    };
    write("scripts/rules/odd.rhai", "fn check(s) { s.value > 3.0 }").expect("written");
    write(
        "rules/good.yaml",
        "rules:\n  - { id: foo_high, metric: foo, agg: mean, window: 15s, limit: 10 }\n",
    )
    .expect("written");
    insta::assert_snapshot!(check("rules check"), @"
    Ok
    --- out
    1 rule in 1 file and 1 script: good
    --- err
    ");

    write("rules/bad.yaml", "rules:\n  - { id: bar_high, metric: bar, agg: meen, window: 15s, limit: 10 }\n")
        .expect("written");
    insta::assert_snapshot!(check("check rules"), @"
    Negative
    --- out
    error: there is no aggregation `meen`
     --> SERVER/rules/bad.yaml:2:39
      |
    2 |   - { id: bar_high, metric: bar, agg: meen, window: 15s, limit: 10 }
      |                                       ^^^^
      = hint: did you mean `mean`?

    --- err
    error: the check found 1 error; 1 rule is good
      hint:  a server keeps the last good version of what is wrong, and runs the rest
    ");
    insta::assert_snapshot!(sereno("rules check no/such/folder --scripts no/scripts").told("no server"), @"
    Negative
    --- out
    error: the path does not exist
     --> no/scripts

    error: the path does not exist
     --> no/such/folder

    --- err
    error: the check found 2 errors; 0 rules are good
      hint:  a server keeps the last good version of what is wrong, and runs the rest
    ");
}

#[test]
fn completions_know_the_commands() {
    let done = sereno("completions bash");
    assert_eq!(done.exit, Exit::Ok);
    assert!(["ramp", "monitor", "--server"].iter().all(|word| done.out.contains(word)));
}
