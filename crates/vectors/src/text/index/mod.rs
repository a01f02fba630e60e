//! The text index of one field in one segment: BM25 over its own inverted lists.
//!
//! [`TextIndex`] grows row by row ([`TextIndex::insert`]) and is then written as sections and read in place. Scoring has
//! two steps, so that deletes and segments don't show in the scores: [`TextIndex::statistics`] of the live rows of every
//! segment are added up, then each segment is searched with the sum.
//!
//! score(row) = Σ over distinct query terms idf · tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / average length)),
//! idf = ln((N − df + 0.5) / (df + 0.5) + 1) (Robertson & Zaragoza 2009, with the 1 of Lucene that keeps it above 0).
//! N counts rows with at least one term in the field; lengths are in terms.
//!
//! ```text
//!  TXMT  magic "txi1", rows u32, rows with a term u32, terms u32, all tokens u64, options of the analysis as JSON
//!  TXTO  where each term begins in TXTB, and the end of the last, u32 each
//!  TXTB  terms in the order of their bytes, UTF-8, one after another
//!  TXLS, TXBL, TXDT  the lists of the terms in this order: LIST, BLKS and DATA of the module `postings`
//!  TXPO  positions, LEB128, block by block: for each row as many as its tf, the first itself, then differences
//!  TXLN  length of each row in terms, u32
//! ```
//!
//! The value of a row in a list is tf − 1; the bounds of a block are its largest tf and its smallest length; its extra
//! offset is where its positions begin in TXPO.
//!
//! Why our own lists and not a search library: deletes and filters are bitmaps of the engine's own rows, checked inside
//! the search; statistics have to be exact over the live rows of all segments; and bytes live in the engine's
//! checksummed containers.

mod memory;
mod scoring;
mod sealed;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use self::memory::MemoryText;
use self::scoring::{Scoring, TermScores};
use self::sealed::SealedText;
use super::analysis::{Analyzer, AnalyzerOptions};
use super::query::TextQuery;
use crate::error::VectorsError;
use crate::postings::{
    BLOCK_ROWS, LiveCounts, MemoryList, PostingBlocks, SealedList, Search, top_rows,
};
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::storage::{Bytes, SectionId, Sections};

/// The words of one field of one segment.
#[derive(Debug)]
pub struct TextIndex {
    analyzer: Analyzer,
    words: Words,
    /// Documents and tokens among the live rows, and how many rows were dead when they were counted.
    counted: Mutex<Option<(u32, Totals)>>,
    /// Live rows by number of term.
    frequencies: LiveCounts,
}

#[derive(Debug)]
enum Words {
    Memory(MemoryText),
    Sealed(Box<SealedText>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    documents: u64,
    tokens: u64,
}

/// What scores are computed from. Those of segments add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextStatistics {
    /// Live rows with a term in the field.
    pub documents: u64,
    /// Their terms in all, repetitions included.
    pub tokens: u64,
    /// Live rows with each of the query's terms.
    pub frequencies: Vec<u64>,
}

impl TextStatistics {
    /// Adds those of another segment, for the same query.
    pub fn add(&mut self, other: &TextStatistics) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.frequencies.resize(other.frequencies.len(), 0);
        for (sum, count) in self.frequencies.iter_mut().zip(&other.frequencies) {
            *sum += count;
        }
    }
}

/// A search of one segment.
#[derive(Debug, Clone, Copy)]
pub struct TextIndexSearch<'a> {
    /// What is searched for.
    pub query: &'a TextQuery,
    /// Of all segments.
    pub statistics: &'a TextStatistics,
    /// How fast repetitions stop to matter.
    pub k1: f32,
    /// How much long texts are held back.
    pub b: f32,
    /// How many rows are wanted.
    pub k: usize,
    /// Which rows may be found.
    pub allowed: Allowed<'a>,
}

/// A term's list in memory or sealed.
#[derive(Debug, Clone, Copy)]
enum TermList<'a> {
    Memory(&'a MemoryList),
    Sealed(SealedList<'a>),
}

impl TextIndex {
    /// An empty index in memory.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the options contradict each other.
    pub fn new(options: &AnalyzerOptions) -> Result<Self, VectorsError> {
        Ok(TextIndex {
            analyzer: Analyzer::new(options)?,
            words: Words::Memory(MemoryText::default()),
            counted: Mutex::new(None),
            frequencies: LiveCounts::default(),
        })
    }

    /// How its text is analysed; queries need the same.
    pub fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// Adds the texts of a row; rows come in rising order, those without text are left out.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the row is not behind the last one, or the index was opened.
    pub fn insert<'t>(
        &mut self,
        row: u32,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), VectorsError> {
        let Words::Memory(words) = &mut self.words else {
            return Err(VectorsError::invalid(
                "text",
                "cannot be added to a sealed index",
            ));
        };
        *self
            .counted
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.frequencies.clear();
        words.insert(&self.analyzer, row, texts)
    }

    /// How many live rows have text, and how many of them each term of the query.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the sections are damaged.
    pub fn statistics(
        &self,
        query: &TextQuery,
        live: Option<&AtomicRowSet>,
    ) -> Result<TextStatistics, VectorsError> {
        // Only with deletes do rows have to be looked at.
        let live = live.filter(|live| live.removed() > 0);
        let mut frequencies = Vec::with_capacity(query.terms().len());
        for term in query.terms() {
            let count = match (self.list(term)?, live) {
                (None, _) => 0,
                (Some((_, list)), None) => list.rows() as u64,
                (Some((number, list)), Some(live)) => {
                    // Taken before the rows: what dies meanwhile is counted again by the next query.
                    let removed = live.removed();
                    self.frequencies.get(removed, number as u32, || {
                        let mut count = 0;
                        list.each_row(&mut |row| count += u64::from(live.contains(row)))?;
                        Ok(count)
                    })?
                }
            };
            frequencies.push(count);
        }
        let totals = match live {
            None => self.totals(),
            Some(live) => self.live_totals(live)?,
        };
        Ok(TextStatistics {
            documents: totals.documents,
            tokens: totals.tokens,
            frequencies,
        })
    }

    /// The allowed rows with the best scores, best first; rows without any of the query's terms are not found.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the sections are damaged.
    pub fn search(&self, search: &TextIndexSearch<'_>) -> Result<Vec<Scored>, VectorsError> {
        let query = search.query;
        let lengths = self.lengths()?;
        let scoring = Scoring::new(search);
        let mut lists = Vec::with_capacity(query.terms().len());
        for (number, term) in query.terms().iter().enumerate() {
            match self.list(term)? {
                Some((_, list)) => lists.push(TermScores {
                    list,
                    lengths,
                    weight: scoring.weight(search.statistics, number),
                    scoring,
                }),
                None if query.wants_all_terms() => return Ok(Vec::new()),
                None => {}
            }
        }
        let views: Vec<&dyn PostingBlocks> = lists
            .iter()
            .map(|list| list as &dyn PostingBlocks)
            .collect();
        let postings = Search {
            k: search.k,
            allowed: search.allowed,
            all: query.wants_all_terms(),
        };
        top_rows(&views, &postings, &mut |row| self.has_phrases(query, row))
    }

    /// The rows below `rows` that have any of the terms (all, if the query wants that) and every phrase, live or not.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the sections are damaged.
    pub fn matching_rows(&self, query: &TextQuery, rows: u32) -> Result<RowSet, VectorsError> {
        let mut matching: Option<RowSet> = None;
        for term in query.terms() {
            let mut with = RowSet::none(rows);
            if let Some((_, list)) = self.list(term)? {
                list.each_row(&mut |row| with.insert(row))?;
            }
            match &mut matching {
                None => matching = Some(with),
                Some(matching) => {
                    for (word, other) in matching.words_mut().iter_mut().zip(with.words()) {
                        *word = match query.wants_all_terms() {
                            true => *word & other,
                            false => *word | other,
                        };
                    }
                }
            }
        }
        let mut matching = matching.unwrap_or_else(|| RowSet::none(rows));
        if !query.phrases().is_empty() {
            let candidates: Vec<u32> = matching.iter().collect();
            for row in candidates {
                if !self.has_phrases(query, row)? {
                    matching.remove(row);
                }
            }
        }
        Ok(matching)
    }

    /// How many bytes of memory of its own it takes; mapped sections are not among them.
    pub fn bytes_in_memory(&self) -> u64 {
        match &self.words {
            Words::Memory(words) => words.bytes(),
            Words::Sealed(words) => words.bytes_in_memory(),
        }
    }

    /// The index as bytes, to be written to a container and given back to [`TextIndex::open`].
    ///
    /// # Errors
    /// [`VectorsError::Limit`] when there are more lists or blocks, or bytes of terms, than 2^32.
    pub fn sections(&self) -> Result<Sections<'_>, VectorsError> {
        match &self.words {
            Words::Memory(words) => sealed::write(words, self.analyzer.options()),
            Words::Sealed(words) => words.sections(),
        }
    }

    /// Opens an index from the sections it was written as.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when a section is missing, [`VectorsError::Corrupt`] when they don't fit together.
    pub fn open(sections: &dyn Fn(SectionId) -> Option<Bytes>) -> Result<Self, VectorsError> {
        let (words, options) = SealedText::open(sections)?;
        Ok(TextIndex {
            analyzer: Analyzer::new(&options)?,
            words: Words::Sealed(Box::new(words)),
            counted: Mutex::new(None),
            frequencies: LiveCounts::default(),
        })
    }

    /// The list of a term and its number.
    fn list(&self, term: &str) -> Result<Option<(usize, TermList<'_>)>, VectorsError> {
        match &self.words {
            Words::Memory(words) => Ok(words
                .list(term)
                .map(|(number, list)| (number, TermList::Memory(list)))),
            Words::Sealed(words) => Ok(words
                .list(term)?
                .map(|(number, list)| (number, TermList::Sealed(list)))),
        }
    }

    /// The length of each row; rows behind the end have none.
    fn lengths(&self) -> Result<&[u32], VectorsError> {
        match &self.words {
            Words::Memory(words) => Ok(words.lengths()),
            Words::Sealed(words) => words.lengths(),
        }
    }

    fn totals(&self) -> Totals {
        match &self.words {
            Words::Memory(words) => words.totals(),
            Words::Sealed(words) => words.totals(),
        }
    }

    fn live_totals(&self, live: &AtomicRowSet) -> Result<Totals, VectorsError> {
        // Taken before the rows: what dies in between is counted again by the next query.
        let removed = live.removed();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, totals)) = *counted
            && at == removed
        {
            return Ok(totals);
        }
        let live = live.snapshot();
        let mut totals = Totals::default();
        for (row, &length) in (0..).zip(self.lengths()?) {
            if length > 0 && live.contains(row) {
                totals.documents += 1;
                totals.tokens += u64::from(length);
            }
        }
        *counted = Some((removed, totals));
        Ok(totals)
    }

    /// Whether a row has every phrase of the query.
    fn has_phrases(&self, query: &TextQuery, row: u32) -> Result<bool, VectorsError> {
        for phrase in query.phrases() {
            // Places where the phrase may begin: all of its first term, then those that each further term confirms.
            let mut starts: Option<Vec<u32>> = None;
            for &(term, distance) in &phrase.terms {
                let Some(term) = query.terms().get(term) else {
                    return Ok(false);
                };
                let positions = self.positions(term, row)?;
                match &mut starts {
                    None => starts = Some(positions),
                    Some(starts) => starts.retain(|start| {
                        positions
                            .binary_search(&start.saturating_add(distance))
                            .is_ok()
                    }),
                }
            }
            if starts.is_none_or(|starts| starts.is_empty()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Positions of a term in a row, rising; none when it isn't there.
    fn positions(&self, term: &str, row: u32) -> Result<Vec<u32>, VectorsError> {
        let Some((number, list)) = self.list(term)? else {
            return Ok(Vec::new());
        };
        let Some(place) = list.find(row)? else {
            return Ok(Vec::new());
        };
        match &self.words {
            Words::Memory(words) => words.positions(number, &place),
            Words::Sealed(words) => words.positions(&place),
        }
    }
}

/// Where a row stands in a list.
struct Place {
    block: usize,
    /// Where the block's positions begin.
    positions_offset: u64,
    /// Positions of earlier rows of the block.
    positions_before: usize,
    /// Positions of the row.
    count: usize,
}

impl TermList<'_> {
    fn blocks(&self) -> usize {
        match self {
            TermList::Memory(list) => list.bounds().len(),
            TermList::Sealed(list) => list.blocks(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            TermList::Memory(list) => list.rows().len(),
            TermList::Sealed(list) => list.rows(),
        }
    }

    fn last_row(&self, block: usize) -> u32 {
        match self {
            TermList::Memory(list) => list.block_rows(block).last().copied().unwrap_or(0),
            TermList::Sealed(list) => list.last_row(block),
        }
    }

    /// Rows and term frequencies of a block; returns how many.
    fn read(
        &self,
        block: usize,
        rows: &mut [u32; BLOCK_ROWS],
        frequencies: &mut [u32; BLOCK_ROWS],
    ) -> Result<usize, VectorsError> {
        match self {
            TermList::Memory(list) => {
                let from = list.block_rows(block);
                rows[..from.len()].copy_from_slice(from);
                frequencies[..from.len()].copy_from_slice(list.block_values(block));
                Ok(from.len())
            }
            TermList::Sealed(list) => {
                let count = list.read(block, rows, frequencies)?;
                for frequency in &mut frequencies[..count] {
                    *frequency = frequency.saturating_add(1);
                }
                Ok(count)
            }
        }
    }

    fn each_row(&self, each: &mut dyn FnMut(u32)) -> Result<(), VectorsError> {
        let (mut rows, mut frequencies) = ([0; BLOCK_ROWS], [0; BLOCK_ROWS]);
        for block in 0..self.blocks() {
            let count = self.read(block, &mut rows, &mut frequencies)?;
            rows[..count].iter().for_each(|&row| each(row));
        }
        Ok(())
    }

    fn find(&self, row: u32) -> Result<Option<Place>, VectorsError> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low.midpoint(high);
            if self.last_row(middle) < row {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == self.blocks() {
            return Ok(None);
        }
        let (mut rows, mut frequencies) = ([0; BLOCK_ROWS], [0; BLOCK_ROWS]);
        let count = self.read(low, &mut rows, &mut frequencies)?;
        let Ok(place) = rows[..count].binary_search(&row) else {
            return Ok(None);
        };
        Ok(Some(Place {
            block: low,
            positions_offset: match self {
                TermList::Memory(_) => 0,
                TermList::Sealed(list) => list.record(low).extra_offset,
            },
            positions_before: frequencies[..place].iter().map(|&tf| tf as usize).sum(),
            count: frequencies[place] as usize,
        }))
    }
}
