//! Windows over a period, for groups of series.

use std::collections::BTreeMap;
use std::time::Duration;

use sereno_model::{Selector, TimeRange, Timestamp};
use sereno_protocol::v2::messages::param::Value as Param;
use sereno_protocol::v2::messages::{self, Code, Error, Grouping as By, Query, QueryHead};
use sereno_query::{
    Across, Alignment, Budget, Grouping, Identity, RangeAnswer, RangeQuery, Reduced, range_query,
};
use sereno_runtime::diagnostic::suggest;
use sereno_script::{Library, ParamValue};
use sereno_storage::Snapshot;

use super::parts::{self, CHUNK_POINTS, Parts, Title};
use super::selector::{period, selector};
use super::{Answered, Reply, Services, compute, errors, lower, raw, since};
use crate::v2::snapshots::Seen;

pub(super) async fn answer(services: &Services, query: Query, reply: &Reply) -> Answered {
    let began = services.clock.monotonic();
    let seen = services.snapshots.see(&services.store, query.as_of.map(Timestamp::from_nanos));
    let budget = budget(services, &query);
    if query.window == 0 {
        return raw::answer(services, (query, seen, budget), reply, began).await;
    }
    let Seen { snapshot, exact } = seen;
    let (library, as_of) = (services.rules.generation().library.clone(), snapshot.time().nanos());
    let work = move |budget: &Budget| execute(&query, &library, &snapshot, budget);
    let Found { answer, by, across } = compute(services, subject(), budget, work).await?;
    let points: usize = answer.groups.iter().map(|group| group.points.len()).sum();
    // Held until the client has read the last of it.
    let held = services.memory.try_take((points * size_of::<(Timestamp, Reduced)>()) as u64);
    let _held = held.ok_or_else(|| errors::overloaded("no memory is left for the answer"))?;
    let series = answer.series as u64;
    let head = QueryHead { as_of, exact, series, across: across.map_or("", Across::as_str).to_owned() };
    let mut parts = Parts::new(reply, head);
    let groups = answer.groups.into_iter().filter(|group| !group.points.is_empty());
    for (number, group) in (0..).zip(groups) {
        let mut title = Some(title(&group.identity, &by));
        // Answers with many values take as much room as many answers.
        let width = group.points.iter().map(|(_, reduced)| parts::width(reduced)).max().unwrap_or(1);
        for points in group.points.chunks((CHUNK_POINTS / width.max(1)).max(1)) {
            parts.add(parts::chunk(number, &mut title, points)).await?;
        }
    }
    parts.end(answer.cost.samples, since(services, began)).await
}

/// What a worker says of it in the log.
pub(super) fn subject() -> String {
    "a query of version 2".to_owned()
}

/// The lower of the server's limits and those of the query.
fn budget(services: &Services, query: &Query) -> Budget {
    let time = lower(services.query_timeout, Duration::from_millis(query.timeout_ms));
    let budget = services.limits.budget(&services.clock, time);
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Budget {
        series_max: lower(budget.series_max, count(query.series_max)),
        points_max: lower(budget.points_max, count(query.points_max)),
        ..budget
    }
}

/// What a worker found.
struct Found {
    answer: RangeAnswer,
    /// The labels that the groups are told apart by.
    by: Vec<String>,
    /// How series were joined, if any were.
    across: Option<Across>,
}

fn execute(query: &Query, library: &Library, snapshot: &Snapshot, budget: &Budget) -> Result<Found, Error> {
    let asked = range(query, library)?;
    let answer = range_query(snapshot, &asked, budget).map_err(|failure| errors::of_query(&failure))?;
    let joined = !query.across.is_empty() || answer.series > answer.groups.len();
    let by = match asked.by {
        Grouping::Labels(by) => by,
        Grouping::All | Grouping::Series => Vec::new(),
    };
    Ok(Found { answer, by, across: asked.across.filter(|_| joined) })
}

/// The series that a query is about, and its period.
pub(super) fn scope(query: &Query) -> Result<(Selector, TimeRange), Error> {
    let selector = selector(&query.selector, &query.metric, &query.matchers)?;
    let nothing = || errors::invalid("the query does not say which series", "`selector: \"*\"` means all");
    Ok((selector.ok_or_else(nothing)?, period(query.start, query.end)?))
}

fn range(query: &Query, library: &Library) -> Result<RangeQuery, Error> {
    let (selector, range) = scope(query)?;
    let reducer = library.aggregation(&query.aggregation).ok_or_else(|| {
        let names: Vec<&str> = library.aggregation_names().collect();
        let hint = suggest(&query.aggregation, "aggregations", names);
        let message = match &*query.aggregation {
            "" => "the query has windows, but names no aggregation".to_owned(),
            name => format!("there is no aggregation `{name}`"),
        };
        let code = if query.aggregation.is_empty() { Code::Invalid } else { Code::NotFound };
        Error { hint, ..errors::error(code, message) }
    })?;
    let reducer = match &query.params[..] {
        [] => reducer,
        [param, ..] => library.aggregation_with(&query.aggregation, &params(query)?).ok_or_else(|| {
            let message = format!("aggregation `{}` takes no parameters", query.aggregation);
            errors::invalid(message, format!("leave out `{}`", param.name))
        })?,
    };
    let by = grouping(query)?;
    let across = match (&*query.across, &by) {
        ("", Grouping::Series) => None,
        ("", _) => Across::default_for(&query.aggregation),
        (across, _) => Some(across.parse().map_err(|mistake: sereno_query::AcrossError| {
            errors::invalid(mistake.to_string(), "leave it out for what suits the aggregation")
        })?),
    };
    let step = if query.step == 0 { query.window } else { query.step };
    let (window, step) = (Duration::from_nanos(query.window), Duration::from_nanos(step));
    let alignment = match query.alignment() {
        messages::Alignment::Unspecified => Alignment::Epoch,
        messages::Alignment::FirstSample => Alignment::FirstSample,
        messages::Alignment::Start => Alignment::Start,
    };
    Ok(RangeQuery { selector, range, window, step, alignment, by, across, reducer })
}

/// Parameters as a script knows them, where a whole number is another kind than the rest.
fn params(query: &Query) -> Result<BTreeMap<String, ParamValue>, Error> {
    let mut params = BTreeMap::new();
    for param in &query.params {
        let value = match &param.value {
            None => ParamValue::Null,
            Some(Param::Number(number)) if number.fract() == 0.0 && number.abs() < WHOLE_BELOW => {
                ParamValue::Int(*number as i64)
            }
            Some(Param::Number(number)) => ParamValue::Float(*number),
            Some(Param::Text(text)) => ParamValue::Text(text.clone()),
            Some(Param::Flag(flag)) => ParamValue::Bool(*flag),
        };
        if params.insert(param.name.clone(), value).is_some() {
            return Err(errors::invalid(
                format!("parameter `{}` is given twice", param.name),
                "give it once",
            ));
        }
    }
    Ok(params)
}

/// From here on a float tells no two neighbours apart.
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;

fn grouping(query: &Query) -> Result<Grouping, Error> {
    let grouping = query.grouping();
    if grouping != By::Labels && !query.by.is_empty() {
        return Err(errors::invalid(
            "`by` names labels, but the groups are not made of labels",
            "set `grouping`",
        ));
    }
    Ok(match grouping {
        By::Unspecified => Grouping::Series,
        By::All => Grouping::All,
        By::Labels => {
            let twice = query.by.iter().enumerate().find(|(index, label)| query.by[..*index].contains(label));
            if let Some((_, label)) = twice {
                return Err(errors::invalid(format!("`by` names `{label}` twice"), "name it once"));
            }
            Grouping::Labels(query.by.clone())
        }
    })
}

/// What tells a group from the others. Of labels that it was made of, those without a value are told too.
fn title(identity: &Identity, by: &[String]) -> Title {
    match identity {
        Identity::All => Title::default(),
        Identity::Series(key) => Title::of(key),
        Identity::Labels(values) => {
            let labels = by.iter().zip(values).flat_map(|(label, value)| [label.clone(), value.clone()]);
            Title { name: String::new(), labels: labels.collect() }
        }
    }
}
