//! Reaching the server: a server that is just starting gets a moment.

use std::time::Duration;

use sereno_client::{Client, ClientError, Options, Timeouts};

use crate::{Context, Stop};

/// How long at least to wait for what takes a server its time.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(4);

impl Context<'_> {
    /// Which server, and how to behave towards it. Nothing is tried twice: see [`Context::patiently`], which tells.
    pub(crate) fn options(&self) -> Options {
        let timeout = self.server.timeout;
        Options {
            token: self.server.token.clone(),
            client: concat!("sereno ", env!("CARGO_PKG_VERSION")).into(),
            timeouts: Timeouts { connect: timeout, answer: timeout },
            retries: 0,
            ..Options::new(&self.server.address)
        }
    }

    /// A connection that asks.
    pub(crate) async fn client(&mut self) -> Result<Client, Stop> {
        let options = self.options();
        Ok(self.patiently(async || Client::connect(&options).await).await?)
    }

    /// A connection for what takes a server its time: it waits for an answer for a minute at least. The server itself
    /// ends what takes longer than it may.
    pub(crate) async fn patient_client(&mut self) -> Result<Client, Stop> {
        let mut options = self.options();
        options.timeouts.answer = options.timeouts.answer.max(PATIENCE);
        Ok(self.patiently(async || Client::connect(&options).await).await?)
    }

    /// Does `attempt`, again while the connection is refused, with a pause that doubles: 250 ms, 500 ms, … 4 s.
    pub(crate) async fn patiently<T>(
        &mut self,
        attempt: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..self.server.retries {
            match attempt().await {
                Err(error) if error.is_refused() => {}
                result => return result,
            }
            let address = &self.server.address;
            self.console.say(format_args!("nobody listens at `{address}`, trying again in {pause:?}"));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
        attempt().await
    }
}
