//! Query trees on the wire: `POST …/points/query` and its kin.
//!
//! What the wire counts and names differently is settled here: positions of reciprocal ranks count from 0, so its `k` is
//! one more than the constant of the paper's formula; `diversity` is what relevance is not.

use service::Error;
use service::collections::filter::datetime;
use service::collections::query::{
    ContextPair, Direction, Fusion, GroupRequest, LookupFrom, Mmr, OrderBy, Query, QueryRequest,
    SearchOptions, Stage, Strategy, TextParameters,
};
use service::collections::{FieldPath, Input, PayloadSelection, With};

use super::super::{filter, selection};
use super::formula;
use super::part::Part;
use super::targets::target;

/// Results of a query that names no limit, and of a prefetch.
const LIMIT_DEFAULT: usize = 10;
/// Points of a group where none are named.
const GROUP_SIZE_DEFAULT: usize = 3;
/// The wire's `k` where none is named.
const RECIPROCAL_RANK_K: f32 = 2.0;

/// Fields of every stage.
const STAGE: &[&str] = &[
    "prefetch",
    "query",
    "using",
    "filter",
    "params",
    "score_threshold",
    "limit",
    "lookup_from",
];
/// Further fields of the root.
const ROOT: &[&str] = &[
    "offset",
    "with_payload",
    "with_vector",
    "with_vectors",
    "shard_key",
];
/// Further fields of a grouped query.
const GROUPS: &[&str] = &["group_by", "group_size", "with_lookup"];

/// A query and what comes with each point it finds.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadQuery {
    /// The query.
    pub request: QueryRequest<Input>,
    /// What comes with each point.
    pub with: With,
}

/// Another collection that has a point for each group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupLookup {
    /// Its name.
    pub collection: String,
    /// What comes with its points.
    pub with: With,
}

/// A grouped query.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadGroups {
    /// The query.
    pub request: GroupRequest<Input>,
    /// What comes with each point.
    pub with: With,
    /// Where a point of each group is.
    pub lookup: Option<GroupLookup>,
}

/// The query of a body. `seed` is for samples.
///
/// # Errors
/// `InvalidRequest` naming the field; `NotSupported` for what the wire has and this server does not.
pub fn query_request(part: &Part<'_>, seed: u64) -> Result<ReadQuery, Error> {
    part.object(&[STAGE, ROOT].concat())?;
    let root = Reader { seed };
    Ok(ReadQuery {
        request: QueryRequest {
            stage: root.stage(part)?,
            offset: part
                .field("offset")
                .map_or(Ok(0), |offset| offset.count())?,
        },
        with: with(part)?,
    })
}

/// The grouped query of a body.
///
/// # Errors
/// As [`query_request`].
pub fn group_request(part: &Part<'_>, seed: u64) -> Result<ReadGroups, Error> {
    part.object(&[STAGE, ROOT, GROUPS].concat())?;
    if let Some(offset) = part.field("offset") {
        return Err(offset.invalid("groups have no offset"));
    }
    let group_by = part.required("group_by")?;
    let count = |key: &str, usual: usize| part.field(key).map_or(Ok(usual), |count| count.count());
    let (limit, group_size) = (
        count("limit", LIMIT_DEFAULT)?,
        count("group_size", GROUP_SIZE_DEFAULT)?,
    );
    let mut stage = Reader { seed }.stage(part)?;
    // The limit counts groups; the engine finds as many points as they take.
    stage.limit = LIMIT_DEFAULT;
    Ok(ReadGroups {
        request: GroupRequest {
            query: QueryRequest { stage, offset: 0 },
            group_by: path(&group_by)?,
            group_size,
            limit,
        },
        with: with(part)?,
        lookup: part
            .field("with_lookup")
            .map(|part| lookup(&part))
            .transpose()?,
    })
}

/// What comes with each point: nothing unless asked for.
fn with(part: &Part<'_>) -> Result<With, Error> {
    if let Some(shard_key) = part.field("shard_key") {
        selection::refuse_shard_key(shard_key.value())?;
    }
    let value = |key: &'static str| part.field(key).map(|part| part.value());
    let null = &serde_json::Value::Null;
    selection::with(
        value("with_payload").unwrap_or(null),
        value("with_vector")
            .or(value("with_vectors"))
            .unwrap_or(null),
        PayloadSelection::None,
    )
}

fn lookup(part: &Part<'_>) -> Result<GroupLookup, Error> {
    if let Ok(collection) = part.text() {
        return Ok(GroupLookup {
            collection: collection.to_owned(),
            with: With::payload(),
        });
    }
    part.object(&["collection", "with_payload", "with_vectors"])?;
    let value = |key: &'static str| part.field(key).map(|part| part.value());
    let null = &serde_json::Value::Null;
    Ok(GroupLookup {
        collection: part.required("collection")?.text()?.to_owned(),
        with: selection::with(
            value("with_payload").unwrap_or(null),
            value("with_vectors").unwrap_or(null),
            PayloadSelection::All,
        )?,
    })
}

fn path(part: &Part<'_>) -> Result<FieldPath, Error> {
    part.text()?.parse().map_err(|error| part.invalid(error))
}

/// Reads stages.
#[derive(Clone, Copy)]
struct Reader {
    seed: u64,
}

impl Reader {
    /// A stage of known fields. Nesting is bounded twice: a body's by its parser, a query's when it is validated.
    fn stage(self, part: &Part<'_>) -> Result<Stage<Input>, Error> {
        let mut stage = Stage {
            limit: LIMIT_DEFAULT,
            ..Stage::default()
        };
        if let Some(list) = part.field("prefetch") {
            for prefetch in list.one_or_many() {
                prefetch.object(STAGE)?;
                stage.prefetch.push(self.stage(&prefetch)?);
            }
        }
        if let Some(query) = part.field("query") {
            stage.query = Some(self.query(&query)?);
        }
        if let Some(using) = part.field("using") {
            stage.using = using.text()?.to_owned();
        }
        if let Some(given) = part.field("filter") {
            stage.filter = filter::filter(given.value(), &given.path())?.unwrap_or_default();
        }
        if let Some(params) = part.field("params") {
            stage.options = options(&params)?;
        }
        if let Some(threshold) = part.field("score_threshold") {
            stage.score_threshold = Some(threshold.float()?);
        }
        if let Some(limit) = part.field("limit") {
            stage.limit = limit.count()?;
            if stage.limit == 0 {
                return Err(limit.invalid("must be at least 1"));
            }
        }
        if let Some(from) = part.field("lookup_from") {
            stage.lookup_from = Some(lookup_from(&from)?);
        }
        Ok(stage)
    }

    fn query(self, part: &Part<'_>) -> Result<Query<Input>, Error> {
        let nearest = |target| Query::Nearest { target, mmr: None };
        let Some(fields) = part.value().as_object() else {
            return target(part).map(nearest);
        };
        // A document has a text too, but names a model.
        if fields.contains_key("text") && !fields.contains_key("model") {
            return text(part);
        }
        let given = KINDS.iter().find(|(kind, _)| part.field(kind).is_some());
        let Some(&(kind, beside)) = given else {
            return target(part).map(nearest);
        };
        part.object(&[&[kind], beside].concat())?;
        let inner = part.required(kind)?;
        match kind {
            "nearest" => Ok(Query::Nearest {
                target: target(&inner)?,
                mmr: part.field("mmr").map(|mmr| diversity(&mmr)).transpose()?,
            }),
            "recommend" => recommend(&inner),
            "discover" => {
                inner.object(&["target", "context"])?;
                Ok(Query::Discover {
                    target: target(&inner.required("target")?)?,
                    context: pairs(&inner.required("context")?)?,
                })
            }
            "context" => Ok(Query::Context {
                context: pairs(&inner)?,
            }),
            "order_by" => order_by(&inner).map(Query::OrderBy),
            "fusion" => inner
                .choice(&[("rrf", true), ("dbsf", false)])
                .map(|reciprocal| match reciprocal {
                    true => reciprocal_rank(RECIPROCAL_RANK_K, Vec::new()),
                    false => Query::Fusion(Fusion::DistributionBased),
                }),
            "rrf" => weighted_ranks(&inner),
            "formula" => formula::formula(&inner, part.field("defaults").as_ref()).map(Query::Formula),
            "sample" => inner
                .choice(&[("random", ())])
                .map(|()| Query::Sample { seed: self.seed }),
            _ => Err(inner.unsupported(
                "relevance feedback is not supported; `recommend` with strategy `best_score` takes examples too",
            )),
        }
    }
}

/// Kinds of queries, and what may stand beside each.
const KINDS: &[(&str, &[&str])] = &[
    ("nearest", &["mmr"]),
    ("recommend", &[]),
    ("discover", &[]),
    ("context", &[]),
    ("order_by", &[]),
    ("fusion", &[]),
    ("rrf", &[]),
    ("formula", &["defaults"]),
    ("sample", &[]),
    ("relevance_feedback", &[]),
];

fn reciprocal_rank(k: f32, weights: Vec<f32>) -> Query<Input> {
    Query::Fusion(Fusion::ReciprocalRank {
        constant: k - 1.0,
        weights,
    })
}

fn weighted_ranks(part: &Part<'_>) -> Result<Query<Input>, Error> {
    part.object(&["k", "weights"])?;
    let k = match part.field("k") {
        Some(k) => match k.whole()? {
            0 => return Err(k.invalid("must be at least 1")),
            count => count as f32,
        },
        None => RECIPROCAL_RANK_K,
    };
    let weights = match part.field("weights") {
        Some(weights) => weights
            .items()?
            .map(|weight| weight.float())
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(reciprocal_rank(k, weights))
}

fn text(part: &Part<'_>) -> Result<Query<Input>, Error> {
    part.object(&["text"])?;
    let inner = part.required("text")?;
    let mut parameters = TextParameters::default();
    let text = match inner.text() {
        Ok(text) => text,
        Err(_) => {
            inner.object(&["query", "scoring"])?;
            if let Some(scoring) = inner.field("scoring") {
                scoring.object(&["bm25"])?;
                let bm25 = scoring.required("bm25")?;
                bm25.object(&["k1", "b"])?;
                let number = |key: &str| bm25.field(key).map(|part| part.float()).transpose();
                (parameters.k1, parameters.b) = (number("k1")?, number("b")?);
            }
            inner.required("query")?.text()?
        }
    };
    Ok(Query::Text {
        text: text.to_owned(),
        parameters,
    })
}

fn diversity(part: &Part<'_>) -> Result<Mmr, Error> {
    part.object(&["diversity", "candidates_limit"])?;
    let diversity = part.field("diversity").map_or(Ok(0.5), |part| {
        let diversity = part.float()?;
        match (0.0..=1.0).contains(&diversity) {
            true => Ok(diversity),
            false => Err(part.invalid("must be from 0 to 1")),
        }
    })?;
    Ok(Mmr {
        lambda: 1.0 - diversity,
        candidates: part
            .field("candidates_limit")
            .map(|limit| limit.count())
            .transpose()?,
    })
}

fn recommend(part: &Part<'_>) -> Result<Query<Input>, Error> {
    part.object(&["positive", "negative", "strategy"])?;
    let examples = |key: &str| -> Result<Vec<Input>, Error> {
        match part.field(key) {
            Some(list) => list.items()?.map(|example| target(&example)).collect(),
            None => Ok(Vec::new()),
        }
    };
    let strategy = match part.field("strategy") {
        Some(strategy) => strategy.choice(&[
            ("average_vector", Strategy::AverageVector),
            ("best_score", Strategy::BestScore),
            ("sum_scores", Strategy::SumScores),
        ])?,
        None => Strategy::AverageVector,
    };
    Ok(Query::Recommend {
        positive: examples("positive")?,
        negative: examples("negative")?,
        strategy,
    })
}

fn pairs(part: &Part<'_>) -> Result<Vec<ContextPair<Input>>, Error> {
    part.one_or_many()
        .iter()
        .map(|pair| {
            pair.object(&["positive", "negative"])?;
            Ok(ContextPair {
                positive: target(&pair.required("positive")?)?,
                negative: target(&pair.required("negative")?)?,
            })
        })
        .collect()
}

fn order_by(part: &Part<'_>) -> Result<OrderBy, Error> {
    if part.text().is_ok() {
        return Ok(OrderBy {
            key: path(part)?,
            direction: Direction::Ascending,
            start_from: None,
        });
    }
    part.object(&["key", "direction", "start_from"])?;
    let direction = part
        .field("direction")
        .map_or(Ok(Direction::Ascending), |part| {
            part.choice(&[
                ("asc", Direction::Ascending),
                ("desc", Direction::Descending),
            ])
        })?;
    Ok(OrderBy {
        key: path(&part.required("key")?)?,
        direction,
        start_from: part
            .field("start_from")
            .map(|from| start(&from))
            .transpose()?,
    })
}

/// A number, or a date and time as the engine orders them: in microseconds.
fn start(part: &Part<'_>) -> Result<f64, Error> {
    match part.text() {
        Ok(text) => datetime::parse(text)
            .map(|micros| micros as f64)
            .ok_or_else(|| part.invalid("expected a number or a date and time (RFC 3339)")),
        Err(_) => part.number(),
    }
}

/// How an index is searched.
fn options(part: &Part<'_>) -> Result<SearchOptions, Error> {
    part.object(&[
        "hnsw_ef",
        "exact",
        "quantization",
        "indexed_only",
        "acorn",
        "idf",
    ])?;
    let mut options = SearchOptions::default();
    if let Some(ef) = part.field("hnsw_ef") {
        options.ef = Some(ef.count()?);
    }
    if let Some(exact) = part.field("exact") {
        options.exact = exact.truth()?;
    }
    if let Some(quantization) = part.field("quantization") {
        quantization.object(&["ignore", "rescore", "oversampling"])?;
        options.rescore = quantization
            .field("rescore")
            .map(|rescore| rescore.truth())
            .transpose()?;
        options.oversampling = quantization
            .field("oversampling")
            .map(|factor| factor.float())
            .transpose()?;
        // Codes still lead the way through the graph, but originals decide.
        if quantization
            .field("ignore")
            .map_or(Ok(false), |ignore| ignore.truth())?
        {
            options.rescore = Some(true);
        }
    }
    // Rows without an index are always searched, so nothing that matches is ever missing; the caller accepts as much.
    if let Some(indexed_only) = part.field("indexed_only") {
        indexed_only.truth()?;
    }
    // The engine decides by itself, row by row, how a filter is followed through the graph.
    if let Some(acorn) = part.field("acorn") {
        acorn.object(&["enable", "max_selectivity"])?;
        if let Some(enable) = acorn.field("enable") {
            enable.truth()?;
        }
        if let Some(selectivity) = acorn.field("max_selectivity") {
            selectivity.number()?;
        }
    }
    if let Some(idf) = part.field("idf")
        && idf.value() != "global"
    {
        return Err(idf.unsupported(
            "document frequencies are counted over the whole collection only; leave it out or send \"global\"",
        ));
    }
    Ok(options)
}

fn lookup_from(part: &Part<'_>) -> Result<LookupFrom, Error> {
    part.object(&["collection", "vector", "shard_key"])?;
    if let Some(shard_key) = part.field("shard_key") {
        selection::refuse_shard_key(shard_key.value())?;
    }
    Ok(LookupFrom {
        collection: part.required("collection")?.text()?.to_owned(),
        vector: part
            .field("vector")
            .map(|vector| vector.text().map(str::to_owned))
            .transpose()?,
    })
}
