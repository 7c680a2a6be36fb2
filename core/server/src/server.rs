//! Starting and stopping: what depends on what.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sereno_delivery::Handler;
use sereno_model::{Confirmations, Outgoing};
use sereno_plugin::supervise::InputHost;
use sereno_rules::{Context, Outcome, Report, Rules, Trigger};
use sereno_runtime::{Clock, Disk, Metrics, Queue, Shutdown, Tasks, threads};
use sereno_storage::{OpenError, Store};
use tokio::net::TcpListener;
use tracing::{error, info, warn};

use crate::config::{Config, Loaded};
use crate::connection::Places;
use crate::dispatch::{self, Dispatcher};
use crate::ingest::StoreIngest;
use crate::metric::{self, MetricHandler};
use crate::monitor::MonitorHandler;
use crate::query::{self, Job, QueryHandler, QueryLimits};
use crate::stage::{Settings, Stage};
use crate::v2::{self, Budget, Services, SessionHandler, SessionLimits, Snapshots, TokenError, Tokens};
use crate::{accept, self_metrics};

/// A running server. Dropping it without [`Server::stop`] leaves its threads to the end of the process.
pub struct Server {
    address: SocketAddr,
    store: Store,
    rules: Rules,
    config: Config,
    stops: Stops,
    tasks: WorkTasks,
    stages: Stages,
    jobs: Queue<Job>,
    query_workers: Vec<JoinHandle<()>>,
    damage_watch: JoinHandle<()>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    metrics: Metrics,
}

/// One word to stop per group of parts, given in the order of the fields.
#[derive(Clone, Default)]
struct Stops {
    accept: Shutdown,
    inputs: Shutdown,
    requests: Shutdown,
    delivery: Shutdown,
    monitors: Shutdown,
}

#[derive(Default)]
struct WorkTasks {
    accept: Tasks,
    inputs: Tasks,
    delivery: Tasks,
}

struct Stages {
    dispatch: Stage,
    requests: [Stage; 2],
    sessions: Stage,
    monitors: Stage,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("failed to listen on {address}; is another server running? Choose another with `--listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nobody could say who may come in.
    #[error("failed to read who may connect")]
    Tokens(#[from] TokenError),
    /// The store cannot be opened.
    #[error("failed to open the store")]
    Store(#[from] OpenError),
    /// The rules cannot be started.
    #[error("failed to start the rules")]
    Rules(#[from] sereno_rules::StartError),
    /// The system refuses a thread or an event loop.
    #[error("failed to start a worker")]
    Worker(#[from] io::Error),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything was finished.
    Clean,
    /// Something was cut short; the log tells what. No acknowledged sample is concerned.
    Cut,
}

impl Server {
    /// Opens the store, starts the rules, the handlers and the inputs, and listens last: whoever can connect is served.
    ///
    /// # Errors
    /// [`StartError`]
    ///
    /// # Panics
    /// Outside a multi-threaded tokio runtime.
    pub async fn start(
        loaded: Loaded,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let Loaded { config, inputs, sinks, notification_log } = loaded;
        let metrics = Metrics::default();
        let tokens = Tokens::open(config.server.token_file.as_deref(), &disk)?;
        let address = config.server.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let store = open_store(&config, &disk, &clock, &metrics).await?;
        let damage_watch = watch_for_damage(&store)?;

        let notifications = Queue::bounded("notification_messages", config.delivery.queue_len_max, &metrics);
        let log = notification_log.unwrap_or_else(|| config.storage.directory.join("notifications.jsonl"));
        let confirmations = Confirmations::new(sinks.iter().map(|sink| sink.name.clone()));
        // Reads the end of the log of notifications.
        let handler = tokio::task::block_in_place(|| {
            let (inbox, disk, clock) = (notifications.clone(), disk.clone(), clock.clone());
            let confirmed = confirmations.clone();
            Handler::new(&config.delivery, inbox, confirmed, log, disk, clock, sinks, &metrics)
        });
        let rules =
            start_rules(&config, &store, &clock, &disk, notifications, confirmations, &metrics).await?;

        let stops = Stops::default();
        let jobs = Queue::bounded("queries", config.server.query_queue_len_max, &metrics);
        let query_workers = query::start_workers(config.server.query_workers, &jobs, &metrics)?;
        let parts = Parts {
            config: &config,
            store: &store,
            rules: &rules,
            clock: &clock,
            metrics: &metrics,
            stops: &stops,
            tokens: &tokens,
        };
        let stages = parts.stages(handler.monitors(), &jobs)?;

        let tasks = WorkTasks::default();
        tasks.delivery.spawn("notification messages handler", handler.run(stops.delivery.clone()));
        parts.start_inputs(inputs, &tasks.inputs);
        let address = listener.local_addr().map_err(listen)?;
        let places = Places::new(config.server.connections_max, metrics.gauge("connections_open", &[]));
        let dispatchers = stages.dispatch.inboxes();
        let accept = accept::run(listener, places, dispatchers, metrics.clone(), stops.accept.clone());
        tasks.accept.spawn("acceptor", accept);
        if !address.ip().is_loopback() && !tokens.are_asked_for() {
            warn!(%address, "Whoever reaches this address may write and read: `server.token_file` is not set.");
        }
        info!(%address, v1 = config.server.serves_v1(), "Ready.");
        Ok(Self {
            address,
            store,
            rules,
            config,
            stops,
            tasks,
            stages,
            jobs,
            query_workers,
            damage_watch,
            clock,
            tokens,
            metrics,
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's figures of itself.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reads all rules, scripts and tokens now; the outcome is in the log. Confirms a removal that was refused.
    pub async fn reload(&self) {
        match self.tokens.reload() {
            Ok(()) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(%error, cause, "The tokens stay as they were.");
            }
        }
        let rules = self.rules.clone();
        let report = tokio::task::spawn_blocking(move || rules.reload_as(Trigger::Signal.into(), true)).await;
        // A change logs its own outcome.
        if let Ok(Some(Report { outcome: Outcome::Unchanged, .. })) = report {
            info!("Nothing to reload: rules and scripts are unchanged.");
        }
    }

    /// Stops in order: accepting, inputs, requests in flight, rules after their tick, notifications, the store. Each
    /// step gets what is left of `server.shutdown_timeout`. `skip` ends all waiting.
    pub async fn stop(self, skip: Shutdown) -> Stopped {
        let stops = self.stops.clone();
        let watch_skip = async {
            skip.forced().await;
            for stop in [&stops.accept, &stops.inputs, &stops.requests, &stops.delivery, &stops.monitors] {
                stop.force();
            }
            warn!("Stopping without waiting.");
            // Whatever is still waited for has lost its claim.
            Stopped::Cut
        };
        tokio::select! {
            stopped = self.stop_in_order() => stopped,
            stopped = watch_skip => stopped,
        }
    }

    async fn stop_in_order(self) -> Stopped {
        let Self {
            config, stops, tasks, stages, rules, store, jobs, query_workers, damage_watch, clock, ..
        } = self;
        let deadline = clock.monotonic() + config.server.shutdown_timeout;
        let left = || deadline.saturating_sub(clock.monotonic());
        info!("Stopping: no new connections.");
        let mut late = Vec::new();
        stops.accept.stop();
        late.extend(tasks.accept.join(left()).await);
        stops.inputs.stop();
        late.extend(tasks.inputs.join(left()).await);

        stops.requests.stop();
        late.extend(
            blocking("requests in flight", left(), move || {
                stages.dispatch.join();
                stages.requests.into_iter().for_each(Stage::join);
                jobs.close();
                query_workers.into_iter().for_each(|worker| drop(worker.join()));
            })
            .await,
        );

        let limit = left();
        late.extend(blocking_names("rules", limit, move || rules.stop(limit / 2)).await);
        stops.delivery.stop();
        late.extend(tasks.delivery.join(left()).await);
        stops.monitors.stop();
        let join = move || {
            stages.sessions.join();
            stages.monitors.join();
        };
        late.extend(blocking("monitors", left(), join).await);
        let close = move || {
            store.close();
            drop(damage_watch.join());
        };
        late.extend(blocking("store", left(), close).await);
        for name in &late {
            error!(part = name, "Not finished at shutdown.");
        }
        info!(clean = late.is_empty(), "Stopped.");
        if late.is_empty() { Stopped::Clean } else { Stopped::Cut }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the stages are made of.
struct Parts<'a> {
    config: &'a Config,
    store: &'a Store,
    rules: &'a Rules,
    clock: &'a Arc<dyn Clock>,
    metrics: &'a Metrics,
    stops: &'a Stops,
    tokens: &'a Tokens,
}

impl Parts<'_> {
    fn stages(&self, monitors: sereno_delivery::Monitors, jobs: &Queue<Job>) -> io::Result<Stages> {
        let server = &self.config.server;
        let settings = |queue, workers, stop| Settings {
            queue,
            workers,
            queue_len_max: server.queue_len_max,
            metrics: self.metrics,
            stop,
            stop_limit: server.shutdown_timeout / 4,
        };
        let requests = &self.stops.requests;
        let handler = MetricHandler {
            store: self.store.clone(),
            stop: requests.clone(),
            counts: metric::Counts::new(self.metrics),
        };
        let serve = move |connection| handler.clone().serve(connection);
        let metrics = Stage::start(&settings("metric_connections", server.metric_handlers, requests), serve)?;
        let handler = QueryHandler {
            store: self.store.clone(),
            rules: self.rules.clone(),
            clock: self.clock.clone(),
            jobs: jobs.clone(),
            limits: self.query_limits(),
            request_timeout: server.request_timeout,
            query_timeout: server.query_timeout,
            stop: requests.clone(),
        };
        let serve = move |connection| handler.clone().serve(connection);
        let queries = Stage::start(&settings("query_connections", server.query_handlers, requests), serve)?;
        let sessions = self.sessions(monitors.clone(), jobs);
        let serve = move |connection| sessions.clone().serve(connection);
        let stop = &self.stops.monitors;
        let sessions = Stage::start(&settings("session_connections", server.session_handlers, stop), serve)?;
        let handler = MonitorHandler { monitors, clock: self.clock.clone() };
        let serve = move |connection| handler.clone().serve(connection);
        let monitors = Stage::start(&settings("monitor_connections", server.monitor_handlers, stop), serve)?;
        let dispatcher = Dispatcher {
            metrics: metrics.inboxes(),
            queries: queries.inboxes(),
            monitors: monitors.inboxes(),
            sessions: sessions.inboxes(),
            serves_v1: server.serves_v1(),
            timeout: server.request_timeout,
            stop: requests.clone(),
            counts: dispatch::Counts::new(self.metrics),
        };
        let serve = move |connection| dispatcher.clone().serve(connection);
        let dispatch = Stage::start(&settings("connections", server.dispatchers, requests), serve)?;
        Ok(Stages { dispatch, requests: [metrics, queries], sessions, monitors })
    }

    /// What serves sessions. They hear two words to stop: with the requests they read nothing more, with the monitors
    /// what they still answer ends.
    fn sessions(&self, monitors: sereno_delivery::Monitors, jobs: &Queue<Job>) -> SessionHandler {
        let server = &self.config.server;
        let memory = Budget::new(server.memory_max, self.metrics.gauge("session_memory_bytes", &[]));
        let services = Services {
            store: self.store.clone(),
            rules: self.rules.clone(),
            monitors,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            jobs: jobs.clone(),
            limits: self.query_limits(),
            memory: memory.clone(),
            query_timeout: server.query_timeout,
            snapshots: Snapshots::new(self.clock.clone()),
            started: self.clock.now(),
            serves_v1: server.serves_v1(),
            stop: self.stops.monitors.clone(),
        };
        SessionHandler {
            services,
            tokens: self.tokens.clone(),
            budget: memory,
            limits: SessionLimits {
                in_flight_bytes: server.in_flight_bytes,
                in_flight_requests: server.in_flight_requests_max,
                dictionary_len: server.dictionary_len_max,
                timeout: server.request_timeout,
            },
            ack: self.config.storage.ack,
            stop: self.stops.requests.clone(),
            counts: v2::Counts::new(self.metrics),
        }
    }

    fn query_limits(&self) -> QueryLimits {
        let server = &self.config.server;
        QueryLimits {
            samples_max: server.query_samples_max,
            series_max: server.query_series_max,
            points_max: server.query_points_max,
            threads: server.query_threads,
        }
    }

    fn start_inputs(&self, inputs: Vec<sereno_plugin::InputInstance>, tasks: &Tasks) {
        let ingest = StoreIngest(self.store.clone());
        let (clock, stop) = (self.clock.clone(), self.stops.inputs.clone());
        tasks.spawn(
            "self-metrics",
            self_metrics::run(self.metrics.clone(), ingest.clone(), clock.clone(), stop.clone()),
        );
        let host = InputHost {
            ingest: Arc::new(ingest),
            clock,
            metrics: self.metrics.clone(),
            stop,
            stop_limit: self.config.server.shutdown_timeout / 4,
        };
        host.start(inputs, tasks);
    }
}

async fn open_store(
    config: &Config,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Store, StartError> {
    let (storage, disk, clock, metrics) =
        (config.storage.clone(), disk.clone(), clock.clone(), metrics.clone());
    let open = move || Store::open(&storage, disk, clock, &metrics);
    Ok(tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??)
}

async fn start_rules(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    disk: &Arc<dyn Disk>,
    notifications: Queue<Outgoing>,
    confirmations: Confirmations,
    metrics: &Metrics,
) -> Result<Rules, StartError> {
    let context = Context {
        store: store.clone(),
        clock: clock.clone(),
        disk: disk.clone(),
        notifications,
        confirmations,
        metrics: metrics.clone(),
        limits: config.scripts.limits,
        directory: Some(config.storage.directory.join("rules")),
    };
    let rules = config.rules.clone();
    Ok(tokio::task::spawn_blocking(move || Rules::start(&rules, context))
        .await
        .map_err(io::Error::other)??)
}

/// Waits aside until the log is read back; whatever was damaged is somebody's business. The store itself tells of each
/// place, and of a good end.
fn watch_for_damage(store: &Store) -> io::Result<JoinHandle<()>> {
    let store = store.clone();
    threads::spawn("recovery-watch", threads::STACK_BYTES, move || {
        let recovery = store.wait_recovered();
        if recovery.is_damaged() {
            error!(
                damaged_regions = recovery.damaged_regions,
                damaged_bytes = recovery.damaged_bytes,
                undefined_samples = recovery.undefined_samples,
                missing_segments = recovery.missing_segments,
                quarantined = recovery.quarantined.len(),
                manifest_rebuilt = recovery.manifest_rebuilt,
                "The store is damaged: what could be read is served. Check the disk."
            );
        }
    })
}

/// Runs what blocks aside; gives its name if it has not ended by the limit.
async fn blocking(name: &str, limit: Duration, body: impl FnOnce() + Send + 'static) -> Option<String> {
    let done = tokio::time::timeout(limit, tokio::task::spawn_blocking(body)).await;
    (!matches!(done, Ok(Ok(())))).then(|| name.to_owned())
}

async fn blocking_names(
    name: &str,
    limit: Duration,
    body: impl FnOnce() -> Vec<String> + Send + 'static,
) -> Vec<String> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(body)).await {
        Ok(Ok(late)) => late,
        _ => vec![name.to_owned()],
    }
}
