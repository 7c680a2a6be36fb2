//! What rules say of each other, once all of them are known. Cost: linear in the rules and their links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sereno_runtime::diagnostic::{Diagnostic, suggest};

use crate::rule::{By, Link, Rule, Suppression};

type Rules = BTreeMap<Arc<str>, Arc<Rule>>;

/// What is known of rules that are not among those to be linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// Rules that go on in an older version. What they say of others may be out of date, and is not held against them.
    pub stale: &'a BTreeSet<Arc<str>>,
    /// Rules that are written, but broken: to name one of them is no mistake.
    pub broken: &'a BTreeSet<Arc<str>>,
    /// Whether there are files that could not be read, with rules that nobody knows.
    pub unreadable: bool,
}

/// Ties the rules together. Gives the ids of those whose links are wrong, and which cannot be used as they are.
///
/// After it, the `on` of every suppression is filled in, and `after` names rules that exist, without a cycle.
pub(crate) fn link(rules: &mut Rules, known: Known<'_>, found: &mut Vec<Diagnostic>) -> BTreeSet<Arc<str>> {
    let mut linker = Linker { rules, known, found, wrong: BTreeSet::new(), linked: BTreeMap::new() };
    linker.renamed();
    linker.named();
    linker.cycles();
    let Linker { wrong, linked, .. } = linker;
    for (id, rule) in linked {
        rules.insert(id, Arc::new(rule));
    }
    wrong
}

struct Linker<'a> {
    rules: &'a Rules,
    known: Known<'a>,
    found: &'a mut Vec<Diagnostic>,
    wrong: BTreeSet<Arc<str>>,
    linked: BTreeMap<Arc<str>, Rule>,
}

impl Linker<'_> {
    /// An old id is given up by one rule, and taken over by one.
    fn renamed(&mut self) {
        let mut takers: BTreeMap<&str, &Arc<Rule>> = BTreeMap::new();
        for rule in self.rules.values().filter(|rule| !self.known.stale.contains(&rule.id)) {
            let Some(old) = &rule.renamed_from else { continue };
            // In a chain or a swap, the rule that has the old id now has one of its own that it gave up.
            let wrong = if self.rules.get(old).is_some_and(|now| now.renamed_from.is_none()) {
                Some(("is still the id of a rule".to_owned(), "remove that rule, or `renamed_from`"))
            } else {
                takers.insert(old, rule).map(|first| {
                    (format!("is the old id of `{}` already", first.id), "a state goes to one rule only")
                })
            };
            if let Some((why, hint)) = wrong {
                let at = rule.renamed_at.as_deref().cloned();
                let at = at.unwrap_or_else(|| Diagnostic::error(&rule.path, ""));
                let error = Diagnostic { message: format!("`{old}` {why}"), ..at };
                self.found.push(error.hint(hint));
                self.wrong.insert(rule.id.clone());
            }
        }
    }

    fn named(&mut self) {
        for rule in self.rules.values().filter(|rule| !rule.links.is_empty()) {
            let lenient = self.known.stale.contains(&rule.id);
            let mut suppressed_by = Vec::new();
            let mut after = BTreeSet::new();
            for link in &rule.links {
                match self.resolve(rule, link) {
                    Ok(None) => {}
                    Ok(Some(on)) => {
                        after.insert(link.to.clone());
                        if link.mutes {
                            let (rule, from_pending) = (link.to.clone(), link.from_pending);
                            suppressed_by.push(Suppression { rule, on, from_pending });
                        }
                    }
                    Err(_) if lenient => {}
                    Err(error) => {
                        self.found.push(error);
                        self.wrong.insert(rule.id.clone());
                    }
                }
            }
            let after: Vec<Arc<str>> = after.into_iter().collect();
            if rule.suppressed_by != suppressed_by || rule.after != after {
                self.linked.insert(rule.id.clone(), Rule { suppressed_by, after, ..(**rule).clone() });
            }
        }
    }

    /// The labels in which both must agree; `None` if the other rule is not there, and that is no mistake of this one.
    fn resolve(&self, rule: &Rule, link: &Link) -> Result<Option<Vec<String>>, Diagnostic> {
        let error = |message: String| Diagnostic { message, ..link.at.clone() };
        let Some(other) = self.rules.get(&link.to) else {
            if self.known.broken.contains(&link.to) || self.known.unreadable {
                return Ok(None);
            }
            let ids = self.rules.keys().map(|id| &**id).filter(|id| **id != *rule.id);
            // A list of all rules of a large system helps nobody.
            let hint = match sereno_runtime::diagnostic::nearest(&link.to, ids.clone()) {
                None if self.rules.len() > 12 => "it must be the id of another rule".to_owned(),
                _ => suggest(&link.to, "other rules", ids.collect::<Vec<_>>()),
            };
            return Err(error(format!("there is no rule `{}`", link.to)).hint(hint));
        };
        if !link.mutes {
            return Ok(Some(Vec::new()));
        }
        let (own, others) = (labels(rule), labels(other));
        let (Some(own), Some(others)) = (own, others) else {
            // With `by: "*"` nobody knows the labels beforehand.
            return match &link.on {
                Some(on) => Ok(Some(on.clone())),
                None => Err(error(format!("which labels `{}` shares with this rule is not known", link.to))
                    .hint("name them, like `on: [host]`; with `on: []` any instance of it mutes all of this rule")),
            };
        };
        let shared: Vec<String> = own.iter().filter(|label| others.contains(label)).cloned().collect();
        match &link.on {
            Some(on) => match on.iter().find(|label| !shared.contains(label)) {
                Some(label) => {
                    let whose =
                        if own.contains(label) { format!("`{}`", link.to) } else { "this rule".to_owned() };
                    Err(error(format!("instances of {whose} have no label `{label}`"))
                        .hint("`on` names labels that both have in `by`"))
                }
                None => Ok(Some(on.clone())),
            },
            None if shared.is_empty() => Err(error(format!("`{}` shares no label with this rule", link.to))
                .hint("with `on: []` any instance of it mutes all of this rule")),
            None => Ok(Some(shared)),
        }
    }

    /// Refuses rules that wait for each other: the one that closes the circle, found in order of ids.
    fn cycles(&mut self) {
        let mut done: BTreeSet<Arc<str>> = BTreeSet::new();
        for start in self.rules.keys() {
            let mut way: Vec<(Arc<str>, usize)> = vec![(start.clone(), 0)];
            while let Some((id, next)) = way.last_mut() {
                let (id, at) = (id.clone(), *next);
                *next += 1;
                let to = if done.contains(&id) { None } else { self.after(&id).get(at).cloned() };
                let Some(to) = to else {
                    done.insert(id);
                    way.pop();
                    continue;
                };
                match way.iter().position(|(on_way, _)| *on_way == to) {
                    Some(begin) => {
                        let circle: Vec<Arc<str>> = way[begin..].iter().map(|(id, _)| id.clone()).collect();
                        self.cut(&id, &to, &circle);
                        // What comes behind it has moved up.
                        if let Some((_, next)) = way.last_mut() {
                            *next = at;
                        }
                    }
                    None if !done.contains(&to) => way.push((to, 0)),
                    None => {}
                }
            }
        }
    }

    fn after(&self, id: &Arc<str>) -> &[Arc<str>] {
        match (self.linked.get(id), self.rules.get(id)) {
            (Some(rule), _) => &rule.after,
            (None, Some(rule)) => &rule.after,
            (None, None) => &[],
        }
    }

    /// Takes the step from `id` to `to` out, which closes a circle, and refuses the rule; one that is stale only forgets it.
    fn cut(&mut self, id: &Arc<str>, to: &Arc<str>, circle: &[Arc<str>]) {
        let Some(rule) = self.rules.get(id) else { return };
        if !self.known.stale.contains(id) {
            if let Some(link) = rule.links.iter().find(|link| link.to == *to) {
                let way: Vec<String> = circle.iter().chain([to]).map(|id| format!("`{id}`")).collect();
                let message = format!("rules wait for each other: {}", way.join(" → "));
                let error = Diagnostic { message, ..link.at.clone() };
                self.found.push(
                    error.hint("the one on the right of `→` is evaluated first; remove one of the steps"),
                );
            }
            self.wrong.insert(id.clone());
        }
        let linked = self.linked.entry(id.clone()).or_insert_with(|| (**rule).clone());
        linked.after.retain(|after| after != to);
        linked.suppressed_by.retain(|suppression| suppression.rule != *to);
    }
}

/// The labels of its instances; `None` if nobody knows.
fn labels(rule: &Rule) -> Option<&[String]> {
    match &rule.by {
        By::Unsaid => Some(&[]),
        By::Labels(labels) => Some(labels),
        By::Series => None,
    }
}
