//! The example works, against a real server.

use sereno_client::Options;

include!("real/server.rs");

#[expect(dead_code, reason = "its `main` is for a terminal")]
#[path = "../examples/thermometer.rs"]
mod thermometer;

const RULES: &str = "
rules:
  - { id: greenhouse_hot, metric: greenhouse.temperature, agg: max, by: [bed], window: 10s, every: 1s, limit: 40 }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thermometer_works() {
    let server = RealServer::start(RULES).await;
    let mut out = Vec::new();
    thermometer::run(&Options::new(server.address()), &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "180 samples are stored, 0 were rejected");
    let beds: Vec<_> = lines[1..4].iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(beds, ["orchids", "peppers", "tomatoes"], "{out}");
    assert!(lines[4].starts_with("greenhouse_hot is firing: "), "{out}");
    server.stop().await;
}
