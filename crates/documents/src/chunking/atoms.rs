//! Words, and how many tokens each is.

use std::collections::HashMap;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::{ChunkingError, TextModel};

/// A word with the white space before it. The first also has none before it to lose, the last has the white space
/// behind it, so atoms cover the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) bytes: Range<usize>,
    /// Byte where its word begins.
    pub(super) word: usize,
    pub(super) tokens: usize,
}

/// Words longer than this are cut between the words that Unicode finds in them, then between characters: addresses,
/// base64, languages without spaces.
const WORD_BYTES_MAX: usize = 48;
/// Texts in one question to the model.
const TEXTS_PER_CALL: usize = 512;
/// Distinct words remembered from one piece to the next.
const COUNTS_MAX: usize = 200_000;

/// The atoms of `text`, none with more than `size` tokens unless it is one character.
pub(super) fn split(
    text: &str,
    size: usize,
    counts: &mut HashMap<Box<str>, usize>,
    model: &mut dyn TextModel,
) -> Result<Vec<Atom>, ChunkingError> {
    let mut words = words(text);
    if counts.len() > COUNTS_MAX {
        counts.clear();
    }
    loop {
        learn(text, &words, counts, model)?;
        let tokens = |word: &Range<usize>| counts.get(key(text, word)).copied().unwrap_or(0);
        // What is too large is halved until it fits; each round at least one word gets shorter.
        let halves = |word: &Range<usize>| {
            let middle = middle(&text[word.clone()]).filter(|_| tokens(word) > size);
            middle.map(|middle| word.start + middle)
        };
        let mut smaller = Vec::with_capacity(words.len());
        for word in &words {
            match halves(word) {
                Some(middle) => smaller.extend([word.start..middle, middle..word.end]),
                None => smaller.push(word.clone()),
            }
        }
        if smaller.len() == words.len() {
            return Ok(cover(text, &words, tokens));
        }
        words = smaller;
    }
}

/// The border of characters nearest the middle; none in a single character.
fn middle(word: &str) -> Option<usize> {
    let floor = word.floor_char_boundary(word.len() / 2);
    let middle = if floor == 0 {
        word.chars().next().map_or(0, char::len_utf8)
    } else {
        floor
    };
    (middle > 0 && middle < word.len()).then_some(middle)
}

/// What a word is remembered by: with one space before it when there is white space, as tokenizers that see spaces do.
fn key<'a>(text: &'a str, word: &Range<usize>) -> &'a str {
    let spaced = text[..word.start].ends_with(' ');
    &text[word.start - usize::from(spaced)..word.end]
}

/// Counts the tokens of the words that are not known yet.
fn learn(
    text: &str,
    words: &[Range<usize>],
    counts: &mut HashMap<Box<str>, usize>,
    model: &mut dyn TextModel,
) -> Result<(), ChunkingError> {
    let mut unknown: Vec<&str> = Vec::new();
    for word in words {
        let key = key(text, word);
        if !counts.contains_key(key) {
            counts.insert(key.into(), 0);
            unknown.push(key);
        }
    }
    for part in unknown.chunks(TEXTS_PER_CALL) {
        for (word, tokens) in part.iter().zip(count(part, model)?) {
            // A word that counts nothing would let a chunk grow without end.
            counts.insert((*word).into(), tokens.max(1));
        }
    }
    Ok(())
}

/// Asks the model, and checks that it answers for all.
pub(super) fn count(
    texts: &[&str],
    model: &mut dyn TextModel,
) -> Result<Vec<usize>, ChunkingError> {
    let mut tokens = Vec::with_capacity(texts.len());
    for part in texts.chunks(TEXTS_PER_CALL) {
        let given = model.count(part).map_err(ChunkingError::Model)?;
        if given.len() != part.len() {
            return Err(ChunkingError::Answers {
                asked: part.len(),
                given: given.len(),
            });
        }
        tokens.extend(given);
    }
    Ok(tokens)
}

/// Byte ranges of the words: no white space at their ends, none empty.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut from = 0;
    while let Some(skip) = text[from..].find(|character: char| !character.is_whitespace()) {
        let start = from + skip;
        let length = text[start..]
            .find(char::is_whitespace)
            .unwrap_or(text.len() - start);
        from = start + length;
        let word = &text[start..from];
        if word.len() <= WORD_BYTES_MAX && !word.chars().any(unspaced) {
            words.push(start..from);
            continue;
        }
        for (offset, part) in word.split_word_bound_indices() {
            let mut begin = start + offset;
            let end = begin + part.len();
            while end - begin > WORD_BYTES_MAX {
                let cut = text.floor_char_boundary(begin + WORD_BYTES_MAX);
                words.push(begin..cut);
                begin = cut;
            }
            words.push(begin..end);
        }
    }
    words
}

/// Scripts that write no spaces begin here: the radicals of Chinese, before them none of the large ones.
fn unspaced(character: char) -> bool {
    character >= '\u{2e80}' || ('\u{0e00}'..='\u{0eff}').contains(&character)
}

/// Words to atoms, which cover the text.
fn cover(text: &str, words: &[Range<usize>], tokens: impl Fn(&Range<usize>) -> usize) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = Vec::with_capacity(words.len());
    let mut from = 0;
    for word in words {
        atoms.push(Atom {
            bytes: from..word.end,
            word: word.start,
            tokens: tokens(word),
        });
        from = word.end;
    }
    if let Some(last) = atoms.last_mut() {
        last.bytes.end = text.len();
    }
    atoms
}
