//! Atoms to drafts of chunks, and drafts to chunks that are counted.

use std::collections::VecDeque;
use std::ops::Range;

use super::atoms::{Atom, count};
use super::marks::{ALWAYS, BLOCK, LINE, Mark, NONE, SENTENCE};
use super::{ChunkingError, ChunkingOptions, Strategy, TextModel};

/// Bytes of a chunk to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// Where the repeated end of the one before begins; `begin` when nothing is repeated.
    pub(super) overlap: usize,
    /// Where its own part begins.
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Draft {
    /// Bytes without white space around them.
    pub(super) fn content(&self, text: &str) -> Range<usize> {
        let whole = &text[self.overlap..self.end];
        let start = self.overlap + whole.len() - whole.trim_start().len();
        start..start + whole.trim().len()
    }
}

/// Fills chunks and cuts at the best marks.
pub(super) fn pack(atoms: &[Atom], marks: &[Mark], options: &ChunkingOptions) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let (mut overlap, mut begin) = (0, 0);
    while begin < atoms.len() {
        let end = end_of(atoms, marks, overlap, begin, options);
        drafts.push(Draft {
            overlap: atoms[overlap].bytes.start,
            begin: atoms[begin].bytes.start,
            end: atoms[end - 1].bytes.end,
        });
        overlap = overlap_before(atoms, marks, begin, end, options);
        begin = end;
    }
    drafts
}

/// The atom after the last of the chunk whose own part begins at `begin`; always after it.
fn end_of(
    atoms: &[Atom],
    marks: &[Mark],
    overlap: usize,
    begin: usize,
    options: &ChunkingOptions,
) -> usize {
    let mut tokens: usize = atoms[overlap..begin].iter().map(|atom| atom.tokens).sum();
    let (mut full, mut half) = (begin, begin + 1);
    for (index, atom) in atoms.iter().enumerate().skip(begin) {
        if index > begin && (marks[index] == ALWAYS || tokens + atom.tokens > options.size) {
            break;
        }
        tokens += atom.tokens;
        full = index + 1;
        if tokens * 2 < options.size {
            half = index + 2;
        }
    }
    if full == atoms.len() || marks[full] == ALWAYS {
        return full;
    }
    let last = |from: usize, mark: Mark| (from..=full).rev().find(|index| marks[*index] >= mark);
    let first = begin + 1;
    let cut = match options.strategy {
        Strategy::Fixed => None,
        // A paragraph stays whole if it can, however little is before it.
        Strategy::Paragraph => last(first, BLOCK),
        _ => [BLOCK, LINE, SENTENCE]
            .into_iter()
            .find_map(|mark| last(half.max(first), mark)),
    };
    cut.or_else(|| last(first, SENTENCE)).unwrap_or(full)
}

/// Where the chunk after the cut at `end` begins to repeat.
fn overlap_before(
    atoms: &[Atom],
    marks: &[Mark],
    begin: usize,
    end: usize,
    options: &ChunkingOptions,
) -> usize {
    if end >= atoms.len() || marks[end] == ALWAYS {
        return end;
    }
    // The next chunk needs room for at least one atom of its own.
    let room = options
        .overlap
        .min(options.size.saturating_sub(atoms[end].tokens));
    let (mut from, mut tokens) = (end, 0);
    while from > begin && tokens + atoms[from - 1].tokens <= room {
        from -= 1;
        tokens += atoms[from].tokens;
    }
    // Rather a whole sentence than the end of one.
    (from..end)
        .find(|index| marks[*index] > NONE)
        .unwrap_or(from)
}

/// Counts whole drafts and cuts again what is too large: words together can have more tokens than words alone.
pub(super) fn settle(
    text: &str,
    atoms: &[Atom],
    drafts: Vec<Draft>,
    size: usize,
    model: &mut dyn TextModel,
) -> Result<Vec<(Draft, usize)>, ChunkingError> {
    let texts: Vec<&str> = drafts
        .iter()
        .map(|draft| &text[draft.content(text)])
        .collect();
    let tokens = count(&texts, model)?;
    let mut settled = Vec::with_capacity(drafts.len());
    let mut waiting: VecDeque<(Draft, usize)> = drafts.into_iter().zip(tokens).collect();
    while let Some((mut draft, tokens)) = waiting.pop_front() {
        if tokens <= size {
            settled.push((draft, tokens));
            continue;
        }
        let parts = if draft.overlap < draft.begin {
            draft.overlap = draft.begin;
            vec![draft]
        } else {
            let middle = middle(text, atoms, &draft, size)?;
            let second = Draft {
                overlap: middle,
                begin: middle,
                end: draft.end,
            };
            draft.end = middle;
            vec![draft, second]
        };
        let texts: Vec<&str> = parts.iter().map(|part| &text[part.content(text)]).collect();
        let tokens = count(&texts, model)?;
        for part in parts.into_iter().zip(tokens).rev() {
            waiting.push_front(part);
        }
    }
    Ok(settled)
}

/// Where a draft that is too large is cut: at the border of atoms, else of characters, nearest its middle. Both halves
/// hold more than white space.
fn middle(text: &str, atoms: &[Atom], draft: &Draft, size: usize) -> Result<usize, ChunkingError> {
    let content = draft.content(text);
    let wanted = content.start + content.len() / 2;
    let index = atoms.partition_point(|atom| atom.bytes.start < wanted);
    let near = [index.checked_sub(1), Some(index)];
    let inside = near
        .into_iter()
        .flatten()
        .filter_map(|index| atoms.get(index))
        .map(|atom| atom.bytes.start)
        .filter(|byte| (content.start + 1..content.end).contains(byte))
        .min_by_key(|byte| byte.abs_diff(wanted));
    if let Some(byte) = inside {
        return Ok(byte);
    }
    let whole = &text[content.clone()];
    let mut characters = whole.chars();
    let first = characters.next().unwrap_or(' ');
    if characters.next().is_none() {
        return Err(ChunkingError::TooSmall(first, size));
    }
    let byte = whole.floor_char_boundary(whole.len() / 2);
    Ok(content.start + byte.max(first.len_utf8()))
}
