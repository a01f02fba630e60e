//! Methods of `Points` that write, and those that read without searching.

use std::collections::BTreeMap;

use service::collections::{
    Direction, InferenceUsage, Input, Operation, OrderBy, PayloadSelection, Point, PointId,
    Precondition, ScrollRequest, WriteOptions, WriteOutcome,
};
use service::{Error, Service};

use super::filters::{filter, optional};
use super::ids::{id, ids, path, paths, wire_id};
use super::queries::{LIMIT_DEFAULT, start};
use super::selectors::{no_shards, selection, with, within};
use super::values::payload;
use super::vectors::named;
use super::{answers, invalid, missing, schema, unsupported};
use crate::grpc::Call;
use crate::grpc::protocol::qdrant as wire;
use wire::points_update_operation::{Operation as WireOperation, SetPayload};

/// A write and what points must be like for it.
type Write = (Operation<Input>, Precondition);

/// Most writes of a batch whose points have conditions of their own; each is then a write of its own.
const CONDITIONAL_WRITES_MAX: usize = 1_000;

/// `Upsert`.
///
/// # Errors
/// Those of the conversion and of [`Service::points_upsert`].
pub async fn upsert(
    call: Call,
    request: wire::UpsertPoints,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let precondition = precondition(request.update_mode, request.update_filter)?;
    let operation = Operation::Upsert(points(request.points)?);
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, precondition)).await
}

/// `Delete`.
///
/// # Errors
/// Those of the conversion and of [`Service::points_delete`].
pub async fn delete(
    call: Call,
    request: wire::DeletePoints,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let operation = Operation::Delete(selection("points", request.points)?);
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, Precondition::None)).await
}

/// `UpdateVectors`.
///
/// # Errors
/// Those of the conversion and of [`Service::vectors_update`].
pub async fn update_vectors(
    call: Call,
    request: wire::UpdatePointVectors,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let precondition = precondition(None, request.update_filter)?;
    let operation = Operation::UpdateVectors(point_vectors(request.points)?);
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, precondition)).await
}

/// `DeleteVectors`.
///
/// # Errors
/// Those of the conversion and of [`Service::vectors_delete`].
pub async fn delete_vectors(
    call: Call,
    request: wire::DeletePointVectors,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let operation = Operation::DeleteVectors {
        selection: selection("points_selector", request.points_selector)?,
        names: names(request.vectors)?,
    };
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, Precondition::None)).await
}

/// `SetPayload`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_set`].
pub async fn set_payload(
    call: Call,
    request: wire::SetPayloadPoints,
) -> Result<wire::PointsOperationResponse, Error> {
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    let operation = setting(SetPayload {
        payload: request.payload,
        points_selector: request.points_selector,
        shard_key_selector: request.shard_key_selector,
        key: request.key,
    })?;
    one(call, target, (operation, Precondition::None)).await
}

/// `OverwritePayload`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_overwrite`].
pub async fn overwrite_payload(
    call: Call,
    request: wire::SetPayloadPoints,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    if request.key.is_some() {
        return Err(invalid("key", "a whole payload is overwritten, not a part"));
    }
    let operation = Operation::OverwritePayload {
        selection: selection("points_selector", request.points_selector)?,
        payload: payload(request.payload)?,
    };
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, Precondition::None)).await
}

/// `DeletePayload`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_delete`].
pub async fn delete_payload(
    call: Call,
    request: wire::DeletePayloadPoints,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let operation = Operation::DeletePayloadKeys {
        selection: selection("points_selector", request.points_selector)?,
        keys: paths("keys", &request.keys)?,
    };
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, Precondition::None)).await
}

/// `ClearPayload`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_clear`].
pub async fn clear_payload(
    call: Call,
    request: wire::ClearPayloadPoints,
) -> Result<wire::PointsOperationResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let operation = Operation::ClearPayload {
        selection: selection("points", request.points)?,
    };
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    one(call, target, (operation, Precondition::None)).await
}

/// `UpdateBatch`.
///
/// # Errors
/// Those of the conversion and of [`Service::points_batch`].
pub async fn update_batch(
    call: Call,
    request: wire::UpdateBatchPoints,
) -> Result<wire::UpdateBatchResponse, Error> {
    let writes = request
        .operations
        .into_iter()
        .map(|operation| write(operation.operation.ok_or_else(|| missing("operation"))?))
        .collect::<Result<Vec<_>, Error>>()?;
    let target = Place::of(&request.collection_name, request.wait, request.timeout);
    let waited = target.wait;
    let (outcomes, usage) = within(target.timeout, batch(&call, &target, writes)).await?;
    Ok(wire::UpdateBatchResponse {
        result: outcomes
            .into_iter()
            .map(|outcome| answers::outcome(outcome, waited))
            .collect(),
        time: call.seconds(),
        usage: answers::usage(usage),
    })
}

/// `CreateFieldIndex`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_index_create`].
pub async fn create_field_index(
    call: Call,
    request: wire::CreateFieldIndexCollection,
) -> Result<wire::PointsOperationResponse, Error> {
    let key = path("field_name", &request.field_name)?;
    let kind = schema::index_kind(request.field_type, request.field_index_params)?;
    let service = call.service();
    let creating =
        service.payload_index_create(call.identity()?, &request.collection_name, key, kind);
    within(request.timeout, creating).await?;
    Ok(changed(&call, request.wait))
}

/// `DeleteFieldIndex`.
///
/// # Errors
/// Those of the conversion and of [`Service::payload_index_delete`].
pub async fn delete_field_index(
    call: Call,
    request: wire::DeleteFieldIndexCollection,
) -> Result<wire::PointsOperationResponse, Error> {
    let key = path("field_name", &request.field_name)?;
    let service = call.service();
    let deleting = service.payload_index_delete(call.identity()?, &request.collection_name, key);
    within(request.timeout, deleting).await?;
    Ok(changed(&call, request.wait))
}

/// `CreateVectorName`.
///
/// # Errors
/// Always: the vectors of a collection are fixed when it is made.
pub async fn create_vector_name(
    _call: Call,
    _request: wire::CreateVectorNameRequest,
) -> Result<wire::PointsOperationResponse, Error> {
    Err(unsupported("vectors added to a collection that exists are"))
}

/// `DeleteVectorName`.
///
/// # Errors
/// Always: the vectors of a collection are fixed when it is made.
pub async fn delete_vector_name(
    _call: Call,
    _request: wire::DeleteVectorNameRequest,
) -> Result<wire::PointsOperationResponse, Error> {
    Err(unsupported("vectors taken from a collection are"))
}

/// `Get`.
///
/// # Errors
/// Those of the conversion and of [`Service::points_get`].
pub async fn get(call: Call, request: wire::GetPoints) -> Result<wire::GetResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let with = with(
        PayloadSelection::All,
        request.with_payload,
        request.with_vectors,
    )?;
    let (service, wanted) = (call.service(), ids(request.ids)?);
    let getting = service.points_get(call.identity()?, &request.collection_name, wanted, with);
    let points = within(request.timeout, getting).await?;
    Ok(wire::GetResponse {
        result: points
            .into_iter()
            .map(|point| answers::retrieved(point, None))
            .collect(),
        time: call.seconds(),
        usage: None,
    })
}

/// `Scroll`.
///
/// # Errors
/// Those of the conversion and of [`Service::points_scroll`].
pub async fn scroll(
    call: Call,
    request: wire::ScrollPoints,
) -> Result<wire::ScrollResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let limit = request.limit.map(usize::try_from);
    let scroll = ScrollRequest {
        offset: request.offset.map(|point| id(Some(point))).transpose()?,
        limit: limit.map_or(LIMIT_DEFAULT, |limit| limit.unwrap_or(usize::MAX)),
        filter: optional(request.filter)?,
        order_by: request.order_by.map(order_by).transpose()?,
        with: with(
            PayloadSelection::All,
            request.with_payload,
            request.with_vectors,
        )?,
    };
    let service = call.service();
    let scrolling = service.points_scroll(call.identity()?, &request.collection_name, scroll);
    let page = within(request.timeout, scrolling).await?;
    let mut order_values = page.order_values.into_iter();
    Ok(wire::ScrollResponse {
        next_page_offset: page.next.map(wire_id),
        result: page
            .points
            .into_iter()
            .map(|point| answers::retrieved(point, order_values.next()))
            .collect(),
        time: call.seconds(),
        usage: None,
    })
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

/// `Count`. Counts are always exact.
///
/// # Errors
/// Those of the conversion and of [`Service::points_count`].
pub async fn count(call: Call, request: wire::CountPoints) -> Result<wire::CountResponse, Error> {
    no_shards(request.shard_key_selector)?;
    let (service, filter) = (call.service(), optional(request.filter)?);
    let counting = service.points_count(call.identity()?, &request.collection_name, filter);
    let count = within(request.timeout, counting).await?;
    Ok(wire::CountResponse {
        result: Some(wire::CountResult { count }),
        time: call.seconds(),
        usage: None,
    })
}

/// Where a write goes and how long its caller waits.
struct Place<'r> {
    collection: &'r str,
    wait: bool,
    timeout: Option<u64>,
}

impl<'r> Place<'r> {
    fn of(collection: &'r str, wait: Option<bool>, timeout: Option<u64>) -> Self {
        Place {
            collection,
            wait: wait.unwrap_or(false),
            timeout,
        }
    }

    fn options(&self, precondition: Precondition) -> WriteOptions {
        WriteOptions {
            wait: self.wait,
            precondition,
        }
    }
}

async fn one(
    call: Call,
    place: Place<'_>,
    write: Write,
) -> Result<wire::PointsOperationResponse, Error> {
    let (outcomes, usage) = within(place.timeout, batch(&call, &place, vec![write])).await?;
    let outcome = outcomes.into_iter().next().unwrap_or_default();
    Ok(wire::PointsOperationResponse {
        result: Some(answers::outcome(outcome, place.wait)),
        time: call.seconds(),
        usage: answers::usage(usage),
    })
}

/// Texts become vectors in one go; then the writes are done in their order.
async fn batch(
    call: &Call,
    place: &Place<'_>,
    writes: Vec<Write>,
) -> Result<(Vec<WriteOutcome>, InferenceUsage), Error> {
    let (service, identity) = (call.service(), call.identity()?);
    let (operations, preconditions): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
    let embedded = service
        .embed_operations(identity, place.collection, operations)
        .await?;
    let plain = preconditions
        .iter()
        .all(|precondition| *precondition == Precondition::None);
    if plain && embedded.value.len() != 1 {
        let options = place.options(Precondition::None);
        let outcomes = service
            .points_batch(identity, place.collection, embedded.value, options)
            .await?;
        return Ok((outcomes, embedded.usage));
    }
    if embedded.value.len() > CONDITIONAL_WRITES_MAX {
        let message =
            format!("a batch with conditions has at most {CONDITIONAL_WRITES_MAX} writes");
        return Err(invalid("operations", message));
    }
    let mut outcomes = Vec::with_capacity(embedded.value.len());
    for (operation, precondition) in embedded.value.into_iter().zip(preconditions) {
        outcomes.push(apply(call, place, operation, precondition).await?);
    }
    Ok((outcomes, embedded.usage))
}

/// One write through the use case of its own.
async fn apply(
    call: &Call,
    place: &Place<'_>,
    operation: Operation,
    precondition: Precondition,
) -> Result<WriteOutcome, Error> {
    let (service, who): (&Service, _) = (call.service(), call.identity()?);
    let (name, options) = (place.collection, place.options(precondition));
    match operation {
        Operation::Upsert(points) => service.points_upsert(who, name, points, options).await,
        Operation::Delete(chosen) => service.points_delete(who, name, chosen, options).await,
        Operation::UpdateVectors(vectors) => {
            service.vectors_update(who, name, vectors, options).await
        }
        Operation::DeleteVectors { selection, names } => {
            service
                .vectors_delete(who, name, selection, names, options)
                .await
        }
        Operation::SetPayload {
            selection,
            payload,
            at,
        } => {
            service
                .payload_set(who, name, selection, payload, at, options)
                .await
        }
        Operation::OverwritePayload { selection, payload } => {
            service
                .payload_overwrite(who, name, selection, payload, options)
                .await
        }
        Operation::DeletePayloadKeys { selection, keys } => {
            service
                .payload_delete(who, name, selection, keys, options)
                .await
        }
        Operation::ClearPayload { selection } => {
            service.payload_clear(who, name, selection, options).await
        }
    }
}

fn changed(call: &Call, wait: Option<bool>) -> wire::PointsOperationResponse {
    wire::PointsOperationResponse {
        result: Some(answers::done(None, wait.unwrap_or(false))),
        time: call.seconds(),
        usage: None,
    }
}

fn precondition(
    mode: Option<i32>,
    update_filter: Option<wire::Filter>,
) -> Result<Precondition, Error> {
    let mode = match mode.map(wire::UpdateMode::try_from) {
        None | Some(Ok(wire::UpdateMode::Upsert)) => Precondition::None,
        Some(Ok(wire::UpdateMode::InsertOnly)) => Precondition::Absent,
        Some(Ok(wire::UpdateMode::UpdateOnly)) => Precondition::Present,
        Some(Err(_)) => return Err(invalid("update_mode", "there is no such mode")),
    };
    match (mode, update_filter) {
        (mode, None) => Ok(mode),
        (Precondition::None, Some(given)) => Ok(Precondition::Matches(filter(given)?)),
        // What exists is left alone whatever it is like.
        (Precondition::Absent, Some(_)) => Ok(Precondition::Absent),
        _ => Err(unsupported(
            "a filter together with a mode that makes nothing new is",
        )),
    }
}

fn points(points: Vec<wire::PointStruct>) -> Result<Vec<Point<Input>>, Error> {
    let point = |(number, point): (usize, wire::PointStruct)| {
        let read = || {
            Ok::<_, Error>(Point {
                id: id(point.id)?,
                vectors: named(point.vectors)?,
                payload: payload(point.payload)?,
                expires_unix_ms: None,
            })
        };
        read().map_err(|error| in_point(error, number))
    };
    points.into_iter().enumerate().map(point).collect()
}

/// A point and its vectors by name.
type NamedVectors = (PointId, BTreeMap<String, Input>);

fn point_vectors(points: Vec<wire::PointVectors>) -> Result<Vec<NamedVectors>, Error> {
    let point = |(number, point): (usize, wire::PointVectors)| {
        let read = || Ok::<_, Error>((id(point.id)?, named(point.vectors)?));
        read().map_err(|error| in_point(error, number))
    };
    points.into_iter().enumerate().map(point).collect()
}

/// The same error, naming the point.
fn in_point(mut error: Error, number: usize) -> Error {
    error.message = format!("points[{number}]: {}", error.message);
    error
}

fn names(selector: Option<wire::VectorsSelector>) -> Result<Vec<String>, Error> {
    Ok(selector.ok_or_else(|| missing("vectors"))?.names)
}

fn setting(set: SetPayload) -> Result<Operation<Input>, Error> {
    no_shards(set.shard_key_selector)?;
    Ok(Operation::SetPayload {
        selection: selection("points_selector", set.points_selector)?,
        payload: payload(set.payload)?,
        at: set.key.map(|key| path("key", &key)).transpose()?,
    })
}

/// One write of a batch.
fn write(operation: WireOperation) -> Result<Write, Error> {
    let clear =
        |points| selection("points", points).map(|selection| Operation::ClearPayload { selection });
    let delete = |points| selection("points", points).map(Operation::Delete);
    let operation = match operation {
        WireOperation::Upsert(list) => {
            no_shards(list.shard_key_selector)?;
            let precondition = precondition(list.update_mode, list.update_filter)?;
            return Ok((Operation::Upsert(points(list.points)?), precondition));
        }
        WireOperation::UpdateVectors(update) => {
            no_shards(update.shard_key_selector)?;
            let precondition = precondition(None, update.update_filter)?;
            let vectors = point_vectors(update.points)?;
            return Ok((Operation::UpdateVectors(vectors), precondition));
        }
        WireOperation::DeletePoints(request) => {
            no_shards(request.shard_key_selector)?;
            delete(request.points)?
        }
        WireOperation::DeleteDeprecated(points) => delete(Some(points))?,
        WireOperation::SetPayload(set) => setting(set)?,
        WireOperation::OverwritePayload(set) => {
            no_shards(set.shard_key_selector)?;
            if set.key.is_some() {
                return Err(invalid("key", "a whole payload is overwritten, not a part"));
            }
            Operation::OverwritePayload {
                selection: selection("points_selector", set.points_selector)?,
                payload: payload(set.payload)?,
            }
        }
        WireOperation::DeletePayload(request) => {
            no_shards(request.shard_key_selector)?;
            Operation::DeletePayloadKeys {
                selection: selection("points_selector", request.points_selector)?,
                keys: paths("keys", &request.keys)?,
            }
        }
        WireOperation::ClearPayload(request) => {
            no_shards(request.shard_key_selector)?;
            clear(request.points)?
        }
        WireOperation::ClearPayloadDeprecated(points) => clear(Some(points))?,
        WireOperation::DeleteVectors(request) => {
            no_shards(request.shard_key_selector)?;
            Operation::DeleteVectors {
                selection: selection("points_selector", request.points_selector)?,
                names: names(request.vectors)?,
            }
        }
    };
    Ok((operation, Precondition::None))
}

#[cfg(test)]
mod tests {
    use service::collections::Selection;

    use super::*;

    #[test]
    fn conditions_of_writes_are_what_they_say() {
        let given = |mode: Option<wire::UpdateMode>, filter: bool| {
            precondition(mode.map(i32::from), filter.then(wire::Filter::default))
        };
        use wire::UpdateMode::{InsertOnly, UpdateOnly};
        assert_eq!(given(None, false).expect("valid"), Precondition::None);
        assert_eq!(
            given(Some(InsertOnly), true).expect("valid"),
            Precondition::Absent
        );
        assert_eq!(
            given(Some(UpdateOnly), false).expect("valid"),
            Precondition::Present
        );
        assert!(matches!(given(None, true), Ok(Precondition::Matches(_))));
        assert!(given(Some(UpdateOnly), true).is_err());
        assert!(precondition(Some(7), None).is_err());
    }

    #[test]
    fn an_error_names_its_point() {
        let error = points(vec![
            wire::PointStruct {
                id: Some(wire_id(PointId::Number(1))),
                ..wire::PointStruct::default()
            },
            wire::PointStruct::default(),
        ])
        .expect_err("no id");
        assert_eq!(error.message, "points[1]: `id` is missing");
    }

    #[test]
    fn nothing_selected_is_an_error_not_everything() {
        assert!(matches!(
            selection("points", None),
            Err(error) if error.message == "`points` is missing"
        ));
        let all = wire::PointsSelector {
            points_selector_one_of: Some(wire::points_selector::PointsSelectorOneOf::Filter(
                wire::Filter::default(),
            )),
        };
        assert!(matches!(
            selection("points", Some(all)),
            Ok(Selection::Filter(_))
        ));
    }
}
