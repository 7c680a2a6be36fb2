//! `PROTOCOL.md` says what is true: its bytes are those that are written, its numbers those of the code.

use sereno_protocol::v2::messages::{Ack, Code, Ping, Pong, Reason, Request, Response, request, response};
use sereno_protocol::v2::request::REQUEST_FIELDS_MAX;
use sereno_protocol::v2::write::{Definition, Times, WriteFrame};
use sereno_protocol::v2::{INTENTION, put_frame};

const PAGE: &str = include_str!("../../PROTOCOL.md");

/// The bytes of the examples, in order.
fn examples() -> Vec<Vec<u8>> {
    let blocks = PAGE.split("```hex\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let digits = |block: &str| -> String {
        block.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect()
    };
    let bytes = |digits: String| -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
    };
    blocks.map(|block| bytes(digits(block))).collect()
}

#[test]
fn examples_are_what_is_written() {
    let (mut ping, mut pong, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    put_frame(&mut ping, &Request { id: 7, body: Some(request::Body::Ping(Ping {})) });
    let body = Some(response::Body::Pong(Pong { time: 1_000_000_000 }));
    put_frame(&mut pong, &Response { id: 7, more: false, body });
    let first = 1_700_000_000_000_000_000;
    let write = WriteFrame {
        id: 2,
        series: &[
            Definition { reference: 0, name: "cpu.load", labels: vec![("host", "a")] },
            Definition { reference: 1, name: "temp", labels: vec![] },
        ],
        refs: &[0, 1],
        counts: &[2, 1],
        times: Times::Each(&[first, first + 10_000_000_000, first]),
        values: &[0.5, 0.75, 21.5],
        ack: Ack::Os,
        number: 0,
        resent: false,
    };
    write.put(&mut batch);
    assert_eq!(examples(), [ping, pong, batch]);
}

#[test]
fn numbers_are_those_of_the_code() {
    assert!(PAGE.contains("intention 4: 00 00 00 04"));
    assert_eq!(INTENTION, [0, 0, 0, 4]);
    assert_eq!(REQUEST_FIELDS_MAX, 1_024, "as the table of limits says");
}

#[test]
fn every_code_and_reason_is_explained() {
    let version_2 = PAGE.split("## Version 2").nth(1).unwrap();
    let codes = (1..).map_while(|code| Code::try_from(code).ok());
    let names = codes.map(|code| code.as_str_name().trim_start_matches("CODE_"));
    let reasons = (1..).map_while(|reason| Reason::try_from(reason).ok());
    let names = names.chain(reasons.map(|reason| reason.as_str_name().trim_start_matches("REASON_")));
    for name in names {
        let told =
            version_2.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(told, "{name}");
    }
}
