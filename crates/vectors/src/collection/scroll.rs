//! Walks through a collection, in the order of ids or of a field.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::limits::{self, RESULTS_MAX};
use super::request::{Direction, OrderBy, ScrollPage, ScrollRequest};
use super::{Collection, SegmentHandle, read};
use crate::error::VectorsError;
use crate::filter::{Matcher, Number, datetime};
use crate::point::{Payload, PointId};

/// A row on a page.
struct Entry {
    value: f64,
    id: PointId,
    version: u64,
    segment: usize,
    row: u32,
}

impl Collection {
    /// A page of points.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] for a page too large, [`VectorsError::Invalid`] for a filter that makes no sense or for an
    /// offset together with an order, [`VectorsError::Corrupt`] when stored bytes are damaged.
    pub fn scroll(&self, request: &ScrollRequest) -> Result<ScrollPage, VectorsError> {
        limits::check("results", request.limit, RESULTS_MAX)?;
        let set = self.current();
        self.check_with(&set.schema, &request.with)?;
        if let Some(filter) = &request.filter {
            filter.validate()?;
        }
        if request.order_by.is_some() && request.offset.is_some() {
            return Err(VectorsError::invalid(
                "offset",
                "an offset is an id, and ids have no place in the order of a field; start from a value",
            ));
        }
        let matcher = request
            .filter
            .as_ref()
            .filter(|filter| !filter.is_empty())
            .map(|filter| self.matcher(filter));
        let mut visited = Vec::new();
        let mut entries = match &request.order_by {
            None => self.entries_by_id(request, matcher.as_ref(), &mut visited)?,
            Some(order) => self.entries_by_value(order, matcher.as_ref(), &mut visited)?,
        };
        let next = match request.order_by {
            None => entries.get(request.limit).map(|entry| entry.id),
            Some(_) => None,
        };
        entries.truncate(request.limit);
        let points = entries
            .iter()
            .map(|entry| {
                visited[entry.segment]
                    .with(|view| read::project(view, entry.row, &set.schema, &request.with))
            })
            .collect::<Result<_, _>>()?;
        Ok(ScrollPage {
            points,
            order_values: match request.order_by {
                None => Vec::new(),
                Some(_) => entries.iter().map(|entry| entry.value).collect(),
            },
            next,
        })
    }

    /// One entry more than the page holds, when there is one: it tells where the next page begins.
    fn entries_by_id(
        &self,
        request: &ScrollRequest,
        matcher: Option<&Matcher<'_>>,
        visited: &mut Vec<SegmentHandle>,
    ) -> Result<Vec<Entry>, VectorsError> {
        let now = self.now_unix_ms();
        let wanted = request.limit + 1;
        let mut entries: Vec<Entry> = Vec::new();
        self.current().walk(
            || self.current(),
            |segment| {
                let place = visited.len();
                visited.push(segment.clone());
                segment.with(|view| {
                    view.sweep_expired(now);
                    let mut taken = 0;
                    view.rows_from(request.offset, &mut |row| {
                        if !view.live().contains(row) {
                            return Ok(true);
                        }
                        if let Some(matcher) = matcher
                            && !read::passes(matcher, view, row)?
                        {
                            return Ok(true);
                        }
                        entries.push(Entry {
                            value: 0.0,
                            id: view.id(row),
                            version: view.version(row),
                            segment: place,
                            row,
                        });
                        taken += 1;
                        Ok(taken < wanted)
                    })
                })
            },
        )?;
        entries
            .sort_unstable_by(|one, two| one.id.cmp(&two.id).then(two.version.cmp(&one.version)));
        entries.dedup_by_key(|entry| entry.id);
        entries.truncate(wanted);
        Ok(entries)
    }

    /// All matching points that have a value, in order. Equal values in the order of ids.
    fn entries_by_value(
        &self,
        order: &OrderBy,
        matcher: Option<&Matcher<'_>>,
        visited: &mut Vec<SegmentHandle>,
    ) -> Result<Vec<Entry>, VectorsError> {
        let now = self.now_unix_ms();
        let mut newest: HashMap<PointId, Option<Entry>> = HashMap::new();
        self.current().walk(
            || self.current(),
            |segment| {
                let place = visited.len();
                visited.push(segment.clone());
                segment.with(|view| {
                    view.sweep_expired(now);
                    for row in view.live().snapshot().iter() {
                        let (id, version) = (view.id(row), view.version(row));
                        let passes = match matcher {
                            Some(matcher) => read::passes(matcher, view, row)?,
                            None => true,
                        };
                        let value = if passes {
                            order.value_of(view.payload(row)?.as_ref())
                        } else {
                            None
                        };
                        let entry = value.map(|value| Entry {
                            value,
                            id,
                            version,
                            segment: place,
                            row,
                        });
                        // Segments come from old to new: the last row of an id is its newest.
                        newest.insert(id, entry);
                    }
                    Ok(())
                })
            },
        )?;
        let mut entries: Vec<Entry> = newest.into_values().flatten().collect();
        entries.sort_unstable_by(|one, two| {
            order
                .compare(one.value, two.value)
                .then_with(|| one.id.cmp(&two.id))
        });
        Ok(entries)
    }
}

impl OrderBy {
    fn compare(&self, one: f64, two: f64) -> Ordering {
        match self.direction {
            Direction::Ascending => one.total_cmp(&two),
            Direction::Descending => two.total_cmp(&one),
        }
    }

    /// The value a payload is ordered by: of several the first in the direction that is not before `start_from`.
    fn value_of(&self, payload: &Payload) -> Option<f64> {
        let mut best: Option<f64> = None;
        self.key.any_element(payload, &mut |value| {
            let number = match value {
                serde_json::Value::String(text) => {
                    datetime::parse(text).map(|microseconds| microseconds as f64)
                }
                value => Number::of_value(value).map(Number::to_f64),
            };
            if let Some(number) = number
                && self
                    .start_from
                    .is_none_or(|start| self.compare(number, start).is_ge())
                && best.is_none_or(|best| self.compare(number, best).is_lt())
            {
                best = Some(number);
            }
            false
        });
        best
    }
}
