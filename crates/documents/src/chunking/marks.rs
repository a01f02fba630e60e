//! How good a place for a cut the border before every atom is.

use unicode_segmentation::UnicodeSegmentation;

use super::Strategy;
use super::atoms::Atom;
use crate::piece::Piece;

/// A border of atoms: no mark, or the better the higher.
pub(super) type Mark = u8;
pub(super) const NONE: Mark = 0;
pub(super) const SENTENCE: Mark = 1;
pub(super) const LINE: Mark = 2;
pub(super) const BLOCK: Mark = 3;
/// A chunk always ends here.
pub(super) const ALWAYS: Mark = 4;

/// The mark before each atom, by the strategy. The first is [`NONE`].
pub(super) fn place(piece: &Piece, atoms: &[Atom], strategy: Strategy) -> Vec<Mark> {
    let mut marks = vec![NONE; atoms.len()];
    let text = &piece.text;
    let blocks = piece.blocks.clone().unwrap_or_else(|| paragraphs(text));
    match strategy {
        Strategy::Fixed => {}
        Strategy::Sentence | Strategy::Semantic => {
            set(&mut marks, atoms, sentences(text, &blocks), SENTENCE);
        }
        Strategy::Paragraph => {
            set(&mut marks, atoms, sentences(text, &blocks), SENTENCE);
            set(&mut marks, atoms, blocks, BLOCK);
        }
        Strategy::Recursive | Strategy::Markdown => {
            set(&mut marks, atoms, sentences(text, &blocks), SENTENCE);
            set(&mut marks, atoms, lines(text), LINE);
            set(&mut marks, atoms, blocks, BLOCK);
        }
    }
    if strategy == Strategy::Markdown {
        set(&mut marks, atoms, sections(piece), ALWAYS);
    }
    if let Some(first) = marks.first_mut() {
        *first = NONE;
    }
    marks
}

/// Marks the first atom whose word begins at or after each byte.
fn set(marks: &mut [Mark], atoms: &[Atom], bytes: impl IntoIterator<Item = usize>, mark: Mark) {
    for byte in bytes {
        let index = atoms.partition_point(|atom| atom.word < byte);
        if let Some(found) = marks.get_mut(index) {
            *found = (*found).max(mark);
        }
    }
}

/// Bytes where lines begin.
fn lines(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices('\n').map(|(byte, _)| byte + 1)
}

/// Bytes where paragraphs begin: after lines that hold only white space.
fn paragraphs(text: &str) -> Vec<usize> {
    let (mut starts, mut byte, mut empty) = (Vec::new(), 0, true);
    for line in text.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        if empty && !blank {
            starts.push(byte);
        }
        empty = blank;
        byte += line.len();
    }
    starts
}

/// Bytes where sentences begin. The ends of lines inside a block are no ends of sentences: prose is wrapped.
pub(super) fn sentences(text: &str, blocks: &[usize]) -> Vec<usize> {
    let mut starts = Vec::new();
    let ends = blocks.iter().copied().skip(1).chain([text.len()]);
    for (start, end) in blocks.iter().copied().zip(ends) {
        // Same bytes, so the places stay true.
        let block = text[start..end].replace(['\n', '\r'], " ");
        let bounds = block.split_sentence_bound_indices();
        starts.extend(bounds.map(|(offset, _)| start + offset));
    }
    starts
}

/// Bytes where sections begin. A heading that follows another at once belongs to that one: a chunk of nothing but a
/// title finds everything and answers nothing.
fn sections(piece: &Piece) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut last: Option<(usize, &str)> = None;
    for heading in &piece.headings {
        let lonely = last.is_some_and(|(byte, title)| {
            let between = piece.text[byte..heading.byte].trim();
            let words = |text: &str| text.split_whitespace().count();
            // The marks of the heading itself, `##` or a line of `===`, are not words of a body.
            words(between) <= words(title) + 1 && between.lines().count() <= 2
        });
        if !lonely {
            starts.push(heading.byte);
        }
        last = Some((heading.byte, &heading.title));
    }
    starts
}
