//! A navigable small-world graph over codes (Malkov & Yashunin 2016), traversed on codes and ranked again on originals.

pub(crate) mod adopt;
pub(crate) mod beam;
pub(crate) mod build;
pub(crate) mod filtered;
pub(crate) mod graph;
pub(crate) mod recall;
mod rescore;
pub(crate) mod sections;
pub(crate) mod select;
pub(crate) mod space;
pub(crate) mod traverse;
pub(crate) mod twins;

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
use recall::{Curve, HELD_BACK, MEASURED_FROM_ROWS, Measured};
use space::{BuildSpace, OriginalSpace, Space};
use traverse::{Start, Traversal};
use twins::Twins;

/// Dimensions from which 4 bits are the default: below, their error needs more candidates than the smaller codes save.
const FOUR_BITS_FROM_DIMENSIONS: usize = 256;
/// `ef` when nobody chose.
pub(crate) const EF_DEFAULT: usize = 100;

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
        let (metric, threads) = (parameters.metric, parameters.threads);
        let width = match parameters.quantization {
            Quantization::None => return Ok(Codes::Originals),
            Quantization::Int4 => Width::Four,
            Quantization::Int8
            | Quantization::Auto
            | Quantization::Binary
            | Quantization::Product { .. } => {
                // Codes without error beat smaller ones at any size: hardly anything needs to be ranked again.
                let exact = ScalarCodes::encode_exactly(originals, metric, threads)?;
                if let Some(exact) = exact {
                    return Ok(Codes::Scalar(Box::new(exact)));
                }
                // Graphs are built on finer codes than binary and product ones, which replace them afterwards.
                let four = parameters.quantization != Quantization::Int8
                    && originals.dimensions() >= FOUR_BITS_FROM_DIMENSIONS;
                if four { Width::Four } else { Width::Eight }
            }
        };
        let seed = parameters.seed;
        let codes = ScalarCodes::train_and_encode(originals, metric, width, threads, seed)?;
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

    /// How many of `ef` candidates are ranked again for `k` results.
    fn rescored(&self, k: usize, oversampling: Option<f32>, ef: usize) -> usize {
        let by_results = |oversampling: f32| (k as f32 * oversampling.max(1.0)).ceil() as usize;
        let count = match (oversampling, self) {
            (Some(oversampling), _) => by_results(oversampling),
            // What coarse codes find is only as good as the number of candidates ranked again.
            (None, Codes::Binary(_) | Codes::Product(_)) => ef,
            (None, Codes::Originals | Codes::Scalar(_)) => by_results(self.oversampling()),
        };
        count.max(k)
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
    /// Ranks by codes of rows that are ranked again.
    by_codes: Vec<f32>,
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
        let previous = previous.and_then(|previous| adoptable(previous, parameters));
        let rows = originals.rows();
        if rows >= ROWS_MAX {
            return Err(VectorsError::Limit {
                what: "rows of a graph index",
                limit: u64::from(ROWS_MAX),
                actual: u64::from(rows),
            });
        }
        let codes = Codes::train(originals, parameters)?;
        let coarse = Codes::coarse(originals, parameters, control)?;
        let kept = coarse.as_ref().unwrap_or(&codes);
        let space = OriginalSpace {
            originals,
            metric: parameters.metric,
        };
        let build = Build {
            originals,
            parameters,
            previous,
            rescored: &|k, ef| kept.rescored(k, None, ef),
            control,
        };
        let (graph, curve) = match (&codes, &coarse) {
            (Codes::Scalar(codes), None) => build.run(&**codes, &**codes)?,
            (Codes::Scalar(codes), Some(Codes::Binary(kept))) => build.run(&**codes, &**kept)?,
            (Codes::Scalar(codes), Some(Codes::Product(kept))) => build.run(&**codes, &**kept)?,
            _ => build.run(&space, &space)?,
        };
        let codes = coarse.unwrap_or(codes);
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

    pub(crate) fn traverses_originals(&self) -> bool {
        matches!(self.codes, Codes::Originals)
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
    pub(crate) fn ef(&self, parameters: &SearchParameters) -> usize {
        let by_recall = || self.curve.ef_for(parameters.target_recall?);
        if parameters.ef.is_none()
            && let Some(ef) = by_recall()
        {
            return ef;
        }
        let ef = parameters.ef.unwrap_or(EF_DEFAULT);
        match self.codes {
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
        let allowed_rows = allowed_rows(allowed, self.rows);
        let ways = filtered::Ways {
            space,
            links: &links,
            start,
            allowed,
            allowed_rows,
            twins: &self.graph.twins,
        };
        let rescore = parameters.rescore.unwrap_or(!self.codes.is_exact());
        let count = if rescore {
            self.codes.rescored(k, parameters.oversampling, ef)
        } else {
            k
        };
        let all_live = allowed.live.is_none_or(|live| live.removed() == 0);
        if allowed.filter.is_none() && all_live {
            let traversal = &mut scratch.traversal;
            traversal.run(space, &links, &scratch.query, start)?;
            std::mem::swap(&mut scratch.found, &mut scratch.traversal.beam);
        } else {
            match filtered::plan(allowed, allowed_rows, self.rows, ef) {
                Plan::Scan => ways.scan(scratch)?,
                Plan::All => ways.traverse_all(scratch)?,
                Plan::TwoSteps => ways.traverse_allowed(scratch)?,
            }
        }
        self.collect(count, allowed, scratch);
        if scratch.rows.len() < k.min(allowed_rows) {
            // Few near ones are allowed, or links were lost by damage: rows that no link leads to are found all the same.
            ways.scan(scratch)?;
            self.collect(count, allowed, scratch);
        }
        scratch.top.reset(k);
        if rescore {
            rescore::rank_again(originals, (self.metric, query, k), scratch)?;
        } else {
            for (&row, &rank) in scratch.rows.iter().zip(&scratch.ranks) {
                scratch.top.offer(row, rank);
            }
        }
        Ok(scratch.top.best().to_vec())
    }

    /// Puts the best `count` rows that were found into `scratch.rows` with their ranks by codes, each with its twins.
    fn collect(&self, count: usize, allowed: Allowed<'_>, scratch: &mut HnswScratch) {
        let (rows, ranks) = (&mut scratch.rows, &mut scratch.ranks);
        rows.clear();
        ranks.clear();
        let twins = &self.graph.twins;
        if twins.is_empty() {
            let best = scratch.found.items().iter().take(count);
            rows.extend(best.clone().map(|item| item.row()));
            ranks.extend(best.map(|item| -item.distance()));
            return;
        }
        let taken = &mut scratch.traversal.visited;
        taken.reset(self.rows);
        for item in scratch.found.items() {
            for row in std::iter::once(item.row()).chain(twins.of(item.row())) {
                if rows.len() == count {
                    return;
                }
                if allowed.contains(row) && taken.insert(row) {
                    rows.push(row);
                    ranks.push(-item.distance());
                }
            }
        }
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

/// An old graph, when it has the shape that the new one shall have. Its codes do not matter: only links are kept.
fn adoptable<'a>(
    previous: Previous<'a>,
    parameters: &IndexParameters,
) -> Option<(&'a Graph, &'a [u32])> {
    let index = previous.index.graph()?;
    let same = index.metric == parameters.metric && index.parameters == parameters.hnsw;
    let new_rows = previous.new_rows.get(..index.rows as usize)?;
    same.then_some((&index.graph, new_rows))
}

/// Links a new row makes, half as many again as `m`. With `m` of them lists end up too short for the last percent of recall;
/// with `2 * m` a build costs a quarter more again, and at a recall of 0.95 each step compares more than it gains.
fn own_links(m: usize) -> usize {
    m + m / 2
}

/// How a graph is built, apart from what it compares.
struct Build<'a> {
    originals: &'a dyn Originals,
    parameters: &'a IndexParameters,
    /// An old graph and the new rows of its rows.
    previous: Option<(&'a Graph, &'a [u32])>,
    /// How many of `ef` candidates a search for `k` results ranks again.
    rescored: &'a (dyn Fn(usize, usize) -> usize + Sync),
    control: &'a BuildControl,
}

impl Build<'_> {
    /// Builds on `space` and measures recall on `kept`, the codes that searches will use.
    fn run<S: BuildSpace, K: Space>(
        &self,
        space: &S,
        kept: &K,
    ) -> Result<(Graph, Curve), VectorsError> {
        let (parameters, control) = (self.parameters, self.control);
        let rows = self.originals.rows();
        let m = usize::from(parameters.hnsw.m);
        let degree = 2 * m;
        let mut links = Store::zeroed("graph", rows as usize * degree * 4)?;
        let twins = Twins::find(space, rows)?;
        let standing = twins.standing();
        let (order, adopted, adopted_rows) = self.order(&standing);
        let entries = build::entry_count(order.len());
        let mut curve = Curve::default();
        if let Store::Owned(buffer) = &mut links {
            buffer.fill(0xff);
            let growing = Growing {
                links: buffer.as_atomics(),
                degree,
            };
            let ef = (parameters.hnsw.ef_construct as usize).max(m);
            let builder = Builder::new(space, growing, &order, entries, own_links(m), ef);
            let held_back = order.len().saturating_sub(HELD_BACK);
            let measured_from = if held_back >= MEASURED_FROM_ROWS.max(adopted_rows) {
                held_back
            } else {
                order.len()
            };
            if let Some(adopted) = adopted {
                builder.adopt(&adopted)?;
            }
            builder.link_twins(&twins);
            control.advance(adopted_rows as u32 + twins.pairs().len() as u32)?;
            let threads = parameters.threads;
            builder.insert_all(adopted_rows..measured_from, threads, control)?;
            let (inside, outside) = order.split_at(measured_from);
            if !outside.is_empty() {
                let measured = Measured {
                    space: kept,
                    originals: self.originals,
                    metric: parameters.metric,
                    rescored: self.rescored,
                };
                curve = measured.curve(growing, (inside, outside), entries, threads, control)?;
            }
            builder.insert_all(measured_from..order.len(), threads, control)?;
        }
        let graph = Graph {
            links,
            degree,
            entries: order[..entries].to_vec(),
            twins,
        };
        Ok((graph, curve))
    }

    /// The rows of the graph in the order of insertion, the old graph if it is used, and how many of the rows it has.
    fn order(&self, standing: &[u32]) -> (Vec<u32>, Option<Adopted<'_>>, usize) {
        let seed = self.parameters.seed;
        if let Some((graph, new_rows)) = self.previous {
            let adopted = Adopted::new(graph, new_rows, standing);
            if let Some((order, kept)) = adopted.order(standing, seed) {
                return (order, Some(adopted), kept);
            }
        }
        (build::insertion_order(standing, seed), None, 0)
    }
}
