//! Contexts: what is kept, who wins, and where a token goes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sereno_cli::Exit;

use crate::site::{Caller, Done, Site};

/// A user with a folder for settings.
struct User {
    home: tempfile::TempDir,
    caller: Caller,
}

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut caller = Caller::default();
        caller.environment.insert("XDG_CONFIG_HOME", home.path().display().to_string());
        Self { home, caller }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.caller.environment.insert(name, value.to_owned());
    }

    fn run(&self, args: &str) -> Done {
        let done = self.caller.run(&args.split_whitespace().collect::<Vec<_>>());
        let home = self.home.path().display().to_string();
        Done { out: done.out.replace(&home, "HOME"), err: done.err.replace(&home, "HOME"), ..done }
    }

    fn told(&self, args: &str) -> String {
        self.run(args).told()
    }

    #[expect(clippy::disallowed_methods, reason = "the commands read real files")]
    fn file(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        path.display().to_string()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn contexts_are_kept_for_their_owner_alone() {
    let user = User::new();
    let token = user.file("token", "secret\n", 0o600);
    insta::assert_snapshot!(user.told("context list"), @"
    Ok
    --- out
    --- err
    ");
    insta::assert_snapshot!(user.told(&format!("context add prod --server prod.example:5678 --token-file {token}")), @"
    Ok
    --- out
    --- err
    `prod` is in use
    ");
    insta::assert_snapshot!(user.told("context add dev --server [::1]:5678"), @"
    Ok
    --- out
    --- err
    `sereno context use dev` makes it the one in use
    ");
    insta::assert_snapshot!(user.told("context use dev"), @"
    Ok
    --- out
    --- err
    `dev` is in use: `[::1]:5678`
    ");
    insta::assert_snapshot!(user.told("contexts ls"), @"
    Ok
    --- out
    dev	[::1]:5678
    prod	prod.example:5678	HOME/token
    --- err
    ");
    insta::assert_snapshot!(user.told("context list -o json"), @r#"
    Ok
    --- out
    {"schema_version":1,"contexts":[{"name":"dev","server":"[::1]:5678","token_file":null,"current":true},{"name":"prod","server":"prod.example:5678","token_file":"HOME/token","current":false}]}
    --- err
    "#);
    let file = user.home.path().join("sereno/contexts.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    insta::assert_snapshot!(text.replace(&user.home.path().display().to_string(), "HOME"), @r#"
    # The servers that `sereno context` knows.
    current: "dev"
    contexts:
      "dev":
        server: "[::1]:5678"
      "prod":
        server: "prod.example:5678"
        token_file: "HOME/token"
    "#);
    assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
    let entries = std::fs::read_dir(file.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(entries, 1, "nothing is left beside the file");

    assert_eq!(user.told("context remove prod"), "Ok\n--- out\n--- err");
    insta::assert_snapshot!(user.told("ctx list -o table"), @"
    Ok
    --- out
    ╭───────────────────────────────────────╮
    │     context   server       token file │
    ╞═══════════════════════════════════════╡
    │ *   dev       [::1]:5678              │
    ╰───────────────────────────────────────╯
    --- err
    ");
    assert_eq!(user.told("context rm dev"), "Ok\n--- out\n--- err");
    insta::assert_snapshot!(user.told("context ls -o json"), @r#"
    Ok
    --- out
    {"schema_version":1,"contexts":[]}
    --- err
    "#);
    assert!(Path::new(&token).exists(), "a token file is the user's");
}

#[test]
fn what_cannot_be_is_said() {
    let user = User::new();
    insta::assert_snapshot!(user.told("context use prod"), @"
    Usage
    --- out
    --- err
    error: there is no context `prod`
      hint:  `sereno context add prod --server HOST:PORT` makes one
    ");
    insta::assert_snapshot!(user.told("context add prod"), @"
    Usage
    --- out
    --- err
    error: which server does it stand for?
      hint:  `sereno context add prod --server HOST:PORT`
    ");
    insta::assert_snapshot!(user.told("context add a/b --server a:1"), @"
    Usage
    --- out
    --- err
    error: invalid value 'a/b' for '<NAME>': a name is made of letters, digits, `.`, `_` and `-`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(user.told("--context prod send foo 1"), @"
    Usage
    --- out
    --- err
    error: there is no context `prod`
      hint:  `sereno context add prod --server HOST:PORT` makes one
    ");
    assert_eq!(user.run("context add prod --server a:1").exit, Exit::Ok);
    insta::assert_snapshot!(user.told("context add prod --server b:2"), @"
    Usage
    --- out
    --- err
    error: there is a context `prod` already
      hint:  `--replace` changes it
    ");
    assert_eq!(user.run("context add prod --server b:2 --replace").exit, Exit::Ok);
    assert_eq!(user.run("context list").out, "prod\tb:2\t\n");
    insta::assert_snapshot!(user.told("context use pord"), @"
    Usage
    --- out
    --- err
    error: there is no context `pord`
      hint:  there is `prod`
    ");
    insta::assert_snapshot!(user.told("--context prod --server a:1 send foo 1"), @"
    Usage
    --- out
    --- err
    error: the argument '--context <NAME>' cannot be used with '--server <HOST:PORT>'

    Usage: sereno --context <NAME> <COMMAND>

    For more information, try '--help'.
    ");

    user.file("sereno/contexts.yaml", "current: prod\ncontexts:\n  prod: { sever: \"a:1\" }\n", 0o600);
    insta::assert_snapshot!(user.told("send foo 1"), @r#"
    Usage
    --- out
    --- err
    error: the contexts in `HOME/sereno/contexts.yaml` cannot be read
      cause: error: unknown key `sever`
     --> HOME/sereno/contexts.yaml:3:11
      |
    3 |   prod: { sever: "a:1" }
      |           ^^^^^
      = hint: did you mean `server`?
      hint:  mend the file or remove it; `--server HOST:PORT` does without it
    "#);
    user.file("sereno/contexts.yaml", "contexts:\n  prod: { server: a }\n", 0o600);
    insta::assert_snapshot!(user.told("context ls"), @"
    Usage
    --- out
    --- err
    error: the contexts in `HOME/sereno/contexts.yaml` cannot be read
      cause: the server of `prod` is `a`: it is HOST:PORT, like `127.0.0.1:5678` or `[::1]:5678`
      hint:  mend the file or remove it; `--server HOST:PORT` does without it
    ");
    insta::assert_snapshot!(Caller::default().run(&["context", "ls"]).told(), @"
    Usage
    --- out
    --- err
    error: neither XDG_CONFIG_HOME nor HOME says where contexts are kept
      hint:  set one of them, or name the server with `--server HOST:PORT`
    ");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_context_in_use() {
    // What each names is an address where nobody can listen, so the message tells which was chosen.
    let mut user = User::new();
    let chosen = |user: &User, args: &str| {
        let done = user.run(&format!("{args} --retries 0 send foo 1"));
        assert_eq!(done.exit, Exit::Unreachable, "{done:?}");
        let start = done.err.strip_prefix("error: failed to connect to `").expect("it says so").to_owned();
        start.split('`').next().expect("an address").to_owned()
    };
    let add = |user: &User, name: &str, port: u16| {
        assert_eq!(user.run(&format!("context add {name} --server 127.0.0.1:{port}")).exit, Exit::Ok);
    };
    add(&user, "used", 1);
    add(&user, "named", 2);
    add(&user, "set", 3);
    assert_eq!(chosen(&user, ""), "127.0.0.1:1");
    user.set("SERENO_CONTEXT", "set");
    assert_eq!(chosen(&user, ""), "127.0.0.1:3");
    user.set("SERENO_SERVER", "127.0.0.1:4");
    assert_eq!(chosen(&user, ""), "127.0.0.1:4");
    assert_eq!(chosen(&user, "--context named"), "127.0.0.1:2");
    assert_eq!(chosen(&user, "--server 127.0.0.1:5"), "127.0.0.1:5");
    user.set("SERENO_SERVER", "nonsense");
    insta::assert_snapshot!(user.told("send foo 1"), @"
    Usage
    --- out
    --- err
    error: SERENO_SERVER is `nonsense`: it is HOST:PORT, like `127.0.0.1:5678` or `[::1]:5678`
    ");
}

#[test]
fn a_token_goes_to_its_own_server_and_to_no_other() {
    let site = Site::with_tokens("open sesame and thirty thieves\n");
    let mut user = User::new();
    let token = user.file("token", "open sesame and thirty thieves\n", 0o600);
    let exit = |user: &User, args: &str| user.run(&format!("{args} send foo 1")).exit;
    let add = format!("context add prod --server {} --token-file {token}", site.address);
    assert_eq!(user.run(&add).exit, Exit::Ok);
    assert_eq!(exit(&user, ""), Exit::Ok);
    let server = format!("--server {}", site.address);
    assert_eq!(exit(&user, &server), Exit::Refused, "the token belongs to the context, not to the address");
    assert_eq!(exit(&user, &format!("{server} --token-file {token}")), Exit::Ok);
    user.set("SERENO_TOKEN", "open sesame and thirty thieves");
    assert_eq!(exit(&user, &server), Exit::Ok);
    user.set("SERENO_TOKEN", "open barley and thirty thieves");
    assert_eq!(exit(&user, ""), Exit::Refused, "the environment wins over the context");
    assert_eq!(exit(&user, &format!("--token-file {token}")), Exit::Ok);
}

#[test]
fn a_token_file_that_others_read_is_told_and_a_bad_one_is_not_used() {
    let user = User::new();
    let told = |name: &str, text: &str, mode: u32| {
        let token = user.file(name, text, mode);
        user.told(&format!("--server 127.0.0.1:1 --retries 0 --token-file {token} send foo 1"))
    };
    insta::assert_snapshot!(told("open", "secret\n", 0o644), @"
    Unreachable
    --- out
    --- err
    warning: others can read the token in `HOME/open`; `chmod 600 HOME/open`
    error: failed to connect to `127.0.0.1:1`
      cause: Connection refused (os error 111)
      hint:  start `serenod`, or name the server with `--server HOST:PORT`, SERENO_SERVER or `sereno context use NAME`
    ");
    insta::assert_snapshot!(told("empty", "\n", 0o600), @"
    Usage
    --- out
    --- err
    error: failed to read the token in `HOME/empty`
      cause: it is not one line of text
      hint:  the file holds the token that `token_file` of the server's configuration has, and nothing else
    ");
    insta::assert_snapshot!(told("two", "one\ntwo\n", 0o600), @"
    Usage
    --- out
    --- err
    error: failed to read the token in `HOME/two`
      cause: it is not one line of text
      hint:  the file holds the token that `token_file` of the server's configuration has, and nothing else
    ");
    insta::assert_snapshot!(user.told("--server 127.0.0.1:1 --token-file no/such/file send foo 1"), @"
    Usage
    --- out
    --- err
    error: failed to read the token in `no/such/file`
      cause: No such file or directory (os error 2)
      hint:  the file holds the token that `token_file` of the server's configuration has, and nothing else
    ");
}
