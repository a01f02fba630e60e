//! Words of a text as the conditions text, any word and phrase see them.

use crate::text::{Analyzer, Purpose};

/// How a field's text is cut into words. A text index brings its own; other fields use [`PlainWords`].
pub trait Words: Send + Sync {
    /// Calls `each` for every word of the text in order, in the form in which words are compared.
    fn words(&self, text: &str, each: &mut dyn FnMut(&str));

    /// The same for a text to be searched for; differs where documents yield more forms than queries.
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

/// Whether `text` has `wanted` as words one after the other; never for no word at all.
pub fn has_phrase(words: &dyn Words, text: &str, wanted: &[String]) -> bool {
    let has = words_of(words, text);
    !wanted.is_empty() && has.windows(wanted.len()).any(|run| run == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(has_phrase(&PlainWords, text, &wanted("quick brown")));
        assert!(!has_phrase(&PlainWords, text, &wanted("brown quick")));
        assert!(!has_phrase(&PlainWords, text, &wanted("")));
    }
}
