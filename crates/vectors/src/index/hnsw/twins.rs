//! Rows with equal codes: one of them stands in the graph for all.
//!
//! Many equal rows would fill each other's lists and every list of candidates near them, and cut their neighbourhood off. So
//! the lowest of them alone is linked; the others, its twins, follow it in answers.
//!
//! ```text
//! pairs    (u32 row in the graph, u32 twin), sorted; nothing where there are no twins
//! links    the list of a twin holds the row that stands for it, and is found by no other
//! ```

use std::hash::{DefaultHasher, Hasher};

use crate::error::VectorsError;
use crate::index::hnsw::space::BuildSpace;
use crate::quantize::store::Store;

/// Equal rows from which all but one are kept outside of the graph. A few do no harm, and looking for twins costs a search
/// some time.
const EQUAL_ROWS_MIN: usize = 4;

/// Which rows stand for others.
#[derive(Debug)]
pub(crate) struct Twins {
    pairs: Store,
    rows: u32,
}

impl Twins {
    /// Finds the equal rows of `rows`.
    pub(crate) fn find<S: BuildSpace>(space: &S, rows: u32) -> Result<Self, VectorsError> {
        let mut buffer = Vec::new();
        let mut hashes = Vec::with_capacity(rows as usize);
        for row in 0..rows {
            let mut hasher = DefaultHasher::new();
            hasher.write(space.row_bytes(row, &mut buffer)?);
            hashes.push((hasher.finish(), row));
        }
        hashes.sort_unstable();
        let mut pairs: Vec<[u32; 2]> = Vec::new();
        let mut other = Vec::new();
        for equal in hashes.chunk_by(|a, b| a.0 == b.0) {
            if equal.len() < EQUAL_ROWS_MIN {
                continue;
            }
            let node = equal[0].1;
            let bytes = space.row_bytes(node, &mut buffer)?;
            for &(_, twin) in &equal[1..] {
                // Equal hashes of different rows: they stay in the graph.
                if space.row_bytes(twin, &mut other)? == bytes {
                    pairs.push([node, twin]);
                }
            }
        }
        pairs.sort_unstable();
        let bytes: &[u8] = bytemuck::cast_slice(&pairs);
        let mut store = Store::zeroed("graph", bytes.len())?;
        store.owned_mut().copy_from_slice(bytes);
        Ok(Twins { pairs: store, rows })
    }

    /// Twins that were written before; they may be damaged.
    pub(crate) fn from_store(pairs: Store, rows: u32) -> Option<Self> {
        let whole = pairs.len().is_multiple_of(size_of::<[u32; 2]>());
        whole.then_some(Twins { pairs, rows })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.pairs
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// (row in the graph, twin), sorted.
    pub(crate) fn pairs(&self) -> &[[u32; 2]] {
        bytemuck::cast_slice(&self.pairs)
    }

    /// The rows that `node` stands for beside itself.
    pub(crate) fn of(&self, node: u32) -> impl Iterator<Item = u32> {
        let pairs = self.pairs();
        let first = pairs.partition_point(|pair| pair[0] < node);
        let own = pairs[first..]
            .iter()
            .take_while(move |pair| pair[0] == node);
        own.map(|pair| pair[1]).filter(|&twin| twin < self.rows)
    }

    /// The row of the graph that stands for each row.
    pub(crate) fn standing(&self) -> Vec<u32> {
        let mut standing: Vec<u32> = (0..self.rows).collect();
        for &[node, twin] in self.pairs() {
            if let Some(own) = standing.get_mut(twin as usize) {
                *own = node;
            }
        }
        standing
    }
}
