//! The index of one vector column of one sealed segment: finds the rows nearest to a query.
//!
//! Called by segments; everything here works on rows and ranks (larger is better) and knows neither ids nor files. An index
//! serves itself as numbered sections of bytes and opens from them. Invariants:
//!  1. A search returns only rows that `Allowed` contains, best first, without duplicates, whatever the index.
//!  2. Bytes that were damaged after their checks make results worse or fail with an error; they never panic.

pub mod flat;
mod hnsw;
pub mod ivf;
pub mod parameters;
pub mod select;
pub(crate) mod threads;

use std::borrow::Cow;

pub use parameters::{BuildControl, IndexParameters, SearchParameters};

use crate::error::VectorsError;
use crate::quantize::{Originals, SectionBytes};
use crate::rows::{Allowed, Scored};
use crate::schema::{IndexKind, Metric};
use hnsw::{HnswIndex, HnswScratch};
use ivf::{Ivf, IvfScratch};

/// Names a run of bytes of an index inside its container. Stable: written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionId(pub u16);

/// What is where; the first section of every index.
pub const SECTION_HEADER: SectionId = SectionId(0);

/// The header of a flat index: this and a version, 1. There is nothing else to store.
const FLAT_MAGIC: u32 = u32::from_le_bytes(*b"FXFL");

/// A graph to start from: the largest one among the segments being merged.
#[derive(Clone, Copy)]
pub struct Previous<'a> {
    /// The old index.
    pub index: &'a VectorIndex,
    /// The new row of each old row; `u32::MAX` where the row died.
    pub new_rows: &'a [u32],
}

/// The index of one vector column of one sealed segment.
#[derive(Debug)]
pub struct VectorIndex {
    metric: Metric,
    rows: u32,
    dimensions: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Flat,
    Hnsw(Box<HnswIndex>),
    Ivf(Box<Ivf>),
}

/// Rows from which [`IndexKind::Auto`] builds a graph: a scan of fewer is as fast.
pub const GRAPH_FROM_ROWS: u32 = 2000;

/// Buffers of searches, one per thread. Nothing is allocated per query once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    flat: flat::FlatScratch,
    hnsw: HnswScratch,
    ivf: IvfScratch,
}

impl VectorIndex {
    /// Builds the index of `originals`.
    ///
    /// # Errors
    /// [`VectorsError::Cancelled`] when `control` says so, [`VectorsError::Corrupt`] when originals are damaged,
    /// [`VectorsError::Invalid`] for parameters out of range, [`VectorsError::OverBudget`] when memory is refused.
    pub fn build(
        originals: &dyn Originals,
        parameters: &IndexParameters,
        previous: Option<Previous<'_>>,
        control: &BuildControl,
    ) -> Result<VectorIndex, VectorsError> {
        let graph = match parameters.kind {
            IndexKind::Auto => originals.rows() >= GRAPH_FROM_ROWS,
            IndexKind::Flat => false,
            IndexKind::Hnsw | IndexKind::Ivf => originals.rows() > 0,
        };
        // Lists cannot compare by the Manhattan distance; a graph can.
        let lists = parameters.kind == IndexKind::Ivf && Ivf::supports(parameters.metric);
        let body = if graph && lists {
            Body::Ivf(Box::new(Ivf::build(originals, parameters, control)?))
        } else if graph {
            Body::Hnsw(Box::new(HnswIndex::build(
                originals, parameters, previous, control,
            )?))
        } else {
            control.advance(originals.rows())?;
            Body::Flat
        };
        Ok(VectorIndex {
            metric: parameters.metric,
            rows: originals.rows(),
            dimensions: originals.dimensions(),
            body,
        })
    }

    /// The index as bytes, to be written to a container and given back to [`VectorIndex::open`].
    pub fn sections(&self) -> Vec<(SectionId, Cow<'_, [u8]>)> {
        match &self.body {
            Body::Flat => {
                let header = [FLAT_MAGIC.to_le_bytes(), 1u32.to_le_bytes()].concat();
                vec![(SECTION_HEADER, Cow::Owned(header))]
            }
            Body::Hnsw(index) => index.sections(),
            Body::Ivf(index) => index.sections(),
        }
    }

    /// Opens an index from the sections it was written as.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when sections are missing or do not fit together; the caller names the file.
    pub fn open(
        metric: Metric,
        dimensions: usize,
        rows: u32,
        sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
    ) -> Result<VectorIndex, VectorsError> {
        let header = sections(SECTION_HEADER)
            .ok_or_else(|| VectorsError::invalid("index", "the header is missing"))?;
        let header = (*header).as_ref();
        let magic = header.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let body = match magic {
            Some(FLAT_MAGIC) => Body::Flat,
            Some(hnsw::sections::MAGIC) => Body::Hnsw(Box::new(HnswIndex::open(
                metric, dimensions, rows, header, sections,
            )?)),
            Some(ivf::MAGIC) => Body::Ivf(Box::new(Ivf::open(metric, dimensions, rows, sections)?)),
            _ => {
                return Err(VectorsError::invalid(
                    "index",
                    "the header is of no known kind",
                ));
            }
        };
        Ok(VectorIndex {
            metric,
            rows,
            dimensions,
            body,
        })
    }

    /// The best allowed rows, best first: at most `parameters.k`, fewer only when fewer are allowed.
    /// Ranks are exact unless `rescore` is off.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the query has the wrong size or parameters are out of range, [`VectorsError::Corrupt`]
    /// when an original is damaged.
    pub fn search(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut Scratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        if query.len() != self.dimensions || originals.dimensions() != self.dimensions {
            return Err(VectorsError::invalid(
                "query",
                format!(
                    "expected {} dimensions, found {}",
                    self.dimensions,
                    query.len()
                ),
            ));
        }
        match &self.body {
            Body::Hnsw(index) if !parameters.exact => {
                index.search(query, parameters, allowed, originals, &mut scratch.hnsw)
            }
            Body::Ivf(index) if !parameters.exact => {
                index.search(query, parameters, allowed, originals, &mut scratch.ivf)
            }
            _ => flat::search(
                originals,
                self.metric,
                query,
                parameters.k,
                allowed,
                &mut scratch.flat,
            ),
        }
    }

    /// The size of the list of candidates that a search with these parameters keeps.
    pub fn width(&self, parameters: &SearchParameters) -> usize {
        match &self.body {
            Body::Hnsw(index) => index.ef(parameters),
            Body::Flat | Body::Ivf(_) => parameters.ef.unwrap_or(hnsw::EF_DEFAULT),
        }
    }

    /// Whether a search compares with originals at each of its steps, and not only with the best at its end.
    pub fn traverses_originals(&self) -> bool {
        self.graph().is_some_and(HnswIndex::traverses_originals)
    }

    fn graph(&self) -> Option<&HnswIndex> {
        match &self.body {
            Body::Hnsw(index) => Some(index),
            Body::Flat | Body::Ivf(_) => None,
        }
    }

    /// Rows the index covers.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Which kind it is; never [`IndexKind::Auto`].
    pub fn kind(&self) -> IndexKind {
        match &self.body {
            Body::Flat => IndexKind::Flat,
            Body::Hnsw(_) => IndexKind::Hnsw,
            Body::Ivf(_) => IndexKind::Ivf,
        }
    }

    /// What the index holds in memory, in bytes; mapped sections not included.
    pub fn bytes_in_memory(&self) -> u64 {
        match &self.body {
            Body::Flat => 0,
            Body::Hnsw(index) => index.bytes_in_memory(),
            Body::Ivf(index) => index.bytes_in_memory(),
        }
    }
}

#[cfg(test)]
mod tests;
