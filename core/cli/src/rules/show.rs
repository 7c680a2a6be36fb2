//! `sereno rules show`: a rule as the server understands it, defaults included, and how it fares.

use std::io::{self, Write};

use sereno_rules::report::{InputDetail, LevelDetail, RuleDetail, VariantDetail};

use super::words::{self, at, labels, number, span};
use crate::console::{Console, printable};
use crate::output::Report;
use crate::{Context, Stop};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The rule
    #[arg(value_name = "ID")]
    rule: String,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Report,
}

pub(super) async fn run(args: &Args, context: &mut Context<'_>) -> Result<(), Stop> {
    let json = context.client().await?.show_rule(args.rule.clone()).await?;
    let detail: RuleDetail = words::read(&json)?;
    Ok(args.output.print(&detail, context.console, tell)?)
}

fn tell(detail: &RuleDetail, console: &mut Console) -> io::Result<()> {
    let mut line = |name: &str, text: &str| match text.is_empty() {
        true => Ok(()),
        false => writeln!(console.out, "{name:<12}  {}", printable(text)),
    };
    line("rule", &detail.rule)?;
    line("place", &format!("{}:{}, generation {}", detail.path, detail.line, detail.generation))?;
    line("renamed from", detail.renamed_from.as_deref().unwrap_or_default())?;
    line("health", &health(detail))?;
    let settle = match detail.settle_seconds.0.is_zero() {
        true => String::new(),
        false => format!(", {} after its time", span(detail.settle_seconds)),
    };
    line("every", &format!("{}{settle}", span(detail.every_seconds)))?;
    line("by", &by(&detail.by))?;
    detail.inputs.iter().try_for_each(|input| line("reads", &input_text(input)))?;
    line("value", detail.value.as_deref().unwrap_or_default())?;
    line("require", detail.require.as_deref().unwrap_or_default())?;
    line("script", detail.script.as_deref().unwrap_or_default())?;
    line("record", detail.record.as_deref().unwrap_or_default())?;
    for expected in &detail.expect {
        line("expects", &labels(expected))?;
    }
    if detail.expect_min > 0 {
        line("expects", &format!("at least {} instances", detail.expect_min))?;
    }
    line("muted by", &detail.suppressed_by.join(", "))?;
    line("after", &detail.after.join(", "))?;
    line("instances", &format!("{}, at most {}", detail.instances, detail.max_instances))?;
    line("message", detail.message.as_deref().unwrap_or_default())?;
    line("runbook", detail.runbook.as_deref().unwrap_or_default())?;
    for (index, variant) in detail.variants.iter().enumerate() {
        writeln!(console.out)?;
        tell_variant(index, variant, console)?;
    }
    if let Some(source) = &detail.source {
        writeln!(console.out)?;
        source.lines().try_for_each(|line| writeln!(console.out, "    {}", printable(line)))?;
    }
    Ok(())
}

fn health(detail: &RuleDetail) -> String {
    let mut text = detail.health.clone();
    if let Some(error) = &detail.error {
        text += &format!(": {error}");
    }
    if let Some(until) = detail.paused_until {
        text += &format!(", paused until {}", at(until));
        text += &detail.paused_why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    }
    text += &format!(
        "; {} firing, {} ticks evaluated, {} missed",
        detail.firing, detail.evaluations, detail.missed_ticks
    );
    text += &detail.last_tick.map_or_else(String::new, |tick| format!(", the last {}", at(tick)));
    text += &detail.last_seconds.map_or_else(String::new, |took| format!(" took {}", span(took)));
    text + detail.next_tick.map_or_else(String::new, |tick| format!(", the next {}", at(tick))).as_str()
}

fn by(labels: &[String]) -> String {
    match labels {
        [] => "one instance of all series".into(),
        [each] if each == "*" => "one instance per series".into(),
        labels => labels.join(", "),
    }
}

fn input_text(input: &InputDetail) -> String {
    let value = match &input.agg {
        Some(agg) => format!("{agg}({})", input.selector),
        None => input.selector.clone(),
    };
    let across = input.across.as_ref().map_or_else(String::new, |across| format!(" across {across}"));
    let offset = match input.offset_seconds.0.is_zero() {
        true => String::new(),
        false => format!(" offset {}", span(input.offset_seconds)),
    };
    let otherwise =
        input.otherwise.map_or_else(String::new, |value| format!(" else {}", number(Some(value))));
    format!("{} = {value}{across} over {}{offset}{otherwise}", input.name, span(input.window_seconds))
}

fn tell_variant(index: usize, variant: &VariantDetail, console: &mut Console) -> io::Result<()> {
    let only = match index {
        0 => "all instances".to_owned(),
        number => format!("override {number}, where {}", labels(&variant.only)),
    };
    let mode = if matches!(variant.mode.as_str(), "" | "live") { "" } else { &format!(", {}", variant.mode) };
    writeln!(console.out, "{}", printable(&format!("{only}{mode}:")))?;
    let mut line = |name: &str, text: &str| match text.is_empty() {
        true => Ok(()),
        false => writeln!(console.out, "  {name:<10}  {}", printable(text)),
    };
    variant.levels.iter().try_for_each(|level| line(&level.level, &level_text(level)))?;
    if !variant.recover_for_seconds.0.is_zero() {
        line("recovers", &format!("after {} clear", span(variant.recover_for_seconds)))?;
    }
    let reminder = variant.reminder_seconds;
    line(
        "reminds",
        &if reminder.0.is_zero() { "never".to_owned() } else { format!("every {}", span(reminder)) },
    )?;
    let close = variant
        .close_after_seconds
        .map_or_else(String::new, |close| format!(", closed after {}", span(close)));
    if !variant.absent_after.is_empty() {
        line("absent", &format!("after {}: {}{close}", variant.absent_after, variant.absent_then))?;
    }
    line("params", &labels(&variant.params))?;
    line("labels", &labels(&variant.labels))
}

fn level_text(level: &LevelDetail) -> String {
    let when = level.when.as_deref().unwrap_or("as the script says");
    let clear = level.clear.as_ref().map_or_else(String::new, |clear| format!(", until {clear}"));
    match level.for_seconds.0.is_zero() {
        true => format!("{when}{clear}"),
        false => format!("{when} for {}{clear}", span(level.for_seconds)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sereno_rules::report::{LabelMap, Number, Seconds, Time};

    use super::*;
    use crate::output::testing::{console, written};

    #[test]
    fn a_rule_is_shown_with_its_defaults() {
        let seconds = |secs| Seconds(Duration::from_secs(secs));
        let time = |secs: i64| Time(sereno_model::Timestamp::from_millis(1_500_000_000_000 + secs * 1_000));
        let map = |name: &str, value: &str| LabelMap::from([(name.to_owned(), value.to_owned())]);
        let input = InputDetail {
            name: "err".into(),
            selector: "http.requests{code=~\"5..\"}".into(),
            agg: Some("increase".into()),
            across: Some("sum".into()),
            window_seconds: seconds(300),
            offset_seconds: seconds(86_400),
            otherwise: Some(Number(0.0)),
        };
        let level = LevelDetail {
            level: "crit".into(),
            when: Some("v >= 0.05".into()),
            clear: Some("v < 0.03".into()),
            for_seconds: seconds(120),
        };
        let script = LevelDetail { level: "warn".into(), ..LevelDetail::default() };
        let own = VariantDetail {
            mode: "live".into(),
            levels: vec![level.clone()],
            recover_for_seconds: seconds(60),
            reminder_seconds: seconds(60),
            absent_after: "3x".into(),
            absent_then: "keep".into(),
            close_after_seconds: Some(seconds(900)),
            ..VariantDetail::default()
        };
        let other = VariantDetail {
            only: map("service", "batch"),
            mode: "shadow".into(),
            levels: vec![script],
            params: map("limit", "4"),
            labels: map("team", "web"),
            ..VariantDetail::default()
        };
        let detail = RuleDetail {
            rule: "route_errors".into(),
            path: "rules/web.yaml".into(),
            line: 7,
            generation: 12,
            by: vec!["route".into(), "service".into()],
            every_seconds: seconds(15),
            settle_seconds: seconds(2),
            inputs: vec![input],
            value: Some("ratio(err, all)".into()),
            require: Some("all >= 100".into()),
            variants: vec![own, other],
            expect: vec![map("service", "shop")],
            expect_min: 2,
            suppressed_by: vec!["rack_down".into()],
            after: vec!["rack_down".into()],
            max_instances: 10_000,
            message: Some("${labels.route}: ${pct(v, 1)}".into()),
            source: Some("- id: route_errors\n  by: [service, route]\x1b".into()),
            health: "paused".into(),
            error: Some("no".into()),
            instances: 4,
            firing: 1,
            evaluations: 100,
            missed_ticks: 2,
            last_tick: Some(time(0)),
            next_tick: Some(time(15)),
            last_seconds: Some(Seconds(Duration::from_micros(120))),
            paused_until: Some(time(3_600)),
            paused_why: Some("new disks".into()),
            ..RuleDetail::default()
        };
        insta::assert_snapshot!(written(|console| tell(&detail, console), console(100)), @r#"
        rule          route_errors
        place         rules/web.yaml:7, generation 12
        health        paused: no, paused until 2017-07-14T03:40:00Z (new disks); 1 firing, 100 ticks evaluated, 2 missed, the last 2017-07-14T02:40:00Z took 120µs, the next 2017-07-14T02:40:15Z
        every         15s, 2s after its time
        by            route, service
        reads         err = increase(http.requests{code=~"5.."}) across sum over 5m offset 1d else 0
        value         ratio(err, all)
        require       all >= 100
        expects       service="shop"
        expects       at least 2 instances
        muted by      rack_down
        after         rack_down
        instances     4, at most 10000
        message       ${labels.route}: ${pct(v, 1)}

        all instances:
          crit        v >= 0.05 for 2m, until v < 0.03
          recovers    after 1m clear
          reminds     every 1m
          absent      after 3x: keep, closed after 15m

        override 1, where service="batch", shadow:
          warn        as the script says
          reminds     never
          params      limit="4"
          labels      team="web"

            - id: route_errors
              by: [service, route]\u{1b}
        "#);
    }
}
