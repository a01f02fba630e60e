//! Methods of `Points` that search, count by value and compare.

use std::collections::HashMap;

use service::Error;
use service::collections::query::QueryRequest;
use service::collections::{Input, Matrix, MatrixRequest, With};

use super::filters::optional;
use super::ids::{path, wire_id};
use super::queries::{GROUPS_DEFAULT, LIMIT_DEFAULT};
use super::selectors::{count, no_shards, within};
use super::{answers, invalid, older, queries};
use crate::grpc::Call;
use crate::grpc::protocol::qdrant as wire;
use crate::qdrant::point_of_group;

/// What a call that answers with groups has to say.
struct Groups {
    result: wire::GroupsResult,
    usage: Option<wire::Usage>,
}

async fn run(
    call: &Call,
    request: wire::QueryPoints,
) -> Result<(Vec<wire::ScoredPoint>, Option<wire::Usage>), Error> {
    let (collection, timeout) = (request.collection_name.clone(), request.timeout);
    let query = queries::query_points(request, call.service().sample_seed()?)?;
    let (mut lists, usage) = within(timeout, run_all(call, &collection, vec![query])).await?;
    Ok((lists.pop().unwrap_or_default(), usage))
}

async fn run_all(
    call: &Call,
    collection: &str,
    requests: Vec<(QueryRequest<Input>, With)>,
) -> Result<(Vec<Vec<wire::ScoredPoint>>, Option<wire::Usage>), Error> {
    let (service, identity) = (call.service(), call.identity()?);
    let (requests, withs): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let embedded = service
        .embed_queries(identity, collection, requests)
        .await?;
    let mut requests: Vec<_> = embedded.value.into_iter().zip(withs).collect();
    let lists = match requests.len() {
        1 => {
            let (request, with) = requests.remove(0);
            vec![
                service
                    .points_query(identity, collection, request, with)
                    .await?,
            ]
        }
        _ => {
            service
                .points_query_batch(identity, collection, requests)
                .await?
        }
    };
    let lists = lists.into_iter().map(answers::found).collect();
    Ok((lists, answers::usage(embedded.usage)))
}

/// Every request of a batch must be for the collection of the batch, or name none.
async fn run_batch(
    call: &Call,
    collection: &str,
    timeout: Option<u64>,
    requests: Vec<wire::QueryPoints>,
) -> Result<(Vec<wire::BatchResult>, Option<wire::Usage>), Error> {
    let stray = requests
        .iter()
        .find(|one| !one.collection_name.is_empty() && one.collection_name != collection);
    if let Some(stray) = stray {
        let message = format!(
            "a batch is for one collection, `{collection}`; `{}` is another",
            stray.collection_name
        );
        return Err(invalid("collection_name", message));
    }
    let seed = call.service().sample_seed()?;
    let requests = requests
        .into_iter()
        .map(|request| queries::query_points(request, seed))
        .collect::<Result<Vec<_>, Error>>()?;
    if requests.is_empty() {
        // Nothing to run, but whether the collection is there is still told.
        call.service()
            .collection_schema(call.identity()?, collection)
            .await?;
        return Ok((Vec::new(), None));
    }
    let (lists, usage) = within(timeout, run_all(call, collection, requests)).await?;
    let lists = lists.into_iter().map(|result| wire::BatchResult { result });
    Ok((lists.collect(), usage))
}

async fn run_groups(call: &Call, request: wire::QueryPointGroups) -> Result<Groups, Error> {
    let (collection, timeout) = (request.collection_name.clone(), request.timeout);
    let (service, identity) = (call.service(), call.identity()?);
    let grouped = queries::query_groups(request, service.sample_seed()?)?;
    let running = async {
        let embedded = service
            .embed_grouped_query(identity, &collection, grouped.request)
            .await?;
        let groups = service
            .points_query_groups(identity, &collection, embedded.value, grouped.with)
            .await?;
        let mut described = HashMap::new();
        if let Some((from, with)) = grouped.lookup {
            let ids = groups.iter().filter_map(|group| point_of_group(&group.key));
            let points = service
                .points_get(identity, &from, ids.collect(), with)
                .await?;
            described.extend(points.into_iter().map(|point| (point.id, point)));
        }
        Ok::<_, Error>((groups, described, embedded.usage))
    };
    let (groups, described, usage) = within(timeout, running).await?;
    Ok(Groups {
        result: answers::grouped(groups, described),
        usage: answers::usage(usage),
    })
}

/// `Query`.
///
/// # Errors
/// Those of the conversion, of embedding and of the search.
pub async fn query(call: Call, request: wire::QueryPoints) -> Result<wire::QueryResponse, Error> {
    let (result, usage) = run(&call, request).await?;
    Ok(wire::QueryResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `QueryBatch`.
///
/// # Errors
/// As [`query`].
pub async fn query_batch(
    call: Call,
    request: wire::QueryBatchPoints,
) -> Result<wire::QueryBatchResponse, Error> {
    let collection = request.collection_name;
    let (result, usage) =
        run_batch(&call, &collection, request.timeout, request.query_points).await?;
    Ok(wire::QueryBatchResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `QueryGroups`.
///
/// # Errors
/// As [`query`].
pub async fn query_groups(
    call: Call,
    request: wire::QueryPointGroups,
) -> Result<wire::QueryGroupsResponse, Error> {
    let groups = run_groups(&call, request).await?;
    Ok(wire::QueryGroupsResponse {
        result: Some(groups.result),
        time: call.seconds(),
        usage: groups.usage,
    })
}

/// `Search`.
///
/// # Errors
/// As [`query`].
pub async fn search(
    call: Call,
    request: wire::SearchPoints,
) -> Result<wire::SearchResponse, Error> {
    let (result, usage) = run(&call, older::search(request)).await?;
    Ok(wire::SearchResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `SearchBatch`.
///
/// # Errors
/// As [`query`].
pub async fn search_batch(
    call: Call,
    request: wire::SearchBatchPoints,
) -> Result<wire::SearchBatchResponse, Error> {
    let requests = request.search_points.into_iter().map(older::search);
    let requests = requests.collect();
    let collection = request.collection_name;
    let (result, usage) = run_batch(&call, &collection, request.timeout, requests).await?;
    Ok(wire::SearchBatchResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `SearchGroups`.
///
/// # Errors
/// As [`query`].
pub async fn search_groups(
    call: Call,
    request: wire::SearchPointGroups,
) -> Result<wire::SearchGroupsResponse, Error> {
    let groups = run_groups(&call, older::search_groups(request)).await?;
    Ok(wire::SearchGroupsResponse {
        result: Some(groups.result),
        time: call.seconds(),
        usage: groups.usage,
    })
}

/// `Recommend`.
///
/// # Errors
/// As [`query`].
pub async fn recommend(
    call: Call,
    request: wire::RecommendPoints,
) -> Result<wire::RecommendResponse, Error> {
    let (result, usage) = run(&call, older::recommend(request)?).await?;
    Ok(wire::RecommendResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `RecommendBatch`.
///
/// # Errors
/// As [`query`].
pub async fn recommend_batch(
    call: Call,
    request: wire::RecommendBatchPoints,
) -> Result<wire::RecommendBatchResponse, Error> {
    let requests = request.recommend_points.into_iter().map(older::recommend);
    let requests = requests.collect::<Result<_, Error>>()?;
    let collection = request.collection_name;
    let (result, usage) = run_batch(&call, &collection, request.timeout, requests).await?;
    Ok(wire::RecommendBatchResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `RecommendGroups`.
///
/// # Errors
/// As [`query`].
pub async fn recommend_groups(
    call: Call,
    request: wire::RecommendPointGroups,
) -> Result<wire::RecommendGroupsResponse, Error> {
    let groups = run_groups(&call, older::recommend_groups(request)?).await?;
    Ok(wire::RecommendGroupsResponse {
        result: Some(groups.result),
        time: call.seconds(),
        usage: groups.usage,
    })
}

/// `Discover`.
///
/// # Errors
/// As [`query`].
pub async fn discover(
    call: Call,
    request: wire::DiscoverPoints,
) -> Result<wire::DiscoverResponse, Error> {
    let (result, usage) = run(&call, older::discover(request)?).await?;
    Ok(wire::DiscoverResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `DiscoverBatch`.
///
/// # Errors
/// As [`query`].
pub async fn discover_batch(
    call: Call,
    request: wire::DiscoverBatchPoints,
) -> Result<wire::DiscoverBatchResponse, Error> {
    let requests = request.discover_points.into_iter().map(older::discover);
    let requests = requests.collect::<Result<_, Error>>()?;
    let collection = request.collection_name;
    let (result, usage) = run_batch(&call, &collection, request.timeout, requests).await?;
    Ok(wire::DiscoverBatchResponse {
        result,
        time: call.seconds(),
        usage,
    })
}

/// `Facet`. Counts are always exact.
///
/// # Errors
/// Those of the conversion and of [`service::Service::points_facet`].
pub async fn facet(call: Call, request: wire::FacetCounts) -> Result<wire::FacetResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let (key, filter) = (path("key", &request.key)?, optional(request.filter)?);
    let limit = request.limit.map_or(LIMIT_DEFAULT, count);
    let service = call.service();
    let collection = &request.collection_name;
    let counting = service.points_facet(call.identity()?, collection, key, filter, limit);
    let hits = within(request.timeout, counting).await?;
    Ok(wire::FacetResponse {
        hits: hits.into_iter().filter_map(answers::facet).collect(),
        time: call.seconds(),
        usage: None,
    })
}

/// Points drawn, and neighbours of each, of a matrix that does not say.
const MATRIX_SAMPLE_DEFAULT: usize = 10;

async fn matrix(call: &Call, request: wire::SearchMatrixPoints) -> Result<Matrix, Error> {
    no_shards(request.shard_key_selector)?;
    let service = call.service();
    let matrix = MatrixRequest {
        using: request.using.unwrap_or_default(),
        filter: optional(request.filter)?.unwrap_or_default(),
        sample: request.sample.map_or(MATRIX_SAMPLE_DEFAULT, count),
        limit: request.limit.map_or(GROUPS_DEFAULT, count),
        seed: service.sample_seed()?,
    };
    let computing = service.points_matrix(call.identity()?, &request.collection_name, matrix);
    within(request.timeout, computing).await
}

/// `SearchMatrixPairs`.
///
/// # Errors
/// Those of the conversion and of [`service::Service::points_matrix`].
pub async fn search_matrix_pairs(
    call: Call,
    request: wire::SearchMatrixPoints,
) -> Result<wire::SearchMatrixPairsResponse, Error> {
    let matrix = matrix(&call, request).await?;
    let rows = matrix.ids.iter().zip(&matrix.neighbours);
    let pairs = rows.flat_map(|(a, row)| {
        let ids = &matrix.ids;
        row.iter().map(|(place, score)| wire::SearchMatrixPair {
            a: Some(wire_id(*a)),
            b: Some(wire_id(ids[*place])),
            score: *score,
        })
    });
    Ok(wire::SearchMatrixPairsResponse {
        result: Some(wire::SearchMatrixPairs {
            pairs: pairs.collect(),
        }),
        time: call.seconds(),
        usage: None,
    })
}

/// `SearchMatrixOffsets`.
///
/// # Errors
/// Those of the conversion and of [`service::Service::points_matrix`].
pub async fn search_matrix_offsets(
    call: Call,
    request: wire::SearchMatrixPoints,
) -> Result<wire::SearchMatrixOffsetsResponse, Error> {
    let matrix = matrix(&call, request).await?;
    let mut offsets = wire::SearchMatrixOffsets {
        ids: matrix.ids.into_iter().map(wire_id).collect(),
        ..wire::SearchMatrixOffsets::default()
    };
    for (row, neighbours) in matrix.neighbours.iter().enumerate() {
        for (place, score) in neighbours {
            offsets.offsets_row.push(row as u64);
            offsets.offsets_col.push(*place as u64);
            offsets.scores.push(*score);
        }
    }
    Ok(wire::SearchMatrixOffsetsResponse {
        result: Some(offsets),
        time: call.seconds(),
        usage: None,
    })
}
