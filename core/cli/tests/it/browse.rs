//! `sereno series`, `labels` and `names`, against a real server.

use sereno_cli::Exit;
use sereno_model::Timestamp;

use crate::query::help;
use crate::site::Site;

const NOW: Timestamp = Timestamp::from_millis(1_500_000_000_000);

fn site() -> Site {
    let site = Site::at(NOW);
    let lines = "cpu.load{env=\"prod\",host=\"a\"} 1 1499999990\ncpu.load{env=\"prod\",host=\"b\"} 2 1499999990\n\
                 cpu.load{env=\"test\",host=\"c\"} 3 1499990000\nmem.used{host=\"a\"} 4 1499999990\nfoo 5 1499999990\n";
    let path = site.file("lines.txt", lines);
    assert_eq!(site.run_words(&["send", "--file", &path.display().to_string()]).exit, Exit::Ok);
    site
}

#[test]
fn help_says_what_there_is_to_list() {
    insta::assert_snapshot!(["series", "labels", "names"].map(help).join("\n\n"), @r#"
    Which series there are

    Usage: sereno series [OPTIONS] [SELECTOR]

    Arguments:
      [SELECTOR]  Which series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*`; all if it is not given

    Options:
          --limit <COUNT>  List no more than this many; as many as the server gives if it is not given
      -o, --output <FORM>  The form of the answer [possible values: table, json, ndjson, csv, plain]
      -h, --help           Print help (see more with '--help')

    Period:
          --start <TIME>  The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
          --end <TIME>    The end of the period, exclusive
          --last <TIME>   The last stretch of time until now, like `1h`

    Examples:
      sereno series                          all there are
      sereno series 'cpu.*{env="prod"}'      those that match
      sereno series cpu.load --last 1h       those with samples in the last hour

    Which labels there are, and which values they have

    Usage: sereno labels [OPTIONS] [LABEL]

    Arguments:
      [LABEL]  The label whose values are wanted; `__name__` holds the metric's name

    Options:
          --selector <SELECTOR>  Only of these series: `cpu.load`, `cpu.load{host="a"}`, `cpu.*`
          --limit <COUNT>        List no more than this many; as many as the server gives if it is not
                                 given
      -o, --output <FORM>        The form of the answer [possible values: table, json, ndjson, csv,
                                 plain]
      -h, --help                 Print help (see more with '--help')

    Period:
          --start <TIME>  The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
          --end <TIME>    The end of the period, exclusive
          --last <TIME>   The last stretch of time until now, like `1h`

    Examples:
      sereno labels                              the labels, and how many series and values each has
      sereno labels host                         the values of `host`
      sereno labels host --selector 'cpu.*'      those of the series that match

    Which metrics there are

    Usage: sereno names [OPTIONS] [SELECTOR]

    Arguments:
      [SELECTOR]  Only of these series: `cpu.*`, `*{host="a"}`

    Options:
          --limit <COUNT>  List no more than this many; as many as the server gives if it is not given
      -o, --output <FORM>  The form of the answer [possible values: table, json, ndjson, csv, plain]
      -h, --help           Print help (see more with '--help')

    Period:
          --start <TIME>  The start of the period: RFC 3339, Unix seconds, `now`, or `-1h`
          --end <TIME>    The end of the period, exclusive
          --last <TIME>   The last stretch of time until now, like `1h`

    Examples:
      sereno names                     all metrics, and how many series each has
      sereno names 'cpu.*' --last 1h   those that match, with samples in the last hour
    "#);
}

#[test]
fn series_are_listed() {
    let site = site();
    let told = |args: &str| format!("{args}\n{}", site.run(args).told());
    insta::assert_snapshot!(
        [
            told("series"),
            told("ls cpu.load{env=\"prod\"}"),
            told("series cpu.* --last 10m"),
            told("series --limit 2"),
            told("series cpu.* -o table"),
            told("series cpu.* --limit 1 -o json"),
            told("series mem.* -o csv"),
        ]
        .join("\n\n"), @r#"
    series
    Ok
    --- out
    cpu.load{env="prod",host="a"}
    cpu.load{env="prod",host="b"}
    cpu.load{env="test",host="c"}
    foo
    mem.used{host="a"}
    --- err

    ls cpu.load{env="prod"}
    Ok
    --- out
    cpu.load{env="prod",host="a"}
    cpu.load{env="prod",host="b"}
    --- err

    series cpu.* --last 10m
    Ok
    --- out
    cpu.load{env="prod",host="a"}
    cpu.load{env="prod",host="b"}
    --- err

    series --limit 2
    Ok
    --- out
    cpu.load{env="prod",host="a"}
    cpu.load{env="prod",host="b"}
    --- err
    these are 2 of 5 series; a narrower selector, or `--limit`, tells of others

    series cpu.* -o table
    Ok
    --- out
    ╭────────────────────────────────╮
    │ metric     labels              │
    ╞════════════════════════════════╡
    │ cpu.load   env="prod" host="a" │
    │ cpu.load   env="prod" host="b" │
    │ cpu.load   env="test" host="c" │
    ╰────────────────────────────────╯
    --- err

    series cpu.* --limit 1 -o json
    Ok
    --- out
    {"schema_version":1,"total":3,"series":[{"series":"cpu.load{env=\"prod\",host=\"a\"}","name":"cpu.load","labels":{"env":"prod","host":"a"}}]}
    --- err
    these are 1 of 3 series; a narrower selector, or `--limit`, tells of others

    series mem.* -o csv
    Ok
    --- out
    name,host
    mem.used,a
    --- err
    "#);
}

#[test]
fn labels_and_names_are_listed_with_their_counts() {
    let site = site();
    let told = |args: &str| format!("{args}\n{}", site.run(args).told());
    insta::assert_snapshot!(
        [
            told("labels"),
            told("labels host"),
            told("labels host --selector cpu.* --last 10m"),
            told("names"),
            told("metrics *{host=\"a\"}"),
            told("labels __name__ --limit 1"),
            told("labels -o table"),
            told("labels env -o json"),
        ]
        .join("\n\n"), @r#"
    labels
    Ok
    --- out
    env	3	2
    host	4	3
    --- err

    labels host
    Ok
    --- out
    a	2
    b	1
    c	1
    --- err

    labels host --selector cpu.* --last 10m
    Ok
    --- out
    a	1
    b	1
    --- err

    names
    Ok
    --- out
    cpu.load	3
    foo	1
    mem.used	1
    --- err

    metrics *{host="a"}
    Ok
    --- out
    cpu.load	1
    mem.used	1
    --- err

    labels __name__ --limit 1
    Ok
    --- out
    cpu.load	3
    --- err
    these are 1 of 3 values; `--limit` lists more of them

    labels -o table
    Ok
    --- out
    ╭─────────────────────────╮
    │ label   series   values │
    ╞═════════════════════════╡
    │ env          3        2 │
    │ host         4        3 │
    ╰─────────────────────────╯
    --- err

    labels env -o json
    Ok
    --- out
    {"schema_version":1,"label":"env","total":2,"found":[{"text":"prod","series":2},{"text":"test","series":1}]}
    --- err
    "#);
}

#[test]
fn nothing_to_list_is_told_with_the_next_thing_to_do() {
    let site = site();
    let told = |args: &str| format!("{args}\n{}", site.run(args).told());
    insta::assert_snapshot!(
        [
            told("series cpu.laod"),
            told("series cpu.load{host=\"z\"}"),
            told("series --start -50d --end -40d"),
            told("labels hots"),
            told("labels host --selector foo"),
            told("names nope*"),
            told("labels --selector nope"),
        ]
        .join("\n\n"), @r#"
    series cpu.laod
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `cpu.laod`
      hint:  did you mean `cpu.load`?

    series cpu.load{host="z"}
    Negative
    --- out
    --- err
    error: `SERVER` has no series `cpu.load{host="z"}`
      hint:  the labels do not match; `sereno series cpu.load` lists what there is

    series --start -50d --end -40d
    Negative
    --- out
    --- err
    error: `SERVER` has no such series in the period
      hint:  widen `--start` and `--end`, or `--last`

    labels hots
    Negative
    --- out
    --- err
    error: `SERVER` answered: there is no label `hots`
      hint:  did you mean `host`?

    labels host --selector foo
    Negative
    --- out
    --- err
    error: no series of `foo` has the label `host`
      hint:  `sereno labels` lists what there is

    names nope*
    Negative
    --- out
    --- err
    error: `SERVER` has no series `nope*`
      hint:  `sereno names` lists the metrics

    labels --selector nope
    Negative
    --- out
    --- err
    error: `SERVER` has no metric `nope`
      hint:  check its spelling, or send it first: `sereno send nope 1`
    "#);
    let empty = Site::at(NOW);
    insta::assert_snapshot!([empty.run("series").told(), empty.run("names").told(), empty.run("labels").told()].join("\n\n"), @"
    Negative
    --- out
    --- err
    error: `SERVER` has no series yet
      hint:  send something: `sereno send NAME VALUE`

    Negative
    --- out
    --- err
    error: `SERVER` has no series yet
      hint:  send something: `sereno send NAME VALUE`

    Negative
    --- out
    --- err
    error: `SERVER` has no series yet
      hint:  send something: `sereno send NAME VALUE`
    ");
}
