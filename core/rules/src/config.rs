//! The `rules` section of the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sereno_runtime::units;

/// Where rules come from and how they are run. Every key needs a restart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folders (or single files) of rules, read with all their subfolders: `*.yaml` and `*.yml`, but not
    /// `*_test.yaml`. Default `[rules]`, beside the file.
    pub paths: Vec<PathBuf>,
    /// Folders of scripts, each with `aggregations`, `rules` and `lib`; a later one overlays an earlier one, and all
    /// overlay the aggregations that are built in. Default `[../scripts]`, beside the folder of the file.
    pub scripts: Vec<PathBuf>,
    /// How many threads evaluate rules; one more runs the rules that broke their budget. 1 to 256, default 4.
    pub workers: usize,
    /// How many evaluations may wait for a worker; a tick that finds no room is missed and counted. Default 10,000.
    pub queue_length: usize,
    /// How changes are noticed and taken over.
    pub reload: Reload,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: vec!["rules".into()],
            scripts: vec!["../scripts".into()],
            workers: 4,
            queue_length: 10_000,
            reload: Reload::default(),
        }
    }
}

/// How changes of rules and scripts are noticed and taken over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// How often all files are read and compared, in case the system has not told of a change; 0 for never.
    /// Default 5 s.
    #[serde(with = "units::duration")]
    pub poll: Duration,
    /// How long the files must rest after a change before they are read; after 2 s they are read all the same.
    /// Default 200 ms.
    #[serde(with = "units::duration")]
    pub debounce: Duration,
    /// What to do when some of the rules are broken. Default `partial`.
    pub policy: Policy,
    /// What to do when files vanish and with them more than 30 % of the rules, or one that fires. Default `confirm`.
    pub removal: Removal,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            debounce: Duration::from_millis(200),
            policy: Policy::Partial,
            removal: Removal::Confirm,
        }
    }
}

/// What to do when some of the rules are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// What is broken stays as it was, and the rest advances.
    Partial,
    /// Everything stays as it was until nothing is broken.
    AllOrNothing,
}

/// What to do when many rules vanish at once: `confirm`, `allow`, or `{ after: 5m }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Keep them until somebody asks for a reload (SIGHUP).
    Confirm,
    /// Let them go.
    Allow,
    /// Keep them until their files have been gone for so long.
    After(Duration),
}

impl<'de> Deserialize<'de> for Removal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RemovalVisitor)
    }
}

struct RemovalVisitor;

impl<'de> Visitor<'de> for RemovalVisitor {
    type Value = Removal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`confirm`, `allow` or `{ after: 5m }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Removal, E> {
        match text {
            "confirm" => Ok(Removal::Confirm),
            "allow" => Ok(Removal::Allow),
            _ => Err(E::unknown_variant(text, &["confirm", "allow"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Removal, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct After {
            #[serde(with = "units::duration")]
            after: Duration,
        }
        let After { after } = After::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Removal::After(after))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sereno_runtime::yaml::{Options, parse};

    use super::*;

    fn reload(text: &str) -> String {
        match parse::<Reload>(Path::new("a.yaml"), text, Options::default()) {
            Ok(reload) => format!("{:?} {:?}", reload.value.policy, reload.value.removal),
            Err(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"),
        }
    }

    #[test]
    fn what_may_go_is_said_in_one_word_or_with_a_time() {
        assert_eq!(reload(""), "Partial Confirm");
        assert_eq!(reload("policy: all_or_nothing\nremoval: allow"), "AllOrNothing Allow");
        assert_eq!(reload("removal: { after: 5m }"), "Partial After(300s)");
        insta::assert_snapshot!(reload("removal: alow"), @"
        error: `removal` cannot be `alow`
         --> a.yaml:1:10
          |
        1 | removal: alow
          |          ^^^^
          = hint: did you mean `allow`?
        ");
        insta::assert_snapshot!(reload("removal: { afer: 5m }"), @"
        error: unknown key `afer`
         --> a.yaml:1:12
          |
        1 | removal: { afer: 5m }
          |            ^^^^
          = hint: did you mean `after`?
        ");
        insta::assert_snapshot!(reload("removal: 5m"), @"
        error: `removal` cannot be `5m`
         --> a.yaml:1:10
          |
        1 | removal: 5m
          |          ^^
          = hint: possible: `confirm`, `allow`
        ");
        insta::assert_snapshot!(reload("removal: { after: 5 }"), @"
        error: `after` must be a duration (a duration needs a unit: `5s`, `5m`, …), not the text `5`
         --> a.yaml:1:19
          |
        1 | removal: { after: 5 }
          |                   ^
        ");
        insta::assert_snapshot!(reload("policy: all"), @"
        error: `policy` cannot be `all`
         --> a.yaml:1:9
          |
        1 | policy: all
          |         ^^^
          = hint: possible: `partial`, `all_or_nothing`
        ");
    }
}
