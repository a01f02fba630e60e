//! A navigable small-world graph over codes (Malkov & Yashunin 2016), traversed on codes and ranked again on originals.

pub(crate) mod adopt;
pub(crate) mod beam;
pub(crate) mod build;
pub(crate) mod filtered;
pub(crate) mod graph;
pub(crate) mod recall;
pub(crate) mod sections;
pub(crate) mod select;
pub(crate) mod space;
pub(crate) mod traverse;

use crate::error::VectorsError;
use crate::index::select::TopK;
use crate::index::{BuildControl, IndexParameters, Previous, SearchParameters};
use crate::quantize::store::Store;
use crate::quantize::{BinaryCodes, Originals, PreparedQuery, ProductCodes, ScalarCodes, Width};
use crate::rows::{Allowed, RowSet, Scored};
use crate::schema::{HnswParameters, Metric, Quantization};
use adopt::Adopted;
use beam::{Beam, ROWS_MAX};
use build::Builder;
use filtered::Plan;
use graph::{Graph, Growing};
use recall::{Curve, HELD_BACK, MEASURED_FROM_ROWS};
use space::{OriginalSpace, Space};
use traverse::{Start, Traversal};

/// Dimensions from which 4 bits are the default: below, their error needs more candidates than the smaller codes save.
const FOUR_BITS_FROM_DIMENSIONS: usize = 256;
/// `ef` when nobody chose.
const EF_DEFAULT: usize = 100;

/// What traversal compares.
#[derive(Debug)]
pub(crate) enum Codes {
    /// Originals themselves.
    Originals,
    /// 8 or 4 bits per dimension.
    Scalar(Box<ScalarCodes>),
    /// One bit per dimension.
    Binary(Box<BinaryCodes>),
    /// One byte per group of dimensions.
    Product(Box<ProductCodes>),
}

impl Codes {
    fn train(
        originals: &dyn Originals,
        parameters: &IndexParameters,
    ) -> Result<Self, VectorsError> {
        let width = match parameters.quantization {
            Quantization::None => return Ok(Codes::Originals),
            Quantization::Int8 => Width::Eight,
            Quantization::Int4 => Width::Four,
            // Graphs are built on finer codes than these, which replace them afterwards.
            Quantization::Auto | Quantization::Binary | Quantization::Product { .. }
                if originals.dimensions() < FOUR_BITS_FROM_DIMENSIONS =>
            {
                Width::Eight
            }
            Quantization::Auto | Quantization::Binary | Quantization::Product { .. } => Width::Four,
        };
        let codes = ScalarCodes::train_and_encode(
            originals,
            parameters.metric,
            width,
            parameters.threads,
            parameters.seed,
        )?;
        Ok(Codes::Scalar(Box::new(codes)))
    }

    /// The codes to keep where the schema asks for coarser ones than a graph is built on.
    fn coarse(
        originals: &dyn Originals,
        parameters: &IndexParameters,
        control: &BuildControl,
    ) -> Result<Option<Self>, VectorsError> {
        let (metric, seed) = (parameters.metric, parameters.seed);
        Ok(match parameters.quantization {
            Quantization::Binary => Some(Codes::Binary(Box::new(BinaryCodes::encode(
                originals, metric, seed,
            )?))),
            Quantization::Product {
                dimensions_per_code,
            } => Some(Codes::Product(Box::new(ProductCodes::train_and_encode(
                originals,
                metric,
                dimensions_per_code,
                parameters.threads,
                seed,
                control,
            )?))),
            _ => None,
        })
    }

    /// Candidates ranked again per result when nobody chose.
    fn oversampling(&self) -> f32 {
        match self {
            Codes::Originals => 1.0,
            Codes::Scalar(codes) => match codes.coding().width {
                _ if codes.coding().lossless => 1.0,
                Width::Eight => 2.0,
                Width::Four => 4.0,
            },
            Codes::Binary(_) => 20.0,
            Codes::Product(_) => 10.0,
        }
    }

    fn is_exact(&self) -> bool {
        match self {
            Codes::Originals => true,
            Codes::Scalar(_) | Codes::Binary(_) | Codes::Product(_) => false,
        }
    }
}

/// Buffers of a search.
#[derive(Debug, Default)]
pub(crate) struct HnswScratch {
    pub(crate) traversal: Traversal,
    pub(crate) query: PreparedQuery,
    /// Allowed rows that a restricted search found.
    pub(crate) found: Beam,
    pub(crate) rows: Vec<u32>,
    pub(crate) ranks: Vec<f32>,
    pub(crate) top: TopK,
}

/// The graph with its codes.
#[derive(Debug)]
pub(crate) struct HnswIndex {
    metric: Metric,
    rows: u32,
    dimensions: usize,
    codes: Codes,
    graph: Graph,
    parameters: HnswParameters,
    curve: Curve,
}

impl HnswIndex {
    pub(crate) fn build(
        originals: &dyn Originals,
        parameters: &IndexParameters,
        previous: Option<Previous<'_>>,
        control: &BuildControl,
    ) -> Result<Self, VectorsError> {
        let adopted = previous.and_then(|previous| adoptable(previous, parameters));
        let rows = originals.rows();
        if rows >= ROWS_MAX {
            return Err(VectorsError::Limit {
                what: "rows of a graph index",
                limit: u64::from(ROWS_MAX),
                actual: u64::from(rows),
            });
        }
        let codes = Codes::train(originals, parameters)?;
        let (graph, curve) = match &codes {
            Codes::Originals => {
                let space = OriginalSpace {
                    originals,
                    metric: parameters.metric,
                };
                build_graph(&space, rows, parameters, adopted, control)?
            }
            Codes::Scalar(codes) => build_graph(&**codes, rows, parameters, adopted, control)?,
            Codes::Binary(_) | Codes::Product(_) => {
                return Err(VectorsError::invalid(
                    "quantization",
                    "graphs are built on finer codes",
                ));
            }
        };
        // What was measured on the codes of the build does not hold for coarser ones.
        let (codes, curve) = match Codes::coarse(originals, parameters, control)? {
            Some(coarse) => (coarse, Curve::default()),
            None => (codes, curve),
        };
        Ok(HnswIndex {
            metric: parameters.metric,
            rows,
            dimensions: originals.dimensions(),
            codes,
            graph,
            parameters: parameters.hnsw,
            curve,
        })
    }

    pub(crate) fn bytes_in_memory(&self) -> u64 {
        let codes = match &self.codes {
            Codes::Originals => 0,
            Codes::Scalar(codes) => codes.bytes_in_memory(),
            Codes::Binary(codes) => codes.bytes_in_memory(),
            Codes::Product(codes) => codes.bytes_in_memory(),
        };
        codes + self.graph.links.bytes_in_memory() + self.graph.entries.len() as u64 * 4
    }

    pub(crate) fn search(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut HnswScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        match &self.codes {
            Codes::Originals => {
                let space = OriginalSpace {
                    originals,
                    metric: self.metric,
                };
                self.search_in(&space, query, parameters, allowed, originals, scratch)
            }
            Codes::Scalar(codes) => {
                self.search_in(&**codes, query, parameters, allowed, originals, scratch)
            }
            Codes::Binary(codes) => {
                self.search_in(&**codes, query, parameters, allowed, originals, scratch)
            }
            Codes::Product(codes) => {
                self.search_in(&**codes, query, parameters, allowed, originals, scratch)
            }
        }
    }

    /// The size of the candidate list that the parameters ask for.
    fn ef(&self, parameters: &SearchParameters) -> usize {
        let by_recall = || self.curve.ef_for(parameters.target_recall?);
        let ef = parameters.ef.or_else(by_recall).unwrap_or(EF_DEFAULT);
        match self.codes {
            // What coarse codes find is only as good as the number of candidates ranked again.
            Codes::Binary(_) | Codes::Product(_) => {
                let oversampling = parameters.oversampling.unwrap_or(self.codes.oversampling());
                ef.max((parameters.k as f32 * oversampling.clamp(1.0, 1000.0)) as usize)
            }
            _ => ef,
        }
    }

    fn search_in<S: Space>(
        &self,
        space: &S,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut HnswScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        let k = parameters.k.min(self.rows as usize);
        let ef = self.ef(parameters).max(k).min(self.rows as usize);
        space.prepare(query, &mut scratch.query);
        let start = Start {
            entries: &self.graph.entries,
            rows: self.rows,
            ef,
        };
        let links = self.graph.sealed();
        let mut restricted =
            allowed.filter.is_some() || allowed.live.is_some_and(|live| live.removed() > 0);
        if restricted {
            let allowed_rows = allowed_rows(allowed, self.rows);
            let ways = filtered::Ways {
                space,
                links: &links,
                start,
                allowed,
                allowed_rows,
            };
            match filtered::plan(allowed, allowed_rows, self.rows, ef) {
                Plan::Scan => ways.scan(scratch)?,
                Plan::All => ways.traverse_all(scratch)?,
                Plan::TwoSteps => ways.traverse_allowed(scratch)?,
            }
            if scratch.found.items().len() < k.min(allowed_rows) {
                ways.scan(scratch)?;
            }
        } else {
            let traversal = &mut scratch.traversal;
            traversal.run(space, &links, &scratch.query, start)?;
            if traversal.beam.items().len() < k {
                // Links lost, by damage or by many equal rows: rows that no link leads to are found all the same.
                restricted = true;
                let ways = filtered::Ways {
                    space,
                    links: &links,
                    start,
                    allowed,
                    allowed_rows: self.rows as usize,
                };
                ways.scan(scratch)?;
            }
        }
        self.answer(query, k, parameters, restricted, originals, scratch)
    }

    /// The best of the candidates, ranked again on originals where that is asked for.
    fn answer(
        &self,
        query: &[f32],
        k: usize,
        parameters: &SearchParameters,
        restricted: bool,
        originals: &dyn Originals,
        scratch: &mut HnswScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        let rescore = parameters.rescore.unwrap_or(!self.codes.is_exact());
        let oversampling = parameters
            .oversampling
            .unwrap_or_else(|| self.codes.oversampling());
        let items = if restricted {
            scratch.found.items()
        } else {
            scratch.traversal.beam.items()
        };
        if !rescore {
            let items = items.iter().take(k);
            return Ok(items
                .map(|item| Scored {
                    row: item.row(),
                    rank: -item.distance(),
                })
                .collect());
        }
        let count = ((k as f32 * oversampling.max(1.0)).ceil() as usize).max(k);
        scratch.rows.clear();
        scratch
            .rows
            .extend(items.iter().take(count).map(|item| item.row()));
        scratch.ranks.resize(scratch.rows.len(), 0.0);
        originals.rank_rows(self.metric, query, &scratch.rows, &mut scratch.ranks)?;
        scratch.top.reset(k);
        for (&row, &rank) in scratch.rows.iter().zip(&scratch.ranks) {
            scratch.top.offer(row, rank);
        }
        Ok(scratch.top.best().to_vec())
    }
}

/// How many rows are allowed, or a little more: deletes and filter are counted apart.
fn allowed_rows(allowed: Allowed<'_>, rows: u32) -> usize {
    let live = allowed
        .live
        .map_or(rows, |live| rows.saturating_sub(live.removed()));
    let filter = allowed.filter.map_or(rows, RowSet::count);
    live.min(filter) as usize
}

/// The old graph, when it has the shape that the new one shall have.
fn adoptable<'a>(previous: Previous<'a>, parameters: &IndexParameters) -> Option<Adopted<'a>> {
    let index = previous.index.graph()?;
    let same = index.metric == parameters.metric && index.parameters == parameters.hnsw;
    same.then_some(Adopted {
        graph: &index.graph,
        new_rows: previous.new_rows.get(..index.rows as usize)?,
    })
}

/// Links a new row makes, half as many again as `m`. With `m` of them lists end up too short for the last percent of recall;
/// with `2 * m` a build costs a quarter more again, and at a recall of 0.95 each step compares more than it gains.
fn own_links(m: usize) -> usize {
    m + m / 2
}

fn build_graph<S: Space>(
    space: &S,
    rows: u32,
    parameters: &IndexParameters,
    adopted: Option<Adopted<'_>>,
    control: &BuildControl,
) -> Result<(Graph, Curve), VectorsError> {
    let m = usize::from(parameters.hnsw.m);
    let degree = 2 * m;
    let mut links = Store::zeroed("graph", rows as usize * degree * 4)?;
    let kept_first = adopted.and_then(|adopted| adopted.order(rows, parameters.seed));
    let adopted = adopted.filter(|_| kept_first.is_some());
    let (order, kept) =
        kept_first.unwrap_or_else(|| (build::insertion_order(rows, parameters.seed), 0));
    let entries = build::entry_count(rows as usize);
    let mut curve = Curve::default();
    if let Store::Owned(buffer) = &mut links {
        buffer.fill(0xff);
        let growing = Growing {
            links: buffer.as_atomics(),
            degree,
        };
        let ef = (parameters.hnsw.ef_construct as usize).max(m);
        let builder = Builder::new(space, growing, &order, entries, own_links(m), ef);
        let held_back = (rows as usize).saturating_sub(HELD_BACK);
        let measured_from = if held_back >= MEASURED_FROM_ROWS.max(kept) {
            held_back
        } else {
            rows as usize
        };
        if let Some(adopted) = adopted {
            builder.adopt(adopted, rows)?;
            control.advance(kept as u32)?;
        }
        builder.insert_all(kept..measured_from, parameters.threads, control)?;
        curve = builder.measure_recall(measured_from)?;
        builder.insert_all(measured_from..rows as usize, parameters.threads, control)?;
    }
    let graph = Graph {
        links,
        degree,
        entries: order[..entries].to_vec(),
    };
    Ok((graph, curve))
}
