//! Talks to a Sereno server, on tokio: [`Writer`] stores samples and sees to it that they are stored, [`Client`] asks,
//! [`Monitor`] watches notifications. Version 2 of the protocol.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/server.rs"));
//! use sereno_client::messages::Query;
//! use sereno_client::{Client, Options, Writer, WriterConfig};
//! use sereno_model::SeriesKey;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = RealServer::start("").await;
//! # let address = server.address();
//! let options = Options { client: "example 1.0".into(), ..Options::new(address) };
//!
//! // Samples go through a writer, which batches them, and sends again what a lost connection left unanswered.
//! let writer = Writer::connect(options.clone(), WriterConfig::default()).await?;
//! let load = writer.series(&SeriesKey::new("cpu.load", [("host", "a")])?);
//! for value in [0.5, 1.5, 4.0] {
//!     writer.push(load, None, value).await?; // without a time: the server stamps
//! }
//! let counters = writer.close().await;
//! assert_eq!((counters.stored, counters.rejected), (3, 0));
//!
//! // Everything else goes through a client: one connection, many requests in flight.
//! let client = Client::connect(&options).await?;
//! let query = Query { selector: r#"cpu.load{host="a"}"#.into(), ..Query::default() };
//! let answer = client.query(query).await?;
//! assert_eq!(answer.groups[0].values, [0.5, 1.5, 4.0]);
//! # server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! A larger one: `examples/thermometer.rs`.
//!
//! Invariants:
//! * nothing waits for ever but a monitor, which waits for news, and a writer whose configuration says so (`give_up`);
//!   every other wait ends after its [`Timeouts`];
//! * a connection that is lost ends the waiting of all who wait on it, at once;
//! * nothing is tried twice but what is safe to try twice: a writer numbers its batches, a monitor knows its position;
//! * what a server says is checked before it is believed, and what a later version adds is passed over;
//! * memory is bounded: by the server's limits, and those on this side where a server has none.
//!
//! Not here: aggregation, which is the server's work; texts for people beyond those of errors (`sereno`).

mod answer;
mod backoff;
mod batch;
mod client;
mod error;
mod link;
mod monitor;
mod options;
mod writer;

pub use answer::{Answer, Group, Misfit};
pub use batch::{Batch, BatchTimes};
pub use client::{Client, Parts};
pub use error::{ClientError, ServerError, Waiting};
pub use monitor::{Monitor, Notice};
pub use options::{Options, Timeouts};
pub use sereno_protocol::v2::messages;
pub use writer::{Closed, Counters, Full, Rejected, SeriesRef, Writer, WriterConfig};
