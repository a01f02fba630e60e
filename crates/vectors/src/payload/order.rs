//! Rows in the order of a field's values, for scrolling, and single values for re-scoring.

use std::cmp::Ordering;

use serde_json::Value;

use super::index::FieldIndex;
use super::keys;
use super::{PayloadIndexKind, PayloadIndexes};
use crate::error::VectorsError;
use crate::filter::{FieldPath, Number, Range, datetime};
use crate::point::PointId;
use crate::rows::RowSet;
use crate::segment::SegmentView;

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest value first.
    Ascending,
    /// Largest value first.
    Descending,
}

/// A row at one of its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ordered {
    /// The value; of a date or time its microseconds since 1970.
    pub value: Number,
    /// The point's id, which orders equal values.
    pub id: PointId,
    /// The row.
    pub row: u32,
}

impl Ordered {
    /// The order of a listing: by value in its direction, then by rising id.
    pub fn compare(&self, other: &Ordered, direction: Direction) -> Ordering {
        let by_value = self
            .value
            .partial_cmp(&other.value)
            .unwrap_or(Ordering::Equal);
        match direction {
            Direction::Ascending => by_value,
            Direction::Descending => by_value.reverse(),
        }
        .then(self.id.cmp(&other.id))
    }
}

/// What a value is in an order: a number itself, a date or time its microseconds since 1970.
pub fn order_value(value: &Value) -> Option<Number> {
    match value {
        Value::Number(_) => Number::of_value(value),
        Value::String(text) => datetime::parse(text).map(Number::Integer),
        _ => None,
    }
}

/// The first `limit` of the `allowed` rows in the order of a field, from `start_from` on (included). A row with several
/// values is there once for each of them; one without, not at all. `allowed` holds no dead row.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an index or a payload that was needed is damaged.
pub fn ordered(
    key: &FieldPath,
    direction: Direction,
    start_from: Option<Number>,
    limit: usize,
    allowed: &RowSet,
    view: &dyn SegmentView,
    indexes: &PayloadIndexes,
) -> Result<Vec<Ordered>, VectorsError> {
    let range = match direction {
        Direction::Ascending => Range {
            gte: start_from,
            ..Range::default()
        },
        Direction::Descending => Range {
            lte: start_from,
            ..Range::default()
        },
    };
    let mut found = Vec::new();
    let mut by_payload = allowed.clone();
    let held = indexes.of_field(key).find(|index| {
        matches!(
            index.kind(),
            PayloadIndexKind::Integer | PayloadIndexKind::Float | PayloadIndexKind::Datetime
        )
    });
    if let Some(index) = held {
        let mut open = index.others(view.rows())?;
        super::selection::add(&mut open, &index.uncovered(view.rows()));
        super::selection::keep(&mut by_payload, &open);
        let mut by_index = allowed.clone();
        super::selection::drop_rows(&mut by_index, &open);
        let falling = direction == Direction::Descending;
        walk(index, &range, falling, limit, &by_index, view, &mut found)?;
    }
    for row in by_payload.iter() {
        let payload = view.payload(row)?;
        key.any_element(&payload, &mut |value| {
            if let Some(value) = order_value(value).filter(|value| range.contains(value)) {
                found.push(Ordered {
                    value,
                    id: view.id(row),
                    row,
                });
            }
            false
        });
    }
    found.sort_by(|one, two| one.compare(two, direction));
    found.dedup_by(|one, two| one.row == two.row && one.value == two.value);
    found.truncate(limit);
    Ok(found)
}

/// Collects the first `limit` rows of an index, and all that share the value of the last.
fn walk(
    index: &FieldIndex,
    range: &Range<Number>,
    falling: bool,
    limit: usize,
    rows: &RowSet,
    view: &dyn SegmentView,
    found: &mut Vec<Ordered>,
) -> Result<(), VectorsError> {
    let integers = keys::integers_within(range);
    let floats = keys::floats_within(range);
    for (postings, bounds, is_float) in [
        (&index.values, &integers, false),
        (&index.floats, &floats, true),
    ] {
        let before = found.len();
        postings.walk(keys::borrowed(bounds), falling, &mut |key, key_rows| {
            let value = if is_float {
                keys::to_float(key).map(Number::Float)
            } else {
                keys::to_integer(key).map(Number::Integer)
            };
            if let Some(value) = value {
                found.extend(
                    key_rows
                        .filter(|&row| rows.contains(row))
                        .map(|row| Ordered {
                            value,
                            id: view.id(row),
                            row,
                        }),
                );
            }
            found.len() - before < limit
        })?;
    }
    Ok(())
}
