//! A bounded waiting queue that shares a model fairly between tenants by the tokens they use.
//!
//! The policy is the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024):
//! each tenant has a counter of tokens received, divided by its weight; the waiting tenant with the lowest counter goes
//! next. Prompt tokens are charged when an entry is popped, output tokens as they are generated ([`FairQueue::charge`]),
//! because nobody knows the length of an answer in advance. A tenant that comes back after a pause is lifted to the lowest
//! counter among the waiting, so that idleness earns no credit that would starve the others.
//!
//! Two classes: interactive goes before batch, with one exception. When the oldest batch entry has waited
//! [`FairQueueOptions::batch_ages_after`], one pop in [`FairQueueOptions::batch_turn_every`] goes to batch: interactive
//! callers lose at most that fraction, and batch never stands still.
//!
//! Invariants:
//!  1. An entry is in the queue exactly from its `push` until one of `pop`, `remove` or `expire` returned it.
//!  2. Entries of one tenant and class leave by `pop` in the order in which they were pushed.
//!  3. The depth never exceeds the limit, except by what `requeue_front` brings back.
//!  4. An entry whose deadline passed is never popped; `expire` returns it.
//!  5. While a tenant waits, it is in the order of its class under its present counter, once.
//!
//! Every operation costs O(log n) in entries and tenants; `expire` in addition what it returns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::BackpressureLevel;

/// Counter units per token at weight 1: keeps whole-number arithmetic exact enough at any weight.
const UNITS_PER_TOKEN: u64 = 1 << 16;
/// Largest weight: at it a token still costs 64 units, so rounding stays under two percent.
const WEIGHT_MAX: u32 = 1024;
/// Counters kept of tenants that do not wait; beyond it those whose counter no longer matters are forgotten.
const IDLE_TENANTS_MAX: usize = 4096;

/// How urgent an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody is waiting for the answer.
    Interactive,
    /// Background work.
    Batch,
}

/// Bounds and ageing of a [`FairQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FairQueueOptions {
    /// Most entries that wait.
    pub limit: usize,
    /// Most entries of one tenant, so that one cannot fill the queue before the others.
    pub tenant_limit: usize,
    /// Wait of the oldest batch entry after which batch gets turns among interactive entries.
    pub batch_ages_after: Duration,
    /// With aged batch entries: at least one pop of this many is batch. Below 2 counts as 2.
    pub batch_turn_every: u32,
}

impl FairQueueOptions {
    /// A queue of `limit` entries, all of which one tenant may use; batch gets one pop in eight after five seconds.
    pub fn with_limit(limit: usize) -> Self {
        FairQueueOptions {
            limit,
            tenant_limit: limit,
            batch_ages_after: Duration::from_secs(5),
            batch_turn_every: 8,
        }
    }
}

/// Something that waits.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Unique among everything in the queue.
    pub id: u64,
    /// Who it is for.
    pub tenant: Arc<str>,
    /// The tenant's share: weight 2 gets twice what weight 1 gets. 0 counts as 1, more than 1024 as 1024. The newest
    /// entry of a tenant decides.
    pub weight: u32,
    /// How urgent it is.
    pub class: Class,
    /// Tokens charged when it is popped: those of its prompt that must be computed. 0 counts as 1.
    pub cost_tokens: u64,
    /// After this it is no longer wanted.
    pub deadline: Option<Instant>,
    /// The work.
    pub item: T,
}

/// An entry that was popped.
#[derive(Debug)]
pub struct Popped<T> {
    /// The entry.
    pub entry: Entry<T>,
    /// How long it waited, since it was first pushed.
    pub waited: Duration,
    pushed: Instant,
    sequence: u64,
    charged_units: u64,
}

/// Which bound refused an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullScope {
    /// The whole queue.
    Queue,
    /// This tenant's part.
    Tenant,
}

/// A refusal; hands the item back so that it can be answered.
#[derive(Debug)]
pub struct QueueFull<T> {
    /// Which bound.
    pub scope: FullScope,
    /// Entries that wait under that bound.
    pub depth: usize,
    /// The bound.
    pub limit: usize,
    /// What was refused.
    pub item: T,
}

/// The queue; see the module.
#[derive(Debug)]
pub struct FairQueue<T> {
    options: FairQueueOptions,
    tenants: HashMap<Arc<str>, Tenant<T>>,
    /// Per class, the tenants that wait there by counter.
    interactive: BTreeSet<(u64, Arc<str>)>,
    batch: BTreeSet<(u64, Arc<str>)>,
    /// Tenants that wait in any class by counter: its first is what newcomers are lifted to.
    active: BTreeSet<(u64, Arc<str>)>,
    /// Where each entry is.
    places: HashMap<u64, Place>,
    /// Deadlines and the entries they belong to.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Sequence and push time of batch entries: the first is the oldest.
    batch_ages: BTreeMap<u64, Instant>,
    /// Entries found expired by `pop` or `peek`, for the next `expire`.
    expired: Vec<Entry<T>>,
    next_sequence: u64,
    /// The tenant popped last: its counter is what a tenant is lifted to when nobody waits.
    last_popped: Option<Arc<str>>,
    /// Interactive pops since the last batch pop.
    interactive_streak: u32,
}

#[derive(Debug)]
struct Tenant<T> {
    counter: u64,
    weight: u32,
    interactive: BTreeMap<u64, Waiting<T>>,
    batch: BTreeMap<u64, Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    entry: Entry<T>,
    pushed: Instant,
}

#[derive(Debug, Clone)]
struct Place {
    tenant: Arc<str>,
    class: Class,
    sequence: u64,
}

impl<T> Tenant<T> {
    fn queue(&mut self, class: Class) -> &mut BTreeMap<u64, Waiting<T>> {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Batch => &mut self.batch,
        }
    }

    fn waiting(&self, class: Class) -> &BTreeMap<u64, Waiting<T>> {
        match class {
            Class::Interactive => &self.interactive,
            Class::Batch => &self.batch,
        }
    }

    fn depth(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    fn units(&self, tokens: u64) -> u64 {
        tokens.saturating_mul(UNITS_PER_TOKEN) / u64::from(self.weight)
    }
}

impl<T> FairQueue<T> {
    /// An empty queue.
    pub fn new(options: FairQueueOptions) -> Self {
        FairQueue {
            options,
            tenants: HashMap::new(),
            interactive: BTreeSet::new(),
            batch: BTreeSet::new(),
            active: BTreeSet::new(),
            places: HashMap::new(),
            deadlines: BTreeSet::new(),
            batch_ages: BTreeMap::new(),
            expired: Vec::new(),
            next_sequence: 0,
            last_popped: None,
            interactive_streak: 0,
        }
    }

    /// Entries that wait, those found expired but not yet taken by [`FairQueue::expire`] included.
    pub fn depth(&self) -> usize {
        self.places.len() + self.expired.len()
    }

    /// Entries of one tenant that wait.
    pub fn tenant_depth(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).map_or(0, Tenant::depth)
    }

    /// How full the queue is.
    pub fn backpressure(&self) -> BackpressureLevel {
        BackpressureLevel::of(self.depth(), self.options.limit)
    }

    /// Adds an entry behind those of its tenant and class.
    ///
    /// # Errors
    /// [`QueueFull`] with the item when a bound is reached.
    ///
    /// # Panics
    /// When an entry with this id waits already: ids are ours, not the outside's.
    pub fn push(&mut self, entry: Entry<T>, now: Instant) -> Result<(), QueueFull<T>> {
        let depth = self.depth();
        if depth >= self.options.limit {
            return Err(QueueFull {
                scope: FullScope::Queue,
                depth,
                limit: self.options.limit,
                item: entry.item,
            });
        }
        let tenant_depth = self.tenant_depth(&entry.tenant);
        if tenant_depth >= self.options.tenant_limit {
            return Err(QueueFull {
                scope: FullScope::Tenant,
                depth: tenant_depth,
                limit: self.options.tenant_limit,
                item: entry.item,
            });
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.insert(entry, now, sequence);
        Ok(())
    }

    /// Puts a popped entry back before all later ones of its tenant and class (it could not start, or was preempted), and
    /// takes back what its pop charged. Never refused: its place was its own.
    pub fn requeue_front(&mut self, popped: Popped<T>) {
        let tenant = popped.entry.tenant.clone();
        self.insert(popped.entry, popped.pushed, popped.sequence);
        self.change_counter(&tenant, |counter| {
            counter.saturating_sub(popped.charged_units)
        });
    }

    fn insert(&mut self, entry: Entry<T>, pushed: Instant, sequence: u64) {
        let lift = self.lift_level();
        let name = entry.tenant.clone();
        self.forget_idle_tenants();
        let tenant = self.tenants.entry(name.clone()).or_insert_with(|| Tenant {
            counter: 0,
            weight: 1,
            interactive: BTreeMap::new(),
            batch: BTreeMap::new(),
        });
        tenant.weight = entry.weight.clamp(1, WEIGHT_MAX);
        if tenant.depth() == 0 {
            tenant.counter = tenant.counter.max(lift);
        }
        let counter = tenant.counter;
        let place = Place {
            tenant: name.clone(),
            class: entry.class,
            sequence,
        };
        let previous = self.places.insert(entry.id, place);
        assert!(previous.is_none(), "entry {} is queued twice", entry.id);
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, entry.id));
        }
        let class = entry.class;
        tenant
            .queue(class)
            .insert(sequence, Waiting { entry, pushed });
        if class == Class::Batch {
            self.batch_ages.insert(sequence, pushed);
        }
        self.order(class).insert((counter, name.clone()));
        self.active.insert((counter, name));
    }

    /// The entry that [`FairQueue::pop`] would return now.
    pub fn peek(&mut self, now: Instant) -> Option<&Entry<T>> {
        self.set_expired_aside(now);
        let (name, class) = self.choose(now)?;
        let tenant = self.tenants.get(&name)?;
        let (_, waiting) = tenant.waiting(class).first_key_value()?;
        Some(&waiting.entry)
    }

    /// Takes the next entry and charges its cost to its tenant; `None` when nothing waits.
    pub fn pop(&mut self, now: Instant) -> Option<Popped<T>> {
        self.set_expired_aside(now);
        let (name, class) = self.choose(now)?;
        let tenant = self.tenants.get(&name)?;
        let (_, waiting) = tenant.waiting(class).first_key_value()?;
        let id = waiting.entry.id;
        let charged_units = tenant.units(waiting.entry.cost_tokens.max(1));
        let (waiting, sequence) = self.take(id)?;
        self.change_counter(&name, |counter| counter.saturating_add(charged_units));
        self.last_popped = Some(name);
        self.interactive_streak = match class {
            Class::Interactive => self.interactive_streak.saturating_add(1),
            Class::Batch => 0,
        };
        Some(Popped {
            waited: now.saturating_duration_since(waiting.pushed),
            pushed: waiting.pushed,
            entry: waiting.entry,
            sequence,
            charged_units,
        })
    }

    /// Charges `tokens` generated for `tenant`, whether or not it waits.
    pub fn charge(&mut self, tenant: &str, tokens: u64) {
        if let Some((name, known)) = self.tenants.get_key_value(tenant) {
            let (name, units) = (name.clone(), known.units(tokens));
            self.change_counter(&name, |counter| counter.saturating_add(units));
        }
        // A forgotten tenant's counter was at or below the lift level, where its next entry starts anyway.
    }

    /// Takes an entry out, wherever it stands; `None` when it does not wait here.
    pub fn remove(&mut self, id: u64) -> Option<Entry<T>> {
        if let Some(index) = self.expired.iter().position(|entry| entry.id == id) {
            return Some(self.expired.swap_remove(index));
        }
        self.take(id).map(|(waiting, _)| waiting.entry)
    }

    /// Takes every entry whose deadline is not after `now`.
    pub fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        self.set_expired_aside(now);
        std::mem::take(&mut self.expired)
    }

    /// The earliest deadline of a waiting entry: when [`FairQueue::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes everything out, in no order, for a shutdown.
    pub fn drain(&mut self) -> Vec<Entry<T>> {
        let mut all = std::mem::take(&mut self.expired);
        let ids: Vec<u64> = self.places.keys().copied().collect();
        all.extend(ids.into_iter().filter_map(|id| self.remove(id)));
        all
    }

    fn set_expired_aside(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            if let Some((waiting, _)) = self.take(id) {
                self.expired.push(waiting.entry);
            }
        }
    }

    /// The tenant and class of the next pop.
    fn choose(&self, now: Instant) -> Option<(Arc<str>, Class)> {
        let batch_aged = self
            .batch_ages
            .first_key_value()
            .is_some_and(|(_, pushed)| {
                now.saturating_duration_since(*pushed) >= self.options.batch_ages_after
            });
        // After `every - 1` interactive pops in a row the next is batch.
        let batch_turn = batch_aged
            && self.interactive_streak.saturating_add(1) >= self.options.batch_turn_every.max(2);
        let (first, second) = if batch_turn {
            (Class::Batch, Class::Interactive)
        } else {
            (Class::Interactive, Class::Batch)
        };
        [first, second].into_iter().find_map(|class| {
            let order = match class {
                Class::Interactive => &self.interactive,
                Class::Batch => &self.batch,
            };
            order.first().map(|(_, name)| (name.clone(), class))
        })
    }

    fn order(&mut self, class: Class) -> &mut BTreeSet<(u64, Arc<str>)> {
        match class {
            Class::Interactive => &mut self.interactive,
            Class::Batch => &mut self.batch,
        }
    }

    /// Takes an entry out of every index.
    fn take(&mut self, id: u64) -> Option<(Waiting<T>, u64)> {
        let Place {
            tenant: name,
            class,
            sequence,
        } = self.places.remove(&id)?;
        let tenant = self.tenants.get_mut(&name)?;
        let waiting = tenant.queue(class).remove(&sequence)?;
        let key = (tenant.counter, name);
        let (class_empty, all_empty) = (tenant.queue(class).is_empty(), tenant.depth() == 0);
        if class_empty {
            self.order(class).remove(&key);
        }
        if all_empty {
            self.active.remove(&key);
        }
        if class == Class::Batch {
            self.batch_ages.remove(&sequence);
        }
        if let Some(deadline) = waiting.entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some((waiting, sequence))
    }

    /// Changes a tenant's counter and its place in every order it is in (invariant 5).
    fn change_counter(&mut self, name: &Arc<str>, change: impl FnOnce(u64) -> u64) {
        let Some(tenant) = self.tenants.get_mut(name) else {
            return;
        };
        let old = tenant.counter;
        tenant.counter = change(old);
        let new = tenant.counter;
        let waits = (
            !tenant.interactive.is_empty(),
            !tenant.batch.is_empty(),
            tenant.depth() > 0,
        );
        for (order, waits) in [
            (&mut self.interactive, waits.0),
            (&mut self.batch, waits.1),
            (&mut self.active, waits.2),
        ] {
            if waits {
                order.remove(&(old, name.clone()));
                order.insert((new, name.clone()));
            }
        }
    }

    /// The counter a tenant starts to wait with, at least: the lowest of those that wait, or that of the tenant served
    /// last when nobody does.
    fn lift_level(&self) -> u64 {
        let last = || {
            let tenant = self.tenants.get(self.last_popped.as_ref()?)?;
            Some(tenant.counter)
        };
        self.active
            .first()
            .map(|(counter, _)| *counter)
            .or_else(last)
            .unwrap_or(0)
    }

    /// Bounds the counters kept of tenants that do not wait. Forgetting one at or below the lift level changes nothing; if
    /// more than half the bound are above it, they lose a debt, which is the price of the bound.
    fn forget_idle_tenants(&mut self) {
        if self.tenants.len() - self.active.len() <= IDLE_TENANTS_MAX {
            return;
        }
        let level = self.lift_level();
        let last = self.last_popped.clone();
        let keeps =
            |name: &Arc<str>, tenant: &Tenant<T>| tenant.depth() > 0 || Some(name) == last.as_ref();
        self.tenants
            .retain(|name, tenant| keeps(name, tenant) || tenant.counter > level);
        if self.tenants.len() - self.active.len() > IDLE_TENANTS_MAX / 2 {
            self.tenants.retain(|name, tenant| keeps(name, tenant));
        }
    }
}

#[cfg(test)]
mod tests;
