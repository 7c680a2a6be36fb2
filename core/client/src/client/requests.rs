//! What a client can ask.

use std::time::Duration;

use sereno_protocol::v2::messages::request::Body;
use sereno_protocol::v2::messages::{
    Alerts, Busiest, DiffGenerations, EvaluateRules, ExplainRule, ForgetAlerts, GetBusiest, GetInfo,
    GetStorage, Info, LabelCount, ListAlerts, ListGenerations, ListLabels, ListRules, ListSeries, PauseRule,
    Ping, PlanRules, Query, Reload, Reloaded, ReplayRule, ResumeRule, Rollback, Rules, ShowRule, Storage,
    Written, response,
};
use sereno_protocol::v2::write::{Definition, Times, WriteFrame};
use tokio::time::Instant;

use super::connection::{Kind, Replies};
use super::{Client, Parts};
use crate::answer::{Answer, Collector};
use crate::batch::{Batch, BatchTimes};
use crate::error::ClientError;

/// No report is longer than this.
const DOCUMENT_BYTES_MAX: usize = 256 << 20;

impl Client {
    /// How long a round trip takes.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn ping(&self) -> Result<Duration, ClientError> {
        let start = Instant::now();
        let pong = |body| if let response::Body::Pong(pong) = body { Some(pong) } else { None };
        self.one(Body::Ping(Ping {}), pong).await?;
        Ok(start.elapsed())
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that breaks off is an error, never a shorter answer.
    pub async fn query(&self, query: Query) -> Result<Answer, ClientError> {
        let mut parts = self.query_parts(query).await?;
        let mut collector = Collector::default();
        while let Some(part) = parts.next().await {
            collector.add(part?).map_err(|_| self.0.unexpected())?;
        }
        Ok(collector.finish())
    }

    /// Asks, and gives the answer part by part, so that one of any length takes little memory.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn query_parts(&self, query: Query) -> Result<Parts, ClientError> {
        Ok(Parts { replies: self.0.ask(Body::Query(query)).await? })
    }

    /// The series that match, in text form and in order, and how many there are, listed or not.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn series(&self, request: ListSeries) -> Result<(Vec<String>, u64), ClientError> {
        let mut replies = self.0.ask(Body::ListSeries(request)).await?;
        let (mut series, mut total) = (Vec::new(), 0);
        while let Some(body) = replies.next().await? {
            let response::Body::Series(part) = body else { return Err(self.0.unexpected()) };
            series.extend(part.series);
            total = total.max(part.total);
        }
        Ok((series, total))
    }

    /// The names of labels, or the values of one, and how many there are, listed or not.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn labels(&self, request: ListLabels) -> Result<(Vec<LabelCount>, u64), ClientError> {
        let mut replies = self.0.ask(Body::ListLabels(request)).await?;
        let (mut labels, mut total) = (Vec::new(), 0);
        while let Some(body) = replies.next().await? {
            let response::Body::Labels(part) = body else { return Err(self.0.unexpected()) };
            labels.extend(part.labels);
            total = total.max(part.total);
        }
        Ok((labels, total))
    }

    /// How the server is, with its own figures if they are wanted.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn info(&self, figures: bool) -> Result<Info, ClientError> {
        let info = |body| if let response::Body::Info(info) = body { Some(info) } else { None };
        self.one(Body::GetInfo(GetInfo { figures }), info).await
    }

    /// What is stored, with the `top` largest names and labels.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn storage(&self, top: u32) -> Result<Storage, ClientError> {
        let storage = |body| if let response::Body::Storage(storage) = body { Some(storage) } else { None };
        self.one(Body::GetStorage(GetStorage { top }), storage).await
    }

    /// The rules whose id is one of these or matches one as a glob; all, if there are none.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn rules(&self, globs: Vec<String>) -> Result<Rules, ClientError> {
        let replies = self.0.ask(Body::ListRules(ListRules { rules: globs })).await?;
        self.all_rules(replies).await
    }

    async fn all_rules(&self, mut replies: Replies) -> Result<Rules, ClientError> {
        let mut all = Rules::default();
        while let Some(body) = replies.next().await? {
            let response::Body::Rules(part) = body else { return Err(self.0.unexpected()) };
            all.rules.extend(part.rules);
            all.diagnostics.extend(part.diagnostics);
            (all.generation, all.pinned) = (part.generation, part.pinned);
        }
        Ok(all)
    }

    /// The alerts that there are now.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn alerts(&self, request: ListAlerts) -> Result<Alerts, ClientError> {
        let replies = self.0.ask(Body::ListAlerts(request)).await?;
        self.all_alerts(replies).await
    }

    async fn all_alerts(&self, mut replies: Replies) -> Result<Alerts, ClientError> {
        let mut all = Alerts::default();
        while let Some(body) = replies.next().await? {
            let response::Body::Alerts(part) = body else { return Err(self.0.unexpected()) };
            all.alerts.extend(part.alerts);
        }
        Ok(all)
    }

    /// Lets the server read its rules and scripts again, and waits until it has.
    ///
    /// # Errors
    /// [`ClientError`]. That the rules are refused is an answer, not an error.
    pub async fn reload(&self, allow_removal: bool) -> Result<Reloaded, ClientError> {
        let reloaded =
            |body| if let response::Body::Reloaded(reloaded) = body { Some(reloaded) } else { None };
        self.one(Body::Reload(Reload { allow_removal }), reloaded).await
    }

    /// Everything about a rule: a report in JSON, as are those of the requests below.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn show_rule(&self, rule: String) -> Result<Vec<u8>, ClientError> {
        self.document(Body::ShowRule(ShowRule { rule })).await
    }

    /// What rules give at one tick, those of the server or of files; it has no effect.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn evaluate_rules(&self, request: EvaluateRules) -> Result<Vec<u8>, ClientError> {
        self.document(Body::EvaluateRules(request)).await
    }

    /// What a rule would have told over a period; it has no effect.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn replay_rule(&self, request: ReplayRule) -> Result<Vec<u8>, ClientError> {
        self.document(Body::ReplayRule(request)).await
    }

    /// Why a rule decided as it did.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn explain_rule(&self, request: ExplainRule) -> Result<Vec<u8>, ClientError> {
        self.document(Body::ExplainRule(request)).await
    }

    /// What files would mean for the rules of the server; it has no effect.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn plan_rules(&self, request: PlanRules) -> Result<Vec<u8>, ClientError> {
        self.document(Body::PlanRules(request)).await
    }

    /// The stored generations of the rules.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn generations(&self) -> Result<Vec<u8>, ClientError> {
        self.document(Body::ListGenerations(ListGenerations {})).await
    }

    /// What is different between two generations of the rules; 0 is the active one.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn diff_generations(&self, a: u64, b: u64) -> Result<Vec<u8>, ClientError> {
        self.document(Body::DiffGenerations(DiffGenerations { a, b })).await
    }

    /// Makes a stored generation of the rules active. The files stay as they are, and are not read until they change.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn rollback(&self, generation: u64) -> Result<Reloaded, ClientError> {
        let reloaded =
            |body| if let response::Body::Reloaded(reloaded) = body { Some(reloaded) } else { None };
        self.one(Body::Rollback(Rollback { generation }), reloaded).await
    }

    /// Lets rules rest until a time; gives them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn pause_rule(&self, request: PauseRule) -> Result<Rules, ClientError> {
        let replies = self.0.ask(Body::PauseRule(request)).await?;
        self.all_rules(replies).await
    }

    /// Ends the rest of rules, by id or glob; gives them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn resume_rule(&self, rule: String) -> Result<Rules, ClientError> {
        let replies = self.0.ask(Body::ResumeRule(ResumeRule { rule })).await?;
        self.all_rules(replies).await
    }

    /// Ends the instances that match, `rule{label="v"}`; gives what they were.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn forget_alerts(&self, selector: String) -> Result<Alerts, ClientError> {
        let replies = self.0.ask(Body::ForgetAlerts(ForgetAlerts { selector })).await?;
        self.all_alerts(replies).await
    }

    /// A report, put together from its parts.
    async fn document(&self, body: Body) -> Result<Vec<u8>, ClientError> {
        let mut replies = self.0.ask(body).await?;
        let mut json = Vec::new();
        while let Some(body) = replies.next().await? {
            let response::Body::Document(part) = body else { return Err(self.0.unexpected()) };
            if json.len() + part.json.len() > DOCUMENT_BYTES_MAX {
                return Err(self.0.unexpected());
            }
            json.extend(part.json);
        }
        Ok(json)
    }

    /// Which metrics bring the most samples.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn busiest(&self, top: u32) -> Result<Busiest, ClientError> {
        let busiest = |body| if let response::Body::Busiest(busiest) = body { Some(busiest) } else { None };
        self.one(Body::GetBusiest(GetBusiest { top }), busiest).await
    }

    /// Sends one batch and waits for its answer. Tries nothing twice, and numbers nothing: for whoever measures, or
    /// does itself what the [`Writer`](crate::Writer) does.
    ///
    /// # Errors
    /// [`ClientError`]; unless it is [`ClientError::Server`] or [`ClientError::TooLarge`], the samples may be stored or
    /// not.
    pub async fn write(&self, batch: &Batch) -> Result<Written, ClientError> {
        let definitions: Vec<_> =
            batch.series.iter().map(|(reference, key)| define(*reference, key)).collect();
        let times = match &batch.times {
            BatchTimes::Server => Times::Server,
            BatchTimes::One(time) => Times::One(time.nanos()),
            BatchTimes::Each(times) => Times::Each(times),
        };
        let put = |id, out: &mut Vec<u8>| {
            WriteFrame {
                id,
                series: &definitions,
                refs: &batch.refs,
                counts: &batch.counts,
                times,
                values: &batch.values,
                ack: batch.ack,
                number: 0,
                resent: false,
            }
            .put(out);
        };
        let mut replies = self.0.send(Kind::Write, put).await?;
        match replies.next().await? {
            Some(response::Body::Written(written)) => Ok(written),
            _ => Err(self.0.unexpected()),
        }
    }

    /// Asks for an answer of one response.
    async fn one<T>(
        &self,
        body: Body,
        take: impl FnOnce(response::Body) -> Option<T>,
    ) -> Result<T, ClientError> {
        let body = self.0.ask(body).await?.next().await?;
        body.and_then(take).ok_or_else(|| self.0.unexpected())
    }
}

/// A series as an entry of the dictionary.
pub(crate) fn define(reference: u32, key: &sereno_model::SeriesKey) -> Definition<'_> {
    Definition { reference, name: key.name(), labels: key.labels().collect() }
}
