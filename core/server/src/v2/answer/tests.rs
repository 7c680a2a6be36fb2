//! Requests and what is answered, over a real store and real rules, on a clock that stands still.

mod admin;
mod browse;
mod monitor;
mod query;
mod rules_tools;
mod work;

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message as _;
use sereno_delivery::Handler;
use sereno_model::{Notification, SeriesKey, Timestamp};
use sereno_protocol::v2::frame::{Split, split_frame};
use sereno_protocol::v2::messages::request::Body as Asked;
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{Code, Error, Query, QueryPart, Response};
use sereno_rules::{Context, Rules};
use sereno_runtime::{Clock, ManualClock, Metrics, Queue, RealDisk, Shutdown, disk};
use sereno_storage::{Row, Store};

use super::answer;
use crate::query::{QueryLimits, start_workers};
use crate::v2::outbox::Outbox;
use crate::v2::services::Services;
use crate::v2::snapshots::Snapshots;

/// A full minute.
const NOW: i64 = 1_700_000_040;
/// Room for more than any small answer.
const ROOM: usize = 1 << 20;

/// So many seconds before the clock's time.
fn ago(secs: i64) -> Timestamp {
    Timestamp::from_millis((NOW - secs) * 1_000)
}

/// A server without sockets.
struct World {
    services: Rc<Services>,
    clock: Arc<ManualClock>,
    notifications: Queue<sereno_model::Outgoing>,
    handler: Option<Handler>,
    workers: Vec<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(&[], 1)
    }

    /// One with these files, and so many query workers.
    fn with(files: &[(&str, &str)], workers: usize) -> Self {
        Self::build(files, workers, 8)
    }

    /// One that remembers so many notifications.
    fn remembering(notifications: usize) -> Self {
        Self::build(&[], 1, notifications)
    }

    fn build(files: &[(&str, &str)], workers: usize, remembered: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            put_file(folder.path(), name, text);
        }
        std::fs::create_dir_all(folder.path().join("rules")).unwrap();
        std::fs::create_dir_all(folder.path().join("scripts")).unwrap();
        let clock = Arc::new(ManualClock::new(ago(0)));
        let (metrics, disk) = (Metrics::default(), Arc::new(RealDisk));
        let storage = sereno_storage::Config { directory: folder.path().join("data"), ..Default::default() };
        let store = Store::open(&storage, disk.clone(), clock.clone(), &metrics).unwrap();
        let notifications = Queue::bounded("notification_messages", 1_000, &metrics);
        let delivery =
            sereno_delivery::Config { history: 0, monitor_queue_len_max: remembered, ..Default::default() };
        let log = folder.path().join("notifications.jsonl");
        let handler = Handler::new(
            &delivery,
            notifications.clone(),
            sereno_model::Confirmations::default(),
            log,
            disk.clone(),
            clock.clone(),
            vec![],
            &metrics,
        );
        let config = sereno_rules::Config {
            paths: vec![folder.path().join("rules")],
            scripts: vec![folder.path().join("scripts")],
            ..Default::default()
        };
        let context = Context {
            store: store.clone(),
            clock: clock.clone(),
            disk,
            notifications: notifications.clone(),
            confirmations: sereno_model::Confirmations::default(),
            metrics: metrics.clone(),
            limits: sereno_script::Limits::default(),
            directory: None,
        };
        let rules = Rules::start(&config, context).unwrap();
        let jobs = Queue::bounded("queries", 1, &metrics);
        let workers = start_workers(workers, &jobs, &metrics).unwrap();
        let limits =
            QueryLimits { samples_max: 1_000_000, series_max: 1_000, points_max: 11_000, threads: 2 };
        let services = Services {
            store,
            rules,
            monitors: handler.monitors(),
            clock: clock.clone(),
            metrics,
            jobs,
            limits,
            memory: crate::v2::budget::Budget::new(1 << 30, sereno_runtime::Gauge::default()),
            query_timeout: Duration::from_secs(30),
            snapshots: Snapshots::new(clock.clone()),
            started: ago(0),
            serves_v1: true,
            stop: Shutdown::default(),
        };
        Self { services: Rc::new(services), clock, notifications, handler: Some(handler), workers, folder }
    }

    /// Stores samples: seconds before now, and values.
    fn put(&self, series: &str, samples: &[(i64, f64)]) {
        let key: SeriesKey = series.parse().unwrap();
        let id = self.services.store.series(&key).unwrap();
        let rows = samples.iter().map(|(secs, value)| Row::at(id, ago(*secs), *value));
        assert!(self.services.store.append(rows.collect()).wait().is_ok());
    }

    fn start(&self, body: Asked, outbox: &Outbox) -> impl Future<Output = ()> + use<> {
        answer(self.services.clone(), 7, Some(body), outbox.clone())
    }

    /// Asks, and reads everything that is answered.
    async fn ask(&self, body: Asked) -> Vec<Response> {
        let outbox = Outbox::new(ROOM);
        let asked = async {
            self.start(body, &outbox).await;
            outbox.close();
        };
        let (responses, ()) = tokio::join!(read_all(&outbox), asked);
        let more: Vec<bool> = responses.iter().map(|response| response.more).collect();
        assert_eq!(more.iter().filter(|more| !**more).count(), 1, "one is the last");
        assert!(more.last().is_some_and(|more| !more));
        assert!(responses.iter().all(|response| response.id == 7));
        responses
    }

    /// Asks, and expects one response.
    async fn ask_one(&self, body: Asked) -> Body {
        let mut responses = self.ask(body).await;
        assert_eq!(responses.len(), 1);
        responses.remove(0).body.unwrap()
    }

    /// Asks, and expects an error.
    async fn fail(&self, body: Asked) -> (Code, Error) {
        match self.ask_one(body).await {
            Body::Error(error) => (error.code(), error),
            other => panic!("no error: {other:?}"),
        }
    }

    /// The parts of the answer to a query, put together.
    async fn query(&self, query: Query) -> QueryPart {
        joined(self.ask(Asked::Query(query)).await)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.services.jobs.close();
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
        drop(self.services.rules.stop(Duration::from_secs(30)));
        self.services.store.close();
    }
}

fn put_file(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    disk::replace(&RealDisk, &path, text.as_bytes()).unwrap();
}

/// Runs a test on an event loop as a session has one, where time passes at once when all wait for it.
fn run(test: impl AsyncFnOnce()) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// Everything that comes until the outbox is closed.
async fn read_all(outbox: &Outbox) -> Vec<Response> {
    let mut responses = Vec::new();
    while let Some(frames) = outbox.take(Vec::new()).await {
        responses.extend(decode(&frames));
    }
    responses
}

fn decode(mut frames: &[u8]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !frames.is_empty() {
        let Ok(Split::Frame { message, taken }) = split_frame(frames, ROOM) else { panic!("no frame") };
        responses.push(Response::decode(message).unwrap());
        frames = &frames[taken..];
    }
    responses
}

/// The parts of an answer as one. Checks that heads and ends are where they belong.
fn joined(responses: Vec<Response>) -> QueryPart {
    let last = responses.len() - 1;
    let mut all = QueryPart::default();
    for (index, response) in responses.into_iter().enumerate() {
        let Some(Body::Query(part)) = response.body else { panic!("no part of a query: {response:?}") };
        assert_eq!((part.head.is_some(), part.end.is_some()), (index == 0, index == last));
        all.head = all.head.or(part.head);
        all.chunks.extend(part.chunks);
        all.end = part.end;
    }
    all
}

/// Groups as `name{label=value} secs:value …`, with times in seconds before now, one a line.
fn lines(part: &QueryPart) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for chunk in &part.chunks {
        if chunk.group as usize == lines.len() {
            let labels = chunk.labels.chunks(2).map(|pair| format!("{}={}", pair[0], pair[1]));
            lines.push(format!("{}{{{}}}", chunk.name, labels.collect::<Vec<_>>().join(",")));
        } else {
            assert!(chunk.name.is_empty() && chunk.labels.is_empty(), "a group is named once");
        }
        let line = lines.last_mut().unwrap();
        let mut time = 0;
        for (index, difference) in chunk.times.iter().enumerate() {
            time += difference;
            let secs = NOW - time / 1_000_000_000;
            match chunk.columns.is_empty() {
                true => write!(line, " {secs}:{}", chunk.values[index]).unwrap(),
                false => write!(line, " {secs}:{}", at(chunk, index)).unwrap(),
            }
        }
    }
    lines
}

/// The values of one time, by name.
fn at(chunk: &sereno_protocol::v2::messages::Chunk, index: usize) -> String {
    let value = |column: &sereno_protocol::v2::messages::Column| {
        let place = match column.at.is_empty() {
            true => Some(index),
            false => column.at.iter().position(|at| *at as usize == index),
        };
        place.map(|place| format!("{}={}", column.name, column.values[place]))
    };
    chunk.columns.iter().filter_map(value).collect::<Vec<_>>().join("/")
}

fn now(world: &World) -> i64 {
    world.clock.now().nanos()
}
