//! Analysis: text to terms with positions.
//!
//! Steps, in this order: cut into tokens; lower-case; fold accents; drop tokens outside the length bounds; drop stop
//! words; stem. Dropped tokens leave a gap in the positions, so that a phrase matches only where the same gap is.
//!
//! Invariants:
//! 1. the terms of a document and of a query with the same words are equal (prefix tokenizer excepted, see [`Purpose`]);
//! 2. positions never fall and differ by at least [`VALUE_GAP`] between two values of one field;
//! 3. no input panics, and the work is linear in the bytes of the text.

use std::borrow::Cow;
use std::collections::HashSet;

use rust_stemmers::Stemmer;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::folding::fold_into;
use super::language::Language;
use crate::error::VectorsError;

/// Distance in positions between two values of one field, so that no phrase spans them.
pub const VALUE_GAP: u32 = 100;

/// Longest token that is kept, in characters; longer ones are encoded data, not words.
pub const TOKEN_CHARACTERS_MAX: usize = 255;

/// Most stop words a caller may add.
pub const EXTRA_STOP_WORDS_MAX: usize = 10_000;

/// How text is cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// Word boundaries of Unicode Annex 29: keeps `don't` and `3.14` whole, and cuts scripts without spaces by character.
    #[default]
    Unicode,
    /// Runs of letters and digits: `don't` becomes `don` and `t`.
    Word,
    /// Runs without white space.
    Whitespace,
    /// As `Word`; a document yields every prefix of each word within the length bounds, a query the longest one only.
    Prefix,
}

/// Which side of a search the text is on; matters to [`Tokenizer::Prefix`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Text to be found.
    Document,
    /// Text to search for.
    Query,
}

/// How a field's text is analysed. Stored with the index; changing it means building the index again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnalyzerOptions {
    /// How text is cut.
    pub tokenizer: Tokenizer,
    /// Whether upper and lower case are one.
    pub lowercase: bool,
    /// Whether accents are dropped.
    pub ascii_folding: bool,
    /// Language whose Snowball stemmer reduces words to stems; `None` keeps them.
    pub stemmer: Option<Language>,
    /// Languages whose stop words are dropped.
    pub stop_word_languages: Vec<Language>,
    /// Further words to drop, compared after lower-casing and folding.
    pub stop_words: Vec<String>,
    /// Shortest token that is kept, in characters.
    pub token_characters_min: usize,
    /// Longest token that is kept, in characters; at most [`TOKEN_CHARACTERS_MAX`].
    pub token_characters_max: usize,
}

impl Default for AnalyzerOptions {
    /// Lower-cased words of any length; neither stems nor stop words, which need a language.
    fn default() -> Self {
        AnalyzerOptions {
            tokenizer: Tokenizer::default(),
            lowercase: true,
            ascii_folding: false,
            stemmer: None,
            stop_word_languages: Vec::new(),
            stop_words: Vec::new(),
            token_characters_min: 1,
            token_characters_max: TOKEN_CHARACTERS_MAX,
        }
    }
}

impl AnalyzerOptions {
    /// What full-text search in one language wants: folded, stemmed, without stop words.
    pub fn for_language(language: Language) -> Self {
        AnalyzerOptions {
            stemmer: Some(language),
            stop_word_languages: vec![language],
            ascii_folding: matches!(language, Language::English),
            ..AnalyzerOptions::default()
        }
    }

    /// Refuses bounds that contradict each other.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the option.
    pub fn validate(&self) -> Result<(), VectorsError> {
        if self.token_characters_min == 0 || self.token_characters_min > self.token_characters_max {
            return Err(VectorsError::invalid(
                "token_characters_min",
                "must be at least 1 and at most token_characters_max",
            ));
        }
        if self.token_characters_max > TOKEN_CHARACTERS_MAX {
            return Err(VectorsError::invalid(
                "token_characters_max",
                format!("must be at most {TOKEN_CHARACTERS_MAX}"),
            ));
        }
        if self.stop_words.len() > EXTRA_STOP_WORDS_MAX {
            return Err(VectorsError::invalid(
                "stop_words",
                format!("must be at most {EXTRA_STOP_WORDS_MAX} words"),
            ));
        }
        Ok(())
    }
}

/// Turns text into terms; made once per field, used by many threads.
pub struct Analyzer {
    options: AnalyzerOptions,
    stop_words: HashSet<String>,
    stemmer: Option<Stemmer>,
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Analyzer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Analyzer {
    /// An analyser with `options`.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the options contradict each other.
    pub fn new(options: &AnalyzerOptions) -> Result<Self, VectorsError> {
        options.validate()?;
        let mut analyzer = Analyzer {
            options: options.clone(),
            stop_words: HashSet::new(),
            stemmer: options
                .stemmer
                .map(|language| Stemmer::create(language.stemmer())),
        };
        let mut words = HashSet::new();
        for language in &options.stop_word_languages {
            words.extend(
                language
                    .stop_words()
                    .map(|word| analyzer.normalized(word).into_owned()),
            );
        }
        words.extend(
            options
                .stop_words
                .iter()
                .map(|word| analyzer.normalized(word).into_owned()),
        );
        analyzer.stop_words = words;
        Ok(analyzer)
    }

    /// The options it was made with.
    pub fn options(&self) -> &AnalyzerOptions {
        &self.options
    }

    /// Calls `each` with every term of `text` and its position, counted from `first_position`; returns the position
    /// behind the last token.
    pub fn analyze(
        &self,
        text: &str,
        purpose: Purpose,
        first_position: u32,
        each: &mut dyn FnMut(&str, u32),
    ) -> u32 {
        let mut position = first_position;
        let mut token = |token: &str| {
            self.token(token, purpose, position, each);
            position = position.saturating_add(1);
        };
        match self.options.tokenizer {
            Tokenizer::Unicode => text.unicode_words().for_each(&mut token),
            Tokenizer::Whitespace => text.split_whitespace().for_each(&mut token),
            Tokenizer::Word | Tokenizer::Prefix => text
                .split(|character: char| !character.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .for_each(&mut token),
        }
        position
    }

    /// The terms of several values of one field, a gap of [`VALUE_GAP`] positions between them.
    pub fn analyze_values<'t>(
        &self,
        values: impl IntoIterator<Item = &'t str>,
        each: &mut dyn FnMut(&str, u32),
    ) {
        let mut position = 0u32;
        for value in values {
            let end = self.analyze(value, Purpose::Document, position, each);
            position = end.saturating_add(VALUE_GAP);
        }
    }

    /// Terms with positions of one text.
    pub fn terms(&self, text: &str, purpose: Purpose) -> Vec<(String, u32)> {
        let mut terms = Vec::new();
        self.analyze(text, purpose, 0, &mut |term, position| {
            terms.push((term.to_owned(), position));
        });
        terms
    }

    fn token(&self, token: &str, purpose: Purpose, position: u32, each: &mut dyn FnMut(&str, u32)) {
        let word = self.normalized(token);
        let AnalyzerOptions {
            token_characters_min: min,
            token_characters_max: max,
            tokenizer,
            ..
        } = self.options;
        if self.stop_words.contains(word.as_ref()) {
            return;
        }
        if tokenizer == Tokenizer::Prefix {
            // Byte ends of the prefixes of `min` to `max` characters.
            let ends = word
                .char_indices()
                .map(|(start, character)| start + character.len_utf8())
                .skip(min - 1)
                .take(max - min + 1);
            match purpose {
                Purpose::Document => ends.for_each(|end| each(&word[..end], position)),
                Purpose::Query => {
                    if let Some(end) = ends.last() {
                        each(&word[..end], position);
                    }
                }
            }
            return;
        }
        // Bytes bound characters from above, which spares counting in nearly every case.
        if word.len() < min
            || (word.len() > max || min > 1) && !(min..=max).contains(&word.chars().count())
        {
            return;
        }
        match &self.stemmer {
            Some(stemmer) => {
                let stem = stemmer.stem(&word);
                if !stem.is_empty() {
                    each(&stem, position);
                }
            }
            None => each(&word, position),
        }
    }

    /// A token lower-cased and folded as the options say.
    fn normalized<'t>(&self, token: &'t str) -> Cow<'t, str> {
        let mut word = Cow::Borrowed(token);
        if self.options.lowercase {
            if !token.is_ascii() {
                word = Cow::Owned(token.to_lowercase());
            } else if token.bytes().any(|byte| byte.is_ascii_uppercase()) {
                word = Cow::Owned(token.to_ascii_lowercase());
            }
        }
        if self.options.ascii_folding && !word.is_ascii() {
            let mut folded = String::with_capacity(word.len());
            fold_into(&word, &mut folded);
            // A folded width or ligature may hold capitals that had no lower case before.
            if self.options.lowercase {
                folded = folded.to_lowercase();
            }
            word = Cow::Owned(folded);
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(options: AnalyzerOptions, text: &str, expected: &[(&str, u32)]) {
        let terms = Analyzer::new(&options)
            .unwrap()
            .terms(text, Purpose::Document);
        let seen: Vec<_> = terms
            .iter()
            .map(|(term, at)| (term.as_str(), *at))
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    fn with(tokenizer: Tokenizer) -> AnalyzerOptions {
        AnalyzerOptions {
            tokenizer,
            ..AnalyzerOptions::default()
        }
    }

    #[test]
    fn tokenizers_cut_where_they_say() {
        let text = "Don't pay 3.14-fold!";
        check(
            with(Tokenizer::Unicode),
            text,
            &[("don't", 0), ("pay", 1), ("3.14", 2), ("fold", 3)],
        );
        check(
            with(Tokenizer::Word),
            text,
            &[
                ("don", 0),
                ("t", 1),
                ("pay", 2),
                ("3", 3),
                ("14", 4),
                ("fold", 5),
            ],
        );
        check(
            with(Tokenizer::Whitespace),
            text,
            &[("don't", 0), ("pay", 1), ("3.14-fold!", 2)],
        );
        check(with(Tokenizer::Unicode), "日本", &[("日", 0), ("本", 1)]);
    }

    #[test]
    fn prefixes_come_from_documents_and_the_longest_from_queries() {
        let options = AnalyzerOptions {
            token_characters_min: 2,
            token_characters_max: 4,
            ..with(Tokenizer::Prefix)
        };
        check(
            options.clone(),
            "a Éclair",
            &[("éc", 1), ("écl", 1), ("écla", 1)],
        );
        let query = Analyzer::new(&options)
            .unwrap()
            .terms("Éclairs", Purpose::Query);
        assert_eq!(query, [("écla".to_owned(), 0)]);
    }

    #[test]
    fn english_stems_and_stop_words_leave_gaps() {
        check(
            AnalyzerOptions::for_language(Language::English),
            "The running of the Ponies",
            &[("run", 1), ("poni", 4)],
        );
        check(
            AnalyzerOptions::for_language(Language::German),
            "Die Häuser und Katzen",
            &[("haus", 1), ("katz", 3)],
        );
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        let options = AnalyzerOptions {
            token_characters_min: 3,
            token_characters_max: 4,
            ..AnalyzerOptions::default()
        };
        check(
            options,
            "éé ééé éééé ééééé abc",
            &[("ééé", 1), ("éééé", 2), ("abc", 4)],
        );
    }

    #[test]
    fn values_of_one_field_are_far_apart() {
        let analyzer = Analyzer::new(&AnalyzerOptions::default()).unwrap();
        let mut positions = Vec::new();
        analyzer.analyze_values(["a b", "c"], &mut |_, position| positions.push(position));
        assert_eq!(positions, [0, 1, 2 + VALUE_GAP]);
    }

    #[test]
    fn contradicting_bounds_are_named() {
        let options = AnalyzerOptions {
            token_characters_min: 5,
            token_characters_max: 4,
            ..AnalyzerOptions::default()
        };
        let error = Analyzer::new(&options).unwrap_err().to_string();
        assert!(error.starts_with("token_characters_min"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_in_any_language_analyses_the_same_on_both_sides(
            text in "\\PC{0,60}|[a-zà-ÿğışа-яα-ωء-ي]{1,30}",
            language in proptest::sample::select(Language::ALL.to_vec()),
        ) {
            let analyzer = Analyzer::new(&AnalyzerOptions::for_language(language)).unwrap();
            let document = analyzer.terms(&text, Purpose::Document);
            prop_assert_eq!(&document, &analyzer.terms(&text, Purpose::Query));
            prop_assert!(document.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        }
    }
}
