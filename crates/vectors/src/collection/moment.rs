//! The live rows of all segments at one moment, for reads that count each point exactly once.

use std::sync::PoisonError;

use super::{Collection, SegmentHandle};
use crate::error::VectorsError;
use crate::filter::Filter;
use crate::payload;
use crate::rows::RowSet;
use crate::segment::SegmentView;

/// Segments with the rows that were live at one moment: of each point exactly one row. Writes go on meanwhile: rows of
/// sealed segments never change and those of growing ones only get more, so what was live stays readable.
pub(crate) struct Moment {
    pub segments: Vec<(SegmentHandle, RowSet)>,
}

impl Collection {
    /// The rows that are live now. Writers wait as long as copying the bits takes, which is one bit per row.
    pub(crate) fn moment(&self) -> Moment {
        let now = self.now_unix_ms();
        let _still = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let segments = self
            .current()
            .handles()
            .map(|segment| {
                let live = segment.with(|view| {
                    view.sweep_expired(now);
                    view.live().snapshot()
                });
                (segment, live)
            })
            .filter(|(_, live)| live.count() > 0)
            .collect();
        Moment { segments }
    }
}

/// Of the rows that were live those that match.
///
/// # Errors
/// [`VectorsError::Corrupt`] when stored bytes are damaged.
pub(crate) fn matching(
    view: &dyn SegmentView,
    live: &RowSet,
    filter: Option<&Filter>,
) -> Result<RowSet, VectorsError> {
    // A growing segment may have more rows by now; none of them was there.
    let mut rows = RowSet::none(view.rows());
    let matching = match filter {
        Some(filter) => Some(payload::rows(filter, view, view.payload_indexes())?),
        None => None,
    };
    for (place, (word, live)) in rows.words_mut().iter_mut().zip(live.words()).enumerate() {
        let matching = matching
            .as_ref()
            .map_or(u64::MAX, |set| set.words().get(place).copied().unwrap_or(0));
        *word = live & matching;
    }
    Ok(rows)
}
