//! Lists of series and labels.

use sereno_protocol::v2::messages::{LabelsPart, ListLabels, ListSeries, SeriesPart};

use super::*;

fn stored() -> World {
    let world = World::new();
    world.put(r#"cpu{env="prod",host="a"}"#, &[(250, 1.0)]);
    world.put(r#"cpu{env="test",host="b"}"#, &[(10, 1.0)]);
    world.put(r#"disk{host="a"}"#, &[(100, 1.0)]);
    world.put("up", &[(100, 1.0)]);
    world
}

/// All parts of a list as one.
async fn series(world: &World, asked: ListSeries) -> SeriesPart {
    let mut all = SeriesPart::default();
    for response in world.ask(Asked::ListSeries(asked)).await {
        let Some(Body::Series(part)) = response.body else { panic!("no series: {response:?}") };
        assert_eq!(part.total > 0, !response.more, "the total comes with the last part");
        all.series.extend(part.series);
        all.total = part.total;
    }
    all
}

/// `text series values`, and the total.
async fn labels(world: &World, asked: ListLabels) -> (Vec<String>, u64) {
    let Body::Labels(LabelsPart { labels, total }) = world.ask_one(Asked::ListLabels(asked)).await else {
        panic!()
    };
    (labels.iter().map(|label| format!("{} {} {}", label.text, label.series, label.values)).collect(), total)
}

#[test]
fn series_are_listed_in_order_and_in_a_period() {
    run(async || {
        let world = stored();
        let all = series(&world, ListSeries::default()).await;
        let names = [r#"cpu{env="prod",host="a"}"#, r#"cpu{env="test",host="b"}"#, r#"disk{host="a"}"#, "up"];
        assert_eq!((all.series, all.total), (names.map(str::to_owned).to_vec(), 4));
        let two = series(&world, ListSeries { limit: 2, ..ListSeries::default() }).await;
        assert_eq!((two.series, two.total), (names[..2].iter().map(|name| (*name).to_owned()).collect(), 4));
        let hosts =
            series(&world, ListSeries { selector: r#"*{host="a"}"#.into(), ..ListSeries::default() }).await;
        assert_eq!(hosts.series, [names[0], names[2]]);
        // As they are in the head, and as they are in a segment.
        for _ in 0..2 {
            let period = ListSeries {
                start: Some(ago(100).nanos()),
                end: Some(ago(10).nanos()),
                ..ListSeries::default()
            };
            assert_eq!(series(&world, period).await.series, [names[2], names[3]]);
            world.services.store.flush().unwrap();
        }
    });
}

#[test]
fn labels_are_counted() {
    run(async || {
        let world = stored();
        let of = |label: &str| ListLabels { label: label.into(), ..ListLabels::default() };
        let list =
            |lines: &[&str], total| (lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), total);
        assert_eq!(labels(&world, of("")).await, list(&["env 2 2", "host 3 2"], 2));
        assert_eq!(labels(&world, of("host")).await, list(&["a 2 0", "b 1 0"], 2));
        assert_eq!(labels(&world, of("__name__")).await, list(&["cpu 2 0", "disk 1 0", "up 1 0"], 3));
        let one = ListLabels { limit: 1, selector: "cpu".into(), ..of("env") };
        assert_eq!(labels(&world, one).await, list(&["prod 1 0"], 2));
        let late = ListLabels { start: Some(ago(50).nanos()), ..of("host") };
        assert_eq!(labels(&world, late).await, list(&["b 1 0"], 1));
        let (code, error) = world.fail(Asked::ListLabels(of("hots"))).await;
        assert_eq!(
            (code, &*error.message, &*error.hint),
            (Code::NotFound, "there is no label `hots`", "did you mean `host`?")
        );
    });
}

#[test]
fn lists_have_limits_and_mistakes_have_places() {
    run(async || {
        let world = stored();
        let broken = ListSeries { selector: "cpu{".into(), ..ListSeries::default() };
        let (code, error) = world.fail(Asked::ListSeries(broken)).await;
        assert_eq!((code, error.diagnostics[0].column), (Code::Invalid, 5));
        for number in 0..1_000 {
            world.put(&format!("m{{n=\"{number:0100}\"}}"), &[(10, 1.0)]);
        }
        let (code, error) = world.fail(Asked::ListSeries(ListSeries::default())).await;
        assert_eq!(
            (code, &*error.message),
            (Code::Limit, "1004 series match, more than the 1000 that can be looked through")
        );
        assert!(error.hint.starts_with("narrow the selector"));
        let names = ListLabels { label: "__name__".into(), ..ListLabels::default() };
        let told = ["cpu 2 0", "disk 1 0", "m 1000 0", "up 1 0"].map(str::to_owned);
        assert_eq!(labels(&world, names).await, (told.to_vec(), 4), "the names can be had all the same");
        let told = ["env 2 2", "host 3 2", "n 1000 1000"].map(str::to_owned);
        assert_eq!(labels(&world, ListLabels::default()).await, (told.to_vec(), 3));
        let many = ListSeries { selector: "m".into(), ..ListSeries::default() };
        assert!(world.ask(Asked::ListSeries(many.clone())).await.len() > 1, "in parts");
        let all = series(&world, many).await;
        assert_eq!((all.series.len(), all.total), (1_000, 1_000));
        assert!(all.series.is_sorted());
    });
}
