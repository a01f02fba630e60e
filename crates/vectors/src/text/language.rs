//! Languages whose stemmer (Snowball, Porter 2001) and stop words are known.

use rust_stemmers::Algorithm;
use serde::{Deserialize, Serialize};

use super::stop_words;

/// A language of the analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the language of that name")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

impl Language {
    /// Every language, in alphabetical order.
    pub const ALL: [Language; 18] = [
        Language::Arabic,
        Language::Danish,
        Language::Dutch,
        Language::English,
        Language::Finnish,
        Language::French,
        Language::German,
        Language::Greek,
        Language::Hungarian,
        Language::Italian,
        Language::Norwegian,
        Language::Portuguese,
        Language::Romanian,
        Language::Russian,
        Language::Spanish,
        Language::Swedish,
        Language::Tamil,
        Language::Turkish,
    ];

    /// English name in lower case, and the two-letter code of ISO 639-1.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Language::Arabic => ("arabic", "ar"),
            Language::Danish => ("danish", "da"),
            Language::Dutch => ("dutch", "nl"),
            Language::English => ("english", "en"),
            Language::Finnish => ("finnish", "fi"),
            Language::French => ("french", "fr"),
            Language::German => ("german", "de"),
            Language::Greek => ("greek", "el"),
            Language::Hungarian => ("hungarian", "hu"),
            Language::Italian => ("italian", "it"),
            Language::Norwegian => ("norwegian", "no"),
            Language::Portuguese => ("portuguese", "pt"),
            Language::Romanian => ("romanian", "ro"),
            Language::Russian => ("russian", "ru"),
            Language::Spanish => ("spanish", "es"),
            Language::Swedish => ("swedish", "sv"),
            Language::Tamil => ("tamil", "ta"),
            Language::Turkish => ("turkish", "tr"),
        }
    }

    /// The language with this English name or two-letter code, in any case; `None` when it is not known.
    pub fn parse(name: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| {
            let (long, short) = language.names();
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        })
    }

    /// Words too frequent to tell texts apart, lower case; empty for languages without a list.
    pub fn stop_words(self) -> impl Iterator<Item = &'static str> {
        stop_words::of(self).split_whitespace()
    }

    pub(super) fn stemmer(self) -> Algorithm {
        match self {
            Language::Arabic => Algorithm::Arabic,
            Language::Danish => Algorithm::Danish,
            Language::Dutch => Algorithm::Dutch,
            Language::English => Algorithm::English,
            Language::Finnish => Algorithm::Finnish,
            Language::French => Algorithm::French,
            Language::German => Algorithm::German,
            Language::Greek => Algorithm::Greek,
            Language::Hungarian => Algorithm::Hungarian,
            Language::Italian => Algorithm::Italian,
            Language::Norwegian => Algorithm::Norwegian,
            Language::Portuguese => Algorithm::Portuguese,
            Language::Romanian => Algorithm::Romanian,
            Language::Russian => Algorithm::Russian,
            Language::Spanish => Algorithm::Spanish,
            Language::Swedish => Algorithm::Swedish,
            Language::Tamil => Algorithm::Tamil,
            Language::Turkish => Algorithm::Turkish,
        }
    }
}
