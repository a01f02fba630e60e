//! The query language from the wire: trees of stages.

use service::Error;
use service::collections::query::{
    ContextPair, Direction, Fusion, GroupRequest, Mmr, OrderBy, Query, QueryRequest, Stage,
    Strategy, TextParameters,
};
use service::collections::{Input, PayloadSelection, With};

use super::expressions::formula;
use super::filters::{filter, optional};
use super::ids::path;
use super::selectors::{count, lookup, no_shards, search_options, with};
use super::values::microseconds;
use super::vectors::input;
use super::{invalid, missing, unsupported};
use crate::grpc::protocol::qdrant as wire;
use wire::query::Variant;

/// Hits of a stage whose limit is not given.
pub const LIMIT_DEFAULT: usize = 10;
/// Groups, and hits in each, of a request that does not say.
pub const GROUPS_DEFAULT: usize = 3;
/// The constant of reciprocal rank fusion on this wire, where ranks count from 0.
const RRF_CONSTANT_DEFAULT: f32 = 2.0;

/// A whole query and what it returns of the points; samples are drawn by `seed`.
///
/// # Errors
/// A part is missing, not valid, or not supported.
pub fn query_points(
    request: wire::QueryPoints,
    seed: u64,
) -> Result<(QueryRequest<Input>, With), Error> {
    no_shards(request.shard_key_selector)?;
    let with = with(
        PayloadSelection::None,
        request.with_payload,
        request.with_vectors,
    )?;
    let stage = Stage {
        prefetch: stages(request.prefetch, seed)?,
        query: request.query.map(|given| query(given, seed)).transpose()?,
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?.unwrap_or_default(),
        options: search_options(request.params)?,
        score_threshold: request.score_threshold,
        limit: request.limit.map_or(LIMIT_DEFAULT, count),
        lookup_from: lookup(request.lookup_from)?,
    };
    let offset = request.offset.map_or(0, count);
    Ok((QueryRequest { stage, offset }, with))
}

/// A query whose hits are grouped, and where the points that describe the groups are.
pub struct Grouped {
    /// What is run.
    pub request: GroupRequest<Input>,
    /// What is returned of the hits.
    pub with: With,
    /// The collection of the describing points, and what is returned of them.
    pub lookup: Option<(String, With)>,
}

/// A query whose hits are grouped.
///
/// # Errors
/// As [`query_points`].
pub fn query_groups(request: wire::QueryPointGroups, seed: u64) -> Result<Grouped, Error> {
    no_shards(request.shard_key_selector)?;
    let described_by = match request.with_lookup {
        None => None,
        Some(lookup) => {
            let all = PayloadSelection::All;
            let with = with(all, lookup.with_payload, lookup.with_vectors)?;
            Some((lookup.collection, with))
        }
    };
    let with = with(
        PayloadSelection::None,
        request.with_payload,
        request.with_vectors,
    )?;
    let stage = Stage {
        prefetch: stages(request.prefetch, seed)?,
        query: request.query.map(|given| query(given, seed)).transpose()?,
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?.unwrap_or_default(),
        options: search_options(request.params)?,
        score_threshold: request.score_threshold,
        lookup_from: lookup(request.lookup_from)?,
        ..Stage::default()
    };
    let groups = GroupRequest {
        query: QueryRequest { stage, offset: 0 },
        group_by: path("group_by", &request.group_by)?,
        group_size: request.group_size.map_or(GROUPS_DEFAULT, count),
        limit: request.limit.map_or(GROUPS_DEFAULT, count),
    };
    Ok(Grouped {
        request: groups,
        with,
        lookup: described_by,
    })
}

fn stages(prefetches: Vec<wire::PrefetchQuery>, seed: u64) -> Result<Vec<Stage<Input>>, Error> {
    let one = |prefetch| stage(prefetch, seed);
    prefetches.into_iter().map(one).collect()
}

fn stage(prefetch: wire::PrefetchQuery, seed: u64) -> Result<Stage<Input>, Error> {
    Ok(Stage {
        prefetch: stages(prefetch.prefetch, seed)?,
        query: prefetch.query.map(|given| query(given, seed)).transpose()?,
        using: prefetch.using.unwrap_or_default(),
        filter: prefetch.filter.map(filter).transpose()?.unwrap_or_default(),
        options: search_options(prefetch.params)?,
        score_threshold: prefetch.score_threshold,
        limit: prefetch.limit.map_or(LIMIT_DEFAULT, count),
        lookup_from: lookup(prefetch.lookup_from)?,
    })
}

fn query(query: wire::Query, seed: u64) -> Result<Query<Input>, Error> {
    Ok(match query.variant.ok_or_else(|| missing("query"))? {
        Variant::Nearest(near) => Query::Nearest {
            target: input("nearest", Some(near))?,
            mmr: None,
        },
        Variant::NearestWithMmr(near) => Query::Nearest {
            target: input("nearest", near.nearest)?,
            mmr: Some(mmr(near.mmr.unwrap_or_default())),
        },
        Variant::Recommend(examples) => Query::Recommend {
            positive: targets(examples.positive)?,
            negative: targets(examples.negative)?,
            strategy: strategy(examples.strategy)?,
        },
        Variant::Discover(near) => Query::Discover {
            target: input("discover.target", near.target)?,
            context: pairs(near.context.unwrap_or_default())?,
        },
        Variant::Context(context) => Query::Context {
            context: pairs(context)?,
        },
        Variant::OrderBy(order) => Query::OrderBy(order_by(order)?),
        Variant::Fusion(number) => Query::Fusion(fusion(number)?),
        Variant::Rrf(parameters) => Query::Fusion(reciprocal_rank(parameters)),
        Variant::Sample(_) => Query::Sample { seed },
        Variant::Formula(given) => Query::Formula(formula(given)?),
        Variant::Text(text) => Query::Text {
            parameters: text_parameters(text.scoring),
            text: text.query,
        },
        Variant::RelevanceFeedback(_) => {
            return Err(unsupported("queries with relevance feedback are"));
        }
    })
}

fn text_parameters(scoring: Option<wire::text_query::Scoring>) -> TextParameters {
    match scoring {
        Some(wire::text_query::Scoring::Bm25(bm25)) => TextParameters {
            k1: bm25.k,
            b: bm25.b,
            ..TextParameters::default()
        },
        None => TextParameters::default(),
    }
}

fn mmr(given: wire::Mmr) -> Mmr {
    Mmr {
        // The wire counts from nearness to diversity, the paper the other way.
        lambda: 1.0 - given.diversity.unwrap_or(0.5),
        candidates: given
            .candidates_limit
            .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    }
}

fn fusion(number: i32) -> Result<Fusion, Error> {
    match wire::Fusion::try_from(number) {
        Ok(wire::Fusion::Rrf) => Ok(reciprocal_rank(wire::Rrf::default())),
        Ok(wire::Fusion::Dbsf) => Ok(Fusion::DistributionBased),
        Err(_) => Err(invalid("fusion", format!("there is no fusion {number}"))),
    }
}

/// Ranks count from 0 on this wire and from 1 in the engine, as in the paper.
fn reciprocal_rank(parameters: wire::Rrf) -> Fusion {
    let constant = parameters.k.map_or(RRF_CONSTANT_DEFAULT, |k| k as f32);
    Fusion::ReciprocalRank {
        constant: constant - 1.0,
        weights: parameters.weights,
    }
}

fn strategy(number: Option<i32>) -> Result<Strategy, Error> {
    match number.map(wire::RecommendStrategy::try_from) {
        None | Some(Ok(wire::RecommendStrategy::AverageVector)) => Ok(Strategy::AverageVector),
        Some(Ok(wire::RecommendStrategy::BestScore)) => Ok(Strategy::BestScore),
        Some(Ok(wire::RecommendStrategy::SumScores)) => Ok(Strategy::SumScores),
        Some(Err(_)) => Err(invalid("strategy", "there is no such strategy")),
    }
}

fn targets(inputs: Vec<wire::VectorInput>) -> Result<Vec<Input>, Error> {
    let one = |given| input("recommend", Some(given));
    inputs.into_iter().map(one).collect()
}

fn pairs(context: wire::ContextInput) -> Result<Vec<ContextPair<Input>>, Error> {
    let pair = |pair: wire::ContextInputPair| {
        Ok(ContextPair {
            positive: input("context.positive", pair.positive)?,
            negative: input("context.negative", pair.negative)?,
        })
    };
    context.pairs.into_iter().map(pair).collect()
}

fn order_by(order: wire::OrderBy) -> Result<OrderBy, Error> {
    let descending = order.direction == Some(wire::Direction::Desc.into());
    Ok(OrderBy {
        key: path("order_by.key", &order.key)?,
        direction: if descending {
            Direction::Descending
        } else {
            Direction::Ascending
        },
        start_from: start(order.start_from)?,
    })
}

/// Where an order begins.
///
/// # Errors
/// The text is not a date and time.
pub fn start(start: Option<wire::StartFrom>) -> Result<Option<f64>, Error> {
    use service::collections::filter::datetime;
    use wire::start_from::Value;
    Ok(match start.and_then(|start| start.value) {
        None => None,
        Some(Value::Float(float)) => Some(float),
        Some(Value::Integer(integer)) => Some(integer as f64),
        Some(Value::Timestamp(moment)) => Some(microseconds(moment)? as f64),
        Some(Value::Datetime(text)) => {
            let micros = datetime::parse(&text)
                .ok_or_else(|| invalid("start_from", format!("`{text}` is not a date and time")))?;
            Some(micros as f64)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_query(variant: Variant) -> Result<QueryRequest<Input>, Error> {
        let request = wire::QueryPoints {
            query: Some(wire::Query {
                variant: Some(variant),
            }),
            ..wire::QueryPoints::default()
        };
        query_points(request, 7).map(|(request, _)| request)
    }

    #[test]
    fn what_a_client_leaves_out_is_what_the_wire_says() {
        let (request, with) = query_points(wire::QueryPoints::default(), 7).expect("valid");
        assert_eq!((request.stage.limit, request.offset), (10, 0));
        assert_eq!(with, With::nothing());
        let request = with_query(Variant::Fusion(wire::Fusion::Rrf.into())).expect("valid");
        let expected = Fusion::ReciprocalRank {
            constant: 1.0,
            weights: Vec::new(),
        };
        assert_eq!(request.stage.query, Some(Query::Fusion(expected)));
    }

    #[test]
    fn what_is_missing_is_named() {
        for variant in [
            Variant::Nearest(wire::VectorInput::default()),
            Variant::Discover(wire::DiscoverInput::default()),
            Variant::Formula(wire::Formula::default()),
            Variant::Fusion(9),
            Variant::OrderBy(wire::OrderBy::default()),
        ] {
            let error = with_query(variant.clone()).expect_err("refused");
            assert_eq!(
                error.kind,
                service::ErrorKind::InvalidRequest,
                "{variant:?}"
            );
        }
        let feedback = Variant::RelevanceFeedback(wire::RelevanceFeedbackInput::default());
        let error = with_query(feedback).expect_err("refused");
        assert_eq!(error.kind, service::ErrorKind::NotSupported);
    }
}
