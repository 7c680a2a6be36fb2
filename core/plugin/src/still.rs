//! The smallest input, for tests of this crate.

use std::time::Duration;

use serde::Deserialize;
use sereno_runtime::Diagnostic;

use crate::BoxFuture;
use crate::error::PluginError;
use crate::input::{Input, InputContext, InputFactory};
use crate::settings::Settings;

/// Waits for the word to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StillInput;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StillConfig {
    #[serde(with = "sereno_runtime::units::duration")]
    every: Duration,
}

impl Default for StillConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(1) }
    }
}

impl InputFactory for StillInput {
    fn kind(&self) -> &'static str {
        "still"
    }

    fn summary(&self) -> &'static str {
        "does nothing until it is told to stop"
    }

    fn build(&self, settings: &Settings) -> Result<Box<dyn Input>, Diagnostic> {
        match settings.read::<StillConfig>()?.every {
            Duration::ZERO => Err(settings.error("every", "`every` must be more than 0s")),
            _ => Ok(Box::new(*self)),
        }
    }
}

impl Input for StillInput {
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), PluginError>> {
        Box::pin(async move {
            cx.stop().stopping().await;
            Ok(())
        })
    }
}
