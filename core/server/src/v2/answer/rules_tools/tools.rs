//! What the rules can be asked beyond listings, in the terms of the protocol.

use std::path::Path;

use serde::Serialize;
use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_protocol::v2::messages::{Code, Error, EvaluateRules, ExplainRule, File, PauseRule, ReplayRule};
use sereno_query::{Budget, QueryError};
use sereno_rules::report::{self, GenerationInfo};
use sereno_rules::{
    Alert, BundleError, ExplainRequest, Pause, PlannedFile, ReplayRequest, Report, Rules, Subject, ToolError,
};
use tracing::error;

use super::errors;

/// A report, written out.
pub(super) type Json = Vec<u8>;

/// The seam to the rules.
pub(super) trait Tools {
    /// Everything about a rule.
    fn shown(&self, id: &str) -> Result<Json, Error>;
    /// What rules give at one tick.
    fn evaluated(&self, asked: EvaluateRules, budget: &Budget) -> Result<Json, Error>;
    /// What a rule would have told over a period.
    fn replayed(&self, asked: ReplayRule, budget: &Budget) -> Result<Json, Error>;
    /// Why a rule decided as it did.
    fn explained(&self, asked: ExplainRule) -> Result<Json, Error>;
    /// What files would mean.
    fn planned(&self, files: Vec<File>, budget: &Budget) -> Result<Json, Error>;
    /// The stored generations.
    fn generations(&self) -> Result<Json, Error>;
    /// What is different between two of them; 0 is the active one.
    fn different(&self, a: u64, b: u64) -> Result<Json, Error>;
    /// Makes a stored generation active.
    fn rolled_back(&self, generation: u64) -> Result<Report, Error>;
    /// Pauses a rule.
    fn paused(&self, id: &str, asked: &PauseRule) -> Result<(), Error>;
    /// Ends the pause of a rule.
    fn resumed(&self, id: &str) -> Result<(), Error>;
    /// Ends instances; gives what they were.
    fn forgotten(&self, selector: &Selector) -> Result<Vec<Alert>, Error>;
}

impl Tools for Rules {
    fn shown(&self, id: &str) -> Result<Json, Error> {
        json(&self.show(id).map_err(of_tool)?)
    }

    fn evaluated(&self, asked: EvaluateRules, budget: &Budget) -> Result<Json, Error> {
        let EvaluateRules { rules, files, at } = asked;
        let go_on = || budget.check_time().is_ok();
        let evaluated = self.evaluate(&subject(rules, files), at.map(Timestamp::from_nanos), &go_on);
        json(&evaluated.map_err(of_tool)?)
    }

    fn replayed(&self, asked: ReplayRule, budget: &Budget) -> Result<Json, Error> {
        let range = TimeRange::new(Timestamp::from_nanos(asked.start), Timestamp::from_nanos(asked.end));
        let rules = Some(asked.rule).filter(|rule| !rule.is_empty()).into_iter().collect();
        let request = ReplayRequest {
            subject: subject(rules, asked.files),
            range,
            instance: pairs(asked.instance),
            against_live: asked.against_live,
        };
        json(&self.replay(&request, &|| budget.check_time().is_ok()).map_err(of_tool)?)
    }

    fn explained(&self, asked: ExplainRule) -> Result<Json, Error> {
        let request = ExplainRequest {
            rule: asked.rule,
            instance: pairs(asked.instance),
            tick: asked.tick.map(Timestamp::from_nanos),
            rerun: asked.rerun,
        };
        json(&self.explain(&request).map_err(of_tool)?)
    }

    fn planned(&self, files: Vec<File>, budget: &Budget) -> Result<Json, Error> {
        let planned =
            |file: File| PlannedFile { path: file.path.into(), text: file.text, is_script: file.script };
        let files = files.into_iter().map(planned).collect();
        let plan = self.plan(files, &|| budget.check_time().is_ok());
        json(&plan.ok_or_else(|| errors::of_query(&QueryError::Deadline))?)
    }

    fn generations(&self) -> Result<Json, Error> {
        json(&Generations { schema_version: report::SCHEMA_VERSION, generations: self.history() })
    }

    fn different(&self, a: u64, b: u64) -> Result<Json, Error> {
        let b = if b == 0 { self.generation().number } else { b };
        json(&self.difference(a, b).map_err(|mistake| of_bundle(&mistake))?)
    }

    fn rolled_back(&self, generation: u64) -> Result<Report, Error> {
        let report = self.rollback(generation, None).ok_or_else(errors::closing)?;
        report.map_err(|mistake| of_bundle(&mistake))
    }

    fn paused(&self, id: &str, asked: &PauseRule) -> Result<(), Error> {
        let until = Timestamp::from_nanos(asked.until);
        let why = match (asked.comment.as_str(), asked.who.as_str()) {
            (comment, "") => comment.to_owned(),
            ("", who) => who.to_owned(),
            (comment, who) => format!("{comment}, {who}"),
        };
        set_pause(self, id, Some(Pause { until, why }))
    }

    fn resumed(&self, id: &str) -> Result<(), Error> {
        set_pause(self, id, None)
    }

    fn forgotten(&self, _selector: &Selector) -> Result<Vec<Alert>, Error> {
        Err(unsupported("forget instances"))
    }
}

fn subject(rules: Vec<String>, files: Vec<File>) -> Subject {
    // What makes a script of a file is its place: it is below a folder `scripts`.
    let placed = |file: File| match file.script {
        true => (Path::new("scripts").join(file.path), file.text),
        false => (file.path.into(), file.text),
    };
    Subject { rules, files: files.into_iter().map(placed).collect() }
}

/// Labels from a list of names and values, in order of their names.
fn pairs(texts: Vec<String>) -> Vec<(String, String)> {
    let mut texts = texts.into_iter();
    let mut pairs: Vec<_> = std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect();
    pairs.sort();
    pairs
}

fn of_tool(mistake: ToolError) -> Error {
    let message = mistake.to_string();
    match mistake {
        ToolError::UnknownRule { hint, .. } => Error { hint, ..errors::error(Code::NotFound, message) },
        ToolError::Mistakes { found } => {
            let diagnostics = found.iter().map(errors::finding).collect();
            Error {
                diagnostics,
                ..errors::invalid(message, "`sereno rules check` finds them without a server")
            }
        }
        ToolError::Recovering => errors::of_query(&QueryError::Recovering),
        ToolError::Ended => errors::of_query(&QueryError::Deadline),
    }
}

/// The stored generations; a list in JSON has a head.
#[derive(Serialize)]
struct Generations {
    schema_version: u32,
    generations: Vec<GenerationInfo>,
}

fn json(report: &impl Serialize) -> Result<Json, Error> {
    serde_json::to_vec(report).map_err(|mistake| {
        error!(error = %mistake, "A report cannot be written; this is a bug of the server.");
        errors::internal()
    })
}

/// A rule may go while it is asked for.
fn set_pause(rules: &Rules, id: &str, pause: Option<Pause>) -> Result<(), Error> {
    match rules.pause(id, pause) {
        true => Ok(()),
        false => Err(errors::not_found("rule", id, [])),
    }
}

fn of_bundle(mistake: &BundleError) -> Error {
    match mistake {
        BundleError::Missing { .. } => {
            let hint = "`sereno rules history` lists those that are".into();
            Error { hint, ..errors::error(Code::NotFound, mistake.to_string()) }
        }
        damage => {
            error!(error = %damage, "A stored generation of the rules cannot be read.");
            let hint = "the server's log names the file".into();
            Error { hint, ..errors::error(Code::Damaged, "that generation is damaged or cannot be read") }
        }
    }
}

fn unsupported(what: &str) -> Error {
    errors::error(Code::Unsupported, format!("this server cannot {what}"))
}
