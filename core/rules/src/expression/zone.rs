//! A time zone in an expression: that of scripts, told apart by its name.

use std::ops::Deref;
use std::sync::Arc;

use sereno_script::{Zone, ZoneError};

/// A time zone and its name.
#[derive(Clone, Debug)]
pub(crate) struct NamedZone {
    name: Arc<str>,
    zone: Zone,
}

impl NamedZone {
    /// The zone of this name.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        Ok(Self { name: name.into(), zone: Zone::named(name)? })
    }
}

impl Deref for NamedZone {
    type Target = Zone;
    fn deref(&self) -> &Zone {
        &self.zone
    }
}

impl PartialEq for NamedZone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
