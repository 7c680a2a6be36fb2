//! The one explicit list of the plugins that are compiled into `serenod`. To add one: its crate in `Cargo.toml`, a line
//! here, a line in `plugins/README.md`.

use sereno_plugin::{DuplicateKind, Registry};
use sereno_plugin_host::HostFactory;

/// The compiled-in plugins. Without a key `plugins.inputs` in the configuration the input `host/main` runs.
///
/// # Panics
/// Two plugins of the list claim the same kind: a mistake in this file, which its test finds.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    add_all(&mut registry).expect("each kind stands once in the list");
    registry.start_by_default("host/main");
    registry
}

fn add_all(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.add_input(HostFactory)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_each_kind_once() {
        let kinds = registry().kinds();
        assert_eq!(kinds.iter().map(|kind| kind.name).collect::<Vec<_>>(), ["host"]);
    }
}
