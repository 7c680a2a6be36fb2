//! Reaching the server: a server that is just starting gets a moment.

use std::time::Duration;

use sereno_client::{ClientError, Timeouts};

use crate::Context;

const FIRST_PAUSE: Duration = Duration::from_millis(250);

impl Context<'_> {
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts { connect: self.server.timeout, answer: self.server.timeout }
    }

    /// Does `attempt`, again while the connection is refused, with a pause that doubles: 250 ms, 500 ms, 1 s, 2 s.
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
            pause *= 2;
        }
        attempt().await
    }
}
