//! What a collection is made of: its vectors, how each is compared, indexed and compressed, and the collection's settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How two dense vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Cosine similarity; vectors are normalised when they are stored.
    Cosine,
    /// Inner product.
    Dot,
    /// Euclidean distance (L2).
    Euclid,
    /// Sum of absolute differences (L1).
    Manhattan,
}

impl Metric {
    /// The score callers see for a rank of the engine: similarity itself, or the distance for Euclid and Manhattan.
    ///
    /// Ranks: cosine and dot products as they are; minus the *squared* L2 distance; minus the L1 distance.
    pub fn score_of_rank(self, rank: f32) -> f32 {
        match self {
            Metric::Cosine | Metric::Dot => rank,
            Metric::Euclid => (-rank).max(0.0).sqrt(),
            Metric::Manhattan => -rank,
        }
    }

    /// The rank below which results miss a caller's score threshold; the inverse of [`Metric::score_of_rank`].
    pub fn rank_of_score(self, score: f32) -> f32 {
        match self {
            Metric::Cosine | Metric::Dot => score,
            Metric::Euclid => -(score * score),
            Metric::Manhattan => -score,
        }
    }

    /// Whether larger scores are better for callers.
    pub fn larger_is_better(self) -> bool {
        matches!(self, Metric::Cosine | Metric::Dot)
    }
}

/// How originals are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Datatype {
    /// 4 bytes a value, exact.
    #[default]
    Float32,
    /// 2 bytes a value (IEEE binary16).
    Float16,
    /// 1 byte a value; only whole numbers from 0 to 255.
    Uint8,
}

/// Which index finds neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// The engine chooses: a scan while the segment is small, a graph when it is not.
    #[default]
    Auto,
    /// Always a scan: exact.
    Flat,
    /// A navigable small-world graph (Malkov & Yashunin 2016).
    Hnsw,
    /// Inverted lists with RaBitQ codes (Gao & Long 2024).
    Ivf,
}

/// How vectors are compressed for traversal; originals always re-rank unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// The engine chooses by dimensions: 8 bits below 256, rotated 4 bits from 256 on.
    #[default]
    Auto,
    /// Originals only.
    None,
    /// One byte per dimension.
    Int8,
    /// Four bits per dimension after a random rotation.
    Int4,
    /// One bit per dimension.
    Binary,
    /// Product quantisation: one byte for each group of `dimensions_per_code` dimensions (Jégou et al. 2011).
    Product {
        /// Dimensions that share one byte.
        dimensions_per_code: u16,
    },
}

/// Parameters of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HnswParameters {
    /// Links per node; level 0 holds twice as many. 4 to 128.
    pub m: u16,
    /// Size of the candidate list while building. At least `m`.
    pub ef_construct: u32,
}

impl Default for HnswParameters {
    /// `m` 16 and `ef_construct` 200, the setting of the reference implementation and of the published figures.
    fn default() -> Self {
        HnswParameters {
            m: 16,
            ef_construct: 200,
        }
    }
}

/// What one vector of a collection's points is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VectorSchema {
    /// A dense vector, or several of them per point.
    Dense {
        /// Values per vector, 1 to 65,535.
        dimensions: u32,
        /// How two of them are compared.
        metric: Metric,
        /// How originals are stored.
        #[serde(default)]
        datatype: Datatype,
        /// Whether a point holds several of them, compared by max-sim.
        #[serde(default)]
        multi: bool,
        /// Which index.
        #[serde(default)]
        index: IndexKind,
        /// Graph parameters.
        #[serde(default)]
        hnsw: HnswParameters,
        /// Codes for traversal.
        #[serde(default)]
        quantization: Quantization,
        /// Whether originals stay on disk, read through the page cache only when needed, and codes in memory.
        #[serde(default)]
        on_disk: bool,
    },
    /// A sparse vector, compared by inner product.
    Sparse {
        /// Whether each query value is multiplied by the inverse document frequency of its dimension in the collection.
        #[serde(default)]
        idf: bool,
    },
}

/// What a collection holds and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionSchema {
    /// Vectors by name; the empty name is the unnamed vector.
    pub vectors: BTreeMap<String, VectorSchema>,
    /// Rows from which a segment gets its index instead of being scanned; `None` is the engine's own measured choice.
    #[serde(default)]
    pub index_from_rows: Option<u32>,
    /// Whether a filter on a field without an index has one built for it.
    #[serde(default = "yes")]
    pub index_filters_automatically: bool,
    /// Free-form facts that the caller keeps with the collection (which model made the vectors, for one).
    #[serde(default)]
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

impl Default for CollectionSchema {
    /// No vectors; everything else is the engine's choice, and filters get their indexes by themselves.
    fn default() -> Self {
        CollectionSchema {
            vectors: BTreeMap::new(),
            index_from_rows: None,
            index_filters_automatically: true,
            annotations: serde_json::Map::new(),
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_scores_are_each_others_inverse_and_ordered() {
        for metric in [
            Metric::Cosine,
            Metric::Dot,
            Metric::Euclid,
            Metric::Manhattan,
        ] {
            for score in [0.0, 0.25, 2.0] {
                assert_eq!(metric.score_of_rank(metric.rank_of_score(score)), score);
            }
            let better = metric.rank_of_score(2.0) > metric.rank_of_score(1.0);
            assert_eq!(better, metric.larger_is_better());
        }
    }
}
