//! Dense vectors of a sealed segment, one after another in its file: read in place, or by position when they shall not stay in
//! memory.
//!
//! A map is the fastest way to vectors that are read often: nothing is copied. But each page that a search touches stays in
//! the process, and the system maps the pages around it as well, so that after some thousand searches all originals are
//! resident. By position, a search copies the few rows that it ranks again and leaves nothing behind but the page cache.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use half::f16;
use platform::mapping::Advice;

use super::layout;
use crate::error::VectorsError;
use crate::quantize::{Originals, SliceOriginals, Values};
use crate::schema::{Datatype, Metric};
use crate::storage::{Bytes, DiskReader, PositionedBytes};

/// Bytes read at once: enough that a scan is bounded by copying and not by calls, and few enough to stay in the second cache.
const READ_BYTES: usize = 256 << 10;

thread_local! {
    /// Where this thread's reads go.
    static BUFFER: RefCell<ReadBuffer> = RefCell::default();
}

#[derive(Default)]
struct ReadBuffer {
    /// Words, so that every kind of value is aligned.
    words: Vec<u64>,
    starts: Vec<u64>,
    places: Vec<u32>,
}

/// Dense vectors one after another. As originals, "row" is the place of a vector: of a multi-vector's single vectors.
#[derive(Debug)]
pub(crate) struct DenseValues {
    dimensions: usize,
    metric: Metric,
    datatype: Datatype,
    count: u32,
    bytes: Bytes,
    /// Set when vectors shall not stay in memory.
    positioned: OnceLock<PositionedBytes>,
}

impl DenseValues {
    pub(super) fn open(
        bytes: Bytes,
        dimensions: u32,
        metric: Metric,
        datatype: Datatype,
    ) -> Result<Self, VectorsError> {
        let vector_bytes = dimensions as usize * layout::value_bytes(datatype);
        if vector_bytes == 0 || !bytes.len().is_multiple_of(vector_bytes) {
            return Err(bytes.damaged("is no whole count of vectors"));
        }
        let count = u32::try_from(bytes.len() / vector_bytes)
            .map_err(|_| bytes.damaged("holds too many vectors"))?;
        Ok(DenseValues {
            dimensions: dimensions as usize,
            metric,
            datatype,
            count,
            bytes,
            positioned: OnceLock::new(),
        })
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(super) fn damaged(&self, message: impl std::fmt::Display) -> VectorsError {
        self.bytes.damaged(message)
    }

    /// Whether vectors are read by position.
    pub(super) fn is_positioned(&self) -> bool {
        self.positioned.get().is_some()
    }

    /// Has vectors read from `file`, which is the one they are mapped from, from now on.
    pub(super) fn read_by_position(&self, file: Box<dyn DiskReader>) {
        // Who comes second finds it done.
        let _ = self.positioned.set(PositionedBytes::new(file, &self.bytes));
    }

    /// Gives back the pages of the map that were touched, and has each of them read alone from now on.
    pub(super) fn release(&self) {
        self.bytes.advise(Advice::Release);
        self.bytes.advise(Advice::Random);
    }

    /// The same vectors in place, however they are read otherwise: for whoever goes through all of them many times, and gives
    /// the pages back when it is done.
    pub(crate) fn mapped(&self) -> MappedValues<'_> {
        MappedValues(self)
    }

    /// The vectors of a range of places.
    pub(super) fn rows_of(&self, range: Range<u32>) -> Result<Vec<Vec<f32>>, VectorsError> {
        self.with_range(range.clone(), |originals| {
            let mut buffer = Vec::new();
            (0..range.len() as u32)
                .map(|row| originals.row(row, &mut buffer).map(<[f32]>::to_vec))
                .collect()
        })
    }

    /// Calls `work` with the vectors of a range of places, the first of which is row 0 then.
    pub(crate) fn with_range<T>(
        &self,
        range: Range<u32>,
        work: impl FnOnce(SliceOriginals<'_>) -> Result<T, VectorsError>,
    ) -> Result<T, VectorsError> {
        let start = range.start as usize * self.vector_bytes();
        let length = range.len() * self.vector_bytes();
        let Some(positioned) = self.positioned.get() else {
            return work(self.of_bytes(self.bytes.checked(start..start + length)?)?);
        };
        let mut words = vec![0u64; length.div_ceil(8)];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..length];
        positioned.read(start, bytes)?;
        work(self.of_bytes(bytes)?)
    }

    fn vector_bytes(&self) -> usize {
        self.dimensions * layout::value_bytes(self.datatype)
    }

    /// Vectors in these bytes, the first as row 0.
    fn of_bytes<'a>(&self, bytes: &'a [u8]) -> Result<SliceOriginals<'a>, VectorsError> {
        let odd = |error| self.damaged(format!("is not aligned: {error}"));
        let values = match self.datatype {
            Datatype::Float32 => Values::Float32(bytemuck::try_cast_slice(bytes).map_err(odd)?),
            Datatype::Float16 => {
                let words: &[u16] = bytemuck::try_cast_slice(bytes).map_err(odd)?;
                Values::Float16(bytemuck::cast_slice(words))
            }
            Datatype::Uint8 => Values::Uint8(bytes),
        };
        Ok(SliceOriginals::new(self.dimensions, values))
    }

    fn check(&self, row: u32) -> Result<&[u8], VectorsError> {
        let start = row as usize * self.vector_bytes();
        self.bytes.checked(start..start + self.vector_bytes())
    }

    /// Ranks rows that are read by position.
    fn rank_read(
        &self,
        positioned: &PositionedBytes,
        (metric, query): (Metric, &[f32]),
        rows: &[u32],
        out: &mut [f32],
        buffer: &mut ReadBuffer,
    ) -> Result<(), VectorsError> {
        let vector_bytes = self.vector_bytes();
        let at_once = (READ_BYTES / vector_bytes).max(1);
        let mut done = 0;
        while done < rows.len() {
            let left = &rows[done..];
            let (count, span) = run_of(left, at_once);
            let rows = &left[..count];
            let length = span.unwrap_or(count) * vector_bytes;
            buffer.words.resize(length.div_ceil(8), 0);
            let bytes = &mut bytemuck::cast_slice_mut(&mut buffer.words)[..length];
            buffer.places.clear();
            if span.is_some() {
                positioned.read(rows[0] as usize * vector_bytes, bytes)?;
                buffer.places.extend(rows.iter().map(|&row| row - rows[0]));
            } else {
                buffer.starts.clear();
                let starts = rows.iter().map(|&row| u64::from(row) * vector_bytes as u64);
                buffer.starts.extend(starts);
                positioned.read_pieces(&buffer.starts, vector_bytes, bytes)?;
                buffer.places.extend(0..count as u32);
            }
            let out = &mut out[done..done + count];
            self.of_bytes(bytes)?
                .rank_rows(metric, query, &buffer.places, out)?;
            done += count;
        }
        Ok(())
    }
}

/// How many of `rows` are read next, `at_once` at most, and how many places they span when one read of all that lies between
/// them is better than a read of each: when they rise and at least half of the span is wanted.
fn run_of(rows: &[u32], at_once: usize) -> (usize, Option<usize>) {
    let count = rows.len().min(at_once);
    let rising = |count: usize| {
        let rows = &rows[..count];
        let span = (rows[count - 1].checked_sub(rows[0])? as usize) + 1;
        let fits = span <= at_once && span <= 2 * count && count > 1;
        (fits && rows.is_sorted()).then_some(span)
    };
    match rising(count) {
        Some(span) => (count, Some(span)),
        // Gaps may have made the span too long for one read; half as many may fit.
        None => match rising(count.div_ceil(2)) {
            Some(span) => (count.div_ceil(2), Some(span)),
            None => (count, None),
        },
    }
}

impl Originals for DenseValues {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn rows(&self) -> u32 {
        self.count
    }

    fn reads_are_dear(&self) -> bool {
        self.is_positioned()
    }

    fn row<'a>(&'a self, row: u32, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], VectorsError> {
        let Some(positioned) = self.positioned.get() else {
            return self.row_in_place(row, buffer);
        };
        let start = row as usize * self.vector_bytes();
        if self.datatype == Datatype::Float32 {
            buffer.resize(self.dimensions, 0.0);
            positioned.read(start, bytemuck::cast_slice_mut(buffer))?;
            return Ok(buffer);
        }
        self.with_range(row..row + 1, |originals| {
            originals.row(0, buffer)?;
            Ok(())
        })?;
        Ok(buffer)
    }

    fn rank_rows(
        &self,
        metric: Metric,
        query: &[f32],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        let Some(positioned) = self.positioned.get() else {
            return self.mapped().rank_rows(metric, query, rows, out);
        };
        BUFFER.with_borrow_mut(|buffer| {
            self.rank_read(positioned, (metric, query), rows, out, buffer)
        })
    }
}

impl DenseValues {
    fn row_in_place<'a>(
        &'a self,
        row: u32,
        buffer: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], VectorsError> {
        let bytes = self.check(row)?;
        buffer.clear();
        match self.datatype {
            Datatype::Float32 => {
                let row = row as usize * self.dimensions;
                return self.bytes.checked_typed(row..row + self.dimensions);
            }
            Datatype::Float16 => buffer.extend(
                bytes
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&two| f16::from_le_bytes(two).to_f32()),
            ),
            Datatype::Uint8 => buffer.extend(bytes.iter().map(|&value| f32::from(value))),
        }
        Ok(buffer)
    }
}

/// [`DenseValues`] in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MappedValues<'a>(&'a DenseValues);

impl Originals for MappedValues<'_> {
    fn dimensions(&self) -> usize {
        self.0.dimensions
    }

    fn rows(&self) -> u32 {
        self.0.count
    }

    fn row<'a>(&'a self, row: u32, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], VectorsError> {
        self.0.row_in_place(row, buffer)
    }

    fn rank_rows(
        &self,
        metric: Metric,
        query: &[f32],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        for &row in rows {
            self.0.check(row)?;
        }
        // All of them were compared with their checksums just now, or before.
        self.0
            .of_bytes(self.0.bytes.as_slice())?
            .rank_rows(metric, query, rows, out)
    }
}
