//! The index in sections. Layout in the module above.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::memory::{MemoryText, read_positions};
use super::{AnalyzerOptions, Place, Totals};
use crate::error::VectorsError;
use crate::postings::{SealedList, SealedLists, SealedListsWriter, u32_at};
use crate::storage::{Bytes, SectionId, Sections};

const SECTION_META: SectionId = SectionId::new(b"TXMT", 0);
const SECTION_TERM_OFFSETS: SectionId = SectionId::new(b"TXTO", 0);
const SECTION_TERMS: SectionId = SectionId::new(b"TXTB", 0);
const SECTION_LISTS: SectionId = SectionId::new(b"TXLS", 0);
const SECTION_BLOCKS: SectionId = SectionId::new(b"TXBL", 0);
const SECTION_DATA: SectionId = SectionId::new(b"TXDT", 0);
const SECTION_POSITIONS: SectionId = SectionId::new(b"TXPO", 0);
const SECTION_LENGTHS: SectionId = SectionId::new(b"TXLN", 0);

const MAGIC: &[u8; 4] = b"txi1";

/// Bytes of TXMT before the options.
const META_BYTES: usize = 24;

/// Lists of terms in sections.
#[derive(Debug)]
pub(super) struct SealedText {
    meta: Bytes,
    term_offsets: Bytes,
    terms: Bytes,
    lists: SealedLists,
    positions: Bytes,
    lengths: Bytes,
    term_count: usize,
    totals: Totals,
}

/// The sections of an index in memory.
pub(super) fn write<'a>(
    words: &MemoryText,
    options: &AnalyzerOptions,
) -> Result<Sections<'a>, VectorsError> {
    let mut writer = SealedListsWriter::default();
    let (mut terms, mut term_offsets, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let sorted = words.sorted();
    for (text, term) in &sorted {
        push_offset(terms.len(), &mut term_offsets)?;
        terms.extend(text.as_bytes());
        let encode = |block: usize, frequencies: &[u32], stored: &mut Vec<u32>| {
            stored.extend(frequencies.iter().map(|frequency| frequency - 1));
            (None, term.list.bounds()[block])
        };
        let start = positions.len() as u64;
        writer.push(&term.list, encode, |block| {
            start + term.block_positions[block]
        })?;
        positions.extend(&term.positions);
    }
    push_offset(terms.len(), &mut term_offsets)?;
    let writer = writer.finish()?;
    let lengths: Vec<u8> = words
        .lengths()
        .iter()
        .flat_map(|length| length.to_le_bytes())
        .collect();
    let totals = words.totals();
    let mut meta = MAGIC.to_vec();
    for number in [
        words.lengths().len() as u32,
        totals.documents as u32,
        sorted.len() as u32,
    ] {
        meta.extend(number.to_le_bytes());
    }
    meta.extend(totals.tokens.to_le_bytes());
    let options = serde_json::to_vec(options)
        .map_err(|error| VectorsError::invalid("text options", error.to_string()))?;
    meta.extend(options);
    Ok([
        (SECTION_META, meta),
        (SECTION_TERM_OFFSETS, term_offsets),
        (SECTION_TERMS, terms),
        (SECTION_LISTS, writer.lists),
        (SECTION_BLOCKS, writer.blocks),
        (SECTION_DATA, writer.data),
        (SECTION_POSITIONS, positions),
        (SECTION_LENGTHS, lengths),
    ]
    .into_iter()
    .map(|(id, bytes)| (id, Cow::Owned(bytes)))
    .collect())
}

fn push_offset(offset: usize, offsets: &mut Vec<u8>) -> Result<(), VectorsError> {
    let offset = u32::try_from(offset).map_err(|_| VectorsError::Limit {
        what: "bytes of the terms of a field",
        limit: u64::from(u32::MAX),
        actual: offset as u64,
    })?;
    offsets.extend(offset.to_le_bytes());
    Ok(())
}

impl SealedText {
    pub(super) fn open(
        sections: &dyn Fn(SectionId) -> Option<Bytes>,
    ) -> Result<(Self, AnalyzerOptions), VectorsError> {
        let section = |id: SectionId| {
            sections(id)
                .ok_or_else(|| VectorsError::invalid("text index", format!("lacks section {id}")))
        };
        let meta = section(SECTION_META)?;
        let bytes = meta.verify()?;
        let Some(options) = bytes.get(META_BYTES..).filter(|_| bytes.starts_with(MAGIC)) else {
            return Err(meta.damaged("is not the head of a text index"));
        };
        let options: AnalyzerOptions =
            serde_json::from_slice(options).map_err(|error| meta.damaged(error))?;
        let rows = u32_at(bytes, 4) as usize;
        let term_count = u32_at(bytes, 12) as usize;
        let totals = Totals {
            documents: u64::from(u32_at(bytes, 8)),
            tokens: u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32,
        };
        let term_offsets = section(SECTION_TERM_OFFSETS)?;
        let lengths = section(SECTION_LENGTHS)?;
        if term_offsets.len() / 4 != term_count + 1 || lengths.len() != rows * 4 {
            return Err(meta.damaged("other sections have other lengths"));
        }
        let lists = SealedLists::open(
            section(SECTION_LISTS)?,
            section(SECTION_BLOCKS)?,
            section(SECTION_DATA)?,
            term_count,
        )?;
        let words = SealedText {
            term_offsets,
            terms: section(SECTION_TERMS)?,
            lists,
            positions: section(SECTION_POSITIONS)?,
            lengths,
            term_count,
            totals,
            meta,
        };
        Ok((words, options))
    }

    pub(super) fn list(&self, term: &str) -> Result<Option<(usize, SealedList<'_>)>, VectorsError> {
        let (mut low, mut high) = (0, self.term_count);
        while low < high {
            let middle = low.midpoint(high);
            match self.term(middle)?.cmp(term.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some((middle, self.lists.list(middle)?))),
            }
        }
        Ok(None)
    }

    fn term(&self, number: usize) -> Result<&[u8], VectorsError> {
        let offsets = self.term_offsets.checked(number * 4..number * 4 + 8)?;
        self.terms
            .checked(u32_at(offsets, 0) as usize..u32_at(offsets, 4) as usize)
    }

    pub(super) fn lengths(&self) -> Result<&[u32], VectorsError> {
        self.lengths.verify()?;
        self.lengths.typed()
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn positions(&self, place: &Place) -> Result<Vec<u32>, VectorsError> {
        // A number takes at most 5 bytes; what is read beyond the row's own is not looked at.
        let numbers = place.positions_before.saturating_add(place.count);
        let start = usize::try_from(place.positions_offset)
            .unwrap_or(usize::MAX)
            .min(self.positions.len());
        let end = start
            .saturating_add(numbers.saturating_mul(5))
            .min(self.positions.len());
        Ok(read_positions(self.positions.checked(start..end)?, place))
    }

    fn named(&self) -> [(SectionId, &Bytes); 8] {
        let [lists, blocks, data] = self.lists.sections();
        [
            (SECTION_META, &self.meta),
            (SECTION_TERM_OFFSETS, &self.term_offsets),
            (SECTION_TERMS, &self.terms),
            (SECTION_LISTS, lists),
            (SECTION_BLOCKS, blocks),
            (SECTION_DATA, data),
            (SECTION_POSITIONS, &self.positions),
            (SECTION_LENGTHS, &self.lengths),
        ]
    }

    pub(super) fn bytes_in_memory(&self) -> u64 {
        self.named()
            .iter()
            .filter(|(_, bytes)| !bytes.is_mapped())
            .map(|(_, bytes)| bytes.len() as u64)
            .sum()
    }

    pub(super) fn sections(&self) -> Result<Sections<'_>, VectorsError> {
        self.named()
            .into_iter()
            .map(|(id, bytes)| Ok((id, Cow::Borrowed(bytes.verify()?))))
            .collect()
    }
}
