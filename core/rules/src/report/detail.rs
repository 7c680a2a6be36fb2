//! From a compiled rule to what is shown of it.

use sereno_model::LabelMatcher;
use sereno_runtime::units::format_duration;
use sereno_script::ParamValue;

use super::rule::{InputDetail, LevelDetail, RuleDetail, VariantDetail};
use crate::explain::{mode_text, then_text};
use crate::rule::{By, Input, Rule, Variant};
use crate::state::After;
use crate::status::RuleStatus;
use crate::template::number_text;
use sereno_runtime::json::{LabelMap, Number, Seconds, Time, label_map};

/// A rule as it was understood, and how it fares.
pub(crate) fn detail(
    rule: &Rule,
    status: &RuleStatus,
    generation: u64,
    source: Option<String>,
) -> RuleDetail {
    let text = |text: &std::sync::Arc<str>| text.to_string();
    RuleDetail {
        schema_version: super::SCHEMA_VERSION,
        rule: rule.id.to_string(),
        path: rule.path.display().to_string(),
        line: rule.line,
        generation,
        renamed_from: rule.renamed_from.as_ref().map(text),
        by: match &rule.by {
            By::Unsaid => Vec::new(),
            By::Series => vec!["*".to_owned()],
            By::Labels(labels) => labels.clone(),
        },
        every_seconds: Seconds(rule.every),
        settle_seconds: Seconds(rule.settle),
        inputs: rule.inputs.iter().map(input).collect(),
        value: rule.value.as_ref().map(|value| value.text.clone()),
        require: rule.require.as_ref().map(|require| require.text.clone()),
        script: rule.script().map(|script| script.name.clone()),
        variants: rule.variants.iter().map(variant).collect(),
        expect: rule.expect.instances.iter().map(|labels| label_map(labels)).collect(),
        expect_min: rule.expect.min as u64,
        record: rule.record.clone(),
        suppressed_by: rule.suppressed_by.iter().map(|suppression| suppression.rule.to_string()).collect(),
        after: rule.after.iter().map(text).collect(),
        max_instances: rule.max_instances as u64,
        // Its text is in `source`.
        message: None,
        runbook: rule.runbook.clone(),
        source,
        health: status.health.to_string(),
        error: status.error.clone(),
        instances: status.instances as u64,
        firing: status.firing as u64,
        evaluations: status.evaluations,
        missed_ticks: status.missed_ticks,
        last_tick: status.last_tick.map(Time),
        next_tick: status.last_tick.filter(|_| rule.is_on()).map(|last| Time(last + rule.every)),
        last_seconds: status.last_duration.map(Seconds),
        paused_until: status.paused.as_ref().map(|pause| Time(pause.until)),
        paused_why: status.paused.as_ref().map(|pause| pause.why.clone()),
    }
}

fn input(input: &Input) -> InputDetail {
    let value = input.value.as_ref();
    InputDetail {
        name: input.name.to_string(),
        selector: input.selector.to_string(),
        agg: value.map(|value| value.agg.clone()),
        across: value.and_then(|value| value.across).map(|across| across.as_str().to_owned()),
        window_seconds: Seconds(input.window),
        offset_seconds: Seconds(input.offset),
        otherwise: input.otherwise.map(Number),
    }
}

fn variant(variant: &Variant) -> VariantDetail {
    let policy = &variant.policy;
    let levels = variant.levels.iter().map(|level| LevelDetail {
        level: level.level.to_string(),
        when: level.when.as_ref().map(|when| when.text.clone()),
        clear: level.clear.as_ref().map(|clear| clear.text.clone()),
        for_seconds: Seconds(policy.hold[level.level as usize].unwrap_or_default()),
    });
    VariantDetail {
        only: variant.only.iter().map(|(label, matcher)| (label.clone(), matcher_text(matcher))).collect(),
        mode: mode_text(variant.mode).to_owned(),
        levels: levels.collect(),
        recover_for_seconds: Seconds(policy.recover_for),
        reminder_seconds: Seconds(policy.reminder),
        absent_then: then_text(policy.absence.then),
        absent_after: match policy.absence.after {
            After::Intervals(count) => format!("{}x", number_text(count)),
            After::Time(time) => format_duration(time),
        },
        close_after_seconds: policy.absence.close_after.map(Seconds),
        params: variant
            .params
            .iter()
            .map(|(name, value)| (name.clone(), param_text(value)))
            .collect::<LabelMap>(),
        labels: label_map(&variant.labels),
    }
}

/// As it is written in rule files.
fn matcher_text(matcher: &LabelMatcher) -> String {
    match matcher {
        LabelMatcher::Equal(value) => value.clone(),
        LabelMatcher::NotEqual(value) => format!("!{value}"),
        LabelMatcher::Regex(regex) => format!("~{regex}"),
        LabelMatcher::NotRegex(regex) => format!("!~{regex}"),
    }
}

fn param_text(value: &ParamValue) -> String {
    match value {
        ParamValue::Null => "null".to_owned(),
        ParamValue::Bool(value) => value.to_string(),
        ParamValue::Int(value) => value.to_string(),
        ParamValue::Float(value) => number_text(*value),
        ParamValue::Text(value) => value.clone(),
        ParamValue::List(items) => {
            format!("[{}]", items.iter().map(param_text).collect::<Vec<_>>().join(", "))
        }
        ParamValue::Map(map) => {
            let entries = map.iter().map(|(name, value)| format!("{name}: {}", param_text(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
