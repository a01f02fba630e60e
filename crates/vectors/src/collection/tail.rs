//! The tail: rows that no index knows yet, which every search scans.
//!
//! Rows come in fast and indexes are built slowly: a row costs a microsecond to write and a quarter of a millisecond to
//! link into a graph. Rows therefore go into a growing segment that is scanned, and get their graph when they are sealed and
//! merged; a merge keeps the largest graph and inserts the other rows into it, so that each row is linked about once per tier
//! of sizes. While a long merge runs, more segments are sealed, and without a bound a stream of inserts would make searches
//! linear in what has come meanwhile. The bound: who writes while the tail is longer than
//! [`CollectionOptions::unindexed_rows_max`](super::CollectionOptions::unindexed_rows_max) builds the index of one segment
//! before the write returns. So the stream slows down to the speed of indexing and the tail stays below the bound, one more
//! round of growing and frozen segments, and the rows of a merge that runs.

use std::sync::{Arc, PoisonError};

use super::Collection;
use crate::error::VectorsError;
use crate::segment::SegmentView;
use crate::segment::sealed::SealedSegment;

/// Keeps writers from building the indexes of a segment, and maintenance from building those that writers do, as long as it
/// lives.
pub(super) struct Claim<'a> {
    collection: &'a Collection,
    segment: u64,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.collection
            .claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|&segment| segment != self.segment);
    }
}

impl Collection {
    /// The right to build indexes of a segment; `None` while another thread does.
    pub(super) fn claim(&self, segment: u64) -> Option<Claim<'_>> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.contains(&segment) {
            return None;
        }
        claimed.push(segment);
        Some(Claim {
            collection: self,
            segment,
        })
    }

    /// Rows that searches scan because no index knows them: growing and frozen ones, and those of sealed segments that should
    /// have an index and have not.
    pub fn unindexed_rows(&self) -> u64 {
        let set = self.current();
        let growing = set.frozen.iter().chain([&set.growing]);
        let growing: u64 = growing.map(|one| u64::from(one.read().rows())).sum();
        let sealed: u64 = set
            .sealed
            .iter()
            .filter(|segment| !self.missing_indexes(segment, &set.schema).is_empty())
            .map(|segment| u64::from(segment.rows()))
            .sum();
        growing + sealed
    }

    /// Builds the index of one segment when the tail is too long. Called by writers.
    ///
    /// # Errors
    /// As [`Collection::maintain`].
    pub(super) fn bound_tail(&self) -> Result<(), VectorsError> {
        let limit = u64::from(self.surroundings.options.unindexed_rows_max);
        if self.unindexed_rows() <= limit {
            return Ok(());
        }
        // One at a time: whoever waits here writes nothing meanwhile, and finds the tail shorter.
        let _helping = self.helping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.unindexed_rows() <= limit {
            return Ok(());
        }
        let set = self.current();
        for segment in &set.sealed {
            let Some(name) = self.missing_indexes(segment, &set.schema).pop() else {
                continue;
            };
            // Being built already, or merged: the rows of a merge get their index with it.
            let Some(_claim) = self.claim(segment.number()) else {
                continue;
            };
            return match self.build_index(segment, &name, &set.schema, None) {
                Ok(indexed) => {
                    // What maintenance changed of the segment meanwhile stays.
                    self.change_view(segment.number(), |current| {
                        current.with_index_of(&indexed, &name)
                    });
                    Ok(())
                }
                // Merged away while this went on, with its directory.
                Err(_) if !self.is_current(segment) => Ok(()),
                Err(error) => Err(error),
            };
        }
        Ok(())
    }

    fn is_current(&self, segment: &Arc<SealedSegment>) -> bool {
        let set = self.current();
        set.sealed
            .iter()
            .any(|one| one.number() == segment.number())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::collection::{CollectionOptions, SearchRequest, WriteOptions};
    use crate::database::{Database, DatabaseOptions};
    use crate::schema::{CollectionSchema, Metric, VectorSchema};
    use crate::{Payload, Point, PointId, Vector};

    fn point(id: u64) -> Point {
        Point {
            id: PointId::Number(id),
            vectors: BTreeMap::from([(
                String::new(),
                Vector::Dense(vec![id as f32, (id % 17) as f32, 1.0]),
            )]),
            payload: Payload::new(),
            expires_unix_ms: None,
        }
    }

    #[test]
    fn a_stream_of_inserts_builds_indexes_itself_while_maintenance_is_busy() {
        const LIMIT: u32 = 600;
        let directory = tempfile::tempdir().expect("directory");
        let options = DatabaseOptions {
            maintenance_threads: 1,
            collection: CollectionOptions {
                growing_rows_max: 100,
                index_from_rows: 50,
                unindexed_rows_max: LIMIT,
                ..CollectionOptions::default()
            },
            ..DatabaseOptions::default()
        };
        let database = Database::open(directory.path(), options).expect("database");
        let schema = CollectionSchema {
            vectors: BTreeMap::from([(
                String::new(),
                VectorSchema::Dense {
                    dimensions: 3,
                    metric: Metric::Euclid,
                    datatype: Default::default(),
                    multi: false,
                    index: Default::default(),
                    hnsw: Default::default(),
                    quantization: Default::default(),
                    on_disk: false,
                },
            )]),
            ..CollectionSchema::default()
        };
        let collection = database.create_collection("stream", schema).expect("new");
        // As a merge that takes for ever.
        let busy = collection.maintenance.lock().expect("nobody panicked");
        let mut longest = 0;
        for start in (0..6_000).step_by(50) {
            let points = (start..start + 50).map(point).collect();
            collection
                .upsert(points, &WriteOptions::default())
                .expect("written");
            longest = longest.max(collection.unindexed_rows());
        }
        // Growing rows and the frozen segments that wait to be sealed come on top.
        assert!(longest <= u64::from(LIMIT) + 700, "{longest} rows to scan");
        let query = Vector::Dense(vec![4_321.0, 3.0, 1.0]);
        let found = collection.search(&SearchRequest::new("", query, 1));
        assert_eq!(found.expect("search")[0].point.id, PointId::Number(4_321));
        drop(busy);
        collection.optimize().expect("merged");
        assert_eq!(collection.unindexed_rows(), 0);
        assert_eq!(collection.count(None).expect("count"), 6_000);
    }
}
