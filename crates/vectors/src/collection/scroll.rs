//! Walks through a collection, in the order of ids or of a field.

use std::collections::HashSet;

use super::limits::{self, RESULTS_MAX};
use super::request::{Direction, OrderBy, ScrollPage, ScrollRequest};
use super::{Collection, SegmentHandle, moment, read};
use crate::error::VectorsError;
use crate::filter::{Matcher, Number};
use crate::payload::{self, Ordered};
use crate::point::PointId;
use crate::rows::RowSet;
use crate::segment::SegmentView;

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
        if request.limit > RESULTS_MAX {
            // Clients ask for a billion points when they mean all of them, which is fine while there are not too many.
            limits::check("results", self.points_at_most(request.limit)?, RESULTS_MAX)?;
            return self.scroll(&ScrollRequest {
                limit: RESULTS_MAX,
                ..request.clone()
            });
        }
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
            Some(order) => self.entries_by_value(order, request, &mut visited)?,
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

    /// The number of points, or `limit` when that is less.
    pub(super) fn points_at_most(&self, limit: usize) -> Result<usize, VectorsError> {
        let points = usize::try_from(self.count(None)?).unwrap_or(usize::MAX);
        Ok(points.min(limit))
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

    /// The first matching points that have a value, in order; equal values in the order of ids. As of one moment.
    fn entries_by_value(
        &self,
        order: &OrderBy,
        request: &ScrollRequest,
        visited: &mut Vec<SegmentHandle>,
    ) -> Result<Vec<Entry>, VectorsError> {
        let filter = request.filter.as_ref().filter(|filter| !filter.is_empty());
        let mut all: Vec<(Ordered, usize, u64)> = Vec::new();
        for (segment, live) in self.moment().segments {
            let place = visited.len();
            segment.with(|view| {
                let rows = moment::matching(view, &live, filter)?;
                for one in first_values(order, request.limit, &rows, view)? {
                    all.push((one, place, view.version(one.row)));
                }
                Ok(())
            })?;
            visited.push(segment);
        }
        if let Some(filter) = filter {
            self.want_indexes(filter);
        }
        self.want_index_for_order(&order.key);
        all.sort_by(|(one, ..), (two, ..)| one.compare(two, order.direction.into()));
        Ok(all
            .into_iter()
            .map(|(one, segment, version)| Entry {
                value: one.value.to_f64(),
                id: one.id,
                version,
                segment,
                row: one.row,
            })
            .collect())
    }
}

/// The first `limit` rows of a segment in an order, each at its first value.
fn first_values(
    order: &OrderBy,
    limit: usize,
    rows: &RowSet,
    view: &dyn SegmentView,
) -> Result<Vec<Ordered>, VectorsError> {
    // A row with several values is listed at each of them, so the first rows may take more entries than there are rows.
    let mut entries_max = limit;
    loop {
        let mut found = payload::ordered(
            &order.key,
            order.direction.into(),
            order.start_from.map(Number::Float),
            entries_max,
            rows,
            view,
            view.payload_indexes(),
        )?;
        let whole = found.len() < entries_max;
        let mut seen = HashSet::with_capacity(found.len());
        found.retain(|one| seen.insert(one.row));
        if whole || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
        entries_max = entries_max.saturating_mul(2);
    }
}

impl From<Direction> for payload::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ascending => payload::Direction::Ascending,
            Direction::Descending => payload::Direction::Descending,
        }
    }
}
