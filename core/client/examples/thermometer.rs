//! A greenhouse with three beds: writes an hour of temperatures, asks for them back, and watches for alerts while a bed
//! gets hot.
//!
//! `cargo run -p sereno-client --example thermometer -- localhost:5678`

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use sereno_client::messages::{self, Ack, Grouping, Query};
use sereno_client::{Client, Monitor, Notice, Options, SeriesRef, Writer, WriterConfig};
use sereno_model::{SeriesKey, Timestamp};

const BEDS: [&str; 3] = ["tomatoes", "peppers", "orchids"];
const METRIC: &str = "greenhouse.temperature";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:5678".into());
    run(&Options { client: "thermometer 1.0".into(), ..Options::new(address) }, &mut std::io::stdout()).await
}

/// Everything that the example does, told to `out`.
pub async fn run(options: &Options, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(options).await?;
    let now = Timestamp::from_nanos(client.welcome().time);
    write_an_hour(options, now, out).await?;
    ask(&client, now, out).await?;
    watch(options, out).await
}

/// A writer batches by itself; `close` says what became of the samples.
async fn write_an_hour(
    options: &Options,
    now: Timestamp,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let config = WriterConfig { ack: Ack::Disk, ..WriterConfig::default() };
    let writer = Writer::connect(options.clone(), config).await?;
    let series = BEDS.map(|bed| SeriesKey::new(METRIC, [("bed", bed)]).map(|key| writer.series(&key)));
    let series = series.into_iter().collect::<Result<Vec<SeriesRef>, _>>()?;
    for minute in (1..=60).rev() {
        let time = now - Duration::from_secs(60 * minute);
        let degrees = |bed: usize| 18.0 + 2.0 * bed as f64 + (minute as f64 / 10.0).sin();
        let samples: Vec<_> =
            (0..).zip(&series).map(|(bed, series)| (*series, Some(time), degrees(bed))).collect();
        writer.push_all(&samples).await?;
    }
    let counters = writer.close().await;
    writeln!(out, "{} samples are stored, {} were rejected", counters.stored, counters.rejected)?;
    Ok(())
}

/// The mean of every quarter of an hour, per bed.
async fn ask(client: &Client, now: Timestamp, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let query = Query {
        selector: METRIC.into(),
        aggregation: "mean".into(),
        window: 900 * 1_000_000_000,
        grouping: Grouping::Labels.into(),
        by: vec!["bed".into()],
        start: Some((now - Duration::from_secs(3_600)).nanos()),
        end: Some(now.nanos()),
        ..Query::default()
    };
    let answer = client.query(query).await?;
    for group in &answer.groups {
        let bed = group.labels.iter().find(|(label, _)| label == "bed").map_or("?", |(_, bed)| bed);
        let means: Vec<_> = group.values.iter().map(|value| format!("{value:.1}")).collect();
        writeln!(out, "{bed}: {}", means.join(" "))?;
    }
    Ok(())
}

/// Heats a bed until the server says so. Needs a rule that does:
/// `{ id: greenhouse_hot, metric: greenhouse.temperature, agg: max, by: [bed], window: 10s, every: 1s, limit: 40 }`
async fn watch(options: &Options, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let request = messages::Monitor { rules: vec!["greenhouse_*".into()], ..messages::Monitor::default() };
    let mut monitor = Monitor::open(options, request).await?;
    let writer = Writer::connect(options.clone(), WriterConfig::default()).await?;
    let orchids = writer.series(&SeriesKey::new(METRIC, [("bed", "orchids")])?);
    let patience = tokio::time::sleep(Duration::from_secs(20));
    tokio::pin!(patience);
    let mut heating = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = heating.tick() => writer.push(orchids, None, 45.0).await?,
            notice = monitor.next() => match notice? {
                Notice::Event(event) => {
                    writeln!(out, "{} is {}: {}", event.rule, event.kind, event.message)?;
                    break;
                }
                Notice::Lost(error) => writeln!(out, "{error}; trying again")?,
                _ => {}
            },
            () = &mut patience => {
                writeln!(out, "nobody minds that the orchids are hot; is there a rule `greenhouse_hot`?")?;
                break;
            }
        }
    }
    writer.close().await;
    Ok(())
}
