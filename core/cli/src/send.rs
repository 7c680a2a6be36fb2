//! `sereno send`: one value, one status.

use std::io::Write;

use sereno_client::Sender;
use sereno_client::v1::{Metric, Status};

use crate::args::Send;
use crate::{Context, Exit, Failure, Stop};

pub(crate) async fn run(args: &Send, context: &mut Context<'_>) -> Result<(), Stop> {
    let metric = Metric::new(&args.metric, args.value).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let (address, timeouts) = (&context.server.address, context.timeouts());
    let mut sender = context.patiently(async || Sender::connect(address, timeouts).await).await?;
    match sender.send(metric).await? {
        Status::Ok => Ok(writeln!(context.console.out, "ok")?),
        status => Err(refused(address, status).into()),
    }
}

fn refused(address: &str, status: Status) -> Failure {
    let failure = Failure::new(Exit::Refused, format!("`{address}` refused the metric: {status}"));
    match status {
        Status::ServerUnavailable => failure.hint("the server is too busy now; try again in a moment"),
        _ => failure.hint("the server's log tells why"),
    }
}
