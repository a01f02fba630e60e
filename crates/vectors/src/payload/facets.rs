//! Facets: how many points have each value of a field.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::Value;

use super::index::FieldIndex;
use super::keys;
use super::{PayloadIndexKind, PayloadIndexes};
use crate::error::VectorsError;
use crate::filter::{FieldPath, Scalar};
use crate::rows::RowSet;
use crate::segment::SegmentView;

/// For every string, integer and truth value of a field how many of the `allowed` rows have it. A row counts once for
/// each of its different values. Exact; `allowed` holds no dead row.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an index or a payload that was needed is damaged.
pub fn facet(
    key: &FieldPath,
    allowed: &RowSet,
    view: &dyn SegmentView,
    indexes: &PayloadIndexes,
) -> Result<BTreeMap<Scalar, u64>, VectorsError> {
    let mut counts = BTreeMap::new();
    let mut by_payload = allowed.clone();
    let held = indexes.of_field(key).find(|index| {
        matches!(
            index.kind(),
            PayloadIndexKind::Keyword
                | PayloadIndexKind::Integer
                | PayloadIndexKind::Bool
                | PayloadIndexKind::Uuid
        )
    });
    if let Some(index) = held {
        // Rows with values that the index doesn't hold are counted by payload altogether.
        let mut open = index.others(view.rows())?;
        super::selection::add(&mut open, &index.uncovered(view.rows()));
        super::selection::keep(&mut by_payload, &open);
        let mut by_index = allowed.clone();
        super::selection::drop_rows(&mut by_index, &open);
        count_held(index, &by_index, &mut counts)?;
    }
    for row in by_payload.iter() {
        let payload = view.payload(row)?;
        let mut values = BTreeSet::new();
        key.any_element(&payload, &mut |value| {
            values.extend(scalar_of(value));
            false
        });
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    Ok(counts)
}

fn count_held(
    index: &FieldIndex,
    rows: &RowSet,
    counts: &mut BTreeMap<Scalar, u64>,
) -> Result<(), VectorsError> {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    index.values.walk(everything, false, &mut |key, key_rows| {
        let count = key_rows.filter(|&row| rows.contains(row)).count() as u64;
        let value = match index.kind() {
            PayloadIndexKind::Keyword => {
                Some(Scalar::Text(String::from_utf8_lossy(key).into_owned()))
            }
            PayloadIndexKind::Uuid => keys::to_uuid(key).map(Scalar::Text),
            PayloadIndexKind::Integer => keys::to_integer(key).map(Scalar::Integer),
            PayloadIndexKind::Bool => Some(Scalar::Bool(key == [1])),
            _ => None,
        };
        if let Some(value) = value
            && count > 0
        {
            *counts.entry(value).or_default() += count;
        }
        true
    })
}

fn scalar_of(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Bool(truth) => Some(Scalar::Bool(*truth)),
        Value::Number(number) => number.as_i64().map(Scalar::Integer),
        _ => None,
    }
}
