//! Stories of single instances, told in words, and what holds for all stories there are.

mod laws;
mod stories;

use std::time::Duration;

use sereno_model::{Level, Timestamp};

use super::*;

const EVERY: Duration = Duration::from_secs(10);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

/// `warn` from 80 to below 70 and `crit` from 95 to below 85, without any `for`; absent after 30 s.
fn policy() -> Policy {
    Policy {
        every: EVERY,
        hold: [None, Some(Duration::ZERO), Some(Duration::ZERO)],
        recover_for: Duration::ZERO,
        reminder: Duration::ZERO,
        worse: Worse::Higher,
        flap: Flap { window: secs(900), max: 6 },
        absence: Absence { after: After::Time(secs(30)), then: Then::Keep, close_after: None },
    }
}

fn with(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = policy();
    change(&mut policy);
    policy
}

/// What the two levels of [`policy`] make of a value.
fn judged(value: f64) -> Seen {
    let levels = |limits: [(Level, bool); 2]| {
        limits.into_iter().filter_map(|(level, holds)| holds.then_some(level)).collect::<Levels>()
    };
    Seen::Judged {
        when: levels([(Level::Warn, value >= 80.0), (Level::Crit, value >= 95.0)]),
        clear: levels([(Level::Warn, value < 70.0), (Level::Crit, value < 85.0)])
            .or(Levels::only(Level::Info)),
    }
}

/// An instance with its clock, ten seconds a tick from 0 on.
struct Teller {
    state: State,
    now: i64,
    told: Vec<Event>,
    /// How many ticks had to be written down.
    written: usize,
}

impl Teller {
    fn new() -> Self {
        Self { state: State::default(), now: -10, told: Vec::new(), written: 0 }
    }

    /// One word is one tick: a number is a value that is compared; `-` is no data, `h` held, `x` a failure, each
    /// without a sample; `+h` is held with a sample; `b` and `q` are beats with and without a new sample. `~3` is
    /// three ticks at which nobody looks, `restart` is nothing at all: a state has no memory beside itself.
    fn tell(&mut self, story: &str, policy: &Policy) {
        for word in story.split_whitespace() {
            if let Some(skipped) = word.strip_prefix('~') {
                self.now += 10 * skipped.parse::<i64>().unwrap();
                continue;
            }
            self.now += 10;
            let fresh = Some(at(self.now - 1));
            let (seen, value, newest) = match word {
                "-" => (Seen::Absent, None, None),
                "h" => (Seen::Held, None, None),
                "+h" => (Seen::Held, None, fresh),
                "x" => (Seen::Failed, None, None),
                "b" => (Seen::Beat, None, fresh),
                "q" => (Seen::Beat, None, self.state.data.newest),
                value => {
                    let value = value.parse().unwrap();
                    (judged(value), Some(value), fresh)
                }
            };
            let before = self.state.clone();
            self.state.step(&Look { seen, value, newest }, at(self.now), policy, &mut self.told);
            if !self.state.only_went_on(&before, policy.every) {
                self.written += 1;
            }
        }
    }
}

/// What is told, each with the second: `10 firing crit 96`.
fn events(policy: &Policy, story: &str) -> String {
    let mut teller = Teller::new();
    let mut told = Vec::new();
    for word in story.split_whitespace() {
        let before = teller.told.len();
        teller.tell(word, policy);
        told.extend(teller.told[before..].iter().map(|event| shown(teller.now, event)));
    }
    told.join(", ")
}

fn shown(now: i64, event: &Event) -> String {
    let value = event.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{now} {} {}{value}", event.kind, event.level)
}

/// Where it stands at the end.
fn end(policy: &Policy, story: &str) -> State {
    let mut teller = Teller::new();
    teller.tell(story, policy);
    teller.state
}
