//! What a query asks for.

use super::examples::{ContextPair, Strategy};
use super::formula::Formula;
use super::fusion::Fusion;
use super::mmr::Mmr;
use crate::filter::{FieldPath, Filter};
use crate::point::{PointId, Vector};
use crate::text::Bm25;

/// One point found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Which point.
    pub id: PointId,
    /// Its score as callers see it: a similarity, a distance for Euclid and Manhattan, the result of a fusion or formula;
    /// 1 where nothing scores (a list by id, an order, a sample).
    pub score: f32,
}

/// A whole query. `T` is what its vectors are given as: [`Target`] is what the engine executes, and callers that accept
/// more (a text to be embedded) turn theirs into it with [`QueryRequest::try_map_targets`].
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRequest<T = Target> {
    /// The root of the tree of stages; its `limit` counts the hits returned.
    pub stage: Stage<T>,
    /// How many of the best hits are left out.
    pub offset: usize,
}

impl<T> Default for QueryRequest<T> {
    /// The first points by id.
    fn default() -> Self {
        QueryRequest {
            stage: Stage::default(),
            offset: 0,
        }
    }
}

/// One stage of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage<T = Target> {
    /// Stages whose results this one merges or scores again. None: this stage searches the collection.
    pub prefetch: Vec<Stage<T>>,
    /// What is searched for; `None` without prefetches lists points by id.
    pub query: Option<Query<T>>,
    /// The vector's name (for [`Query::Text`], the field); the empty name is the unnamed vector.
    pub using: String,
    /// Which points may be found, by this stage and all of its prefetches.
    pub filter: Filter,
    /// How the search is done.
    pub options: SearchOptions,
    /// Hits that are not better than this are dropped; fusions and formulas keep those equal to it.
    pub score_threshold: Option<f32>,
    /// Most hits, at least 1. More than the collection has is all of them.
    pub limit: usize,
    /// Where vectors of points named in the query are read instead of this collection.
    pub lookup_from: Option<LookupFrom>,
}

impl<T> Default for Stage<T> {
    /// Ten points by id.
    fn default() -> Self {
        Stage {
            prefetch: Vec::new(),
            query: None,
            using: String::new(),
            filter: Filter::default(),
            options: SearchOptions::default(),
            score_threshold: None,
            limit: 10,
            lookup_from: None,
        }
    }
}

/// Another collection, or another vector of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupFrom {
    /// The collection's name.
    pub collection: String,
    /// The vector's name there; `None` is the name that the stage uses.
    pub vector: Option<String>,
}

/// How an index is searched. `None` leaves the choice to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SearchOptions {
    /// Length of the candidate list of the graph; also the probes of inverted lists.
    pub ef: Option<usize>,
    /// Whether every allowed row is compared, on originals.
    pub exact: bool,
    /// Whether candidates found on codes are ranked again on originals.
    pub rescore: Option<bool>,
    /// How many times `limit` candidates are taken from codes before they are ranked again.
    pub oversampling: Option<f32>,
    /// The recall to aim at, instead of a list length: above 0, at most 1.
    pub target_recall: Option<f32>,
}

/// A vector to be near to, given or stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// This one.
    Vector(Vector),
    /// That of a stored point, which is then not itself a result (unless it is read from another collection).
    Point(PointId),
}

/// What a stage searches for or does with the results of its prefetches.
#[derive(Debug, Clone, PartialEq)]
pub enum Query<T = Target> {
    /// The nearest points; with `mmr`, diverse ones among them.
    Nearest {
        /// Near to what.
        target: T,
        /// Whether and how results are made diverse.
        mmr: Option<Mmr>,
    },
    /// Text, scored with BM25 over the text index of the field `using`.
    Text {
        /// The words.
        text: String,
        /// Scoring and matching.
        parameters: TextParameters,
    },
    /// Points like the positive examples and unlike the negative ones.
    Recommend {
        /// Examples to be like.
        positive: Vec<T>,
        /// Examples to be unlike.
        negative: Vec<T>,
        /// How examples become one score.
        strategy: Strategy,
    },
    /// Points near `target` on the positive side of as many pairs as possible.
    Discover {
        /// Near to what.
        target: T,
        /// Pairs that divide the space.
        context: Vec<ContextPair<T>>,
    },
    /// Points on the positive side of all pairs, wherever.
    Context {
        /// Pairs that divide the space.
        context: Vec<ContextPair<T>>,
    },
    /// Points by a value of their payload. A point with several values is found once for each.
    OrderBy(OrderBy),
    /// Points at random, each with the same chance.
    Sample {
        /// The same seed over the same points gives the same sample.
        seed: u64,
    },
    /// The lists of the prefetches merged into one.
    Fusion(Fusion),
    /// The points of the prefetches scored by an expression.
    Formula(Formula),
}

/// How text is scored and matched. By default any of the words, no phrases, scored as the index says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TextParameters {
    /// How fast repetitions of a term stop to matter, at least 0; `None` is as the index says.
    pub k1: Option<f32>,
    /// How much long documents are held back, 0 to 1; `None` is as the index says.
    pub b: Option<f32>,
    /// Whether every term has to be there, instead of any.
    pub all_terms: bool,
    /// Whether words between quotation marks have to follow one another.
    pub phrases: bool,
}

impl TextParameters {
    /// The scoring of these parameters over an index with `index`.
    pub fn scoring(&self, index: Bm25) -> Bm25 {
        Bm25 {
            k1: self.k1.unwrap_or(index.k1),
            b: self.b.unwrap_or(index.b),
        }
    }
}

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// An order by numbers or dates of the payload.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    /// The field.
    pub key: FieldPath,
    /// Which way.
    pub direction: Direction,
    /// Values before this one, in the direction of the order, are left out; dates are microseconds since 1970.
    pub start_from: Option<f64>,
}
