//! The memory budget: who holds how much, and a refusal before it is exceeded.
//!
//! A [`Ledger`] belongs to a database; each collection has one below it, so that both totals are known. Memory is
//! reserved *before* it is allocated and given back when the [`Reservation`] is dropped. Invariants:
//!  1. The total of a ledger never exceeds its budget through [`Ledger::reserve`] and [`Reservation::resize`].
//!  2. The total of a ledger is the sum of its reservations and of those of the ledgers below it.
//!
//! Counted are the heap bytes that grow with the data. Mapped files are reported apart: the kernel drops their pages
//! when it needs room, so they are not part of what a budget must hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::VectorsError;

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// Rows that are not sealed yet: vectors, payloads and their index entries.
    Growing,
    /// Codes of compressed vectors and graphs.
    VectorIndexes,
    /// Payload indexes of sealed segments, full-text ones included.
    PayloadIndexes,
    /// Inverted lists of sparse vectors.
    Sparse,
    /// Live bits, expiry lists and tables of sealed segments.
    Rows,
    /// What background work holds while it runs.
    Maintenance,
}

impl Component {
    /// All of them, in the order of reports.
    pub const ALL: [Component; 6] = [
        Component::Growing,
        Component::VectorIndexes,
        Component::PayloadIndexes,
        Component::Sparse,
        Component::Rows,
        Component::Maintenance,
    ];

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Component::Growing => "growing segment",
            Component::VectorIndexes => "vector indexes",
            Component::PayloadIndexes => "payload indexes",
            Component::Sparse => "sparse indexes",
            Component::Rows => "row tables",
            Component::Maintenance => "maintenance",
        }
    }
}

/// How much memory is in use, for one collection or for all of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Bytes by component, in the order of [`Component::ALL`].
    pub bytes: [u64; Component::ALL.len()],
    /// Bytes of mapped files; not part of the budget.
    pub mapped_bytes: u64,
    /// The budget in bytes; `None` when there is none.
    pub budget_bytes: Option<u64>,
}

impl MemoryReport {
    /// Bytes of one component.
    pub fn of(&self, component: Component) -> u64 {
        self.bytes[component as usize]
    }

    /// Bytes of all components.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// Accounts for memory under one budget.
#[derive(Debug)]
pub struct Ledger {
    budget_bytes: u64,
    total: AtomicU64,
    used: [AtomicU64; Component::ALL.len()],
    mapped: AtomicU64,
    above: Option<Arc<Ledger>>,
}

impl Ledger {
    /// A ledger with a budget; `None` counts without a limit.
    pub fn new(budget_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Ledger {
            budget_bytes: budget_bytes.unwrap_or(u64::MAX),
            total: AtomicU64::new(0),
            used: Default::default(),
            mapped: AtomicU64::new(0),
            above: None,
        })
    }

    /// A ledger whose reservations also count in `self`; it has no budget of its own.
    pub fn below(self: &Arc<Self>) -> Arc<Self> {
        self.with_budget(None)
    }

    /// A ledger whose reservations also count in `self`, with a budget of its own beside that of `self`.
    pub fn with_budget(self: &Arc<Self>, budget_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Ledger {
            budget_bytes: budget_bytes.unwrap_or(u64::MAX),
            total: AtomicU64::new(0),
            used: Default::default(),
            mapped: AtomicU64::new(0),
            above: Some(Arc::clone(self)),
        })
    }

    /// Takes `bytes` for `component` until the reservation is dropped.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when this ledger or one above it has no room.
    pub fn reserve(
        self: &Arc<Self>,
        component: Component,
        bytes: u64,
    ) -> Result<Reservation, VectorsError> {
        self.take(component, bytes)?;
        Ok(Reservation {
            ledger: Arc::clone(self),
            component,
            bytes,
        })
    }

    /// Counts `bytes` that are already in use and cannot be refused: rows replayed from the log after a start with a
    /// smaller budget. New writes are refused until there is room again.
    pub fn reserve_unconditionally(
        self: &Arc<Self>,
        component: Component,
        bytes: u64,
    ) -> Reservation {
        self.count(component, bytes);
        Reservation {
            ledger: Arc::clone(self),
            component,
            bytes,
        }
    }

    fn count(&self, component: Component, bytes: u64) {
        let mut ledger = Some(self);
        while let Some(one) = ledger {
            one.total.fetch_add(bytes, Ordering::Relaxed);
            one.used[component as usize].fetch_add(bytes, Ordering::Relaxed);
            ledger = one.above.as_deref();
        }
    }

    /// Counts `bytes` of mapped files until the value is dropped.
    pub fn count_mapped(self: &Arc<Self>, bytes: u64) -> Mapped {
        self.add_mapped(bytes);
        Mapped {
            ledger: Arc::clone(self),
            bytes,
        }
    }

    fn add_mapped(&self, bytes: u64) {
        self.mapped.fetch_add(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.add_mapped(bytes);
        }
    }

    fn subtract_mapped(&self, bytes: u64) {
        self.mapped.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.subtract_mapped(bytes);
        }
    }

    /// What could be reserved now.
    pub fn free_bytes(&self) -> u64 {
        let own = self
            .budget_bytes
            .saturating_sub(self.total.load(Ordering::Relaxed));
        self.above
            .as_ref()
            .map_or(own, |above| own.min(above.free_bytes()))
    }

    /// How much is in use, by component.
    pub fn report(&self) -> MemoryReport {
        MemoryReport {
            bytes: std::array::from_fn(|index| self.used[index].load(Ordering::Relaxed)),
            mapped_bytes: self.mapped.load(Ordering::Relaxed),
            budget_bytes: self.budget(),
        }
    }

    fn budget(&self) -> Option<u64> {
        let own = (self.budget_bytes != u64::MAX).then_some(self.budget_bytes);
        let above = self.above.as_ref().and_then(|above| above.budget());
        match (own, above) {
            (Some(own), Some(above)) => Some(own.min(above)),
            (one, other) => one.or(other),
        }
    }

    fn take(&self, component: Component, bytes: u64) -> Result<(), VectorsError> {
        if let Some(above) = &self.above {
            above.take(component, bytes)?;
        }
        let taken = self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                total
                    .checked_add(bytes)
                    .filter(|&sum| bytes == 0 || sum <= self.budget_bytes)
            });
        if let Err(total) = taken {
            if let Some(above) = &self.above {
                above.give(component, bytes);
            }
            return Err(VectorsError::OverBudget {
                component: component.name(),
                wanted_bytes: bytes,
                free_bytes: self.budget_bytes.saturating_sub(total),
            });
        }
        self.used[component as usize].fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, component: Component, bytes: u64) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        self.used[component as usize].fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.give(component, bytes);
        }
    }
}

/// Memory that a component may use. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    component: Component,
    bytes: u64,
}

impl Reservation {
    /// How much is reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `bytes` from the same ledger for another component.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when there is no room.
    pub fn another(&self, component: Component, bytes: u64) -> Result<Reservation, VectorsError> {
        self.ledger.reserve(component, bytes)
    }

    /// Takes more whether there is room or not; see [`Ledger::reserve_unconditionally`].
    pub fn grow_unconditionally(&mut self, bytes: u64) {
        if bytes > self.bytes {
            self.ledger.count(self.component, bytes - self.bytes);
            self.bytes = bytes;
        }
    }

    /// Takes more or gives some back.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] when there is no room for more; the reservation stays as it was.
    pub fn resize(&mut self, bytes: u64) -> Result<(), VectorsError> {
        if bytes > self.bytes {
            self.ledger.take(self.component, bytes - self.bytes)?;
        } else {
            self.ledger.give(self.component, self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.give(self.component, self.bytes);
    }
}

/// Mapped bytes, reported until this is dropped.
#[derive(Debug)]
pub struct Mapped {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.ledger.subtract_mapped(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_hold_across_collections_and_come_back() {
        let database = Ledger::new(Some(100));
        let (one, two) = (database.below(), database.below());
        let mut first = one.reserve(Component::Growing, 60).expect("room");
        let refused = two.reserve(Component::Sparse, 50).expect_err("no room");
        assert!(
            matches!(refused, VectorsError::OverBudget { free_bytes: 40, .. }),
            "{refused}"
        );
        assert_eq!(two.report().total_bytes(), 0);
        first.resize(10).expect("smaller");
        let _second = two.reserve(Component::Sparse, 90).expect("room now");
        first.resize(11).expect_err("full");
        assert_eq!((first.bytes(), database.free_bytes()), (10, 0));
        assert_eq!(database.report().of(Component::Sparse), 90);
        assert_eq!(one.report().of(Component::Growing), 10);
        assert_eq!(one.report().budget_bytes, Some(100));
        drop(first);
        assert_eq!(one.free_bytes(), 10);
        let mapped = one.count_mapped(7);
        assert_eq!(database.report().mapped_bytes, 7);
        drop(mapped);
        assert_eq!(one.report().mapped_bytes, 0);
    }

    #[test]
    fn what_cannot_be_refused_is_counted_and_blocks_the_next() {
        let ledger = Ledger::new(Some(10));
        let replayed = ledger.reserve_unconditionally(Component::Growing, 25);
        ledger.reserve(Component::Growing, 1).expect_err("over");
        drop(replayed);
        ledger.reserve(Component::Growing, 10).expect("free again");
    }
}
