//! The graph index as bytes. All numbers little-endian.
//!
//! ```text
//! section 0, header
//!   offset  0  u32  magic "FXHG"          32  u32  entries
//!           4  u32  version, 1            36  f32  step of the codes
//!           8  u8   codes: 0 originals,   40  u64  seed of the rotation
//!                   1 8 bits, 2 4 bits,   48  u32  points of the recall curve
//!           9  u8   1 rotated, 2 lossless 52  u32  0
//!          10  u16  m                     56  (u32 ef, f32 recall) for each point
//!          12  u32  ef while building
//!          16  u32  dimensions
//!          20  u32  rows
//!          24  u32  degree: links per row
//!          28  u8   metric: 0 cosine, 1 dot, 2 L2, 3 L1; then 3 bytes of 0
//! codes 3 is binary, 4 product (then offset 36 holds u32 dimensions per code): see quantize::{binary, product}
//! section 1, codes    rows * stride bytes: dimensions rounded up to 64 (8 bits) or 128 (4 bits, two to a byte)
//! section 2, norms    f32 for each row, squared length of the coded vector, only for L2; binary: terms of each row
//! section 3, centre   f32 for each dimension, or nothing; product: codebooks
//! section 4, links    u32[degree] for each row; ff ff ff ff ends a list early
//! section 5, entries  u32 rows where searches start
//! section 6, twins    (u32 row in the graph, u32 row with the same code) sorted, or nothing: see hnsw::twins
//! ```

use std::borrow::Cow;

use crate::error::VectorsError;
use crate::index::hnsw::beam::ROWS_MAX;
use crate::index::hnsw::graph::Graph;
use crate::index::hnsw::recall::Curve;
use crate::index::hnsw::twins::Twins;
use crate::index::hnsw::{Codes, HnswIndex};
use crate::index::{SECTION_HEADER, SectionId};
use crate::quantize::rotation::Rotation;
use crate::quantize::scalar::Coding;
use crate::quantize::store::Store;
use crate::quantize::{BinaryCodes, ProductCodes, ScalarCodes, SectionBytes, Width};
use crate::schema::{HnswParameters, Metric};

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"FXHG");
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 56;
/// More points than any curve has.
const CURVE_POINTS_MAX: usize = 64;

const SECTION_CODES: SectionId = SectionId(1);
const SECTION_NORMS: SectionId = SectionId(2);
const SECTION_CENTRE: SectionId = SectionId(3);
const SECTION_LINKS: SectionId = SectionId(4);
const SECTION_ENTRIES: SectionId = SectionId(5);
const SECTION_TWINS: SectionId = SectionId(6);

const ROTATED: u8 = 1;
const LOSSLESS: u8 = 2;

fn metric_number(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::Euclid => 2,
        Metric::Manhattan => 3,
    }
}

fn wrong(message: impl Into<String>) -> VectorsError {
    VectorsError::invalid("index", message)
}

impl HnswIndex {
    pub(crate) fn sections(&self) -> Vec<(SectionId, Cow<'_, [u8]>)> {
        let mut sections = vec![
            (SECTION_HEADER, Cow::Owned(self.header())),
            (SECTION_LINKS, Cow::Borrowed(&*self.graph.links)),
            (
                SECTION_ENTRIES,
                Cow::Borrowed(bytemuck::cast_slice(&self.graph.entries)),
            ),
        ];
        if let Codes::Scalar(codes) = &self.codes {
            let (table, norms) = codes.stores();
            sections.push((SECTION_CODES, Cow::Borrowed(&**table)));
            if !norms.is_empty() {
                sections.push((SECTION_NORMS, Cow::Borrowed(&**norms)));
            }
            let centre = &codes.coding().centre;
            if !centre.is_empty() {
                sections.push((SECTION_CENTRE, Cow::Borrowed(bytemuck::cast_slice(centre))));
            }
        }
        if let Codes::Binary(codes) = &self.codes {
            let (table, terms, centre, _) = codes.parts();
            sections.push((SECTION_CODES, Cow::Borrowed(&**table)));
            sections.push((SECTION_NORMS, Cow::Borrowed(&**terms)));
            sections.push((SECTION_CENTRE, Cow::Borrowed(bytemuck::cast_slice(centre))));
        }
        if let Codes::Product(codes) = &self.codes {
            let (table, codebooks, _) = codes.parts();
            sections.push((SECTION_CODES, Cow::Borrowed(&**table)));
            sections.push((SECTION_CENTRE, Cow::Borrowed(&**codebooks)));
        }
        let twins = self.graph.twins.store();
        if !twins.is_empty() {
            sections.push((SECTION_TWINS, Cow::Borrowed(&**twins)));
        }
        sections.sort_by_key(|(id, _)| *id);
        sections
    }

    fn header(&self) -> Vec<u8> {
        let (codes, flags, step, seed, dimensions) = match &self.codes {
            Codes::Originals => (0, 0, 0.0, 0, self.dimensions),
            Codes::Binary(codes) => (3, ROTATED, 0.0, codes.parts().3, self.dimensions),
            Codes::Product(codes) => {
                let per_code = f32::from_bits(codes.parts().2 as u32);
                (4, 0, per_code, 0, self.dimensions)
            }
            Codes::Scalar(codes) => {
                let coding = codes.coding();
                let codes = match coding.width {
                    Width::Eight => 1,
                    Width::Four => 2,
                };
                let rotated = if coding.rotation.is_some() {
                    ROTATED
                } else {
                    0
                };
                let lossless = if coding.lossless { LOSSLESS } else { 0 };
                let seed = coding.rotation.as_ref().map_or(0, Rotation::seed);
                (
                    codes,
                    rotated | lossless,
                    coding.step,
                    seed,
                    coding.dimensions,
                )
            }
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([codes, flags]);
        bytes.extend(self.parameters.m.to_le_bytes());
        bytes.extend(self.parameters.ef_construct.to_le_bytes());
        bytes.extend((dimensions as u32).to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend((self.graph.degree as u32).to_le_bytes());
        bytes.extend([metric_number(self.metric), 0, 0, 0]);
        bytes.extend((self.graph.entries.len() as u32).to_le_bytes());
        bytes.extend(step.to_le_bytes());
        bytes.extend(seed.to_le_bytes());
        bytes.extend((self.curve.points().len() as u32).to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        for &(ef, recall) in self.curve.points() {
            bytes.extend(ef.to_le_bytes());
            bytes.extend(recall.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn open(
        metric: Metric,
        dimensions: usize,
        rows: u32,
        header: &[u8],
        sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
    ) -> Result<Self, VectorsError> {
        if header.len() < HEADER_BYTES {
            return Err(wrong("the header is too short"));
        }
        let word = |at: usize| word_of(header, at);
        if word(4) != VERSION {
            return Err(wrong(format!("version {} is not known", word(4))));
        }
        if header[28] != metric_number(metric)
            || word(16) as usize != dimensions
            || word(20) != rows
            || rows >= ROWS_MAX
        {
            return Err(wrong("it was built for other vectors"));
        }
        let degree = word(24) as usize;
        let links = section(sections, SECTION_LINKS)?;
        if degree == 0 || links.len() != (rows as usize).saturating_mul(degree).saturating_mul(4) {
            return Err(wrong("the links do not fit the rows"));
        }
        let entry_store = section(sections, SECTION_ENTRIES)?;
        if entry_store.len() != word(32) as usize * 4 {
            return Err(wrong("the entries have another count"));
        }
        let entries = entry_store.words().to_vec();
        if entries.iter().any(|&row| row >= rows) {
            return Err(wrong("an entry lies behind the last row"));
        }
        let twins = match sections(SECTION_TWINS) {
            Some(_) => section(sections, SECTION_TWINS)?,
            None => Store::zeroed("index", 0)?,
        };
        let twins = Twins::from_store(twins, rows).ok_or_else(|| wrong("a twin was cut off"))?;
        let codes = open_codes(metric, dimensions, rows, header, sections)?;
        let points = word(48) as usize;
        if points > CURVE_POINTS_MAX || header.len() != HEADER_BYTES + points * 8 {
            return Err(wrong("the recall curve has another size"));
        }
        let curve = (0..points).map(|point| {
            let at = HEADER_BYTES + point * 8;
            (word(at), f32::from_bits(word(at + 4)))
        });
        Ok(HnswIndex {
            metric,
            rows,
            dimensions,
            codes,
            graph: Graph {
                links,
                degree,
                entries,
                twins,
            },
            parameters: HnswParameters {
                m: u16::from_le_bytes([header[10], header[11]]),
                ef_construct: word(12),
            },
            curve: Curve::from_points(curve.collect()),
        })
    }
}

/// The number at a byte of a header that is long enough.
fn word_of(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// The codes that a checked header describes.
fn open_codes(
    metric: Metric,
    dimensions: usize,
    rows: u32,
    header: &[u8],
    sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
) -> Result<Codes, VectorsError> {
    let word = |at: usize| word_of(header, at);
    Ok(match header[8] {
        0 => Codes::Originals,
        number @ (1 | 2) => {
            let width = if number == 1 {
                Width::Eight
            } else {
                Width::Four
            };
            let seed = u64::from(word(40)) | u64::from(word(44)) << 32;
            let rotated = header[9] & ROTATED != 0;
            let centre = match sections(SECTION_CENTRE) {
                Some(_) => section(sections, SECTION_CENTRE)?.floats().to_vec(),
                None => Vec::new(),
            };
            if !centre.is_empty() && centre.len() != dimensions {
                return Err(wrong("the centre has another size"));
            }
            let coding = Coding {
                width,
                metric,
                dimensions,
                rotation: rotated.then(|| Rotation::new(dimensions, seed)),
                centre,
                step: f32::from_bits(word(36)),
                lossless: header[9] & LOSSLESS != 0,
            };
            let norms = match sections(SECTION_NORMS) {
                Some(_) => section(sections, SECTION_NORMS)?,
                None => Store::zeroed("index", 0)?,
            };
            let codes = section(sections, SECTION_CODES)?;
            let codes = ScalarCodes::from_stores(coding, rows, codes, norms)?;
            Codes::Scalar(Box::new(codes))
        }
        3 => {
            let centre = section(sections, SECTION_CENTRE)?.floats().to_vec();
            if centre.len() != dimensions {
                return Err(wrong("the centre has another size"));
            }
            let seed = u64::from(word(40)) | u64::from(word(44)) << 32;
            let codes = section(sections, SECTION_CODES)?;
            let terms = section(sections, SECTION_NORMS)?;
            Codes::Binary(Box::new(BinaryCodes::from_stores(
                metric, seed, centre, rows, codes, terms,
            )?))
        }
        4 => Codes::Product(Box::new(ProductCodes::from_stores(
            metric,
            dimensions,
            word(36) as usize,
            rows,
            section(sections, SECTION_CENTRE)?,
            section(sections, SECTION_CODES)?,
        )?)),
        other => return Err(wrong(format!("codes of kind {other} are not known"))),
    })
}

/// A section that can be read as words.
fn section(
    sections: &dyn Fn(SectionId) -> Option<SectionBytes>,
    id: SectionId,
) -> Result<Store, VectorsError> {
    let bytes = sections(id).ok_or_else(|| wrong(format!("section {} is missing", id.0)))?;
    let slice = (*bytes).as_ref();
    if slice.as_ptr().align_offset(64) != 0 && !slice.is_empty() {
        return Err(wrong(format!(
            "section {} is not aligned to 64 bytes",
            id.0
        )));
    }
    if slice.len() % 4 != 0 {
        return Err(wrong(format!("section {} was cut off", id.0)));
    }
    if cfg!(target_endian = "big") {
        return Err(wrong(
            "indexes are read in place on little-endian machines only",
        ));
    }
    Ok(Store::Section(bytes))
}
