//! The links of the graph: one list of fixed length for each row, and the rows where searches start.
//!
//! ```text
//! links    row 0          row 1                          each link 4 bytes little-endian;
//!          [l l l l . .]  [l l l l l l]  ...             `.` is NONE (ff ff ff ff): the list ends there
//!          <- degree ->
//! entries  [row row row ...]                             the square root of the rows, drawn at random
//! ```
//!
//! There are no upper layers. The square root of the rows, compared one after the other, is where a search starts: at 200,000
//! rows that costs as much as the descent through the layers of Malkov & Yashunin, finds starts as good, and reaches every
//! cluster however badly clusters are linked.

use std::sync::atomic::{AtomicU32, Ordering};

use kernels::graph::prefetch;

use crate::index::hnsw::twins::Twins;
use crate::quantize::store::Store;

/// Ends a list of links.
pub(crate) const NONE: u32 = u32::MAX;

/// Read access to lists of links.
pub(crate) trait Links {
    /// Calls `take` with each link of a row, until it ends.
    fn each(&self, row: u32, take: impl FnMut(u32));

    /// Fetches a row's list.
    fn prefetch(&self, row: u32);

    /// Most links of a row.
    fn degree(&self) -> usize;
}

/// Links of a finished graph.
#[derive(Clone, Copy)]
pub(crate) struct Sealed<'a> {
    pub(crate) links: &'a [u32],
    pub(crate) degree: usize,
}

impl Links for Sealed<'_> {
    #[inline]
    fn each(&self, row: u32, mut take: impl FnMut(u32)) {
        let start = row as usize * self.degree;
        let list = self.links.get(start..start + self.degree);
        for &link in list.unwrap_or_default() {
            if link == NONE {
                break;
            }
            take(link);
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        for offset in (0..self.degree).step_by(16) {
            prefetch(self.links, row as usize * self.degree + offset);
        }
    }

    fn degree(&self) -> usize {
        self.degree
    }
}

/// Links of a graph that is being built: searches read while others write. Each single link is valid at any time; a list read
/// during its change may mix both versions.
#[derive(Clone, Copy)]
pub(crate) struct Growing<'a> {
    pub(crate) links: &'a [AtomicU32],
    pub(crate) degree: usize,
}

impl<'a> Growing<'a> {
    pub(crate) fn list(&self, row: u32) -> &'a [AtomicU32] {
        &self.links[row as usize * self.degree..][..self.degree]
    }

    /// Rows there is room for.
    pub(crate) fn rows(&self) -> u32 {
        (self.links.len() / self.degree.max(1)) as u32
    }
}

impl Links for Growing<'_> {
    #[inline]
    fn each(&self, row: u32, mut take: impl FnMut(u32)) {
        for link in self.list(row) {
            let link = link.load(Ordering::Relaxed);
            if link == NONE {
                break;
            }
            take(link);
        }
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        for offset in (0..self.degree).step_by(16) {
            prefetch(self.links, row as usize * self.degree + offset);
        }
    }

    fn degree(&self) -> usize {
        self.degree
    }
}

/// A finished graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) links: Store,
    pub(crate) degree: usize,
    pub(crate) entries: Vec<u32>,
    pub(crate) twins: Twins,
}

impl Graph {
    pub(crate) fn sealed(&self) -> Sealed<'_> {
        Sealed {
            links: self.links.words(),
            degree: self.degree,
        }
    }
}
