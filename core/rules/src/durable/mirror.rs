//! What a start would find now: the snapshot, and everything that was written since, taken in record by record. A start
//! makes it from the files, the keeper goes on with it, and the next snapshot is its content; so there is one way from
//! records to states, and it is walked all the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use sereno_model::{Notification, Outgoing};

use super::convert::{
    put_delivered, put_instance, put_notification, put_own, put_pause, take_changed, take_notification,
    take_pause,
};
use super::outbox::Outbox;
use super::record::{ChangedRule, GenerationRecord, Record, SavedRule, TickRecord};
use super::wire;

/// How many instances or notifications share a frame of a snapshot.
const CHUNK: usize = 1_000;

/// What a start would find now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mirror {
    pub names: BTreeMap<u32, Arc<str>>,
    pub rules: BTreeMap<u32, SavedRule>,
    /// The generation that is active.
    pub generation: u64,
    pub outbox: Outbox,
}

impl Mirror {
    /// Takes a record in. Gives what goes out with it, numbered from `first_number` on.
    pub fn apply(&mut self, record: Record, first_number: u64) -> Vec<Outgoing> {
        match record {
            Record::Named { number, rule } => {
                self.names.insert(number, rule);
                Vec::new()
            }
            Record::Tick(tick) => self.tick(tick, first_number),
            Record::Generation(generation) => self.change_generation(generation, first_number),
            Record::Delivered { to, up_to } => {
                self.outbox.confirm(&to, up_to);
                Vec::new()
            }
            Record::Paused { number, pause } => {
                self.rules.entry(number).or_default().pause = pause;
                Vec::new()
            }
            // Of these only the history speaks.
            Record::Missed(_) | Record::Late(_) => Vec::new(),
        }
    }

    fn tick(&mut self, record: TickRecord, first_number: u64) -> Vec<Outgoing> {
        let TickRecord { tick, every, .. } = record;
        for number in record.evaluated {
            let rule = self.rules.entry(number).or_default();
            rule.last = rule.last.max(Some(tick));
            // One that fails is always told of in `changed`.
            rule.own.failing_ticks = 0;
            rule.instances.values_mut().for_each(|instance| instance.go_on(tick, every));
        }
        for changed in record.changed {
            let rule = self.rules.entry(changed.number).or_default();
            rule.last = rule.last.max(Some(tick));
            rule.take(changed);
        }
        self.send(record.notifications, first_number)
    }

    fn change_generation(&mut self, record: GenerationRecord, first_number: u64) -> Vec<Outgoing> {
        self.generation = record.number;
        // All leave before any arrives: two may change places.
        let moving: Vec<_> =
            record.moved.iter().filter_map(|(from, to)| Some((*to, self.rules.remove(from)?))).collect();
        self.rules.extend(moving);
        for number in record.dropped {
            self.rules.remove(&number);
        }
        self.send(record.notifications, first_number)
    }

    fn send(&mut self, notifications: Vec<Notification>, first_number: u64) -> Vec<Outgoing> {
        let numbered = (first_number..).zip(notifications);
        numbered.map(|(number, notification)| self.outbox.push(number, notification)).collect()
    }

    /// As the frames of a snapshot.
    pub fn frames(&self) -> Vec<wire::Frame> {
        let mut bodies = Vec::new();
        for (number, rule) in &self.rules {
            let Some(name) = self.names.get(number) else { continue };
            bodies.push(wire::Body::Named(wire::Named { number: *number, rule: name.to_string() }));
            put_rule(*number, rule, &mut bodies);
        }
        self.put_outbox(&mut bodies);
        let end = wire::End { frames: bodies.len() as u64, generation: self.generation };
        bodies.push(wire::Body::End(end));
        bodies.into_iter().map(|body| wire::Frame { body: Some(body) }).collect()
    }

    fn put_outbox(&self, bodies: &mut Vec<wire::Body>) {
        let done = self.outbox.done().map(|(to, up_to)| put_delivered(to, up_to));
        let head = wire::Outbox {
            next_number: self.outbox.next_number(),
            delivered: done.collect(),
            ..wire::Outbox::default()
        };
        bodies.push(wire::Body::Outbox(head));
        let waiting: Vec<_> = self.outbox.waiting().collect();
        for chunk in waiting.chunks(CHUNK) {
            bodies.push(wire::Body::Outbox(wire::Outbox {
                numbers: chunk.iter().map(|outgoing| outgoing.number).collect(),
                notifications: chunk
                    .iter()
                    .map(|outgoing| put_notification(&outgoing.notification))
                    .collect(),
                ..wire::Outbox::default()
            }));
        }
    }

    /// Back from the frames of a snapshot; `None` unless all of them are there and are understood.
    pub fn restore(bodies: impl Iterator<Item = Option<wire::Body>>) -> Option<Self> {
        let mut mirror = Self::default();
        let (mut count, mut end) = (0, None);
        for body in bodies {
            match body? {
                wire::Body::Named(named) => {
                    mirror.names.insert(named.number, named.rule.into());
                }
                wire::Body::Rule(rule) => mirror.restore_rule(rule)?,
                wire::Body::Outbox(outbox) => mirror.restore_outbox(outbox)?,
                wire::Body::End(last) => {
                    end = Some(last).filter(|last| last.frames == count);
                }
                _ => return None,
            }
            count += 1;
        }
        mirror.generation = end.filter(|end| end.frames + 1 == count)?.generation;
        Some(mirror)
    }

    fn restore_rule(&mut self, saved: wire::Rule) -> Option<()> {
        let changed = take_changed(saved.changed?)?;
        let rule = self.rules.entry(changed.number).or_default();
        rule.last = saved.last.map(sereno_model::Timestamp::from_nanos);
        rule.pause = saved.paused.and_then(take_pause);
        rule.take(changed);
        Some(())
    }

    fn restore_outbox(&mut self, saved: wire::Outbox) -> Option<()> {
        for (number, notification) in saved.numbers.into_iter().zip(saved.notifications) {
            self.outbox.push(number, take_notification(notification)?);
        }
        for delivered in saved.delivered {
            self.outbox.confirm(&delivered.to, delivered.up_to);
        }
        self.outbox.skip_to(saved.next_number);
        Some(())
    }
}

impl SavedRule {
    fn take(&mut self, changed: ChangedRule) {
        if let Some(own) = changed.own {
            self.own = own;
        }
        for (labels, instance) in changed.instances {
            match instance {
                Some(instance) => self.instances.insert(labels, instance),
                None => self.instances.remove(&labels),
            };
        }
    }
}

fn put_rule(number: u32, rule: &SavedRule, bodies: &mut Vec<wire::Body>) {
    let instances: Vec<_> = rule.instances.iter().collect();
    let chunks = instances.chunks(CHUNK).chain(instances.is_empty().then_some(&instances[..]));
    for chunk in chunks {
        let changed = wire::Changed {
            number,
            own: Some(put_own(&rule.own)),
            instances: chunk.iter().map(|(labels, instance)| put_instance(labels, Some(*instance))).collect(),
        };
        bodies.push(wire::Body::Rule(wire::Rule {
            changed: Some(changed),
            last: rule.last.map(sereno_model::Timestamp::nanos),
            paused: rule.pause.as_ref().map(|pause| put_pause(number, Some(pause))),
        }));
    }
}
