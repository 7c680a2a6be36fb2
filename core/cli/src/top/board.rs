//! What is known of a server.

use std::collections::{BTreeMap, VecDeque};

use sereno_client::messages::{Alert, Busy, Figure, Info, ListAlerts, RuleStatus};
use sereno_client::{Client, ClientError};
use sereno_model::{Level, SeriesKey};

use crate::console::printable;

/// How many of the busiest metrics are asked for.
const BUSIEST: u32 = 100;
/// Rates that are kept; no screen is wider.
const RATES_MAX: usize = 1_000;
/// All samples that were stored.
const STORED: &str = "storage_samples_total";

/// What one look at the server brought, in the order in which it is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub(super) info: Info,
    /// The worst first.
    pub(super) alerts: Vec<Alert>,
    pub(super) busiest: Vec<Busy>,
    /// The slowest first.
    pub(super) rules: Vec<RuleStatus>,
    pub(super) queues: Vec<Queue>,
    /// Samples per second since the look before; `None` for the first.
    pub(super) rate: Option<f64>,
}

/// A stage's queues, taken together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) depth: f64,
    pub(super) capacity: f64,
    /// What it had no room for, since the server started.
    pub(super) refused: f64,
}

/// Asks everything at once.
pub(super) async fn ask(client: &Client) -> Result<Answers, ClientError> {
    let (info, busiest, alerts, rules) = tokio::try_join!(
        client.info(true),
        client.busiest(BUSIEST),
        client.alerts(ListAlerts::default()),
        client.rules(Vec::new()),
    )?;
    Ok(Answers::new(info, busiest.metrics, alerts.alerts, rules.rules))
}

impl Answers {
    pub(super) fn new(
        info: Info,
        busiest: Vec<Busy>,
        mut alerts: Vec<Alert>,
        mut rules: Vec<RuleStatus>,
    ) -> Self {
        // A level of a later version may be worse than all.
        let level = |alert: &Alert| alert.level.parse::<Level>().map_or(u8::MAX, |level| level as u8);
        alerts.sort_by(|a, b| level(b).cmp(&level(a)).then(b.since.cmp(&a.since)));
        rules.sort_by(|a, b| b.last_duration.cmp(&a.last_duration).then_with(|| a.id.cmp(&b.id)));
        let queues = queues(&info.figures);
        Self { info, alerts, busiest, rules, queues, rate: None }
    }
}

/// From figures like `queue_depth{queue="metric_connections.1"}`: the number tells the queues of one stage apart.
fn queues(figures: &[Figure]) -> Vec<Queue> {
    let mut queues = BTreeMap::<String, Queue>::new();
    for figure in figures.iter().filter(|figure| figure.name.starts_with("queue_")) {
        let Ok(key) = figure.name.parse::<SeriesKey>() else { continue };
        let name = key.label("queue");
        let stage = match name.rsplit_once('.') {
            Some((stage, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stage,
            _ => name,
        };
        let queue = queues.entry(stage.to_owned()).or_default();
        match key.name() {
            "queue_depth" => queue.depth += figure.value,
            "queue_capacity" => queue.capacity += figure.value,
            "queue_refused_total" => queue.refused += figure.value,
            _ => {}
        }
    }
    queues.into_iter().map(|(name, queue)| Queue { name, ..queue }).collect()
}

/// What was seen so far.
pub(super) struct Board {
    pub(super) address: String,
    /// Those of the last look.
    pub(super) answers: Option<Answers>,
    /// Samples per second, the newest last.
    pub(super) rates: VecDeque<f64>,
    /// Why there is nothing newer.
    pub(super) trouble: Option<String>,
}

impl Board {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), answers: None, rates: VecDeque::new(), trouble: None }
    }

    /// Takes what another look brought, and gives it back with the rate.
    pub(super) fn take(&mut self, answers: Answers) -> &Answers {
        let rate = self.answers.as_ref().and_then(|before| rate(&before.info, &answers.info));
        if let Some(rate) = rate {
            self.rates.push_back(rate);
            if self.rates.len() > RATES_MAX {
                self.rates.pop_front();
            }
        }
        self.trouble = None;
        self.answers.insert(Answers { rate, ..answers })
    }

    pub(super) fn lose(&mut self, error: &ClientError) {
        self.trouble = Some(printable(&error.to_string()).into_owned());
    }
}

/// Samples per second between two looks, by the server's clock; `None` if it cannot be told.
fn rate(before: &Info, now: &Info) -> Option<f64> {
    let stored =
        |info: &Info| info.figures.iter().find(|figure| figure.name == STORED).map(|figure| figure.value);
    let (elapsed, count) = (now.time.saturating_sub(before.time), stored(now)? - stored(before)?);
    // A server that was started anew counts from 0.
    let is_same = before.started == now.started && elapsed > 0 && count >= 0.0;
    is_same.then(|| count / (elapsed as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: f64) -> Figure {
        Figure { name: name.into(), value }
    }

    #[test]
    fn the_queues_of_a_stage_are_one() {
        let figures = [
            figure(r#"queue_depth{queue="metric_connections.0"}"#, 1.0),
            figure(r#"queue_depth{queue="metric_connections.1"}"#, 2.0),
            figure(r#"queue_capacity{queue="metric_connections.0"}"#, 1_024.0),
            figure(r#"queue_capacity{queue="metric_connections.1"}"#, 1_024.0),
            figure(r#"queue_refused_total{queue="queries"}"#, 3.0),
            figure(r#"queue_of_tomorrow{queue="v1.x"}"#, 3.0),
            figure("queue_depth{", 9.0),
        ];
        let queue =
            |name: &str, depth, capacity, refused| Queue { name: name.into(), depth, capacity, refused };
        let wanted = [
            queue("metric_connections", 3.0, 2_048.0, 0.0),
            queue("queries", 0.0, 0.0, 3.0),
            queue("v1.x", 0.0, 0.0, 0.0),
        ];
        assert_eq!(queues(&figures), wanted);
    }

    #[test]
    fn a_rate_takes_two_looks_at_one_server() {
        let at = |started, secs: i64, stored| {
            let info = Info {
                started,
                time: secs * 1_000_000_000,
                figures: vec![figure(STORED, stored)],
                ..Info::default()
            };
            Answers::new(info, Vec::new(), Vec::new(), Vec::new())
        };
        let mut board = Board::new("SERVER");
        let rates =
            [at(1, 10, 100.0), at(1, 12, 400.0), at(1, 12, 500.0), at(2, 20, 700.0), at(2, 21, 700.0)];
        let rates = rates.map(|answers| board.take(answers).rate);
        assert_eq!(rates, [None, Some(150.0), None, None, Some(0.0)]);
        assert_eq!(board.rates, [150.0, 0.0]);
    }

    #[test]
    fn the_worst_and_the_slowest_come_first() {
        let alert = |rule: &str, level: &str, since| Alert {
            rule: rule.into(),
            level: level.into(),
            since,
            ..Alert::default()
        };
        let alerts =
            vec![alert("a", "info", 9), alert("b", "crit", 1), alert("c", "crit", 2), alert("d", "doom", 1)];
        let rule =
            |id: &str, last_duration| RuleStatus { id: id.into(), last_duration, ..RuleStatus::default() };
        let rules = vec![rule("a", 1), rule("c", 5), rule("b", 5)];
        let answers = Answers::new(Info::default(), Vec::new(), alerts, rules);
        assert_eq!(answers.alerts.iter().map(|alert| alert.rule.as_str()).collect::<String>(), "dcba");
        assert_eq!(answers.rules.iter().map(|rule| rule.id.as_str()).collect::<String>(), "bca");
    }
}
