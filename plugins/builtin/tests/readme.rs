//! The examples of `plugins/README.md`: complete, compiled, and held to the contract.

#[path = "examples/lines.rs"]
mod lines;
#[path = "examples/tcp.rs"]
mod tcp;

use sereno_plugin::{Delivery, Settings, SinkFactory as _, testkit};
use tokio::io::AsyncReadExt as _;

const README: &str = include_str!("../../README.md");

#[test]
fn the_page_shows_what_is_compiled_here() {
    assert!(
        README.contains(include_str!("examples/lines.rs")),
        "README.md differs from tests/examples/lines.rs"
    );
    assert!(README.contains(include_str!("examples/tcp.rs")), "README.md differs from tests/examples/tcp.rs");
}

#[test]
fn the_page_lists_every_plugin() {
    for kind in sereno_plugins_builtin::registry().kinds() {
        let row = format!("| {} | {}", kind.role.as_str(), kind.summary);
        assert!(README.contains(&row), "README.md lacks `{}`: {row}", kind.name);
    }
}

#[tokio::test]
async fn the_input_holds_the_contract() {
    testkit::check_input(&lines::LinesFactory, Settings::parse("listen: 127.0.0.1:0").unwrap()).await;
    let parsed: Vec<_> = lines::parse(b"cpu.load{host=\"a\"} 0.7\nnonsense\nup 1\n").collect();
    assert_eq!(parsed.len(), 2);
    assert_eq!((parsed[0].0.to_string(), parsed[0].1), ("cpu.load{host=\"a\"}".into(), 0.7));
}

#[tokio::test]
async fn the_sink_holds_the_contract_and_sends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = || Settings::parse(&format!("endpoint: {}", listener.local_addr().unwrap())).unwrap();
    testkit::check_sink(&tcp::TcpFactory, endpoint()).await;
    let sink = tcp::TcpFactory.build(&endpoint()).unwrap();
    assert_eq!(sink.deliver(&testkit::notification()).await, Delivery::Ok);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = String::new();
    stream.read_to_string(&mut line).await.unwrap();
    assert_eq!(line, "crit cpu_high firing: a: load 97.5 (crit)\n");
}
