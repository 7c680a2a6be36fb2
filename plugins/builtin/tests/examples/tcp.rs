use serde::Deserialize;
use sereno_model::Notification;
use sereno_plugin::{BoxFuture, Delivery, Settings, Sink, SinkFactory};
use sereno_runtime::Diagnostic;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

pub struct TcpFactory;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tcp {
    /// The address to connect to, `host:port`.
    endpoint: String,
}

impl SinkFactory for TcpFactory {
    fn kind(&self) -> &'static str {
        "tcp"
    }

    fn summary(&self) -> &'static str {
        "each notification as a line over TCP"
    }

    fn build(&self, settings: &Settings) -> Result<Box<dyn Sink>, Diagnostic> {
        Ok(Box::new(settings.read::<Tcp>()?))
    }
}

impl Sink for Tcp {
    fn deliver<'a>(&'a self, notification: &'a Notification) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            match self.send(notification).await {
                Ok(()) => Delivery::Ok,
                Err(error) => Delivery::Retry(format!("failed to send to `{}`: {error}", self.endpoint)),
            }
        })
    }
}

impl Tcp {
    async fn send(&self, n: &Notification) -> std::io::Result<()> {
        let line = format!("{} {} {}: {}\n", n.level, n.rule, n.kind, n.message);
        let mut stream = TcpStream::connect(&self.endpoint).await?;
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await
    }
}
