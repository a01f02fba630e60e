//! The model `bm25`: texts to sparse vectors whose inner product is BM25 (Robertson & Zaragoza 2009) once the collection
//! weighs queries by inverse document frequencies (`modifier: idf`).
//!
//! ```text
//!   stored   tf · (k + 1) / (tf + k · (1 − b + b · terms / avg_len))    for each distinct term
//!   query    1                                                          for each distinct term
//! ```
//!
//! A term's dimension is its hash, see [`super::murmur`]. The mean length is a setting and not counted, so that a stored
//! vector does not depend on what else is stored.

use std::collections::BTreeMap;

use vectors::VectorsError;
use vectors::point::SparseVector;
use vectors::text::{Analyzer, AnalyzerOptions, Language, Purpose, Tokenizer};

use super::murmur::dimension_of;

/// Names of the model, in any case.
const NAMES: [&str; 2] = ["bm25", "qdrant/bm25"];

/// Its name in usage and in what a collection remembers.
pub const NAME: &str = "bm25";

/// Whether a model's name means this one.
pub fn is_named(model: &str) -> bool {
    NAMES.iter().any(|name| model.eq_ignore_ascii_case(name))
}

/// How texts become terms and terms weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Bm25Options {
    /// How text is cut and reduced.
    pub analysis: AnalyzerOptions,
    /// How fast repetitions of a term stop to matter, at least 0.
    pub k: f32,
    /// How much long texts are held back, 0 to 1.
    pub b: f32,
    /// Terms of a usual text, above 0.
    pub average_length: f32,
}

impl Default for Bm25Options {
    /// English words, and the constants that Qdrant documents for this model: k 1.2, b 0.75, 256 terms.
    fn default() -> Self {
        Bm25Options {
            analysis: analysis_of(Some(Language::English)),
            k: 1.2,
            b: 0.75,
            average_length: 256.0,
        }
    }
}

/// Words cut at everything that is neither letter nor digit, lower case, stemmed and without stop words in a language.
pub fn analysis_of(language: Option<Language>) -> AnalyzerOptions {
    AnalyzerOptions {
        tokenizer: Tokenizer::Word,
        stemmer: language,
        stop_word_languages: language.into_iter().collect(),
        ..AnalyzerOptions::default()
    }
}

/// What a text is made into a vector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To be stored.
    Stored,
    /// To be searched for.
    Query,
}

/// A text as a vector, and how many terms it has.
pub struct Weighed {
    /// The vector.
    pub vector: SparseVector,
    /// Terms, repetitions included.
    pub terms: u64,
}

/// The model with its settings.
pub struct Bm25Model {
    analyzer: Analyzer,
    options: Bm25Options,
}

impl Bm25Model {
    /// The model with these settings.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for settings of the analysis that contradict each other.
    pub fn new(options: Bm25Options) -> Result<Self, VectorsError> {
        Ok(Bm25Model {
            analyzer: Analyzer::new(&options.analysis)?,
            options,
        })
    }

    /// The vector of a text.
    pub fn weigh(&self, text: &str, side: Side) -> Weighed {
        let purpose = match side {
            Side::Stored => Purpose::Document,
            Side::Query => Purpose::Query,
        };
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        let mut terms = 0u64;
        self.analyzer.analyze(text, purpose, 0, &mut |term, _| {
            *counts.entry(dimension_of(term)).or_default() += 1;
            terms += 1;
        });
        let Bm25Options {
            k,
            b,
            average_length,
            ..
        } = self.options;
        let held_back = k * (1.0 - b + b * terms as f32 / average_length);
        let weight = |count: u32| match side {
            Side::Stored => count as f32 * (k + 1.0) / (count as f32 + held_back),
            Side::Query => 1.0,
        };
        Weighed {
            vector: SparseVector {
                values: counts.values().map(|count| weight(*count)).collect(),
                indices: counts.into_keys().collect(),
            },
            terms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_as_computed_by_hand() {
        let model = Bm25Model::new(Bm25Options {
            average_length: 4.0,
            ..Bm25Options::default()
        })
        .expect("fits");
        // "the" is a stop word; "cats" and "cat" are one term: 3 terms, cat twice and dog once.
        let stored = model.weigh("The cats: cat, DOG", Side::Stored);
        assert_eq!(stored.terms, 3);
        let held_back = 1.2 * (0.25 + 0.75 * 3.0 / 4.0);
        let expected: BTreeMap<u32, f32> = [("cat", 2.0), ("dog", 1.0)]
            .map(|(term, count): (_, f32)| (dimension_of(term), count * 2.2 / (count + held_back)))
            .into();
        assert_eq!(
            stored.vector.indices,
            expected.keys().copied().collect::<Vec<_>>()
        );
        for (value, expected) in stored.vector.values.iter().zip(expected.values()) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
        let query = model.weigh("a cat, cats", Side::Query);
        assert_eq!(query.vector.indices, [dimension_of("cat")]);
        assert_eq!(query.vector.values, [1.0]);
        assert!(
            model
                .weigh("the of and", Side::Stored)
                .vector
                .indices
                .is_empty()
        );
    }

    #[test]
    fn its_names_are_known_in_any_case() {
        assert!(is_named("bm25") && is_named("Qdrant/bm25") && is_named("BM25"));
        assert!(!is_named("bm25+") && !is_named("minilm"));
    }
}
