//! Words: how text becomes terms, and which rows contain them.
//!
//! `analysis` cuts text into terms with positions; `language` names the stemmers and stop words it knows. Filters use
//! the analysis for `match text` and `match phrase`; lexical search scores with BM25 over the same terms.

pub mod analysis;
mod bm25;
pub mod folding;
pub mod index;
pub mod language;
mod query;
mod stop_words;

pub use analysis::{Analyzer, AnalyzerOptions, Purpose, Tokenizer};
pub use bm25::Bm25;
pub use index::{TextIndex, TextIndexSearch, TextStatistics};
pub use language::Language;
pub use query::TextQuery;
