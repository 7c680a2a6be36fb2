//! Answers every request but batches and the handshake, each in a task of its own.
//!
//! | module | requests |
//! |---|---|
//! | [`query`], [`raw`] | windows over a period; the samples themselves |
//! | [`browse`] | which series and labels there are |
//! | [`monitor`] | notifications as they happen |
//! | [`admin`], [`busiest`] | the server, its store, rules and alerts |
//! | [`rules_tools`] | showing, trying, replaying and explaining rules; their generations; pauses |
//!
//! Invariants:
//! * a task never computes for long: what may is done by a query worker, and costs one hop there and one back;
//! * a task that is dropped stops its worker at the next sample that it reads;
//! * whatever is long is sent in parts, each of which waits for room in the outbox.

mod admin;
mod browse;
mod busiest;
mod errors;
mod monitor;
mod parts;
mod query;
mod raw;
mod rules_tools;
mod selector;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sereno_protocol::v2::messages::request::Body as Asked;
use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{Code, Error, Response};
use sereno_query::Budget;
use sereno_runtime::queue::Refused;

use self::errors::{Failed, error};
use super::outbox::Outbox;
use super::services::Services;
use crate::query::Job;

/// Answers one request. Dropping the future cancels it.
pub(super) async fn answer(services: Rc<Services>, id: u64, body: Option<Asked>, outbox: Outbox) {
    let reply = Reply { id, outbox };
    let services = &*services;
    let answered = match body {
        Some(Asked::Query(asked)) => query::answer(services, asked, &reply).await,
        Some(Asked::Monitor(asked)) => monitor::answer(services, &asked, &reply).await,
        Some(Asked::ListSeries(asked)) => browse::series(services, asked, &reply).await,
        Some(Asked::ListLabels(asked)) => browse::labels(services, asked, &reply).await,
        Some(Asked::GetInfo(asked)) => admin::info(services, asked, &reply).await,
        Some(Asked::GetStorage(asked)) => admin::storage(services, asked, &reply).await,
        Some(Asked::ListRules(asked)) => admin::rules(services, &asked, &reply).await,
        Some(Asked::ListAlerts(asked)) => admin::alerts(services, &asked, &reply).await,
        Some(Asked::Reload(asked)) => admin::reload(services, asked, &reply).await,
        Some(Asked::GetBusiest(asked)) => busiest::answer(services, asked, &reply).await,
        Some(Asked::ShowRule(asked)) => rules_tools::show(services, asked, &reply).await,
        Some(Asked::EvaluateRules(asked)) => rules_tools::evaluate(services, asked, &reply).await,
        Some(Asked::ReplayRule(asked)) => rules_tools::replay(services, asked, &reply).await,
        Some(Asked::ExplainRule(asked)) => rules_tools::explain(services, asked, &reply).await,
        Some(Asked::PlanRules(asked)) => rules_tools::plan(services, asked, &reply).await,
        Some(Asked::ListGenerations(_)) => rules_tools::generations(services, &reply).await,
        Some(Asked::DiffGenerations(asked)) => rules_tools::difference(services, asked, &reply).await,
        Some(Asked::Rollback(asked)) => rules_tools::rollback(services, asked, &reply).await,
        Some(Asked::PauseRule(asked)) => rules_tools::pause(services, asked, &reply).await,
        Some(Asked::ResumeRule(asked)) => rules_tools::resume(services, asked, &reply).await,
        Some(Asked::ForgetAlerts(asked)) => rules_tools::forget(services, asked, &reply).await,
        Some(Asked::Hello(_) | Asked::Write(_) | Asked::Ping(_) | Asked::Cancel(_)) | None => {
            Err(error(Code::Unsupported, "this server does not know such a request").into())
        }
    };
    if let Err(Failed::Error(error)) = answered {
        drop(reply.last(Body::Error(*error)).await);
    }
}

/// Whether a request was answered.
type Answered = Result<(), Failed>;

/// Where the answer to one request goes.
struct Reply {
    id: u64,
    outbox: Outbox,
}

impl Reply {
    /// Sends a part that is not the last.
    async fn part(&self, body: Body) -> Answered {
        self.send(body, true).await
    }

    /// Sends the last part, or the only one.
    async fn last(&self, body: Body) -> Answered {
        self.send(body, false).await
    }

    async fn send(&self, body: Body, more: bool) -> Answered {
        Ok(self.outbox.send(&Response { id: self.id, more, body: Some(body) }).await?)
    }
}

/// Has a query worker do something on this budget, and waits for it.
async fn compute<T: Send + 'static>(
    services: &Services,
    subject: String,
    budget: Budget,
    work: impl FnOnce(&Budget) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failed> {
    let (job, waiting) = Job::new(subject, move |cancelled: Arc<AtomicBool>| {
        let budget = Budget { cancelled: Some(cancelled), ..budget };
        // It may have waited too long for a worker.
        budget.check_time().map_err(|late| errors::of_query(&late))?;
        work(&budget)
    });
    match services.jobs.try_send(job) {
        Ok(()) => {}
        Err(Refused::Full(_)) => return Err(errors::overloaded("too many queries wait for a worker").into()),
        Err(Refused::Closed(_)) => return Err(errors::closing().into()),
    }
    match waiting.answer().await {
        Some(done) => Ok(done?),
        None => Err(errors::internal().into()),
    }
}

/// The budget of work that begins now and has the usual limits.
fn budget(services: &Services) -> Budget {
    services.limits.budget(&services.clock, services.query_timeout)
}

/// The lower of the server's limit and the client's, which is 0 if it has none.
fn lower<T: Ord + Default>(server: T, client: T) -> T {
    if client == T::default() { server } else { server.min(client) }
}

/// The time since this moment of the monotonic clock.
fn since(services: &Services, began: Duration) -> Duration {
    services.clock.monotonic().saturating_sub(began)
}
