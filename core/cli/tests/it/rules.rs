//! Rule files are checked without a server.

use crate::site::Caller;

fn sereno(args: &str) -> String {
    Caller::default().run(&args.split(' ').collect::<Vec<_>>()).told()
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
        sereno(&args).replace(&folder.path().display().to_string(), "FOLDER")
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
    warning: no test names rule `foo_high`
     --> FOLDER/rules/good.yaml:2
      = hint: write one into `good_test.yaml` beside it; `sereno rules schema tests` tells its form

    1 rule in 1 file and 1 script: good
    --- err
    ");

    write("rules/bad.yaml", "rules:\n  - { id: bar_high, metric: bar, agg: meen, window: 15s, limit: 10 }\n")
        .expect("written");
    insta::assert_snapshot!(check("check rules"), @"
    Negative
    --- out
    error: there is no aggregation `meen`
     --> FOLDER/rules/bad.yaml:2:39
      |
    2 |   - { id: bar_high, metric: bar, agg: meen, window: 15s, limit: 10 }
      |                                       ^^^^
      = hint: did you mean `mean`?

    warning: no test names rule `foo_high`
     --> FOLDER/rules/good.yaml:2
      = hint: write one into `good_test.yaml` beside it; `sereno rules schema tests` tells its form

    --- err
    error: the check found 1 error; 1 rule is good
      hint:  a server keeps the last good version of what is wrong, and runs the rest
    ");
    insta::assert_snapshot!(sereno("rules check no/such/folder --scripts no/scripts"), @"
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
