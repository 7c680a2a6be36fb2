//! Every message, as the published `.proto` describes it: what is read is what was written, whichever way a writer chose,
//! and what later versions add is passed over. Every other message is part of a request or of a response.

use proptest::prelude::*;
use prost::Message;
use sereno_protocol::v2::messages::{Request, Response, request};
use sereno_protocol::v2::{Incoming, decode_request, frame, put_frame, split_frame};

use super::any::{self, Decisions};

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1_500)
}

proptest! {
    #[test]
    fn requests_survive_the_trip(decisions in some_bytes()) {
        let descriptor = any::descriptor("Request");
        let mut decisions = Decisions(decisions.iter());
        let (expected, noisy) = any::message(&descriptor, true, &mut decisions);
        let request = Request::decode(&noisy[..]).unwrap();
        prop_assert!(any::reread(descriptor, &request.encode_to_vec()) == expected, "{:?}", request);

        match decode_request(&noisy, usize::MAX).unwrap() {
            Incoming::Other(read) => prop_assert_eq!(*read, request),
            Incoming::Write { id, batch } => {
                prop_assert_eq!(id, request.id);
                let Some(request::Body::Write(write)) = request.body else { panic!("{request:?}") };
                prop_assert_eq!(sereno_protocol::v2::messages::Write::decode(batch).unwrap(), write);
            }
        }
    }

    #[test]
    fn responses_survive_the_trip(decisions in some_bytes()) {
        let descriptor = any::descriptor("Response");
        let (expected, noisy) = any::message(&descriptor, true, &mut Decisions(decisions.iter()));
        let response = Response::decode(&noisy[..]).unwrap();
        let mut bytes = vec![1, 2, 3];
        put_frame(&mut bytes, &response);
        let Ok(frame::Split::Frame { message, taken }) = split_frame(&bytes[3..], usize::MAX) else { panic!() };
        prop_assert_eq!(taken, bytes.len() - 3);
        prop_assert!(any::reread(descriptor, message) == expected, "{:?}", response);
        prop_assert_eq!(Response::decode(message).unwrap(), response);
    }
}

#[test]
fn chance_makes_messages_of_every_kind() {
    // What the tests above are worth: bytes without pattern lead to every message of the protocol.
    let mut seen = std::collections::BTreeSet::new();
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for name in ["Request", "Response"].repeat(2_000) {
        let decisions: Vec<u8> = (0..1_500).map(|_| next()).collect();
        let (message, _) = any::message(&any::descriptor(name), true, &mut Decisions(decisions.iter()));
        any::collect(&message, &mut seen);
    }
    let all: std::collections::BTreeSet<String> = any::descriptor("Request")
        .parent_file()
        .messages()
        .map(|message| message.name().to_owned())
        .collect();
    assert_eq!(seen, all);
}
