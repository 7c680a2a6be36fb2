//! What protects old clients: the frozen bytes of version 1 mean what they always meant, every message survives the
//! trip, and no bytes can harm the reader.

use proptest::prelude::*;
use sereno_model::Timestamp;
use sereno_protocol::v1::*;

fn frozen<const N: usize>(hex: &str) -> [u8; N] {
    let digits: String =
        hex.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    let bytes: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal"))
        .collect();
    bytes.try_into().unwrap_or_else(|bytes: Vec<u8>| panic!("{} bytes instead of {N}", bytes.len()))
}

macro_rules! frozen {
    ($name:literal) => {
        &frozen(include_str!(concat!("testdata/v1/", $name, ".hex")))
    };
}

/// 1500000000.5, in Unix seconds.
const HALF_PAST: Timestamp = Timestamp::from_millis(1_500_000_000_500);
const EPOCH: Timestamp = Timestamp::from_nanos(0);

#[test]
fn intentions() {
    let cases = [
        (frozen!("intention_send"), Intention::SendMetrics),
        (frozen!("intention_query"), Intention::Query),
        (frozen!("intention_monitor"), Intention::Monitor),
    ];
    for (bytes, intention) in cases {
        assert_eq!(Intention::decode(bytes), Ok(intention));
        assert_eq!(&intention.encode(), bytes);
    }
    assert_eq!(Intention::decode(frozen!("bad_intention_reserved")), Err(FormatError::Intention { code: 4 }));
    let swapped = Intention::decode(frozen!("bad_intention_little_endian"));
    assert_eq!(swapped, Err(FormatError::Intention { code: 1 << 24 }));
}

#[test]
fn metrics() {
    let longest = "aaaaaaaaaaaaaaaaaaaaa€€";
    let cases = [(frozen!("metric_foo_42"), "foo", 42), (frozen!("metric_longest"), longest, u32::MAX)];
    for (bytes, identifier, value) in cases {
        let metric = Metric::new(identifier, value).unwrap();
        assert_eq!(Metric::decode(bytes), Ok(metric));
        assert_eq!(&metric.encode(), bytes);
    }
    assert_eq!(Metric::decode(frozen!("metric_dirty_padding")), Metric::new("x", 1), "padding is ignored");
}

#[test]
fn bad_metrics() {
    let field = Field::Identifier;
    let too_long = FormatError::TooLong { field, bytes: 28, bytes_max: 27 };
    assert_eq!(Metric::decode(frozen!("bad_metric_length")), Err(too_long));
    assert_eq!(
        Metric::new("a longer id than there is room", 1).unwrap_err().to_string(),
        "the metric id has 30 bytes, version 1 of the protocol carries at most 27"
    );
    assert_eq!(Metric::decode(frozen!("bad_metric_empty")), Err(FormatError::EmptyIdentifier));
    assert_eq!(Metric::decode(frozen!("bad_metric_utf8")), Err(FormatError::NotUtf8 { field }));
    assert_eq!(Metric::decode(frozen!("bad_metric_nul")), Err(FormatError::ControlCharacter { field }));
    assert_eq!(
        Metric::decode(frozen!("bad_metric_c1_control")),
        Err(FormatError::ControlCharacter { field })
    );
    assert_eq!(Metric::new("a\x7f", 1), Err(FormatError::ControlCharacter { field }));
}

#[test]
fn metric_responses() {
    let cases = [
        (frozen!("metric_response_ok"), Status::Ok),
        (frozen!("metric_response_unavailable"), Status::ServerUnavailable),
        (frozen!("metric_response_bad_format"), Status::BadFormat),
    ];
    for (bytes, status) in cases {
        assert_eq!(MetricResponse::decode(bytes), Ok(MetricResponse { status }));
        assert_eq!(&MetricResponse { status }.encode(), bytes);
    }
    assert_eq!(
        MetricResponse::decode(frozen!("bad_metric_response_status")),
        Err(FormatError::Status { code: 7 })
    );
}

#[test]
fn queries() {
    let start = Timestamp::from_millis(1_500_000_000_000);
    let mean = Query::new("foo", "mean", 15.0).unwrap().between(Some(start), None);
    assert_eq!(Query::decode(frozen!("query_mean")), Ok(mean));
    assert_eq!(&mean.encode(), frozen!("query_mean"));

    let raw = Query::new("bar", "", 0.0).unwrap().between(None, Some(HALF_PAST));
    assert_eq!(Query::decode(frozen!("query_raw")), Ok(raw), "a start of -1 is no bound");
}

#[test]
fn bad_queries() {
    let window = |bytes: &[u8; QUERY_BYTES]| match Query::decode(bytes) {
        Err(FormatError::Window { secs }) => secs,
        other => panic!("{other:?}"),
    };
    assert!(window(frozen!("bad_query_window_nan")).is_nan());
    assert_eq!(window(frozen!("bad_query_window_negative")), -1.0);
    assert_eq!(window(frozen!("bad_query_window_infinite")), f64::INFINITY);
    assert_eq!(
        Query::decode(frozen!("bad_query_start_nan")),
        Err(FormatError::NotATime { field: Field::Start })
    );
    assert_eq!(
        Query::decode(frozen!("bad_query_aggregation_length")),
        Err(FormatError::TooLong { field: Field::Aggregation, bytes: 12, bytes_max: 11 })
    );
}

#[test]
fn query_responses() {
    let cases = [
        (
            frozen!("query_response_value"),
            QueryPartialResponse { status: Status::Ok, value: 10.0, last: false },
        ),
        (
            frozen!("query_response_last"),
            QueryPartialResponse { status: Status::Ok, value: -0.5, last: true },
        ),
        (frozen!("query_response_does_not_exist"), QueryPartialResponse::failed(Status::DoesNotExist)),
    ];
    for (bytes, response) in cases {
        assert_eq!(QueryPartialResponse::decode(bytes), Ok(response));
        assert_eq!(&response.encode(), bytes);
    }
    assert_eq!(
        QueryPartialResponse::decode(frozen!("bad_query_response_last")),
        Err(FormatError::Bool { field: Field::Last, byte: 2 })
    );
}

#[test]
fn notifications() {
    let noon = Timestamp::from_millis(1_500_000_000_000);
    let cases = [
        (frozen!("notification"), NotificationResponse::new(HALF_PAST, "foo_high fires")),
        (frozen!("notification_stopping"), NotificationResponse::stopping(noon)),
        (frozen!("notification_refused"), NotificationResponse::refused(EPOCH, Status::ServerUnavailable)),
    ];
    for (bytes, notification) in cases {
        assert_eq!(NotificationResponse::decode(bytes), Ok(notification));
        assert_eq!(&notification.encode(), bytes);
    }
    let long = "€".repeat(50);
    assert_eq!(&NotificationResponse::new(noon, &long).encode(), frozen!("notification_cut"));
    assert_eq!(
        NotificationResponse::decode(frozen!("bad_notification_length")),
        Err(FormatError::TooLong { field: Field::Message, bytes: 128, bytes_max: 127 })
    );
}

proptest! {
    #[test]
    fn metrics_survive_the_trip(identifier in "[^\\p{Cc}]{1,6}", value: u32) {
        let metric = Metric::new(&identifier, value).unwrap();
        let bytes = metric.encode();
        prop_assert_eq!(Metric::decode(&bytes), Ok(metric));
    }

    #[test]
    fn queries_survive_the_trip(
        aggregation in "[a-z_0-9]{0,11}",
        window_secs in 0.0..1e300,
        start_micros in 1..4_000_000_000_000_000_i64,
        end_micros in 1..4_000_000_000_000_000_i64,
    ) {
        let time = |micros: i64| Some(Timestamp::from_nanos(micros * 1_000));
        let query = Query::new("foo", &aggregation, window_secs).unwrap();
        let query = query.between(time(start_micros), time(end_micros));
        let bytes = query.encode();
        prop_assert_eq!(Query::decode(&bytes), Ok(query));
    }

    #[test]
    fn messages_are_cut_between_characters(message in ".{0,140}") {
        let bytes = NotificationResponse::new(HALF_PAST, &message).encode();
        let read = NotificationResponse::decode(&bytes).unwrap();
        prop_assert!(message.starts_with(read.message));
        let next = message[read.message.len()..].chars().next();
        prop_assert!(next.is_none_or(|next| read.message.len() + next.len_utf8() > MESSAGE_BYTES_MAX));
    }

    #[test]
    fn any_bytes_are_answered_without_panic(mut bytes: [[u8; 32]; 5], lengths in (0_u8..30, 0_u8..14)) {
        // Fields near their limits are the interesting ones, and chance alone seldom makes them.
        (bytes[0][0], bytes[0][28]) = lengths;
        let bytes = bytes.concat();
        let accepted = Metric::decode(bytes.first_chunk().unwrap());
        prop_assert!(accepted.is_err() || !accepted.unwrap().identifier().is_empty());
        let query = Query::decode(bytes.first_chunk().unwrap());
        prop_assert!(query.is_err() || query.unwrap().window_secs() >= 0.0);
        let intention = Intention::decode(bytes.first_chunk().unwrap());
        prop_assert!(intention.is_err() || bytes.starts_with(&intention.unwrap().encode()));
        let response = QueryPartialResponse::decode(bytes.first_chunk().unwrap());
        prop_assert!(response.is_err() || bytes[0] == 0);
        let notification = NotificationResponse::decode(bytes.first_chunk().unwrap());
        prop_assert!(notification.is_err() || notification.unwrap().message.len() <= MESSAGE_BYTES_MAX);
    }
}
