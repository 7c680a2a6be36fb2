//! What a change of the files means for the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::carry::heirs;
use crate::class::edit_class;
use crate::generation::Generation;
use crate::rule::EditClass;

/// The ids of the rules that a change of the files concerns, each list in order. A rule that only moved within the
/// files is in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rules that there were not before.
    pub added: Vec<Arc<str>>,
    /// Rules that there are not any more.
    pub removed: Vec<Arc<str>>,
    /// Rules that say something else, or whose scripts do.
    pub changed: Vec<Arc<str>>,
    /// Rules whose state goes on under another id (`renamed_from`): the old id and the new one. They are neither among
    /// those added nor among those removed.
    pub renamed: Vec<(Arc<str>, Arc<str>)>,
    /// What each of `changed` means for the state; for one that was renamed, compared with what it was before.
    pub classes: BTreeMap<Arc<str>, EditClass>,
}

impl Changes {
    pub(crate) fn between(before: &Generation, after: &Generation) -> Self {
        let heirs = heirs(before, after);
        let before_of: BTreeMap<&Arc<str>, &Arc<str>> = heirs.iter().map(|(old, new)| (new, old)).collect();
        let mut changes = Self::default();
        for (id, rule) in &after.rules {
            let heir_of = before_of.get(id).copied();
            let Some(old) = heir_of.or(Some(id)).and_then(|old| before.rules.get(old)) else {
                changes.added.push(id.clone());
                continue;
            };
            let class = edit_class(rule, old);
            if class != EditClass::Same {
                changes.changed.push(id.clone());
                changes.classes.insert(id.clone(), class);
            }
        }
        let gone =
            before.rules.keys().filter(|id| !after.rules.contains_key(*id) && !heirs.contains_key(*id));
        changes.removed.extend(gone.cloned());
        changes.renamed.extend(heirs);
        changes
    }

    /// Whether no rule is concerned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { added, removed, changed, renamed, classes: _ } = self;
        added.is_empty() && removed.is_empty() && changed.is_empty() && renamed.is_empty()
    }

    /// Every rule that is concerned, by the id that it has now or had last.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<Arc<str>> {
        let renamed = self.renamed.iter().map(|(_, new)| new);
        [&self.added, &self.removed, &self.changed].into_iter().flatten().chain(renamed).cloned().collect()
    }
}
