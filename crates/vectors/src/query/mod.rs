//! Queries: nested stages of retrieval, fusion and re-scoring over a [`Searcher`].
//!
//! A request is a tree of [`Stage`]s. Leaves ask the collection (nearest, text, recommend, discover, context, order,
//! sample); inner stages merge or score again what their prefetches found. The collection itself is seen through the
//! [`Searcher`] trait only, so everything here is arithmetic over ids, scores, vectors and payloads.
//!
//! ```text
//!   execute ── Stage ─┬─ Query::Nearest, Text, Recommend, …   → Searcher
//!                     ├─ Query::Fusion   (fusion)             → over the lists of the prefetches
//!                     ├─ Query::Formula  (formula)            → over their union
//!                     └─ any leaf query over prefetches       → Searcher, limited to their union
//! ```
//!
//! Scores are what callers see (`Metric::score_of_rank`); every list is best first, ties by id unless a method says so.

pub mod examples;
mod execute;
pub mod formula;
pub mod fusion;
pub mod groups;
pub mod mmr;
mod request;
mod scan;
pub mod searcher;
mod targets;
mod validate;

pub use examples::{ContextPair, Strategy};
pub use execute::execute;
pub use formula::{Expression, Formula};
pub use fusion::{Fusion, RECIPROCAL_RANK_CONSTANT};
pub use groups::{GroupKey, GroupRequest, HitGroup, execute_groups};
pub use mmr::Mmr;
pub use request::{
    Direction, Hit, LookupFrom, OrderBy, Query, QueryRequest, SearchOptions, Stage, Target,
    TextParameters,
};
pub use scan::scan_by_examples;
pub use searcher::{ExampleSearch, NearestSearch, Ranked, Searcher, TextSearch};
pub use targets::TargetPlace;
