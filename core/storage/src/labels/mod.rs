//! Which documents a selector means, written once for everything that has labels: the series of the live registry and
//! those of a segment.
//!
//! The meaning is that of [`Selector::matches`], where a missing label has the value "". So a condition that "" meets
//! is turned around: it takes away the documents whose value does not meet it, and leaves those without the label.
//!
//! Order of work: first what a look-up answers (names, equal values, `a|b|c`), then patterns. A pattern is tried on every
//! value of its label, or on the keys of the documents that are still in question, whichever are fewer.
//!
//! Not here: where postings live, and the order of series; documents are numbers.

mod docs;
#[cfg(test)]
pub(crate) mod testing;

use sereno_model::{LabelMatcher, NamePattern, Selector, SeriesKey};

pub(crate) use docs::{BITS_FROM, Docs, words};

/// Documents 0 to `len`, each with labels. The metric name is the label whose name is empty.
pub(crate) trait Terms {
    /// Why something cannot be read.
    type Error;
    /// Stands for the documents of one value of one label until they are wanted.
    type Posting;

    /// How many documents there are.
    fn len(&self) -> u32;

    /// The documents with this value of this label.
    fn find(&self, label: &str, value: &str) -> Result<Option<Self::Posting>, Self::Error>;

    /// The postings of the values of a label that begin with `prefix` and that `keep` keeps.
    fn find_where(
        &self,
        label: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Self::Posting>, Self::Error>;

    /// How many documents a posting has, at most.
    fn count(&self, posting: &Self::Posting) -> u32;

    /// The documents of a posting.
    fn docs<'a>(&'a self, posting: &'a Self::Posting) -> Result<Docs<'a>, Self::Error>;

    /// Of how many documents the keys can be looked at for the price of trying every value of the label.
    fn keys_instead(&self, label: &str) -> u32;

    /// The documents whose keys `keep` keeps. `docs` rise.
    fn check(&self, docs: &[u32], keep: &dyn Fn(&SeriesKey) -> bool) -> Result<Vec<u32>, Self::Error>;
}

/// The documents that a selector means, rising.
///
/// # Errors
/// Those of reading `terms`.
pub(crate) fn select<T: Terms>(terms: &T, selector: &Selector) -> Result<Vec<u32>, T::Error> {
    let (sharp, wide): (Vec<_>, Vec<_>) =
        Condition::all_of(selector).into_iter().partition(|condition| condition.values.is_some());
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for condition in &sharp {
        let group = Group::of(terms, condition)?;
        match condition.takes_away {
            true => exclude.push(group),
            false if group.total == 0 => return Ok(Vec::new()),
            false => include.push(group),
        }
    }
    let mut docs = narrow(terms, Docs::Range(0..terms.len()), include, exclude)?;
    // Patterns that narrow come before those that take away, which nearly always leave nearly everything.
    for condition in wide.iter().filter(|c| !c.takes_away).chain(wide.iter().filter(|c| c.takes_away)) {
        let count = docs.count();
        if count == 0 {
            break;
        }
        docs = if count <= terms.keys_instead(condition.label) {
            let list = docs.into_vec();
            Docs::List(terms.check(&list, &|key| condition.holds(key))?.into())
        } else {
            let group = Group::of(terms, condition)?;
            let (include, exclude) =
                if condition.takes_away { (vec![], vec![group]) } else { (vec![group], vec![]) };
            own(narrow(terms, docs, include, exclude)?)
        };
    }
    Ok(docs.into_vec())
}

/// Lets go of what a set borrows from postings that end here.
fn own(docs: Docs<'_>) -> Docs<'static> {
    match docs {
        Docs::Range(range) => Docs::Range(range),
        Docs::List(list) => Docs::List(list.into_owned().into()),
        Docs::Bits(bits) => Docs::Bits(bits.into_owned().into()),
    }
}

/// Cuts `docs` down, with the smallest groups first.
fn narrow<T: Terms>(
    terms: &T,
    docs: Docs<'_>,
    mut include: Vec<Group<T::Posting>>,
    exclude: Vec<Group<T::Posting>>,
) -> Result<Docs<'static>, T::Error> {
    include.sort_by_key(|group| group.total);
    let mut docs = docs;
    for group in &include {
        docs = docs.intersect(group.docs(terms)?);
    }
    for group in &exclude {
        docs = docs.subtract(group.docs(terms)?);
    }
    Ok(own(docs))
}

/// The postings of the values that one condition is about.
struct Group<P> {
    postings: Vec<P>,
    total: u64,
}

impl<P> Group<P> {
    fn of<T: Terms<Posting = P>>(terms: &T, condition: &Condition<'_>) -> Result<Self, T::Error> {
        let postings = match &condition.values {
            Some(values) => {
                let found = values.iter().map(|value| terms.find(condition.label, value).transpose());
                found.flatten().collect::<Result<_, _>>()?
            }
            None => terms.find_where(condition.label, condition.prefix, &|value| {
                condition.pattern.matches(value) != condition.takes_away
            })?,
        };
        Ok(Self { total: postings.iter().map(|posting| u64::from(terms.count(posting))).sum(), postings })
    }

    fn docs<'a, T: Terms<Posting = P>>(&'a self, terms: &'a T) -> Result<Docs<'a>, T::Error> {
        match &self.postings[..] {
            [] => Ok(Docs::empty()),
            [one] => terms.docs(one),
            many => Docs::union(terms.len(), self.total, many.iter().map(|posting| terms.docs(posting))),
        }
    }
}

/// One condition of a selector, as a set of values of one label.
struct Condition<'a> {
    label: &'a str,
    pattern: Pattern<'a>,
    /// Whether the set is what must *not* be: "" meets the condition, so series without the label do.
    takes_away: bool,
    /// The set, where it is known without trying values.
    values: Option<Vec<&'a str>>,
    /// What the values of the set begin with.
    prefix: &'a str,
}

enum Pattern<'a> {
    Name(&'a NamePattern),
    Label(&'a LabelMatcher),
    Nothing,
}

impl Pattern<'_> {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Name(pattern) => pattern.matches(value),
            Self::Label(matcher) => matcher.matches(value),
            Self::Nothing => false,
        }
    }
}

impl<'a> Condition<'a> {
    fn all_of(selector: &'a Selector) -> Vec<Self> {
        let labels = selector.matchers.iter().filter_map(|(label, matcher)| Self::on_label(label, matcher));
        Self::on_name(&selector.name).into_iter().chain(labels).collect()
    }

    fn on_name(pattern: &'a NamePattern) -> Option<Self> {
        let (values, prefix) = match pattern {
            NamePattern::Exact(name) => (Some(vec![&**name]), ""),
            NamePattern::Glob { pattern, .. } if &**pattern == "*" => return None,
            NamePattern::Glob { pattern, .. } => (None, pattern.split(['*', '?']).next().unwrap_or_default()),
        };
        Some(Self { label: "", pattern: Pattern::Name(pattern), takes_away: false, values, prefix })
    }

    /// `None` where every document meets it.
    fn on_label(label: &'a str, matcher: &'a LabelMatcher) -> Option<Self> {
        let takes_away = matcher.matches("");
        let regex = Regexp::of(matcher);
        if takes_away && (label.is_empty() || regex.is_some_and(|regex| regex.0 == ".*" && !regex.1)) {
            return None;
        }
        let known = match matcher {
            LabelMatcher::Equal(value) | LabelMatcher::NotEqual(value) => Some(vec![value.as_str()]),
            _ => regex.and_then(Regexp::literals),
        };
        // `=""` and `!=""` are about all values there are; so is a pattern with an empty alternative.
        let turned = matches!(matcher, LabelMatcher::NotEqual(_) | LabelMatcher::NotRegex(_)) == takes_away;
        let values = known.filter(|values| turned && !values.contains(&""));
        // No label has an empty name; here the empty name would mean the metric's.
        let nothing = label.is_empty();
        Some(Self {
            label,
            pattern: if nothing { Pattern::Nothing } else { Pattern::Label(matcher) },
            takes_away,
            values: if nothing { Some(Vec::new()) } else { values },
            prefix: regex.filter(|_| turned).map_or("", Regexp::prefix),
        })
    }

    fn holds(&self, key: &SeriesKey) -> bool {
        match self.pattern {
            Pattern::Name(pattern) => pattern.matches(key.name()),
            Pattern::Label(matcher) => matcher.matches(key.label(self.label)),
            Pattern::Nothing => false,
        }
    }
}

/// The text of a regular expression over a whole value, and whether it must not match.
#[derive(Clone, Copy)]
struct Regexp<'a>(&'a str, bool);

impl<'a> Regexp<'a> {
    fn of(matcher: &'a LabelMatcher) -> Option<Self> {
        let (regex, not) = match matcher {
            LabelMatcher::Regex(regex) => (regex, false),
            LabelMatcher::NotRegex(regex) => (regex, true),
            _ => return None,
        };
        // The form that `LabelMatcher` gives them; of any other nothing is assumed.
        Some(Self(regex.as_str().strip_prefix("^(?:")?.strip_suffix(")$")?, not))
    }

    /// The values of `a|b|c`.
    fn literals(self) -> Option<Vec<&'a str>> {
        let literal = |text: &str| !text.contains(is_special);
        self.0.split('|').map(|text| literal(text).then_some(text)).collect()
    }

    /// What every value that matches begins with.
    fn prefix(self) -> &'a str {
        let text = self.0;
        if text.contains('|') {
            return "";
        }
        let end = text.find(is_special).unwrap_or(text.len());
        // What may be there any number of times may be missing.
        match text[end..].starts_with(['*', '?', '{', '+']) {
            true => text[..end].char_indices().next_back().map_or("", |(last, _)| &text[..last]),
            false => &text[..end],
        }
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The plainest thing that has terms.
    struct Plain {
        keys: Vec<SeriesKey>,
        postings: BTreeMap<(String, String), Vec<u32>>,
        keys_instead: u32,
    }

    impl Plain {
        fn new(keys: Vec<SeriesKey>, keys_instead: u32) -> Self {
            let mut postings: BTreeMap<_, Vec<u32>> = BTreeMap::new();
            for (doc, key) in keys.iter().enumerate() {
                for (label, value) in std::iter::once(("", key.name())).chain(key.labels()) {
                    postings.entry((label.to_owned(), value.to_owned())).or_default().push(doc as u32);
                }
            }
            Self { keys, postings, keys_instead }
        }
    }

    impl Terms for Plain {
        type Error = Infallible;
        type Posting = Vec<u32>;

        fn len(&self) -> u32 {
            self.keys.len() as u32
        }

        fn find(&self, label: &str, value: &str) -> Result<Option<Vec<u32>>, Infallible> {
            Ok(self.postings.get(&(label.to_owned(), value.to_owned())).cloned())
        }

        fn find_where(
            &self,
            label: &str,
            prefix: &str,
            keep: &dyn Fn(&str) -> bool,
        ) -> Result<Vec<Vec<u32>>, Infallible> {
            let kept = |(l, v): &(String, String)| l == label && v.starts_with(prefix) && keep(v);
            Ok(self.postings.iter().filter(|(term, _)| kept(term)).map(|(_, docs)| docs.clone()).collect())
        }

        fn count(&self, posting: &Vec<u32>) -> u32 {
            posting.len() as u32
        }

        fn docs<'a>(&'a self, posting: &'a Vec<u32>) -> Result<Docs<'a>, Infallible> {
            Ok(Docs::list(posting))
        }

        fn keys_instead(&self, _: &str) -> u32 {
            self.keys_instead
        }

        fn check(&self, docs: &[u32], keep: &dyn Fn(&SeriesKey) -> bool) -> Result<Vec<u32>, Infallible> {
            Ok(docs.iter().copied().filter(|doc| keep(&self.keys[*doc as usize])).collect())
        }
    }

    proptest! {
        /// An index answers what looking at every key would.
        #[test]
        fn an_index_answers_like_a_look_at_every_key(
            keys in testing::keys(0..60),
            selectors in prop::collection::vec(testing::selector(), 8),
            keys_instead in prop_oneof![Just(0), Just(5), Just(u32::MAX)],
        ) {
            let plain = Plain::new(keys, keys_instead);
            for selector in selectors {
                let Ok(found) = select(&plain, &selector);
                let wanted: Vec<u32> =
                    (0..plain.len()).filter(|doc| selector.matches(&plain.keys[*doc as usize])).collect();
                prop_assert_eq!(found, wanted, "{}", selector);
            }
        }
    }

    #[test]
    fn a_pattern_tells_what_its_values_begin_with() {
        let regexp = |text| Regexp(text, false);
        assert_eq!(regexp("host-1.*").prefix(), "host-1");
        assert_eq!(regexp("host-1*").prefix(), "host-");
        assert_eq!(regexp("é?x").prefix(), "");
        assert_eq!(regexp("a|b.*").prefix(), "");
        assert_eq!(regexp("(?i)abc").prefix(), "");
        assert_eq!(regexp("a|b|").literals(), Some(vec!["a", "b", ""]));
        assert_eq!(regexp("a|b.").literals(), None);
    }
}
