//! The frame of the tool: help, completions, manual pages.

use std::process::{Command, Stdio};

use sereno_cli::Exit;

use crate::site::Caller;

fn help(args: &str) -> String {
    let done = Caller::default().run(&args.split(' ').collect::<Vec<_>>());
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""), "{args}");
    done.out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The commands that help names.
fn commands() -> Vec<String> {
    let help = help("--help");
    let (_, list) = help.split_once("Commands:\n").expect("commands");
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn help_fits_its_width_and_comes_without_colours() {
    for command in commands() {
        for option in ["-h", "--help"] {
            let help = help(&format!("{command} {option}"));
            assert!(help.contains("Usage: sereno"), "{command}");
            assert!(!help.contains('\x1b'), "{command}");
            let longest = help.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|longest| longest <= 100), "{command}: {longest:?}");
        }
    }
}

#[test]
fn help_says_what_there_is() {
    insta::assert_snapshot!(help("--help"), @"
    Sends metrics to a Sereno server, queries it and watches its notifications

    Usage: sereno [OPTIONS] <COMMAND>

    Commands:
      send         Send samples, from the command line, files or standard input
      ramp         Send a metric at a rate that changes, and tell how long the server took
      query        Ask for samples or their aggregates, window by window
      series       Which series there are [alias: ls]
      labels       Which labels there are, and which values they have
      names        Which metrics there are [alias: metrics]
      monitor      Watch notifications, the alerts that fire first
      top          A server at a glance, renewed every second
      alerts       Which alerts fire [alias: alert]
      rules        The rules of the server, and rule files [alias: rule]
      reload       The same as `rules reload`
      info         How the server is
      storage      What the server stores, where, and in how many bytes a sample
      check        Check everything in a folder: the configuration, rules, scripts and tests
      context      Remember servers by name [aliases: contexts, ctx]
      completions  Print the completions of a shell
      man          Print the manual pages of all commands, or write them into a folder
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Exit codes:
      0  done
      1  the answer is no: no such metric, nothing in the period, lines not stored, a bad check
      2  the command line means nothing
      3  no server there, or it went away
      4  the server refused
      5  the server did not answer in time
    ");
    insta::assert_snapshot!(help("send --help"), @r#"
    Send samples, from the command line, files or standard input

    Usage: sereno send [OPTIONS] <NAME> <VALUE> [<NAME> <VALUE>]...
           sereno send [OPTIONS] <NAME=VALUE>...
           sereno send [OPTIONS] -
           sereno send [OPTIONS] --file <FILE>...

    Arguments:
      [NAME VALUE]...
              Series and their values, like `foo 5` or `'cpu{host="a"}' 0.5`, or `foo=5`; or `-` for
              lines on standard input

    Options:
      -f, --file <FILE>...
              Files of lines; `-` is standard input

          --format <FORM>
              How the lines are written

              Possible values:
              - auto:  What the name of the file or the first line says
              - text:  `name{label="v"} value [time]`; blank lines and lines that begin with `#` say
                nothing
              - csv:   A header with the columns `name`, `value` and perhaps `time`; all others are
                labels
              - jsonl: An object per line: `{"name": "…", "labels": {…}, "value": 1.5, "time": …}`

              [default: auto]

          --time <TIME>
              The time of samples that have none of their own: RFC 3339, Unix time, or `-1h`

          --ack <LEVEL>
              When a sample counts as stored; without it, what the server's configuration says

              Possible values:
              - received: The server has it; no promise
              - os:       It survives the death of the server
              - disk:     It survives a loss of power

          --strict
              Stop at the first bad line; those before it are stored

      -h, --help
              Print help (see a summary with '-h')

    Server:
          --server <HOST:PORT>
              The server to talk to [env: SERENO_SERVER] [default: that of the context in use, else
              127.0.0.1:5678]

          --context <NAME>
              The context whose server and token are meant, see `sereno context` [env: SERENO_CONTEXT]

          --token-file <PATH>
              The file that holds the server's token; SERENO_TOKEN may hold the token itself

          --timeout <TIME>
              How long to wait for a connection, and for each answer

              [default: 10s]

          --retries <COUNT>
              How often to try again, ever more slowly, while nobody listens there

              [default: 4]

    Examples:
      sereno send foo 5
      sereno send 'cpu.load{host="a"}' 0.75 'mem.used{host="a"}' 2.1e9
      sereno send jobs.done=17 --time 2026-11-23T08:00:00Z --ack disk
      tail -f numbers.log | sereno send -
      sereno send --file history.csv more.jsonl

    A line of text is a series, a value and perhaps a time: cpu.load{host="a"} 0.75 1764000000
    A time is RFC 3339 or a Unix time, whose size tells whether it counts s, ms, us or ns.
    Lines without a time are stamped by the server, unless --time says one.
    A bad line is told with its number, and all others are stored.
    "#);
    insta::assert_snapshot!(help("ramp -h"), @"
    Send a metric at a rate that changes, and tell how long the server took

    Usage: sereno ramp [OPTIONS] <STRATEGY> <METRIC> <DURATION> <INITIAL> <FINAL>

    Arguments:
      <STRATEGY>  How the rate goes from INITIAL to FINAL [possible values: constant, linear,
                  exponential]
      <METRIC>    The metric; its values are 1, 2, 3, …
      <DURATION>  How long, like `60s`, `2m`, or plain seconds
      <INITIAL>   Metrics per second at the start
      <FINAL>     Metrics per second at the end

    Options:
          --series <COUNT>       How many series take turns, told apart by the label `series`; one has
                                 no such label [default: 1]
          --label <NAME=VALUE>   A label of all series; may be given several times
          --batch <COUNT>        Metrics in a request [default: 1]
          --connections <COUNT>  Connections that take turns [default: 1]
          --in-flight <COUNT>    Requests that may wait for their answers at once, on all connections
                                 [default: 1000]
      -o, --output <FORM>        The form of the figures [default: plain] [possible values: plain, json]
      -h, --help                 Print help (see more with '--help')

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Examples:
      sereno ramp constant foo 60s 100 100
      sereno ramp linear load 2m 1 5000 --series 1000 --label env=test
      sereno ramp exponential load 30s 100 1000000 --batch 1000 --connections 4 -o json

    A round trip counts from the time when its request was due, also where the request had to wait until
    fewer than --in-flight others waited for their answers.
    ");
    insta::assert_snapshot!(help("context -h"), @"
    Remember servers by name

    Usage: sereno context [OPTIONS] <COMMAND>

    Commands:
      add     Remember the server of `--server`, and the token of `--token-file`, under a name
      use     Talk to the server of this context from now on
      list    Show all contexts [alias: ls]
      remove  Forget a context; its token file stays [alias: rm]
      help    Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Examples:
      sereno context add prod --server metrics.example:5678 --token-file ~/.sereno-prod
      sereno context use prod
      sereno --context prod query cpu.load

    Which server a command talks to, the first that is there:
      1. --server or --context
      2. SERENO_SERVER
      3. SERENO_CONTEXT
      4. the context in use
      5. 127.0.0.1:5678
    The token: --token-file, then SERENO_TOKEN, then that of the context, if the server is that of the
    context.
    Contexts are kept in $XDG_CONFIG_HOME/sereno/contexts.yaml, or in ~/.config.
    ");
    insta::assert_snapshot!(help("context add -h"), @"
    Remember the server of `--server`, and the token of `--token-file`, under a name

    Usage: sereno context add <NAME> --server <HOST:PORT> [--token-file <PATH>] [--replace]

    Arguments:
      <NAME>  The name: letters, digits, `.`, `_` and `-`

    Options:
          --replace  Change the context if it is there already
      -h, --help     Print help

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]
    ");
    insta::assert_snapshot!(help("completions -h"), @"
    Print the completions of a shell

    Usage: sereno completions [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  The shell [possible values: bash, elvish, fish, powershell, zsh]

    Options:
      -h, --help  Print help

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Examples:
      sereno completions bash > ~/.local/share/bash-completion/completions/sereno
      sereno completions zsh > ~/.zfunc/_sereno
      sereno completions fish > ~/.config/fish/completions/sereno.fish
    ");
    insta::assert_snapshot!(help("man -h"), @"
    Print the manual pages of all commands, or write them into a folder

    Usage: sereno man [OPTIONS] [FOLDER]

    Arguments:
      [FOLDER]  The folder to write one page per command into

    Options:
      -h, --help  Print help

    Server:
          --server <HOST:PORT>  The server to talk to [env: SERENO_SERVER] [default: that of the context
                                in use, else 127.0.0.1:5678]
          --context <NAME>      The context whose server and token are meant, see `sereno context` [env:
                                SERENO_CONTEXT]
          --token-file <PATH>   The file that holds the server's token; SERENO_TOKEN may hold the token
                                itself
          --timeout <TIME>      How long to wait for a connection, and for each answer [default: 10s]
          --retries <COUNT>     How often to try again, ever more slowly, while nobody listens there
                                [default: 4]

    Examples:
      sereno man | man -l -
      sereno man ~/.local/share/man/man1
    ");
}

#[test]
fn a_word_that_is_nearly_right_is_guessed() {
    let told = |args: &str| Caller::default().run(&args.split(' ').collect::<Vec<_>>()).told();
    insta::assert_snapshot!(told("qurey foo"), @"
    Usage
    --- out
    --- err
    error: unrecognized subcommand 'qurey'

      tip: a similar subcommand exists: 'query'

    Usage: sereno [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told("context lits"), @"
    Usage
    --- out
    --- err
    error: unrecognized subcommand 'lits'

      tip: a similar subcommand exists: 'list'

    Usage: sereno context [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told("send foo 1 --strickt"), @"
    Usage
    --- out
    --- err
    error: unexpected argument '--strickt' found

      tip: a similar argument exists: '--strict'

    Usage: sereno send [OPTIONS] <NAME> <VALUE> [<NAME> <VALUE>]...
           sereno send [OPTIONS] <NAME=VALUE>...
           sereno send [OPTIONS] -
           sereno send [OPTIONS] --file <FILE>...

    For more information, try '--help'.
    ");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = help(&format!("completions {shell}"));
        let words = ["ramp", "monitor", "context", "--server", "--token-file"];
        assert!(words.iter().all(|word| script.contains(word.trim_start_matches('-'))), "{shell}");
    }
}

#[test]
fn every_command_has_its_manual_page() {
    let all = help("man");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("man1");
    let done = Caller::default().run(&["man", &path.display().to_string()]);
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, ""));
    for command in commands() {
        let page = std::fs::read_to_string(path.join(format!("sereno-{command}.1"))).expect("a page");
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{command}");
        assert!(all.contains(page.lines().last().expect("a line")), "{command}");
    }
    let done = Caller::default().run(&["man", "/dev/null/man"]);
    assert_eq!(done.exit, Exit::Negative);
    assert!(done.err.starts_with("error: failed to write `/dev/null/man`"), "{}", done.err);
}

#[test]
fn the_executable_keeps_to_pipes_and_environment() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_sereno"))
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("CLICOLOR_FORCE", "1")
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    };
    let output = run(&["context", "add", "prod", "--server", "a:1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b""[..], &b"`prod` is in use\n"[..]));
    assert!(home.path().join(".config/sereno/contexts.yaml").exists());
    assert_eq!(run(&["contexts", "ls"]).stdout, b"prod\ta:1\t\n");
    let output = run(&["--context", "prod", "send", "foo"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.contains(&0x1b) && output.stdout.is_empty(), "{output:?}");
}
