//! How collections behave, the same for all of a database.

/// Settings of the write path and of maintenance.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionOptions {
    /// Rows from which a growing segment is sealed. Searches scan growing rows, because a graph would make each insert some
    /// fifty times as dear for as long as rows are few: at 384 dimensions this many take about 2 ms.
    pub growing_rows_max: u32,
    /// Bytes from which a growing segment is sealed.
    pub growing_bytes_max: usize,
    /// Bytes of the log from which a growing segment is sealed even when deletes left it small: bounds the replay of a start.
    pub log_bytes_max: u64,
    /// Rows from which a sealed segment gets a vector index when the schema leaves the choice to the engine. Below, a
    /// scan is about as fast.
    pub index_from_rows: u32,
    /// Rows that searches may have to scan, growing ones and sealed ones that wait for their index, before whoever writes more
    /// builds an index first. Bounds the time of a search under a stream of inserts that is faster than indexing: a
    /// thread scans this many at 384 dimensions in about 30 ms. Loads that nobody searches meanwhile may set it higher.
    pub unindexed_rows_max: u32,
    /// Sealed segments of about one size that are merged into one.
    pub merge_width: usize,
    /// Rows that a merge of its own accord makes at most; `optimize` makes one segment whatever its size.
    pub merge_rows_max: u32,
    /// Dead rows, as a part of all, from which a segment is written again without them.
    pub dead_part_max: f32,
    /// Threads that build one vector index.
    pub index_threads: usize,
}

impl Default for CollectionOptions {
    /// 20,000 rows or 32 MiB growing; indexes from 10,000 rows, 300,000 without at most; merges of 4 segments up to 4 million rows; a fifth dead.
    fn default() -> Self {
        CollectionOptions {
            growing_rows_max: 20_000,
            growing_bytes_max: 32 << 20,
            log_bytes_max: 128 << 20,
            index_from_rows: 10_000,
            unindexed_rows_max: 300_000,
            merge_width: 4,
            merge_rows_max: 4_000_000,
            dead_part_max: 0.2,
            index_threads: 1,
        }
    }
}
