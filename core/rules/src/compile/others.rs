//! What a rule says of others (`suppressed_by`, `after`), and the series that it writes (`record`). Whether the others
//! exist is found out once all rules are known: `link`.

use std::sync::Arc;

use serde_yaml::Value as Yaml;
use sereno_model::SeriesKey;
use sereno_runtime::yaml::Step;

use super::{Compiler, is_id};
use crate::file::{SuppressedWritten, WhileWritten};
use crate::rule::{Input, Link, Suppression};

impl Compiler<'_> {
    /// The other rules that it names.
    pub(super) fn links(&mut self) -> Vec<Link> {
        let mut links = Vec::new();
        match &self.written.written.suppressed_by {
            None => {}
            Some(Yaml::Sequence(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let path = [Step::Key("suppressed_by"), Step::Index(index)];
                    links.extend(self.suppressed_by(item, &path));
                }
            }
            Some(one) => links.extend(self.suppressed_by(one, &[Step::Key("suppressed_by")])),
        }
        if let Some(after) = &self.written.written.after {
            for (id, path) in self.texts("after", after) {
                links.extend(self.link(&id, &path).map(|at| Link {
                    to: id.as_str().into(),
                    mutes: false,
                    on: None,
                    from_pending: false,
                    at,
                }));
            }
        }
        links
    }

    fn suppressed_by(&mut self, item: &Yaml, path: &[Step<'_>]) -> Option<Link> {
        let (long, path) = match item {
            Yaml::String(id) => {
                (SuppressedWritten { rule: id.clone(), on: None, r#while: None }, path.to_vec())
            }
            Yaml::Mapping(_) => {
                (self.read::<SuppressedWritten>(path)?, [path, &[Step::Key("rule")]].concat())
            }
            _ => {
                let hint = "like `suppressed_by: [host_down]`, or `[ { rule: host_down, on: [host] } ]`";
                self.error(path, "`suppressed_by` must name rules", hint);
                return None;
            }
        };
        let at = self.link(&long.rule, &path)?;
        let mut on = long.on;
        if let Some(on) = &mut on {
            on.sort();
            on.dedup();
        }
        let from_pending = long.r#while == Some(WhileWritten::Pending);
        Some(Link { to: long.rule.as_str().into(), mutes: true, on, from_pending, at })
    }

    /// The place where another rule is named.
    fn link(&mut self, id: &str, path: &[Step<'_>]) -> Option<sereno_runtime::diagnostic::Diagnostic> {
        if self.written.written.id.as_deref() == Some(id) {
            self.error(path, "a rule cannot name itself", "name another rule, or remove it");
            return None;
        }
        if !is_id(id) {
            self.error(path, format!("`{id}` cannot be the id of a rule"), "like `host_down`");
            return None;
        }
        Some(self.written.error(path, ""))
    }

    /// The name of the series that the value is written to.
    pub(super) fn record(&mut self, inputs: &[Input]) -> Option<String> {
        let name = self.written.written.record.clone()?;
        let path = [Step::Key("record")];
        let no_labels: [(&str, &str); 0] = [];
        if let Err(error) = SeriesKey::new(&name, no_labels) {
            self.error(
                &path,
                format!("`{name}` cannot be the name of a series: {error}"),
                "like `record: service.error_ratio`",
            );
            return None;
        }
        if name.contains(['*', '?']) {
            let hint = "a pattern reads several series; a rule writes one per instance";
            self.error(&path, "the name of a series that is written has no `*` and `?`", hint);
            return None;
        }
        if inputs.iter().any(|input| input.selector.name.matches(&name)) {
            let message = format!("the rule would read `{name}`, which it writes itself");
            self.error(&path, message, "give the series a name that `metric` does not match");
            return None;
        }
        Some(name)
    }
}

/// The links as a rule has them before the others are known.
pub(super) fn unlinked(links: &[Link]) -> (Vec<Suppression>, Vec<Arc<str>>) {
    let suppression = |link: &Link| Suppression {
        rule: link.to.clone(),
        on: link.on.clone().unwrap_or_default(),
        from_pending: link.from_pending,
    };
    let mut after: Vec<Arc<str>> = links.iter().map(|link| link.to.clone()).collect();
    after.sort();
    after.dedup();
    (links.iter().filter(|link| link.mutes).map(suppression).collect(), after)
}
