//! The best rows of a sum of lists.
//!
//! MaxScore (Turtle & Flood 1995) on bounds by block (Ding & Suel 2011), in windows of rows: within a window the lists
//! with the smallest bounds that together cannot lift a row above the worst one kept are only looked into for rows that
//! other lists found. Results equal those of adding up everything. Sums are f64, so that the order of the lists, which
//! differs by window, does not show in the f32 that is compared.

use std::collections::BinaryHeap;

use super::{BLOCK_ROWS, BlockBuffer, PostingBlocks};
use crate::error::VectorsError;
use crate::rows::{Allowed, Scored};

/// Rows of a window: 16 KiB of sums stay in the first-level cache.
const WINDOW_ROWS: usize = 2048;

/// Bounds are raised by this part of themselves: rounding of sums in another order is below it.
const ROUNDING: f64 = 1e-12;

/// From how many postings per allowed row it is cheaper to look each allowed row up than to read the lists.
const POSTINGS_PER_LOOKUP: usize = 64;

/// A search of lists.
pub(crate) struct Search<'a> {
    /// How many rows are wanted.
    pub(crate) k: usize,
    /// Which rows may be found.
    pub(crate) allowed: Allowed<'a>,
    /// Whether a row must be in every list, instead of in any.
    pub(crate) all: bool,
}

struct Cursor<'a> {
    list: &'a dyn PostingBlocks,
    /// The block it stands in; all blocks before end before its row.
    block: usize,
    /// Which block `buffer` holds.
    read: Option<usize>,
    place: usize,
    buffer: Box<BlockBuffer>,
    /// No row of the window gets more from here; at least 0, since a row needs not be in the list.
    bound: f64,
    /// The sum of the smaller bounds of the lists before this one.
    bound_before: f64,
}

impl<'a> Cursor<'a> {
    fn new(list: &'a dyn PostingBlocks) -> Self {
        Cursor {
            list,
            block: 0,
            read: None,
            place: 0,
            buffer: Box::default(),
            bound: 0.0,
            bound_before: 0.0,
        }
    }
}

impl Cursor<'_> {
    /// Goes to the first block that ends at or behind `row`. False when there is none.
    fn skip_to(&mut self, row: u32) -> bool {
        let blocks = self.list.blocks();
        if self.block < blocks && self.list.last_row(self.block) < row {
            // Doubling steps, then halving: near blocks are near, far ones are found in logarithmic time.
            let mut step = 1;
            let mut low = self.block;
            while low + step < blocks && self.list.last_row(low + step) < row {
                low += step;
                step *= 2;
            }
            let mut high = (low + step).min(blocks);
            while low + 1 < high {
                let middle = low.midpoint(high);
                if self.list.last_row(middle) < row {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            self.block = high;
            self.place = 0;
        }
        self.block < blocks
    }

    /// No row before this one is left in the list.
    fn lower_row(&self) -> u32 {
        if self.read == Some(self.block) {
            self.buffer.rows[self.place.min(BLOCK_ROWS - 1)]
        } else if self.block == 0 {
            0
        } else {
            self.list.last_row(self.block - 1).saturating_add(1)
        }
    }

    fn load(&mut self) -> Result<(), VectorsError> {
        if self.read != Some(self.block) {
            self.list.read(self.block, &mut self.buffer)?;
            self.read = Some(self.block);
            self.place = 0;
        }
        Ok(())
    }

    /// The bound over the blocks that may have rows before `end`.
    fn set_bound(&mut self, end: u32) {
        let mut bound = 0.0f32;
        for block in self.block..self.list.blocks() {
            if block > self.block && self.list.last_row(block - 1) >= end.saturating_sub(1) {
                break;
            }
            bound = bound.max(self.list.bound(block));
        }
        self.bound = f64::from(bound) * (1.0 + ROUNDING);
    }

    /// What `row` gets from the list. Rows must be asked for in rising order.
    fn score_of(&mut self, row: u32) -> Result<Option<f32>, VectorsError> {
        if !self.skip_to(row) {
            return Ok(None);
        }
        self.load()?;
        let rows = &self.buffer.rows[..self.buffer.count];
        let rest = &rows[self.place.min(rows.len())..];
        self.place += rest.partition_point(|&other| other < row);
        Ok((rows.get(self.place) == Some(&row)).then(|| self.buffer.scores[self.place]))
    }
}

/// The best rows kept so far.
struct Best {
    k: usize,
    heap: BinaryHeap<Scored>,
    /// Sums up to this cannot enter: rows come in rising order, and equals go to the lower row.
    floor: f64,
}

impl Best {
    fn push(&mut self, row: u32, rank: f32) {
        if self.heap.len() == self.k {
            self.heap.pop();
        }
        self.heap.push(Scored { row, rank });
        if self.heap.len() == self.k
            && let Some(worst) = self.heap.peek()
        {
            self.floor = f64::from(worst.rank);
        }
    }

    /// Whether a sum enters.
    fn admits(&self, sum: f64) -> bool {
        f64::from(sum as f32) > self.floor
    }
}

/// The best rows of the sum of `lists`, best first. `accept` has the last word on each row that would be kept.
///
/// # Errors
/// Of the lists and of `accept`.
pub(crate) fn top_rows(
    lists: &[&dyn PostingBlocks],
    search: &Search<'_>,
    accept: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
) -> Result<Vec<Scored>, VectorsError> {
    if search.k == 0 {
        return Ok(Vec::new());
    }
    let mut best = Best {
        k: search.k,
        heap: BinaryHeap::new(),
        floor: f64::NEG_INFINITY,
    };
    let mut cursors: Vec<Cursor<'_>> = lists.iter().map(|&list| Cursor::new(list)).collect();
    let postings: usize = lists.iter().map(|list| list.rows()).sum();
    let shortest = lists.iter().min_by_key(|list| list.rows());
    match (search.allowed.filter, shortest) {
        (Some(filter), _)
            if (filter.count() as usize).saturating_mul(POSTINGS_PER_LOOKUP) < postings =>
        {
            for row in filter.iter() {
                look_up(&mut cursors, row, search, &mut best, accept)?;
            }
        }
        (_, Some(&shortest)) if search.all => {
            let mut buffer = BlockBuffer::default();
            for block in 0..shortest.blocks() {
                shortest.read(block, &mut buffer)?;
                for &row in &buffer.rows[..buffer.count] {
                    look_up(&mut cursors, row, search, &mut best, accept)?;
                }
            }
        }
        _ => scan(&mut cursors, search, &mut best, accept)?,
    }
    Ok(best.heap.into_sorted_vec())
}

fn look_up(
    cursors: &mut [Cursor<'_>],
    row: u32,
    search: &Search<'_>,
    best: &mut Best,
    accept: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
) -> Result<(), VectorsError> {
    if !search.allowed.contains(row) {
        return Ok(());
    }
    let (mut sum, mut found) = (0.0, false);
    for cursor in cursors {
        match cursor.score_of(row)? {
            Some(score) => {
                sum += f64::from(score);
                found = true;
            }
            None if search.all => return Ok(()),
            None => {}
        }
    }
    if found && best.admits(sum) && accept(row)? {
        best.push(row, sum as f32);
    }
    Ok(())
}

/// Sums of a window and which of them are of rows that a list has.
struct Window {
    sums: Box<[f64; WINDOW_ROWS]>,
    found: [u64; WINDOW_ROWS / 64],
}

fn scan(
    cursors: &mut Vec<Cursor<'_>>,
    search: &Search<'_>,
    best: &mut Best,
    accept: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
) -> Result<(), VectorsError> {
    let mut window = Window {
        sums: Box::new([0.0; WINDOW_ROWS]),
        found: [0; WINDOW_ROWS / 64],
    };
    let mut start = 0;
    loop {
        cursors.retain_mut(|cursor| cursor.skip_to(start));
        let Some(next) = cursors.iter().map(Cursor::lower_row).min() else {
            return Ok(());
        };
        start = start.max(next);
        let end = start.saturating_add(WINDOW_ROWS as u32);
        for cursor in cursors.iter_mut() {
            cursor.set_bound(end);
        }
        cursors.sort_by(|one, two| one.bound.total_cmp(&two.bound));
        // Lists before `essential` together lift no row above the floor.
        let mut essential = 0;
        let mut bound = 0.0;
        while let Some(cursor) = cursors.get_mut(essential)
            && bound + cursor.bound <= best.floor
        {
            cursor.bound_before = bound;
            bound += cursor.bound;
            essential += 1;
        }
        if essential < cursors.len() {
            let (others, essentials) = cursors.split_at_mut(essential);
            for cursor in essentials.iter_mut() {
                add_up(cursor, start, end, &mut window)?;
            }
            harvest(others, bound, start, &mut window, search, best, accept)?;
        }
        if end == u32::MAX {
            return Ok(());
        }
        start = end;
    }
}

/// Adds the rows `start..end` of a list to the sums.
fn add_up(
    cursor: &mut Cursor<'_>,
    start: u32,
    end: u32,
    window: &mut Window,
) -> Result<(), VectorsError> {
    while cursor.block < cursor.list.blocks() {
        cursor.load()?;
        let count = cursor.buffer.count;
        let rows = &cursor.buffer.rows[..count];
        cursor.place += rows[cursor.place.min(count)..].partition_point(|&row| row < start);
        while let Some(&row) = rows.get(cursor.place)
            && row < end
        {
            // Below the window, since `start <= row < end`; the rest of a division costs nothing and saves a check.
            let place = row.wrapping_sub(start) as usize % WINDOW_ROWS;
            window.sums[place] += f64::from(cursor.buffer.scores[cursor.place]);
            window.found[place / 64] |= 1 << (place % 64);
            cursor.place += 1;
        }
        if cursor.place < count {
            break;
        }
        cursor.block += 1;
        cursor.place = 0;
    }
    Ok(())
}

/// Offers every row that was found, completed by the lists not read, and clears the window.
fn harvest(
    others: &mut [Cursor<'_>],
    others_bound: f64,
    start: u32,
    window: &mut Window,
    search: &Search<'_>,
    best: &mut Best,
    accept: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
) -> Result<(), VectorsError> {
    for word in 0..window.found.len() {
        let mut bits = std::mem::take(&mut window.found[word]);
        while bits != 0 {
            let place = word * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let mut sum = std::mem::take(&mut window.sums[place]);
            let row = start.wrapping_add(place as u32);
            if !best.admits(sum + others_bound) || !search.allowed.contains(row) {
                continue;
            }
            for cursor in others.iter_mut().rev() {
                if !best.admits(sum + (cursor.bound_before + cursor.bound)) {
                    break;
                }
                if let Some(score) = cursor.score_of(row)? {
                    sum += f64::from(score);
                }
            }
            if best.admits(sum) && accept(row)? {
                best.push(row, sum as f32);
            }
        }
    }
    Ok(())
}
