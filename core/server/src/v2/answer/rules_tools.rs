//! Working with rules: showing, trying, replaying and explaining them; their generations; pauses.
//!
//! Invariants:
//! * what evaluates or reads history runs on a query worker, which has the stack that scripts need, on the budget of a
//!   query: it ends at its deadline, when the client cancels or leaves, and never on the thread of a session;
//! * what waits for the rules' own threads (a rollback, a pause) waits on a thread where waiting is allowed;
//! * an answer is a report in JSON, cut into parts of a size that suits the outbox.
//!
//! Not here: what the reports say (`sereno_rules::report`), and how they are made: [`Tools`] is the seam.

mod tools;

use sereno_protocol::v2::messages::response::Body;
use sereno_protocol::v2::messages::{
    DiffGenerations, Document, Error, EvaluateRules, ExplainRule, ForgetAlerts, PauseRule, PlanRules,
    ReplayRule, ResumeRule, Rollback, ShowRule,
};
use sereno_query::Budget;

use self::tools::{Json, Tools};
use super::admin::PART_BYTES;
use super::{Answered, Failed, Reply, Services, admin, budget, compute, errors};

pub(super) async fn show(services: &Services, asked: ShowRule, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let subject = format!("a look at rule `{}`", asked.rule);
    document(services, "rule", subject, move |_| rules.shown(&asked.rule), reply).await
}

pub(super) async fn evaluate(services: &Services, asked: EvaluateRules, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let work = move |budget: &Budget| rules.evaluated(asked, budget);
    document(services, "evaluated", "an evaluation of rules".to_owned(), work, reply).await
}

pub(super) async fn replay(services: &Services, asked: ReplayRule, reply: &Reply) -> Answered {
    if asked.end <= asked.start {
        return Err(errors::invalid("the period ends before it starts", "swap `start` and `end`").into());
    }
    let rules = services.rules.clone();
    let subject = format!("a replay of rule `{}`", asked.rule);
    document(services, "replay", subject, move |budget| rules.replayed(asked, budget), reply).await
}

pub(super) async fn explain(services: &Services, asked: ExplainRule, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let subject = format!("an explanation of rule `{}`", asked.rule);
    document(services, "explanation", subject, move |_| rules.explained(asked), reply).await
}

pub(super) async fn plan(services: &Services, asked: PlanRules, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let work = move |budget: &Budget| rules.planned(asked.files, budget);
    document(services, "plan", "a plan of rules".to_owned(), work, reply).await
}

pub(super) async fn generations(services: &Services, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let subject = "the generations of the rules".to_owned();
    document(services, "generations", subject, move |_| rules.generations(), reply).await
}

pub(super) async fn difference(services: &Services, asked: DiffGenerations, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let subject = "a comparison of generations".to_owned();
    document(services, "difference", subject, move |_| rules.different(asked.a, asked.b), reply).await
}

pub(super) async fn rollback(services: &Services, asked: Rollback, reply: &Reply) -> Answered {
    let rules = services.rules.clone();
    let report = wait(move || rules.rolled_back(asked.generation)).await?;
    reply.last(Body::Reloaded(admin::reloaded(report))).await
}

pub(super) async fn pause(services: &Services, asked: PauseRule, reply: &Reply) -> Answered {
    if asked.until <= services.clock.now().nanos() {
        return Err(errors::invalid("the pause ends before it begins", "give a time that is to come").into());
    }
    let globs = [asked.rule.clone()];
    let ids = admin::rule_ids(services, &globs)?;
    let rules = services.rules.clone();
    wait(move || ids.iter().try_for_each(|id| rules.paused(id, &asked))).await?;
    admin::told_rules(services, &globs, reply).await
}

pub(super) async fn resume(services: &Services, asked: ResumeRule, reply: &Reply) -> Answered {
    let globs = [asked.rule];
    let ids = admin::rule_ids(services, &globs)?;
    let rules = services.rules.clone();
    wait(move || ids.iter().try_for_each(|id| rules.resumed(id))).await?;
    admin::told_rules(services, &globs, reply).await
}

pub(super) async fn forget(services: &Services, asked: ForgetAlerts, reply: &Reply) -> Answered {
    if asked.selector.is_empty() {
        return Err(errors::invalid("nothing is named that is to be forgotten", "").into());
    }
    let selector = asked.selector.parse().map_err(|mistake| errors::of_text(&asked.selector, &mistake))?;
    let rules = services.rules.clone();
    let forgotten = wait(move || rules.forgotten(&selector)).await?;
    admin::told_alerts(forgotten.into_iter().map(admin::alert), reply).await
}

/// Has a query worker make a report, and sends it.
async fn document(
    services: &Services,
    kind: &'static str,
    subject: String,
    work: impl FnOnce(&Budget) -> Result<Json, Error> + Send + 'static,
    reply: &Reply,
) -> Answered {
    let json = compute(services, subject, budget(services), work).await?;
    let mut parts = json.chunks(PART_BYTES).peekable();
    while let Some(part) = parts.next() {
        let body = Body::Document(Document { kind: kind.to_owned(), json: part.to_vec() });
        match parts.peek() {
            Some(_) => reply.part(body).await?,
            None => return reply.last(body).await,
        }
    }
    // No report is empty.
    Err(errors::internal().into())
}

/// Does what waits for other threads.
async fn wait<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failed> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(errors::internal().into()),
    }
}
