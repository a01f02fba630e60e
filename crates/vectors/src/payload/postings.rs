//! Rows by key: ordered keys, and for each the rows that have it. Every payload index is made of these.
//!
//! Keys are bytes in the order of their bytes; numbers are encoded so that this is their order too (see `keys`). While
//! a segment grows, a tree holds one compressed bitmap per key. A sealed segment has this section, read in place, all
//! numbers little-endian:
//!
//! ```text
//! 0   u32 width of a key in bytes, 0 when keys differ in length     16  u32 rows of the segment
//! 4   u32 count of keys, n                                           20  u32 words of a bitmap, w = ceil(rows / 64)
//! 8   u32 count of listed rows, r                                    24  u64 bytes of all keys, b
//! 12  u32 count of bitmaps, d                                        32  (end of the head)
//! bitmaps  u64[d * w]      row 0 in the lowest bit of the first word
//! dense    u32[d]          index of the key that has the bitmap, ascending
//! ends     u32[n]          end of the key's rows among the listed ones; the key before has its begin
//! rows     u32[r]          ascending for each key
//! offsets  u32[n + 1]      where keys begin, only when they differ in length
//! keys     u8[b]           ascending, each once
//! ```
//!
//! A key has a bitmap when that is no larger than its list, from one row in 32 on; its list is then empty. So a range
//! of keys is one run of listed rows and a few bitmaps.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use roaring::RoaringBitmap;

use crate::error::VectorsError;
use crate::rows::RowSet;
use crate::storage::Bytes;

/// Bytes of the head of a section.
const HEAD_BYTES: usize = 32;
/// From one row in so many on, a bitmap takes no more bytes than a list of 4 bytes a row.
const ROWS_PER_BIT_AT_LEAST: u32 = 32;

/// A range of keys.
pub(crate) type KeyRange<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

/// What [`Postings::walk`] calls: a key and its rows; false ends the walk.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &mut dyn Iterator<Item = u32>) -> bool + 'v;

/// Rows by key, growing or sealed.
#[derive(Debug, Clone)]
pub(crate) enum Postings {
    Growing(Growing),
    Sealed(Sealed),
}

/// Rows by key in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Growing {
    tree: BTreeMap<Box<[u8]>, Rows>,
    /// Estimate of the memory, kept as rows come so that asking for it costs nothing.
    bytes: u64,
}

/// Two words for a key's box, two for its rows, and its share of the tree.
const KEY_BYTES: u64 = 48;
/// A bitmap with one container, boxed.
const BITMAP_BYTES: u64 = 96;
/// A row in a bitmap: 16 bits while it is sparse, less when it is dense.
const ROW_BYTES: u64 = 2;

/// The rows of a key while the segment grows; most keys of ids and times have one.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    One(u32),
    Many(Box<RoaringBitmap>),
}

impl Rows {
    /// Adds a row; returns how many bytes more that takes, about.
    fn insert(&mut self, row: u32) -> u64 {
        match self {
            Rows::One(one) if *one == row => 0,
            Rows::One(one) => {
                *self = Rows::Many(Box::new([*one, row].into_iter().collect()));
                BITMAP_BYTES
            }
            Rows::Many(rows) => u64::from(rows.insert(row)) * ROW_BYTES,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Rows::One(_) => 1,
            Rows::Many(rows) => rows.len(),
        }
    }

    fn each(&self, visit: &mut dyn FnMut(u32)) {
        match self {
            Rows::One(one) => visit(*one),
            Rows::Many(rows) => rows.iter().for_each(visit),
        }
    }
}

impl Default for Postings {
    fn default() -> Self {
        Postings::Growing(Growing::default())
    }
}

impl Postings {
    /// Adds a row to a key of a growing segment.
    ///
    /// # Panics
    /// For a sealed segment, whose rows never change.
    pub fn insert(&mut self, key: &[u8], row: u32) {
        let Postings::Growing(Growing { tree, bytes }) = self else {
            panic!("a sealed segment gets no rows");
        };
        match tree.get_mut(key) {
            Some(rows) => *bytes += rows.insert(row),
            None => {
                *bytes += KEY_BYTES + key.len() as u64;
                tree.insert(key.into(), Rows::One(row));
            }
        }
    }

    /// Adds the rows of one key to `set`.
    pub fn add(&self, key: &[u8], set: &mut RowSet) -> Result<(), VectorsError> {
        self.add_range((Bound::Included(key), Bound::Included(key)), set)
    }

    /// Adds the rows of a range of keys to `set`.
    pub fn add_range(&self, range: KeyRange<'_>, set: &mut RowSet) -> Result<(), VectorsError> {
        match self {
            Postings::Growing(Growing { tree, .. }) => {
                if is_ordered(range) {
                    for (_, rows) in tree.range::<[u8], _>(range) {
                        rows.each(&mut |row| set.insert(row));
                    }
                }
                Ok(())
            }
            Postings::Sealed(sealed) => sealed.add(sealed.indices(range)?, set),
        }
    }

    /// Calls `visit` with the keys of a range and their rows, in rising or falling order, until it returns false.
    pub fn walk(
        &self,
        range: KeyRange<'_>,
        falling: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), VectorsError> {
        match self {
            Postings::Growing(Growing { tree, .. }) => {
                if is_ordered(range) {
                    walk_tree(tree, range, falling, visit);
                }
                Ok(())
            }
            Postings::Sealed(sealed) => {
                let mut indices = sealed.indices(range)?;
                while let Some(index) = if falling {
                    indices.next_back()
                } else {
                    indices.next()
                } {
                    if !sealed.visit(index, visit)? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        match self {
            Postings::Growing(growing) => growing.tree.len(),
            Postings::Sealed(sealed) => sealed.keys,
        }
    }

    /// Estimate of the bytes in memory; a mapped section takes none of its own.
    pub fn bytes_in_memory(&self) -> u64 {
        match self {
            Postings::Growing(growing) => growing.bytes,
            Postings::Sealed(sealed) if sealed.bytes.is_mapped() => 0,
            Postings::Sealed(sealed) => sealed.bytes.len() as u64,
        }
    }

    /// The section of a sealed segment of `rows` rows.
    pub fn to_section(&self, rows: u32) -> Result<Vec<u8>, VectorsError> {
        match self {
            Postings::Growing(growing) => section_of(&growing.tree, rows),
            Postings::Sealed(sealed) => Ok(sealed.bytes.verify()?.to_vec()),
        }
    }

    /// Opens a section; its head and its sizes are checked, its contents when they are read.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when the head makes no sense or another count of rows is expected.
    pub fn open(bytes: Bytes, rows: u32) -> Result<Self, VectorsError> {
        Ok(Postings::Sealed(Sealed::open(bytes, rows)?))
    }
}

fn walk_tree(
    tree: &BTreeMap<Box<[u8]>, Rows>,
    range: KeyRange<'_>,
    falling: bool,
    visit: &mut Visit<'_>,
) {
    let mut keys = tree.range::<[u8], _>(range);
    while let Some((key, rows)) = if falling {
        keys.next_back()
    } else {
        keys.next()
    } {
        let on = match rows {
            Rows::One(one) => visit(key, &mut std::iter::once(*one)),
            Rows::Many(rows) => visit(key, &mut rows.iter()),
        };
        if !on {
            break;
        }
    }
}

/// Writes the section drawn above.
fn section_of(tree: &BTreeMap<Box<[u8]>, Rows>, rows: u32) -> Result<Vec<u8>, VectorsError> {
    let first_width = tree.keys().next().map_or(0, |key| key.len());
    let is_fixed = tree.keys().all(|key| key.len() == first_width);
    let width = if is_fixed { first_width } else { 0 };
    let words = (rows as usize).div_ceil(64);
    let (mut bits, mut dense, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut listed, mut offsets, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let mut list_count = 0u64;
    for (index, (key, key_rows)) in tree.iter().enumerate() {
        let count = key_rows.len();
        if count > 1 && count * u64::from(ROWS_PER_BIT_AT_LEAST) >= u64::from(rows) {
            let mut bitmap = vec![0u64; words];
            key_rows.each(&mut |row| bitmap[row as usize / 64] |= 1 << (row % 64));
            bits.extend(bitmap.iter().flat_map(|word| word.to_le_bytes()));
            dense.extend((index as u32).to_le_bytes());
        } else {
            list_count += count;
            key_rows.each(&mut |row| listed.extend(row.to_le_bytes()));
        }
        ends.extend((list_count as u32).to_le_bytes());
        offsets.extend((keys.len() as u32).to_le_bytes());
        keys.extend_from_slice(key);
    }
    let most = list_count.max(keys.len() as u64).max(tree.len() as u64);
    if most > u64::from(u32::MAX) {
        return Err(VectorsError::Limit {
            what: "size of a payload index of one segment",
            limit: u64::from(u32::MAX),
            actual: most,
        });
    }
    offsets.extend((keys.len() as u32).to_le_bytes());
    if width != 0 {
        offsets.clear();
    }
    let head = [
        width as u32,
        tree.len() as u32,
        list_count as u32,
        (dense.len() / 4) as u32,
        rows,
        words as u32,
    ];
    let mut section: Vec<u8> = head
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    section.extend((keys.len() as u64).to_le_bytes());
    for part in [bits, dense, ends, listed, offsets, keys] {
        section.extend(part);
    }
    Ok(section)
}

/// Whether a range has its begin before its end, as trees demand.
fn is_ordered(range: KeyRange<'_>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from < to,
        _ => true,
    }
}

/// The section of a sealed segment and where its parts begin.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    bytes: Bytes,
    width: usize,
    keys: usize,
    dense: usize,
    words: usize,
    rows: u32,
    dense_at: usize,
    ends_at: usize,
    rows_at: usize,
    offsets_at: usize,
    keys_at: usize,
}

impl Sealed {
    fn open(bytes: Bytes, rows: u32) -> Result<Self, VectorsError> {
        let head = bytes.checked(0..HEAD_BYTES)?;
        let number = |index: usize| le_u32(&head[index * 4..]) as usize;
        let [width, keys, listed, dense] = [number(0), number(1), number(2), number(3)];
        let words = (rows as usize).div_ceil(64);
        if number(4) != rows as usize || number(5) != words {
            let found = number(4);
            return Err(bytes.damaged(format!("index is of {found} rows, segment of {rows}")));
        }
        let key_bytes = (number(7) << 32) | number(6);
        // None of these overflows: each factor has 32 bits, and there are few enough bitmaps.
        let dense_at = HEAD_BYTES + dense.saturating_mul(words.saturating_mul(8));
        let ends_at = dense_at.saturating_add(dense * 4);
        let rows_at = ends_at.saturating_add(keys * 4);
        let offsets_at = rows_at.saturating_add(listed * 4);
        let keys_at = offsets_at.saturating_add(if width == 0 { (keys + 1) * 4 } else { 0 });
        let end = keys_at.checked_add(key_bytes);
        if end != Some(bytes.len()) || (width != 0 && keys.checked_mul(width) != Some(key_bytes)) {
            return Err(bytes.damaged("the parts of the index don't add up to its length"));
        }
        Ok(Sealed {
            width,
            keys,
            dense,
            words,
            rows,
            dense_at,
            ends_at,
            rows_at,
            offsets_at,
            keys_at,
            bytes,
        })
    }

    /// A number of a part that begins at `at`.
    fn number(&self, at: usize, index: usize) -> Result<u32, VectorsError> {
        let place = at + index * 4;
        Ok(le_u32(self.bytes.checked(place..place + 4)?))
    }

    fn key(&self, index: usize) -> Result<&[u8], VectorsError> {
        let (from, to) = if self.width == 0 {
            (
                self.number(self.offsets_at, index)? as usize,
                self.number(self.offsets_at, index + 1)? as usize,
            )
        } else {
            (index * self.width, (index + 1) * self.width)
        };
        if from > to {
            return Err(self.bytes.damaged("keys overlap"));
        }
        self.bytes.checked(self.keys_at + from..self.keys_at + to)
    }

    /// The first key for which `before` is false.
    fn partition(&self, before: impl Fn(&[u8]) -> bool) -> Result<usize, VectorsError> {
        let (mut low, mut high) = (0, self.keys);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.key(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The keys of a range by their indices.
    fn indices(&self, (from, to): KeyRange<'_>) -> Result<Range<usize>, VectorsError> {
        let from = match from {
            Bound::Unbounded => 0,
            Bound::Included(from) => self.partition(|key| key < from)?,
            Bound::Excluded(from) => self.partition(|key| key <= from)?,
        };
        let to = match to {
            Bound::Unbounded => self.keys,
            Bound::Included(to) => self.partition(|key| key <= to)?,
            Bound::Excluded(to) => self.partition(|key| key < to)?,
        };
        Ok(from..to.max(from))
    }

    /// Where the rows of keys lie among the listed ones.
    fn listed(&self, indices: &Range<usize>) -> Result<Range<usize>, VectorsError> {
        let end = |index: usize| match index {
            0 => Ok(0),
            _ => self.number(self.ends_at, index - 1).map(|end| end as usize),
        };
        let (from, to) = (end(indices.start)?, end(indices.end)?);
        if from > to {
            return Err(self.bytes.damaged("lists of rows overlap"));
        }
        Ok(from..to)
    }

    /// The rows in a run of the list.
    fn list(&self, run: Range<usize>) -> Result<impl Iterator<Item = u32> + '_, VectorsError> {
        let bytes = self
            .bytes
            .checked(self.rows_at + run.start * 4..self.rows_at + run.end * 4)?;
        Ok(bytes.chunks_exact(4).map(le_u32))
    }

    /// The bitmaps of keys: their places in `dense`.
    fn bitmaps(&self, indices: &Range<usize>) -> Result<Range<usize>, VectorsError> {
        let place = |wanted: usize| -> Result<usize, VectorsError> {
            let (mut low, mut high) = (0, self.dense);
            while low < high {
                let middle = low + (high - low) / 2;
                if (self.number(self.dense_at, middle)? as usize) < wanted {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        };
        let from = place(indices.start)?;
        Ok(from..place(indices.end)?.max(from))
    }

    fn bitmap(&self, place: usize) -> Result<impl Iterator<Item = u64> + '_, VectorsError> {
        let from = HEAD_BYTES + place * self.words * 8;
        let bytes = self.bytes.checked(from..from + self.words * 8)?;
        Ok(bytes
            .chunks_exact(8)
            .map(|word| u64::from(le_u32(word)) | u64::from(le_u32(&word[4..])) << 32))
    }

    fn add(&self, indices: Range<usize>, set: &mut RowSet) -> Result<(), VectorsError> {
        if indices.is_empty() {
            return Ok(());
        }
        for row in self.list(self.listed(&indices)?)? {
            set.insert(row);
        }
        for place in self.bitmaps(&indices)? {
            if set.rows() == self.rows {
                for (word, more) in set.words_mut().iter_mut().zip(self.bitmap(place)?) {
                    *word |= more;
                }
            } else {
                rows_of(self.bitmap(place)?).for_each(|row| set.insert(row));
            }
        }
        Ok(())
    }

    fn visit(&self, index: usize, visit: &mut Visit<'_>) -> Result<bool, VectorsError> {
        let indices = index..index + 1;
        let bitmaps = self.bitmaps(&indices)?;
        let key = self.key(index)?;
        if bitmaps.is_empty() {
            let run = self.listed(&indices)?;
            Ok(visit(key, &mut self.list(run)?))
        } else {
            Ok(visit(key, &mut rows_of(self.bitmap(bitmaps.start)?)))
        }
    }
}

/// The rows of a bitmap's words.
fn rows_of(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    words.zip(0u32..).flat_map(|(word, index)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            Some(index * 64 + bit)
        })
    })
}

/// The little-endian number that at least 4 bytes begin with.
#[inline]
fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
