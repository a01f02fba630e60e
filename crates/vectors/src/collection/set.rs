//! The segments of a collection as one reader sees them.

use std::sync::Arc;

use crate::error::VectorsError;
use crate::payload::PayloadIndexSchema;
use crate::point::PointId;
use crate::schema::CollectionSchema;
use crate::segment::SegmentView;
use crate::segment::growing::GrowingSegment;
use crate::segment::sealed::SealedSegment;

/// What a collection consists of at one moment. Never changed; each switch publishes a new one.
#[derive(Debug, Clone)]
pub(crate) struct SegmentSet {
    /// What the collection holds.
    pub schema: Arc<CollectionSchema>,
    /// Which payload indexes every segment has, or will have.
    pub payload_indexes: Arc<Vec<PayloadIndexSchema>>,
    /// Sealed segments, oldest first.
    pub sealed: Vec<Arc<SealedSegment>>,
    /// Full growing segments on their way to be sealed, oldest first.
    pub frozen: Vec<Arc<GrowingSegment>>,
    /// The one that takes new rows.
    pub growing: Arc<GrowingSegment>,
}

/// One segment, kept alive.
#[derive(Debug, Clone)]
pub(crate) enum SegmentHandle {
    Sealed(Arc<SealedSegment>),
    Growing(Arc<GrowingSegment>),
}

impl SegmentHandle {
    /// Calls `read` with the segment; a growing one is locked against writes meanwhile.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&dyn SegmentView) -> T) -> T {
        match self {
            SegmentHandle::Sealed(segment) => read(segment.as_ref()),
            SegmentHandle::Growing(segment) => read(&*segment.read()),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        match self {
            SegmentHandle::Sealed(segment) => segment.number(),
            SegmentHandle::Growing(segment) => segment.number(),
        }
    }
}

/// Where a live row is.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub segment: SegmentHandle,
    pub row: u32,
    pub version: u64,
}

impl SegmentSet {
    /// All segments, from the oldest to the growing one.
    pub(crate) fn handles(&self) -> impl DoubleEndedIterator<Item = SegmentHandle> + '_ {
        let sealed = self.sealed.iter().cloned().map(SegmentHandle::Sealed);
        let frozen = self.frozen.iter().cloned().map(SegmentHandle::Growing);
        sealed
            .chain(frozen)
            .chain([SegmentHandle::Growing(Arc::clone(&self.growing))])
    }

    /// Calls `visit` for each segment from the oldest to the growing one, then for those that came meanwhile: a point
    /// that was written again during the walk may have moved into one of those. `current` gives the newest set.
    pub(crate) fn walk(
        self: &Arc<Self>,
        current: impl Fn() -> Arc<SegmentSet>,
        mut visit: impl FnMut(&SegmentHandle) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        let mut set = Arc::clone(self);
        let mut visited = 0;
        loop {
            let mut newest = visited;
            for handle in set.handles() {
                if handle.number() > visited {
                    newest = newest.max(handle.number());
                    visit(&handle)?;
                }
            }
            // Numbers rise: whatever is new has a number above all that were visited. A merged segment is new as well
            // and holds nothing new; visiting it costs time only, and happens once per merge.
            let next = current();
            if newest == visited || Arc::ptr_eq(&next, &set) {
                return Ok(());
            }
            (visited, set) = (newest, next);
        }
    }

    /// The live row of `id`; of two that live for a moment the newer one.
    pub(crate) fn find(&self, id: PointId, now_unix_ms: u64) -> Option<Location> {
        let mut best: Option<Location> = None;
        for segment in self.handles() {
            let found = segment.with(|view| {
                view.sweep_expired(now_unix_ms);
                let row = view.row_of(id)?;
                view.live().contains(row).then(|| (row, view.version(row)))
            });
            if let Some((row, version)) = found
                && best.as_ref().is_none_or(|best| best.version < version)
            {
                best = Some(Location {
                    segment,
                    row,
                    version,
                });
            }
        }
        best
    }
}
