//! A text query: terms to score, phrases to require.

use super::analysis::{Analyzer, Purpose, VALUE_GAP};

/// Most terms of a query; further ones are left out, since the rarest words of so long a text come early enough.
pub const TERMS_MAX: usize = 1_024;

/// Terms that are searched for, each once, and phrases of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextQuery {
    terms: Vec<String>,
    phrases: Vec<Phrase>,
    all_terms: bool,
    /// Whether words were left out because there were too many.
    cut: bool,
}

/// Terms at fixed distances: (number of the term, distance from the first one in positions).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub(crate) terms: Vec<(usize, u32)>,
}

impl TextQuery {
    /// Any of the words of `text`, or all of them.
    pub fn words(analyzer: &Analyzer, text: &str, all_terms: bool) -> Self {
        let mut query = TextQuery {
            all_terms,
            ..TextQuery::default()
        };
        query.add(analyzer, text);
        query
    }

    /// The words of `text` one after another, with the gaps that stop words leave.
    pub fn phrase(analyzer: &Analyzer, text: &str) -> Self {
        let mut query = TextQuery {
            all_terms: true,
            ..TextQuery::default()
        };
        query.add_phrase(analyzer, text);
        query
    }

    /// As [`TextQuery::words`], but what stands between quotation marks has to be there as a phrase.
    pub fn with_quoted_phrases(analyzer: &Analyzer, text: &str, all_terms: bool) -> Self {
        let mut query = TextQuery {
            all_terms,
            ..TextQuery::default()
        };
        let mut parts = text.split('"').enumerate().peekable();
        while let Some((index, part)) = parts.next() {
            // Every second part stands between two marks, but for the one behind a mark that is never closed.
            if index % 2 == 1 && parts.peek().is_some() {
                query.add_phrase(analyzer, part);
            } else {
                query.add(analyzer, part);
            }
        }
        query
    }

    /// The terms, each once.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// Whether a text must have all the terms.
    pub fn wants_all_terms(&self) -> bool {
        self.all_terms
    }

    /// Whether nothing is searched for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether the terms of one match may stand in several texts of a field: always when all are wanted, and in phrases
    /// with a gap as wide as that between two texts.
    pub(crate) fn may_span_texts(&self) -> bool {
        let wide = |phrase: &Phrase| {
            phrase
                .terms
                .iter()
                .any(|(_, distance)| *distance >= VALUE_GAP)
        };
        match self.phrases.is_empty() {
            true => self.all_terms && self.terms.len() > 1,
            false => self.phrases.iter().any(wide),
        }
    }

    /// Whether words were left out because there were more than [`TERMS_MAX`].
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }

    fn add(&mut self, analyzer: &Analyzer, text: &str) {
        analyzer.analyze(text, Purpose::Query, 0, &mut |term, _| {
            self.number_of(term);
        });
    }

    fn add_phrase(&mut self, analyzer: &Analyzer, text: &str) {
        let mut terms = Vec::new();
        let mut first = None;
        analyzer.analyze(text, Purpose::Query, 0, &mut |term, position| {
            let first = *first.get_or_insert(position);
            if let Some(number) = self.number_of(term) {
                terms.push((number, position - first));
            }
        });
        if !terms.is_empty() {
            self.phrases.push(Phrase { terms });
        }
    }

    fn number_of(&mut self, term: &str) -> Option<usize> {
        if let Some(number) = self.terms.iter().position(|known| known == term) {
            return Some(number);
        }
        if self.terms.len() == TERMS_MAX {
            self.cut = true;
            return None;
        }
        self.terms.push(term.to_owned());
        Some(self.terms.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnalyzerOptions, Language};
    use super::*;

    #[test]
    fn quoted_words_become_phrases_with_gaps() {
        let analyzer = Analyzer::new(&AnalyzerOptions::for_language(Language::English)).unwrap();
        let query = TextQuery::with_quoted_phrases(
            &analyzer,
            "cats \"the house of cats\" dog \"open",
            false,
        );
        assert_eq!(query.terms(), ["cat", "hous", "dog", "open"]);
        let phrases: Vec<_> = query.phrases().iter().map(|phrase| &phrase.terms).collect();
        assert_eq!(phrases, [&vec![(1, 0), (0, 2)]]);
        assert!(TextQuery::words(&analyzer, "the of", true).is_empty());
    }
}
