//! Bodies about points to the service's types.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use service::collections::{
    FieldPath, Filter, Input, Operation, Payload, Point, Precondition, Selection,
};
use service::{Error, ErrorKind};

use super::super::filter::filter;
use super::super::selection::{path, refuse_shard_key, selection};
use super::super::vectors::{Lump, WireVector, WireVectors};
use super::types::{
    Columns, PayloadBody, PayloadKeysBody, SelectorBody, UpdateMode, UpsertBody, VectorNamesBody,
    VectorsBody, WirePoint,
};
use crate::body::ValueCount;

/// The points of an upsert, and what stored ones must be like.
///
/// # Errors
/// `InvalidRequest` naming the point at fault.
pub fn upsert(
    body: UpsertBody,
    values: &mut ValueCount,
) -> Result<(Operation<Input>, Precondition), Error> {
    refuse_shard_key(&body.shard_key)?;
    let precondition = precondition(
        body.update_mode,
        filter(&body.update_filter, "update_filter")?,
    )?;
    let points = match (body.points, body.batch) {
        (Some(points), None) => points,
        (None, Some(columns)) => rows(columns)?,
        _ => {
            return Err(Error::invalid(
                "points",
                "Exactly one of `points` and `batch` is expected.",
            ));
        }
    };
    let points = points.into_iter().enumerate().map(|(index, point)| {
        let place = || format!("points[{index}]");
        Ok(Point {
            id: point.id.0,
            vectors: point.vector.inputs(),
            payload: payload(point.payload.as_deref(), values, &place)?,
            expires_unix_ms: None,
        })
    });
    let points = points.collect::<Result<Vec<_>, Error>>()?;
    Ok((Operation::Upsert(points), precondition))
}

/// What stored points must be like.
fn precondition(mode: Option<UpdateMode>, matching: Option<Filter>) -> Result<Precondition, Error> {
    match (mode.unwrap_or(UpdateMode::Upsert), matching) {
        (UpdateMode::Upsert, None) => Ok(Precondition::None),
        (UpdateMode::Upsert, Some(filter)) => Ok(Precondition::Matches(filter)),
        // No stored point is touched, whatever it is like.
        (UpdateMode::InsertOnly, _) => Ok(Precondition::Absent),
        (UpdateMode::UpdateOnly, None) => Ok(Precondition::Present),
        (UpdateMode::UpdateOnly, Some(_)) => Err(Error::new(
            ErrorKind::NotSupported,
            "`update_filter` together with `update_only` is not supported.",
        )
        .at("update_mode")),
    }
}

/// Columns as rows.
fn rows(columns: Columns) -> Result<Vec<WirePoint>, Error> {
    let count = columns.ids.len();
    let unequal = |what: &str, found: usize| {
        Error::invalid(
            format!("batch.{what}"),
            format!("There are {count} ids and {found} {what}."),
        )
    };
    let mut vectors: Vec<WireVectors> = (0..count).map(|_| WireVectors(BTreeMap::new())).collect();
    let named = match columns.vectors {
        Lump::Map(named) => named,
        unnamed => vec![(String::new(), unnamed)],
    };
    for (name, column) in named {
        let column = match column {
            Lump::Items(items) => items,
            Lump::Numbers(numbers) if numbers.is_empty() => Vec::new(),
            _ => {
                return Err(Error::invalid(
                    "batch.vectors",
                    "a list of vectors is expected",
                ));
            }
        };
        if column.len() != count {
            return Err(unequal("vectors", column.len()));
        }
        for (index, (row, value)) in vectors.iter_mut().zip(column).enumerate() {
            let vector = WireVector::of(value)
                .map_err(|reason| Error::invalid(format!("batch.vectors[{index}]"), reason))?;
            row.0.insert(name.clone(), vector);
        }
    }
    let payloads = columns
        .payloads
        .unwrap_or_else(|| (0..count).map(|_| None).collect());
    if payloads.len() != count {
        return Err(unequal("payloads", payloads.len()));
    }
    let rows = columns.ids.into_iter().zip(vectors).zip(payloads);
    Ok(rows
        .map(|((id, vector), payload)| WirePoint {
            id,
            vector,
            payload,
        })
        .collect())
}

/// A payload, read only when the request does not hold too many values.
fn payload(
    raw: Option<&RawValue>,
    values: &mut ValueCount,
    place: &dyn Fn() -> String,
) -> Result<Payload, Error> {
    let Some(raw) = raw else {
        return Ok(Payload::new());
    };
    values.add(raw.get())?;
    serde_json::from_str::<Option<Payload>>(raw.get())
        .map(Option::unwrap_or_default)
        .map_err(|error| {
            Error::invalid(
                format!("{}.payload", place()),
                format!("a JSON object is expected: {error}"),
            )
        })
}

/// `Delete`
pub fn delete(body: SelectorBody) -> Result<Operation<Input>, Error> {
    selected(body).map(Operation::Delete)
}

/// `ClearPayload`
pub fn clear_payload(body: SelectorBody) -> Result<Operation<Input>, Error> {
    selected(body).map(|selection| Operation::ClearPayload { selection })
}

fn selected(body: SelectorBody) -> Result<Selection, Error> {
    refuse_shard_key(&body.shard_key)?;
    selection(body.points, &body.filter)
}

/// `SetPayload`
pub fn set_payload(body: PayloadBody, values: &mut ValueCount) -> Result<Operation<Input>, Error> {
    refuse_shard_key(&body.shard_key)?;
    Ok(Operation::SetPayload {
        payload: payload(Some(&body.payload), values, &String::new)?,
        selection: selection(body.points, &body.filter)?,
        at: body.key.map(|key| path(&key, "key")).transpose()?,
    })
}

/// `OverwritePayload`; with a key it sets, as Qdrant does.
pub fn overwrite_payload(
    body: PayloadBody,
    values: &mut ValueCount,
) -> Result<Operation<Input>, Error> {
    if body.key.is_some() {
        return set_payload(body, values);
    }
    refuse_shard_key(&body.shard_key)?;
    Ok(Operation::OverwritePayload {
        payload: payload(Some(&body.payload), values, &String::new)?,
        selection: selection(body.points, &body.filter)?,
    })
}

/// `DeletePayloadKeys`
pub fn delete_payload(body: PayloadKeysBody) -> Result<Operation<Input>, Error> {
    refuse_shard_key(&body.shard_key)?;
    let keys = body.keys.iter().map(|key| path(key, "keys"));
    Ok(Operation::DeletePayloadKeys {
        keys: keys.collect::<Result<Vec<FieldPath>, _>>()?,
        selection: selection(body.points, &body.filter)?,
    })
}

/// `UpdateVectors`, and what stored points must be like.
pub fn update_vectors(body: VectorsBody) -> Result<(Operation<Input>, Precondition), Error> {
    refuse_shard_key(&body.shard_key)?;
    let precondition = precondition(None, filter(&body.update_filter, "update_filter")?)?;
    let points = body
        .points
        .into_iter()
        .map(|point| (point.id.0, point.vector.inputs()))
        .collect();
    Ok((Operation::UpdateVectors(points), precondition))
}

/// `DeleteVectors`
pub fn delete_vectors(body: VectorNamesBody) -> Result<Operation<Input>, Error> {
    refuse_shard_key(&body.shard_key)?;
    Ok(Operation::DeleteVectors {
        selection: selection(body.points, &body.filter)?,
        names: body.vector,
    })
}
