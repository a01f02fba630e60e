//! Handlers of reads.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use service::collections::filter::datetime;
use service::collections::{Direction, OrderBy, PayloadSelection, ScrollRequest, With};
use service::{Error, ErrorKind, Identity};

use super::super::collections::{Given, Name, name_of, parameters};
use super::super::envelope::answer;
use super::super::filter::filter;
use super::super::ids::WireId;
use super::super::selection::{ids, path, refuse_shard_key, with};
use super::shown::Record;
use super::types::{CountBody, FacetBody, RetrieveBody, ScrollBody};
use crate::body::Typed;
use crate::state::App;

/// Points of a page, and values of a facet, when the request does not say.
const LIMIT_DEFAULT: usize = 10;

/// `GET /collections/{collection}/points/{id}`
pub async fn point(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    place: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    answer(async {
        let wrong = || Error::invalid("id", "a point id is an unsigned integer or a UUID");
        let Path((name, id)) = place.map_err(|_| wrong())?;
        let id = WireId::parse(&id).ok_or_else(wrong)?;
        let with = With::everything();
        let points = app
            .service
            .points_get(&identity, &name, vec![id.0], with.clone())
            .await?;
        let point = points.into_iter().next().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("Point with id {} does not exists!", id.0),
            )
        })?;
        Ok(Record::new(point, &with))
    })
    .await
}

/// `POST /collections/{collection}/points`
pub async fn retrieve(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    Typed(body): Typed<RetrieveBody>,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        refuse_shard_key(&body.shard_key)?;
        let with = with(&body.with_payload, &body.with_vector, PayloadSelection::All)?;
        let reading = app
            .service
            .points_get(&identity, &name, ids(body.ids), with.clone());
        let points = parameters.within(reading).await?;
        Ok(points
            .into_iter()
            .map(|point| Record::new(point, &with))
            .collect::<Vec<_>>())
    })
    .await
}

/// `POST /collections/{collection}/points/scroll`
pub async fn scroll(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    Typed(body): Typed<ScrollBody>,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        let request = scroll_request(&body)?;
        let with = request.with.clone();
        let reading = app.service.points_scroll(&identity, &name, request);
        let page = parameters.within(reading).await?;
        let mut values = page.order_values.into_iter();
        let points: Vec<Record> = page
            .points
            .into_iter()
            .map(|point| {
                let record = Record::new(point, &with);
                match values.next() {
                    Some(value) => record.ordered_by(value),
                    None => record,
                }
            })
            .collect();
        Ok(json!({"points": points, "next_page_offset": page.next.map(WireId)}))
    })
    .await
}

fn scroll_request(body: &ScrollBody) -> Result<ScrollRequest, Error> {
    refuse_shard_key(&body.shard_key)?;
    let limit = body.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 {
        return Err(Error::invalid("limit", "must be at least 1"));
    }
    let order_by = order_by(&body.order_by)?;
    if order_by.is_some() && body.offset.is_some() {
        return Err(Error::invalid(
            "offset",
            "An order by a field goes on with `start_from`, not with an offset.",
        ));
    }
    Ok(ScrollRequest {
        offset: body.offset.map(|id| id.0),
        limit,
        filter: filter(&body.filter, "filter")?,
        order_by,
        with: with(&body.with_payload, &body.with_vector, PayloadSelection::All)?,
    })
}

/// An order: the path of a field, or an object.
fn order_by(value: &Value) -> Result<Option<OrderBy>, Error> {
    const PLACE: &str = "order_by";
    let (key, direction, start) = match value {
        Value::Null => return Ok(None),
        Value::String(key) => (key.as_str(), &Value::Null, &Value::Null),
        Value::Object(_) => (
            value["key"]
                .as_str()
                .ok_or_else(|| Error::invalid("order_by.key", "the path of a field is expected"))?,
            &value["direction"],
            &value["start_from"],
        ),
        _ => return Err(Error::invalid(PLACE, "a path or an object is expected")),
    };
    let start_from = match start {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(datetime::parse(text).ok_or_else(|| {
            Error::invalid(
                "order_by.start_from",
                "a date as RFC 3339 writes it is expected",
            )
        })? as f64),
        _ => {
            return Err(Error::invalid(
                "order_by.start_from",
                "a number or a date is expected",
            ));
        }
    };
    Ok(Some(OrderBy {
        key: path(key, "order_by.key")?,
        direction: match direction {
            Value::Null => Direction::Ascending,
            value if value == "asc" => Direction::Ascending,
            value if value == "desc" => Direction::Descending,
            _ => {
                return Err(Error::invalid(
                    "order_by.direction",
                    "asc or desc is expected",
                ));
            }
        },
        start_from,
    }))
}

/// `POST /collections/{collection}/points/count`
pub async fn count(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    Typed(body): Typed<CountBody>,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        refuse_shard_key(&body.shard_key)?;
        let filter = filter(&body.filter, "filter")?;
        let counting = app.service.points_count(&identity, &name, filter);
        let count = parameters.within(counting).await?;
        Ok(json!({"count": count}))
    })
    .await
}

/// `POST /collections/{collection}/facet`
pub async fn facet(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    Typed(body): Typed<FacetBody>,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        refuse_shard_key(&body.shard_key)?;
        let limit = body.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            return Err(Error::invalid("limit", "must be at least 1"));
        }
        let counting = app.service.points_facet(
            &identity,
            &name,
            path(&body.key, "key")?,
            filter(&body.filter, "filter")?,
            limit,
        );
        let hits = parameters.within(counting).await?;
        let hits: Vec<Value> = hits
            .into_iter()
            .map(|hit| json!({"value": hit.value, "count": hit.count}))
            .collect();
        Ok(json!({"hits": hits}))
    })
    .await
}
