//! Hits grouped by a payload value: the best hits of each of the best groups.
//!
//! The query is asked for more and more hits until the groups are full or there are no more hits. What a longer list
//! adds stands behind what a shorter one had, so groups only ever grow.

use std::collections::HashMap;

use serde_json::Value;

use super::execute::execute_validated;
use super::request::{Hit, QueryRequest, Stage, Target};
use super::searcher::Searcher;
use crate::collection::limits::RESULTS_MAX;
use crate::error::VectorsError;
use crate::filter::FieldPath;

/// Most groups times hits per group.
pub const GROUPED_HITS_MAX: usize = 100_000;

/// By how much the list grows when groups aren't full.
const GROWTH: usize = 4;

/// A query whose hits are grouped.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRequest<T = Target> {
    /// The query; its limit is not used.
    pub query: QueryRequest<T>,
    /// The field with the value that hits of a group share. A point with several values is in several groups; one with a
    /// value that is neither text nor whole number is in none.
    pub group_by: FieldPath,
    /// Most hits per group, at least 1.
    pub group_size: usize,
    /// Most groups, at least 1.
    pub limit: usize,
}

/// What the hits of a group share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupKey {
    /// A text.
    Text(String),
    /// A whole number below 2^63.
    Integer(i64),
    /// A larger one.
    Unsigned(u64),
}

/// Hits with one value, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct HitGroup {
    /// The value.
    pub key: GroupKey,
    /// The hits.
    pub hits: Vec<Hit>,
}

/// Runs a query and groups its hits; groups by their best hit, best first.
///
/// Limits of prefetches are multiplied by the group size, since their points have to fill groups.
///
/// # Errors
/// As [`super::execute`]; [`VectorsError::Limit`] for too many hits.
pub fn execute_groups(
    searcher: &dyn Searcher,
    request: &GroupRequest,
) -> Result<Vec<HitGroup>, VectorsError> {
    for (field, value) in [("group_size", request.group_size), ("limit", request.limit)] {
        if value == 0 {
            return Err(VectorsError::invalid(field, "must be at least 1"));
        }
    }
    let wanted = request.limit.saturating_mul(request.group_size);
    if wanted > GROUPED_HITS_MAX {
        return Err(VectorsError::Limit {
            what: "groups times group size",
            limit: GROUPED_HITS_MAX as u64,
            actual: wanted as u64,
        });
    }
    let mut query = request.query.clone();
    query.stage.limit = 1;
    query.validate()?;
    for prefetch in &mut query.stage.prefetch {
        multiply_limits(prefetch, request.group_size);
    }
    // Groups that a million hits don't fill stay as they are.
    let points = usize::try_from(searcher.point_count())
        .unwrap_or(usize::MAX)
        .min(RESULTS_MAX);
    let mut asked = wanted.saturating_mul(2).clamp(64, points.max(64));
    loop {
        query.stage.limit = asked;
        let hits = execute_validated(searcher, &query)?;
        let exhausted = hits.len() < asked || asked >= points;
        let groups = grouped(searcher, request, &hits)?;
        let full = groups.len() == request.limit
            && groups
                .iter()
                .all(|group| group.hits.len() == request.group_size);
        if full || exhausted {
            return Ok(groups);
        }
        asked = asked.saturating_mul(GROWTH).min(points);
    }
}

fn multiply_limits(stage: &mut Stage, factor: usize) {
    stage.limit = stage.limit.saturating_mul(factor);
    for prefetch in &mut stage.prefetch {
        multiply_limits(prefetch, factor);
    }
}

fn grouped(
    searcher: &dyn Searcher,
    request: &GroupRequest,
    hits: &[Hit],
) -> Result<Vec<HitGroup>, VectorsError> {
    let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
    let payloads = searcher.payloads(&ids)?;
    let mut places: HashMap<GroupKey, usize> = HashMap::new();
    let mut groups: Vec<HitGroup> = Vec::new();
    for (hit, payload) in hits.iter().zip(&payloads) {
        let Some(payload) = payload else {
            continue;
        };
        for key in keys(&request.group_by.values(payload)) {
            let place = match places.get(&key) {
                Some(place) => *place,
                None if groups.len() == request.limit => continue,
                None => {
                    places.insert(key.clone(), groups.len());
                    groups.push(HitGroup {
                        key,
                        hits: Vec::new(),
                    });
                    groups.len() - 1
                }
            };
            if groups[place].hits.len() < request.group_size {
                groups[place].hits.push(*hit);
            }
        }
    }
    Ok(groups)
}

/// The distinct keys of a point in the payload's order; none when any value cannot be one.
fn keys(values: &[&Value]) -> Vec<GroupKey> {
    let mut keys = Vec::new();
    let elements = values.iter().flat_map(|value| match value {
        Value::Array(elements) => elements.as_slice(),
        single => std::slice::from_ref(*single),
    });
    for value in elements {
        let key = match value {
            Value::String(text) => GroupKey::Text(text.clone()),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => GroupKey::Integer(integer),
                (None, Some(unsigned)) => GroupKey::Unsigned(unsigned),
                (None, None) => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}
