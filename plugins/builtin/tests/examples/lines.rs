use std::net::SocketAddr;

use serde::Deserialize;
use sereno_model::{Sample, SeriesKey};
use sereno_plugin::{BoxFuture, Input, InputContext, InputFactory, PluginError, Settings};
use sereno_runtime::Diagnostic;
use tokio::net::UdpSocket;

pub struct LinesFactory;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    /// The address to bind.
    listen: SocketAddr,
}

impl InputFactory for LinesFactory {
    fn kind(&self) -> &'static str {
        "lines"
    }

    fn summary(&self) -> &'static str {
        "series and values from UDP packets, one per line"
    }

    fn build(&self, settings: &Settings) -> Result<Box<dyn Input>, Diagnostic> {
        Ok(Box::new(settings.read::<Lines>()?))
    }
}

impl Input for Lines {
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), PluginError>> {
        Box::pin(async move {
            let failed =
                |what: &str, error| PluginError::caused(format!("failed to {what} `{}`", self.listen), error);
            let socket = UdpSocket::bind(self.listen).await.map_err(|error| failed("bind", error))?;
            let mut packet = vec![0; 65_536];
            loop {
                let received = tokio::select! {
                    () = cx.stop().stopping() => return Ok(()),
                    received = socket.recv(&mut packet) => received,
                };
                let bytes = received.map_err(|error| failed("read from", error))?;
                let time = cx.clock().now();
                let batch = parse(&packet[..bytes]).map(|(key, value)| (key, Sample { time, value }));
                cx.write(batch.collect()).await;
            }
        })
    }
}

/// A plain function over bytes, so that it can be tested and fuzzed alone. Lines that make no sense are left out.
pub fn parse(packet: &[u8]) -> impl Iterator<Item = (SeriesKey, f64)> {
    packet.split(|byte| *byte == b'\n').filter_map(|line| {
        let (series, value) = std::str::from_utf8(line).ok()?.trim().rsplit_once(' ')?;
        Some((series.parse().ok()?, value.parse().ok()?))
    })
}
