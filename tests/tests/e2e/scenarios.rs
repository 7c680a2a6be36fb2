//! The four demonstrations of the original, shortened, with the real client.

use std::net::SocketAddr;
use std::process::{Command, Output};

use sereno_tests::client::{connect, told};
use sereno_tests::server::{Folder, executable};

fn sereno(address: SocketAddr, words: &[&str]) -> Output {
    let output =
        Command::new(executable("sereno")).arg("--server").arg(address.to_string()).args(words).output();
    output.expect("sereno runs")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn one_two_rules_notify() {
    let rules = "rules:\n  - { id: foo_mean, metric: foo, agg: mean, window: 2s, limit: 10 }\n\
                 \x20 - { id: bar_max, metric: bar, agg: max, window: 2s, limit: 10 }\n";
    let folder = Folder::new(&[("rules/r.yaml", rules)], "");
    let server = folder.start();
    let mut monitor = connect(server.address, 3);
    std::thread::scope(|scope| {
        for metric in ["foo", "bar"] {
            let address = server.address;
            scope.spawn(move || stdout(&sereno(address, &["ramp", "constant", metric, "4", "10", "10"])));
        }
        let mut names = [told(&mut monitor).unwrap(), told(&mut monitor).unwrap()]
            .map(|told| told.message.split(':').next().unwrap().to_owned());
        names.sort();
        assert_eq!(names, ["bar_max", "foo_mean"]);
    });
}

#[test]
fn two_all_values_come_back_in_order() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let report = stdout(&sereno(server.address, &["ramp", "constant", "foo", "1", "100", "100"]));
    assert!(report.contains("ok") && report.contains("p99"), "{report}");
    let values = stdout(&sereno(server.address, &["query", "foo", "mean", "0"]));
    let values: Vec<u32> = values.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(values, (1..=100).collect::<Vec<_>>());
}

#[test]
fn three_an_unknown_id_does_not_exist() {
    let folder = Folder::new(&[], "");
    let server = folder.start();
    let output = sereno(server.address, &["query", "nope", "mean", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no metric `nope`"), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn four_a_rising_rate_notifies_once_it_is_reached() {
    let rules = "rules:\n  - { id: rate, metric: foo, agg: count, window: 1s, limit: 100 }\n";
    let folder = Folder::new(&[("rules/r.yaml", rules)], "");
    let server = folder.start();
    let mut monitor = connect(server.address, 3);
    std::thread::scope(|scope| {
        for metric in ["foo", "bar"] {
            let address = server.address;
            scope.spawn(move || stdout(&sereno(address, &["ramp", "linear", metric, "6", "1", "200"])));
        }
        let fired = told(&mut monitor).unwrap();
        assert!(fired.message.starts_with("rate: count(foo) over 1s is 1"), "{fired:?}");
    });
}
