//! Maintenance that waits for room in the memory budget.
//!
//! Work that takes memory in proportion to a segment reserves it first. When the budget refuses, what the work would have
//! replaced stays in service (rows are scanned, payloads are read), and the work is named in `info` until there is room.
//! Sealing a growing segment is never refused, because that is what gives memory back.

use std::sync::{MutexGuard, PoisonError};

use super::Collection;
use crate::error::VectorsError;
use crate::segment::sealed::SealedSegment;

/// Work that waits for room in the memory budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredWork {
    /// The segment; of a merge the first one.
    pub segment: u64,
    /// What is not done: "index of vector `x`", "payload indexes", "sparse indexes", "merge".
    pub work: String,
    /// The component that was refused memory.
    pub component: &'static str,
    /// Bytes that must be free before it is tried again.
    pub needed_bytes: u64,
}

/// The work of building payload indexes.
pub(super) const PAYLOAD_INDEXES: &str = "payload indexes";
/// The work of building inverted lists of sparse vectors.
pub(super) const SPARSE_INDEXES: &str = "sparse indexes";
/// The work of merging segments.
pub(super) const MERGE: &str = "merge";

impl Collection {
    fn deferred_work(&self) -> MutexGuard<'_, Vec<DeferredWork>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for memory, of segments that are still there.
    pub(crate) fn deferred(&self) -> Vec<DeferredWork> {
        let set = self.current();
        let mut deferred = self.deferred_work();
        deferred.retain(|one| set.sealed.iter().any(|it| it.number() == one.segment));
        deferred.clone()
    }

    /// Remembers that `work` was refused memory, when that is what `error` says; passes other errors on.
    pub(crate) fn defer(
        &self,
        segment: u64,
        work: &str,
        error: VectorsError,
    ) -> Result<(), VectorsError> {
        let VectorsError::OverBudget {
            component,
            wanted_bytes,
            ..
        } = error
        else {
            return Err(error);
        };
        let mut deferred = self.deferred_work();
        deferred.retain(|one| (one.segment, one.work.as_str()) != (segment, work));
        deferred.push(DeferredWork {
            segment,
            work: work.to_owned(),
            component,
            needed_bytes: wanted_bytes,
        });
        Ok(())
    }

    /// Whether `work` still waits; forgotten when there is room, so that it is tried again.
    pub(crate) fn still_waits(&self, segment: u64, work: &str) -> bool {
        let free = self.ledger.free_bytes();
        let mut deferred = self.deferred_work();
        deferred.retain(|one| {
            (one.segment, one.work.as_str()) != (segment, work) || one.needed_bytes > free
        });
        deferred
            .iter()
            .any(|one| (one.segment, one.work.as_str()) == (segment, work))
    }

    /// Forgets that `work` waits, for whichever segment: it is about to be tried.
    pub(crate) fn forget_deferred(&self, work: &str) {
        self.deferred_work().retain(|one| one.work != work);
    }

    /// What `build` makes of the segment, or the segment as it is, with the work deferred, when the budget refuses.
    pub(crate) fn or_defer(
        &self,
        segment: SealedSegment,
        work: &str,
        build: impl FnOnce(&SealedSegment) -> Result<SealedSegment, VectorsError>,
    ) -> Result<SealedSegment, VectorsError> {
        match build(&segment) {
            Ok(built) => Ok(built),
            Err(error) => {
                self.defer(segment.number(), work, error)?;
                Ok(segment)
            }
        }
    }

    /// Builds inverted lists that were refused memory when their segment was written. False when none waits with room.
    pub(crate) fn build_next_sparse_indexes(&self) -> Result<bool, VectorsError> {
        let waiting: Vec<u64> = self
            .deferred()
            .into_iter()
            .filter(|one| one.work == SPARSE_INDEXES)
            .map(|one| one.segment)
            .collect();
        let next = waiting
            .into_iter()
            .find(|&number| !self.still_waits(number, SPARSE_INDEXES));
        let set = self.current();
        let Some(segment) = set
            .sealed
            .iter()
            .find(|segment| Some(segment.number()) == next)
        else {
            return Ok(false);
        };
        self.writable()?;
        let disk = self.surroundings.disk.as_ref();
        let built = self.or_defer(SealedSegment::clone(segment), SPARSE_INDEXES, |segment| {
            segment.build_sparse_indexes(disk)
        })?;
        self.replace_view(built);
        Ok(true)
    }
}
