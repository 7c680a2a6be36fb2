//! Queries over the socket, beside batches of the same session.

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{Code, Grouping, Query, QueryPart, response};

use crate::peer::{Peer, Site, wide};

fn query(aggregation: &str) -> Query {
    Query {
        selector: "metric".into(),
        aggregation: aggregation.into(),
        window: 60_000_000_000,
        grouping: Grouping::All.into(),
        ..Query::default()
    }
}

async fn answer(peer: &mut Peer, id: u64) -> QueryPart {
    match peer.body(id).await {
        response::Body::Query(part) => part,
        other => panic!("no answer, but {other:?}"),
    }
}

/// What is stored is seen by whoever asks next, and by nobody who asks for a moment before it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stored_a_batch_sees_it() {
    let site = Site::start().await;
    let mut peer = site.session().await;
    let count = |part: &QueryPart| part.chunks.iter().flat_map(|chunk| &chunk.values).sum::<f64>();
    let mut moments = Vec::new();
    for id in 1..=20 {
        peer.ask(10 * id, Body::Write(wide(5))).await;
        assert_eq!(peer.written(10 * id).await.stored, 50);
        peer.ask(10 * id + 1, Body::Query(query("count"))).await;
        let part = answer(&mut peer, 10 * id + 1).await;
        assert_eq!(count(&part), 50.0 * id as f64);
        moments.push(part.head.expect("a head"));
    }
    for (head, id) in moments.iter().zip(1u64..) {
        peer.ask(id, Body::Query(Query { as_of: Some(head.as_of), ..query("count") })).await;
        let part = answer(&mut peer, id).await;
        let again = part.head.as_ref().expect("a head");
        // A machine that stands still for seconds lets go of the snapshot, and says so.
        if again.exact {
            assert_eq!((again.as_of, count(&part)), (head.as_of, 50.0 * id as f64));
        }
    }
    peer.ask(2, Body::Query(query("maen"))).await;
    assert_eq!(peer.error(2).await.code(), Code::NotFound);
}
