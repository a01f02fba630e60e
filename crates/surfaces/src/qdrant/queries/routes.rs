//! Handlers of queries: read the tree, embed its texts, run it.

use std::collections::HashMap;

use axum::extract::{Extension, State};
use axum::response::Response;
use service::collections::{Filter, MatrixRequest, PointId, StoredPoint, With};
use service::{Error, Identity};

use super::super::collections::{Given, Name, name_of, parameters};
use super::super::envelope::answer_with_usage;
use super::super::{filter, selection};
use super::convert::{GroupLookup, ReadQuery, group_request, query_request};
use super::part::Part;
use super::replies::{Points, groups, matrix_offsets, matrix_pairs, point_of_group, points, usage};
use crate::body::JsonObject;
use crate::state::App;

/// Points of a matrix where none are named, and neighbours of each.
const MATRIX_SAMPLE_DEFAULT: usize = 10;
const MATRIX_LIMIT_DEFAULT: usize = 3;

/// `POST /collections/{collection}/points/query`
pub async fn query(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer_with_usage(async {
        let (name, parameters) = (name_of(name)?, parameters(given)?);
        let ReadQuery { request, with } =
            query_request(&Part::root(&body), app.service.sample_seed()?)?;
        let run = async {
            let embedded = app
                .service
                .embed_queries(&identity, &name, vec![request])
                .await?;
            let mut found = Vec::new();
            for request in embedded.value {
                let with = with.clone();
                found = app
                    .service
                    .points_query(&identity, &name, request, with)
                    .await?;
            }
            Ok((points(found, &with), usage(&embedded.usage)))
        };
        parameters.within(run).await
    })
    .await
}

/// `POST /collections/{collection}/points/query/batch`
pub async fn query_batch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer_with_usage(async {
        let (name, parameters) = (name_of(name)?, parameters(given)?);
        let root = Part::root(&body);
        root.object(&["searches"])?;
        let searches = root.required("searches")?;
        let mut requests = Vec::new();
        let mut withs = Vec::new();
        for search in searches.items()? {
            let ReadQuery { request, with } = query_request(&search, app.service.sample_seed()?)?;
            requests.push(request);
            withs.push(with);
        }
        let run = async {
            let embedded = app
                .service
                .embed_queries(&identity, &name, requests)
                .await?;
            let requests = embedded
                .value
                .into_iter()
                .zip(withs.iter().cloned())
                .collect();
            let found = app
                .service
                .points_query_batch(&identity, &name, requests)
                .await?;
            let shown: Vec<Points> = found
                .into_iter()
                .zip(&withs)
                .map(|(found, with)| points(found, with))
                .collect();
            Ok((shown, usage(&embedded.usage)))
        };
        parameters.within(run).await
    })
    .await
}

/// `POST /collections/{collection}/points/query/groups`
pub async fn query_groups(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer_with_usage(async {
        let (name, parameters) = (name_of(name)?, parameters(given)?);
        let asked = group_request(&Part::root(&body), app.service.sample_seed()?)?;
        let run = async {
            let embedded = app
                .service
                .embed_grouped_query(&identity, &name, asked.request)
                .await?;
            let found = app
                .service
                .points_query_groups(&identity, &name, embedded.value, asked.with.clone())
                .await?;
            let (looked_up, lookup_with) = match asked.lookup {
                Some(lookup) => {
                    let ids = found
                        .iter()
                        .filter_map(|group| point_of_group(&group.key))
                        .collect();
                    let with = lookup.with.clone();
                    (look_up(&app, &identity, lookup, ids).await?, with)
                }
                None => (HashMap::new(), With::nothing()),
            };
            let shown = groups(found, &asked.with, looked_up, &lookup_with);
            Ok((shown, usage(&embedded.usage)))
        };
        parameters.within(run).await
    })
    .await
}

/// The points of another collection that groups are named after.
async fn look_up(
    app: &App,
    identity: &Identity,
    lookup: GroupLookup,
    ids: Vec<PointId>,
) -> Result<HashMap<PointId, StoredPoint>, Error> {
    let stored = app
        .service
        .points_get(identity, &lookup.collection, ids, lookup.with)
        .await?;
    Ok(stored.into_iter().map(|point| (point.id, point)).collect())
}

/// `POST /collections/{collection}/points/search/matrix/pairs`
pub async fn search_matrix_pairs(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer_with_usage(async {
        let (name, parameters) = (name_of(name)?, parameters(given)?);
        let request = matrix_request(&Part::root(&body), app.service.sample_seed()?)?;
        let matrix = parameters
            .within(app.service.points_matrix(&identity, &name, request))
            .await?;
        Ok((matrix_pairs(&matrix), None))
    })
    .await
}

/// `POST /collections/{collection}/points/search/matrix/offsets`
pub async fn search_matrix_offsets(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer_with_usage(async {
        let (name, parameters) = (name_of(name)?, parameters(given)?);
        let request = matrix_request(&Part::root(&body), app.service.sample_seed()?)?;
        let matrix = parameters
            .within(app.service.points_matrix(&identity, &name, request))
            .await?;
        Ok((matrix_offsets(&matrix), None))
    })
    .await
}

fn matrix_request(part: &Part<'_>, seed: u64) -> Result<MatrixRequest, Error> {
    part.object(&["filter", "sample", "limit", "using", "shard_key"])?;
    if let Some(shard_key) = part.field("shard_key") {
        selection::refuse_shard_key(shard_key.value())?;
    }
    let count = |key: &str, usual: usize| part.field(key).map_or(Ok(usual), |count| count.count());
    Ok(MatrixRequest {
        using: part
            .field("using")
            .map_or(Ok(""), |using| using.text())?
            .to_owned(),
        filter: match part.field("filter") {
            Some(given) => filter::filter(given.value(), "filter")?.unwrap_or_default(),
            None => Filter::default(),
        },
        sample: count("sample", MATRIX_SAMPLE_DEFAULT)?,
        limit: count("limit", MATRIX_LIMIT_DEFAULT)?,
        seed,
    })
}
