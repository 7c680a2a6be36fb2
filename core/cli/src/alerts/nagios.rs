//! `sereno alerts --nagios`: one line and an exit code, as monitoring plugins have them.

use std::io::Write;

use sereno_client::messages::{Alert, ListAlerts};

use crate::console::printable;
use crate::{Context, Exit, Stop};

/// How many alerts the line names.
const NAMED_MAX: usize = 3;

/// That nobody knows is an answer here, and no failure.
pub(super) async fn run(request: ListAlerts, context: &mut Context<'_>) -> Result<(), Stop> {
    let asked = async { Ok::<_, Stop>(context.client().await?.alerts(request).await?.alerts) };
    let (line, exit) = match asked.await {
        Ok(alerts) => told(&alerts),
        Err(Stop::Failed(failure)) => {
            let why = failure.to_string();
            let first = why.lines().next().unwrap_or_default().trim_start_matches("error: ");
            (format!("SERENO UNKNOWN - {}", bare(first)), Exit::Unreachable)
        }
        Err(other) => return Err(other),
    };
    writeln!(context.console.out, "{line}")?;
    if exit == Exit::Ok { Ok(()) } else { Err(Stop::Ended(exit)) }
}

/// The codes of plugins: 1 warning, 2 critical, 3 unknown.
fn told(alerts: &[Alert]) -> (String, Exit) {
    let loud: Vec<&Alert> =
        alerts.iter().filter(|alert| alert.suppressed_by.is_empty() && !alert.shadow).collect();
    let of = |level: &str| loud.iter().filter(|alert| alert.level == level).count();
    // A level of a later version is taken for the worst.
    let (warn, info) = (of("warn"), of("info"));
    let crit = loud.len() - warn - info;
    let (word, exit) = match (crit, warn) {
        (0, 0) => ("OK", Exit::Ok),
        (0, _) => ("WARNING", Exit::Negative),
        _ => ("CRITICAL", Exit::Usage),
    };
    let figures = format!("crit={crit} warn={warn} info={info} muted={}", alerts.len() - loud.len());
    (format!("SERENO {word} - {} | {figures}", summary(&loud)), exit)
}

fn summary(alerts: &[&Alert]) -> String {
    if alerts.is_empty() {
        return "nothing fires".into();
    }
    let rank = |alert: &&&Alert| match alert.level.as_str() {
        "info" => 2,
        "warn" => 1,
        _ => 0,
    };
    let mut worst: Vec<&&Alert> = alerts.iter().collect();
    worst.sort_by_key(rank);
    let message = |alert: &&&Alert| bare(if alert.message.is_empty() { &alert.rule } else { &alert.message });
    let named: Vec<String> = worst.iter().take(NAMED_MAX).map(message).collect();
    let more = alerts.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}: {}{more}", super::fires(alerts.len()), named.join("; "))
}

/// On one line, and without the sign that begins the figures.
fn bare(text: &str) -> String {
    printable(text).replace('|', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(level: &str, message: &str) -> Alert {
        Alert { rule: "r".into(), level: level.into(), message: message.into(), ..Alert::default() }
    }

    #[test]
    fn the_worst_decides_and_what_is_muted_does_not_count() {
        let muted = Alert { suppressed_by: "rack".into(), ..alert("crit", "m") };
        let told = |alerts: &[Alert]| {
            let (line, exit) = told(alerts);
            format!("{} {line}", exit as u8)
        };
        insta::assert_snapshot!(told(&[]), @"0 SERENO OK - nothing fires | crit=0 warn=0 info=0 muted=0");
        insta::assert_snapshot!(told(std::slice::from_ref(&muted)), @"0 SERENO OK - nothing fires | crit=0 warn=0 info=0 muted=1");
        insta::assert_snapshot!(told(&[alert("info", "")]), @"0 SERENO OK - 1 alert fires: r | crit=0 warn=0 info=1 muted=0");
        insta::assert_snapshot!(told(&[alert("info", "i"), alert("warn", "w | x\ny")]), @r"1 SERENO WARNING - 2 alerts fire: w / x\ny; i | crit=0 warn=1 info=1 muted=0");
        insta::assert_snapshot!(
            told(&[alert("info", "i"), alert("warn", "w"), muted, alert("crit", "c"), alert("later", "l")]),
            @"2 SERENO CRITICAL - 4 alerts fire: c; l; w; and 1 more | crit=2 warn=1 info=1 muted=1"
        );
    }
}
