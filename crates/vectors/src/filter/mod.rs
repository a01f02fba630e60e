//! Filters: what a point must be like to be found.
//!
//! [`Filter`] is the language, with the meaning that Qdrant's filters have; [`matches`] defines it, point by point.
//! Everything faster must give the same answer: results never depend on which payload indexes exist, but for a text
//! index, which says how the words of its field are cut.

pub mod datetime;
pub mod geo;
mod language;
mod matching;
mod path;
mod validate;
pub mod words;

pub use language::{Condition, FieldTest, Filter, MinShould, Number, Range, Scalar, ScalarSet};
pub use matching::{Candidate, Matcher, WordsOfField, matches};
pub(crate) use matching::{counts, is_empty, is_null};
pub use path::{FieldPath, PATH_BYTES_MAX, PATH_STEPS_MAX, PathStep};
pub use validate::{
    FILTER_CONDITIONS_MAX, FILTER_DEPTH_MAX, FILTER_TEXT_BYTES_MAX, FILTER_VALUES_MAX,
    POLYGON_POINTS_MAX,
};
