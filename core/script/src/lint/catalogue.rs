//! What the engine lets a script call, and the types that the lint follows.

use std::any::TypeId;
use std::collections::BTreeMap;

use rhai::{Dynamic, Engine};
use sereno_query::Window;

use crate::alert::Alert;
use crate::subject::{Input, Subject};
use crate::vector::{Row, Vector};
use crate::whole::{Alerts, Context};

/// What the engine lets a script call: for each name the types of the parameters.
#[derive(Debug)]
pub(crate) struct Catalogue(BTreeMap<String, Vec<Vec<TypeId>>>);

impl Catalogue {
    pub(crate) fn of(engine: &Engine) -> Self {
        let all = engine.collect_fn_metadata(
            None,
            |f| Some((f.metadata.name.to_string(), f.metadata.param_types.to_vec())),
            true,
        );
        let mut functions: BTreeMap<String, Vec<Vec<TypeId>>> = BTreeMap::new();
        for (name, parameters) in all {
            functions.entry(name).or_default().push(parameters);
        }
        // It is registered only to fail, for calls that hide from this lint.
        functions.remove("sleep");
        Self(functions)
    }

    pub(super) fn arities(&self, name: &str) -> Vec<usize> {
        let overloads = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut arities: Vec<usize> = overloads.iter().map(Vec::len).collect();
        arities.sort_unstable();
        arities.dedup();
        arities
    }

    /// Whether `receiver` has the method or getter, with this many parameters, itself included.
    pub(super) fn has_method(&self, name: &str, receiver: Type, parameters: usize) -> bool {
        let takes = |types: &Vec<TypeId>| {
            types.len() == parameters
                && types.first().is_some_and(|first| [receiver.id(), TypeId::of::<Dynamic>()].contains(first))
        };
        self.0.get(name).is_some_and(|overloads| overloads.iter().any(takes))
    }

    /// The methods and getters of a type, as they are written after the dot.
    pub(super) fn members(&self, receiver: Type) -> impl Iterator<Item = String> {
        let own = move |overloads: &[Vec<TypeId>]| {
            overloads.iter().any(|types| types.first() == Some(&receiver.id()))
        };
        self.0
            .iter()
            .filter(move |(_, overloads)| own(overloads))
            .map(|(name, _)| name.strip_prefix("get$").map_or_else(|| format!("{name}()"), str::to_owned))
    }
}

impl Catalogue {
    /// The names of all functions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A type that the lint follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Type {
    Instance,
    Input,
    Window,
    Rule,
    Alert,
    Vector,
    Row,
    Alerts,
}

impl Type {
    /// Every type.
    pub(crate) const ALL: [Self; 8] = [
        Self::Instance,
        Self::Input,
        Self::Window,
        Self::Rule,
        Self::Alert,
        Self::Vector,
        Self::Row,
        Self::Alerts,
    ];

    pub(crate) fn id(self) -> TypeId {
        match self {
            Self::Instance => TypeId::of::<Subject>(),
            Self::Input => TypeId::of::<Input>(),
            Self::Window => TypeId::of::<Window>(),
            Self::Rule => TypeId::of::<Context>(),
            Self::Alert => TypeId::of::<Alert>(),
            Self::Vector => TypeId::of::<Vector>(),
            Self::Row => TypeId::of::<Row>(),
            Self::Alerts => TypeId::of::<Alerts>(),
        }
    }

    /// The name in the reference.
    pub(crate) fn as_name(self) -> &'static str {
        match self {
            Self::Instance => "Instance",
            Self::Input => "Input",
            Self::Window => "Window",
            Self::Rule => "Rule",
            Self::Alert => "Alert",
            Self::Vector => "Vector",
            Self::Row => "Row",
            Self::Alerts => "Alerts",
        }
    }

    /// What stands for one in `scripts/README.md`.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Instance => "s",
            Self::Input => "i",
            Self::Window => "w",
            Self::Rule => "ctx",
            Self::Alert => "a",
            Self::Vector => "v",
            Self::Row => "r",
            Self::Alerts => "k",
        }
    }

    /// What one is called in messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "an instance",
            Self::Input => "an input",
            Self::Window => "a window",
            Self::Rule => "a rule",
            Self::Alert => "an alert",
            Self::Vector => "a vector",
            Self::Row => "a row",
            Self::Alerts => "a list of alerts",
        }
    }

    /// What gives a number where the thing itself is compared.
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::Window => ".mean()",
            Self::Vector => ".sum()",
            Self::Alerts => ".len()",
            Self::Instance | Self::Input | Self::Row | Self::Alert => ".value",
            Self::Rule => ".now",
        }
    }

    /// What a method or property gives, if it is followed further.
    pub(super) fn of_member(self, name: &str) -> Option<Self> {
        Some(match (self, name) {
            (Self::Instance | Self::Alert | Self::Input, "series") | (Self::Window, "between") => {
                Self::Window
            }
            (Self::Instance | Self::Alert, "input") => Self::Input,
            (Self::Rule, "query") | (Self::Vector, "join" | "join_or" | "top") => Self::Vector,
            (Self::Rule, "known" | "alerts") => Self::Alerts,
            _ => return None,
        })
    }

    /// What `for` gives.
    pub(super) fn of_item(self) -> Option<Self> {
        matches!(self, Self::Vector | Self::Alerts).then_some(Self::Row)
    }
}
