//! From a window to its answer.

use std::collections::BTreeMap;
use std::error::Error;

use crate::native::Native;
use crate::window::Window;

/// The answer for one window.
#[derive(Clone, Debug, PartialEq)]
pub enum Reduced {
    /// No answer: the window is left out, or the data is absent.
    None,
    /// One number; NaN and the infinities are numbers here.
    Number(f64),
    /// Several numbers by name.
    Map(BTreeMap<String, f64>),
}

impl Reduced {
    /// The one number, if that is what it is.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::None | Self::Map(_) => None,
        }
    }
}

impl From<Option<f64>> for Reduced {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::None, Self::Number)
    }
}

/// An aggregation over time: one window in, one answer out. The same window gives the same answer, bit for bit.
pub trait Reducer: Send + Sync + std::fmt::Debug {
    /// The native reducer that it amounts to, if there is one: it may then be answered without windows.
    fn native(&self) -> Option<Native> {
        None
    }

    /// Reduces one window.
    ///
    /// # Errors
    /// [`ReduceError`] when a script fails or breaks a limit; native reducers never fail. A read that fails is told by
    /// the window's [`Tally`](crate::Tally), which the caller checks.
    fn reduce(&self, window: &Window) -> Result<Reduced, ReduceError>;
}

/// An aggregation failed: its author's fault, not the caller's. Trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("aggregation `{aggregation}` failed")]
pub struct ReduceError {
    /// Its name.
    pub aggregation: String,
    /// What went wrong, and where in the script.
    pub source: Box<dyn Error + Send + Sync>,
}
