//! What requests about points share: which points, what of them is returned, and the parts that one server has no use for.

use service::collections::query::{LookupFrom, SearchOptions};
use service::collections::{PayloadSelection, Selection, With};
use service::{Error, ErrorKind};

use super::filters::filter;
use super::ids::{ids, paths};
use super::{invalid, missing, unsupported, vectors};
use crate::grpc::protocol::qdrant as wire;

/// The points that a write concerns.
///
/// # Errors
/// None are named, or the filter is not valid.
pub fn selection(field: &str, selector: Option<wire::PointsSelector>) -> Result<Selection, Error> {
    use wire::points_selector::PointsSelectorOneOf;
    match selector.and_then(|selector| selector.points_selector_one_of) {
        Some(PointsSelectorOneOf::Points(points)) => Ok(Selection::Ids(ids(points.ids)?)),
        Some(PointsSelectorOneOf::Filter(given)) => Ok(Selection::Filter(filter(given)?)),
        None => Err(missing(field)),
    }
}

/// What of the points is returned; `payload` is what a client gets that does not say.
///
/// # Errors
/// A path that is none.
pub fn with(
    payload: PayloadSelection,
    with_payload: Option<wire::WithPayloadSelector>,
    with_vectors: Option<wire::WithVectorsSelector>,
) -> Result<With, Error> {
    use wire::with_payload_selector::SelectorOptions;
    let payload = match with_payload.and_then(|selector| selector.selector_options) {
        None => payload,
        Some(SelectorOptions::Enable(true)) => PayloadSelection::All,
        Some(SelectorOptions::Enable(false)) => PayloadSelection::None,
        Some(SelectorOptions::Include(only)) => {
            PayloadSelection::Include(paths("with_payload.include", &only.fields)?)
        }
        Some(SelectorOptions::Exclude(not)) => {
            PayloadSelection::Exclude(paths("with_payload.exclude", &not.fields)?)
        }
    };
    Ok(With {
        payload,
        vectors: vectors::selection(with_vectors),
    })
}

/// How the search is done. Which segments have an index and how a filtered graph is walked is the engine's business: what
/// a client says about them changes speed, never results for the worse, so it is taken note of and no more.
///
/// # Errors
/// Frequencies over a part of the points.
pub fn search_options(params: Option<wire::SearchParams>) -> Result<SearchOptions, Error> {
    let Some(params) = params else {
        return Ok(SearchOptions::default());
    };
    if params.idf.is_some_and(|idf| idf.corpus.is_some()) {
        return Err(unsupported(
            "document frequencies over a part of the points are",
        ));
    }
    let quantization = params.quantization.unwrap_or_default();
    Ok(SearchOptions {
        ef: params.hnsw_ef.map(count),
        exact: params.exact.unwrap_or(false),
        rescore: quantization.rescore,
        oversampling: quantization.oversampling.map(|times| times as f32),
        ..SearchOptions::default()
    })
}

/// Where vectors of points are looked up.
///
/// # Errors
/// Shards are named.
pub fn lookup(location: Option<wire::LookupLocation>) -> Result<Option<LookupFrom>, Error> {
    let Some(location) = location else {
        return Ok(None);
    };
    no_shards(location.shard_key_selector)?;
    Ok(Some(LookupFrom {
        collection: location.collection_name,
        vector: location.vector_name.filter(|name| !name.is_empty()),
    }))
}

/// Refuses requests for some of the shards: there is one.
///
/// # Errors
/// [`ErrorKind::NotSupported`].
pub fn no_shards(selector: Option<wire::ShardKeySelector>) -> Result<(), Error> {
    match selector {
        Some(selector) if !selector.shard_keys.is_empty() => Err(unsupported("shard keys are")),
        _ => Ok(()),
    }
}

/// A count that a client sent; one beyond the address space is the largest.
pub fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Seconds that a client wants to wait at most.
///
/// # Errors
/// 0 seconds.
pub fn timeout(seconds: Option<u64>) -> Result<Option<std::time::Duration>, Error> {
    match seconds {
        Some(0) => Err(invalid("timeout", "must be at least 1 second")),
        seconds => Ok(seconds.map(std::time::Duration::from_secs)),
    }
}

/// Ends `working` when the time that the request itself names is over.
///
/// # Errors
/// [`ErrorKind::DeadlineExceeded`], or what the work says.
pub async fn within<T>(
    seconds: Option<u64>,
    working: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = timeout(seconds)? else {
        return working.await;
    };
    tokio::time::timeout(limit, working)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(Error::new(
                ErrorKind::DeadlineExceeded,
                format!(
                    "the request did not end within its timeout of {} s",
                    limit.as_secs()
                ),
            ))
        })
}
