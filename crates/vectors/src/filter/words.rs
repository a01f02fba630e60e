//! Words of a text as the conditions text, any word and phrase see them.

use std::collections::HashSet;

use crate::text::{Analyzer, Purpose};

/// How a field's text is cut into words. A text index brings its own; other fields use [`PlainWords`].
pub trait Words: Send + Sync {
    /// Calls `each` for every word of the text in order, in the form in which words are compared.
    fn words(&self, text: &str, each: &mut dyn FnMut(&str));

    /// The same with the place of each word; words that are dropped leave a gap.
    fn placed_words(&self, text: &str, each: &mut dyn FnMut(&str, u32)) {
        let mut place = 0;
        self.words(text, &mut |word| {
            each(word, place);
            place += 1;
        });
    }

    /// Both for a text to be searched for.
    fn placed_query_words(&self, text: &str, each: &mut dyn FnMut(&str, u32)) {
        let mut place = 0;
        self.query_words(text, &mut |word| {
            each(word, place);
            place += 1;
        });
    }

    /// As `words` for a text to be searched for; differs where documents yield more forms than queries.
    fn query_words(&self, text: &str, each: &mut dyn FnMut(&str)) {
        self.words(text, each);
    }
}

impl Words for Analyzer {
    fn words(&self, text: &str, each: &mut dyn FnMut(&str)) {
        self.analyze(text, Purpose::Document, 0, &mut |word, _| each(word));
    }

    fn query_words(&self, text: &str, each: &mut dyn FnMut(&str)) {
        self.analyze(text, Purpose::Query, 0, &mut |word, _| each(word));
    }

    fn placed_words(&self, text: &str, each: &mut dyn FnMut(&str, u32)) {
        self.analyze(text, Purpose::Document, 0, each);
    }

    fn placed_query_words(&self, text: &str, each: &mut dyn FnMut(&str, u32)) {
        self.analyze(text, Purpose::Query, 0, each);
    }
}

/// Runs of letters and digits in lower case.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainWords;

impl Words for PlainWords {
    fn words(&self, text: &str, each: &mut dyn FnMut(&str)) {
        let mut lower = String::new();
        for word in text
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            if word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            {
                each(word);
            } else {
                lower.clear();
                lower.extend(word.chars().flat_map(char::to_lowercase));
                each(&lower);
            }
        }
    }
}

/// The words of a text in order.
pub fn words_of(words: &dyn Words, text: &str) -> Vec<String> {
    let mut list = Vec::new();
    words.words(text, &mut |word| list.push(word.to_owned()));
    list
}

/// The words of a text to be searched for, in order.
pub fn query_words_of(words: &dyn Words, text: &str) -> Vec<String> {
    let mut list = Vec::new();
    words.query_words(text, &mut |word| list.push(word.to_owned()));
    list
}

/// Whether `text` has every one of `wanted`; never for no word at all.
pub fn has_all(words: &dyn Words, text: &str, wanted: &[String]) -> bool {
    let mut missing: Vec<&str> = wanted.iter().map(String::as_str).collect();
    if !missing.is_empty() {
        words.words(text, &mut |word| missing.retain(|other| *other != word));
    }
    missing.is_empty() && !wanted.is_empty()
}

/// Whether `text` has one of `wanted`.
pub fn has_any(words: &dyn Words, text: &str, wanted: &[String]) -> bool {
    let mut found = false;
    words.words(text, &mut |word| {
        found = found || wanted.iter().any(|other| other == word);
    });
    found
}

/// The words of a text to be searched for as a phrase, each with its distance from the first.
pub fn phrase_of(words: &dyn Words, text: &str) -> Vec<(String, u32)> {
    let mut list: Vec<(String, u32)> = Vec::new();
    words.placed_query_words(text, &mut |word, place| {
        list.push((word.to_owned(), place));
    });
    let first = list.first().map_or(0, |(_, place)| *place);
    for (_, place) in &mut list {
        *place -= first;
    }
    list
}

/// Whether `text` has the words `wanted` at their distances from one another; never for no word at all.
pub fn has_phrase(words: &dyn Words, text: &str, wanted: &[(String, u32)]) -> bool {
    let mut has: HashSet<(String, u32)> = HashSet::new();
    let mut starts = Vec::new();
    let Some((first, _)) = wanted.first() else {
        return false;
    };
    words.placed_words(text, &mut |word, place| {
        if word == first {
            starts.push(place);
        }
        if wanted.iter().any(|(other, _)| other == word) {
            has.insert((word.to_owned(), place));
        }
    });
    starts.iter().any(|start| {
        wanted
            .iter()
            .all(|(word, distance)| has.contains(&(word.clone(), start.saturating_add(*distance))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{AnalyzerOptions, Language};

    #[test]
    fn texts_are_compared_word_by_word() {
        let text = "The quick-brown Fox, über 42 Zäune!";
        assert_eq!(
            words_of(&PlainWords, text),
            ["the", "quick", "brown", "fox", "über", "42", "zäune"]
        );
        let wanted = |text: &str| words_of(&PlainWords, text);
        assert!(has_all(&PlainWords, text, &wanted("FOX the")));
        assert!(!has_all(&PlainWords, text, &wanted("fo")));
        assert!(!has_all(&PlainWords, text, &wanted(" - ")));
        assert!(has_any(&PlainWords, text, &wanted("cat fox")));
        assert!(!has_any(&PlainWords, text, &wanted("")));
        let phrase = |part: &str| has_phrase(&PlainWords, text, &phrase_of(&PlainWords, part));
        assert!(phrase("quick brown") && phrase("zäune"));
        assert!(!phrase("brown quick") && !phrase("quick fox") && !phrase(""));
        let english =
            Analyzer::new(&AnalyzerOptions::for_language(Language::English)).expect("options");
        let phrase = |text: &str| has_phrase(&english, text, &phrase_of(&english, "house of cats"));
        assert!(phrase("the houses of a house, of cats") && phrase("house for cats"));
        assert!(!phrase("the house cats") && !phrase("house of the cats"));
    }
}
