//! Which indexes a filter would like.

use serde_json::Value;

use super::kind::PayloadIndexKind;
use crate::error::VectorsError;
use crate::filter::{Condition, FieldPath, Filter};
use crate::segment::SegmentView;

/// Fields that the filter's conditions look at, each with the kind of index that answers them; `None` where any kind
/// does, and the values say which suits (see [`kind_for_values`]). A field is named once for each kind.
pub fn fields_wanting_index(filter: &Filter) -> Vec<(FieldPath, Option<PayloadIndexKind>)> {
    let mut wanted = Vec::new();
    collect(filter, None, &mut wanted);
    // An open kind is settled by any other of the same field.
    let settled: Vec<FieldPath> = wanted
        .iter()
        .filter(|(_, kind)| kind.is_some())
        .map(|(key, _)| key.clone())
        .collect();
    wanted.retain(|(key, kind)| kind.is_some() || !settled.contains(key));
    wanted
}

fn collect(
    filter: &Filter,
    place: Option<&FieldPath>,
    wanted: &mut Vec<(FieldPath, Option<PayloadIndexKind>)>,
) {
    let inside = |key: &FieldPath| place.map_or_else(|| key.clone(), |place| place.join(key));
    let more = filter.min_should.iter().flat_map(|some| &some.conditions);
    let conditions = [&filter.must, &filter.should, &filter.must_not];
    for condition in conditions.into_iter().flatten().chain(more) {
        let entry = match condition {
            Condition::Field { key, test } => (inside(key), PayloadIndexKind::for_test(test)),
            // Of objects in arrays an index doesn't know which of them is empty.
            Condition::IsEmpty { key } | Condition::IsNull { key } if place.is_none() => {
                (key.clone(), None)
            }
            Condition::Nested { key, filter } => {
                collect(filter, Some(&inside(key).every()), wanted);
                continue;
            }
            Condition::Filter(filter) => {
                collect(filter, place, wanted);
                continue;
            }
            _ => continue,
        };
        if !wanted.contains(&entry) {
            wanted.push(entry);
        }
    }
}

/// Rows looked at to learn what a field's values are.
const SAMPLED_ROWS_MAX: u32 = 256;

/// The kind of index for a field that a filter wants indexed: what its condition says, else what suits the field's values
/// in rows spread over the segment. Integers and floats are one: whichever the condition names serves both.
///
/// # Errors
/// [`VectorsError::Corrupt`] when a payload is damaged.
pub fn kind_for_field(
    key: &FieldPath,
    by_condition: Option<PayloadIndexKind>,
    view: &dyn SegmentView,
) -> Result<PayloadIndexKind, VectorsError> {
    if let Some(kind) = by_condition {
        return Ok(kind);
    }
    let step = view.rows().div_ceil(SAMPLED_ROWS_MAX).max(1);
    let mut values = Vec::new();
    for row in (0..view.rows()).step_by(step as usize) {
        let payload = view.payload(row)?;
        values.extend(key.values(&payload).into_iter().cloned());
    }
    Ok(kind_for_values(&values))
}

/// The kind of index that suits most of these values of a field; keyword when none says anything.
pub fn kind_for_values<'v>(values: impl IntoIterator<Item = &'v Value>) -> PayloadIndexKind {
    let mut votes: Vec<(PayloadIndexKind, usize)> = Vec::new();
    for kind in values.into_iter().filter_map(PayloadIndexKind::for_value) {
        match votes.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => votes.push((kind, 1)),
        }
    }
    votes
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(PayloadIndexKind::Keyword, |(kind, _)| kind)
}
