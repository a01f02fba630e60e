//! Lookups, counts and facets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::limits::{self, BATCH_POINTS_MAX, FACET_VALUES_MAX};
use super::request::{FacetHit, StoredPoint, VectorSelection, With};
use super::{Collection, edit, moment};
use crate::error::VectorsError;
use crate::filter::{Candidate, FieldPath, Filter, Matcher, Scalar};
use crate::payload;
use crate::point::{Point, PointId};
use crate::schema::CollectionSchema;
use crate::segment::SegmentView;

/// Whether a row passes a filter.
pub(crate) fn passes(
    matcher: &Matcher<'_>,
    view: &dyn SegmentView,
    row: u32,
) -> Result<bool, VectorsError> {
    let payload = view.payload(row)?;
    Ok(matcher.matches(Candidate {
        id: Some(view.id(row)),
        payload: &payload,
        has_vector: &|name| view.has_vector(name, row),
    }))
}

/// The row's point, to be changed and written again.
pub(crate) fn whole_point(
    view: &dyn SegmentView,
    row: u32,
    schema: &CollectionSchema,
) -> Result<Point, VectorsError> {
    let mut vectors = BTreeMap::new();
    for name in schema.vectors.keys() {
        if let Some(vector) = view.vector(name, row)? {
            vectors.insert(name.clone(), vector);
        }
    }
    Ok(Point {
        id: view.id(row),
        vectors,
        payload: view.payload(row)?.into_owned(),
        expires_unix_ms: view.expires_unix_ms(row),
    })
}

/// The row's point with what was asked for. Nothing that was not is read.
pub(crate) fn project(
    view: &dyn SegmentView,
    row: u32,
    schema: &CollectionSchema,
    with: &With,
) -> Result<StoredPoint, VectorsError> {
    let mut vectors = BTreeMap::new();
    let mut take = |name: &String| -> Result<(), VectorsError> {
        if let Some(vector) = view.vector(name, row)? {
            vectors.insert(name.clone(), vector);
        }
        Ok(())
    };
    match &with.vectors {
        VectorSelection::None => {}
        VectorSelection::All => schema.vectors.keys().try_for_each(&mut take)?,
        VectorSelection::Names(names) => names.iter().try_for_each(&mut take)?,
    }
    let payload = match &with.payload {
        super::PayloadSelection::None => None,
        selection => edit::select(view.payload(row)?.as_ref(), selection),
    };
    Ok(StoredPoint {
        id: view.id(row),
        version: view.version(row),
        payload,
        vectors,
        expires_unix_ms: view.expires_unix_ms(row),
    })
}

impl Collection {
    /// The points of these ids that are stored, in the order asked, with what `with` says.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] for too many ids, [`VectorsError::Missing`] for an unknown vector name,
    /// [`VectorsError::Corrupt`] when stored bytes are damaged.
    pub fn get(&self, ids: &[PointId], with: &With) -> Result<Vec<StoredPoint>, VectorsError> {
        limits::check("ids of a request", ids.len(), BATCH_POINTS_MAX)?;
        let set = self.current();
        self.check_with(&set.schema, with)?;
        let now = self.now_unix_ms();
        let mut points = Vec::with_capacity(ids.len());
        for &id in ids {
            // A point that moves into a segment younger than the set is found in the next one.
            let mut set = self.current();
            let location = loop {
                let found = set.find(id, now);
                let newest = self.current();
                if found.is_some() || std::sync::Arc::ptr_eq(&set, &newest) {
                    break found;
                }
                set = newest;
            };
            if let Some(location) = location {
                points.push(
                    location
                        .segment
                        .with(|view| project(view, location.row, &set.schema, with))?,
                );
            }
        }
        Ok(points)
    }

    pub(crate) fn check_with(
        &self,
        schema: &CollectionSchema,
        with: &With,
    ) -> Result<(), VectorsError> {
        if let VectorSelection::Names(names) = &with.vectors
            && let Some(name) = names
                .iter()
                .find(|name| !schema.vectors.contains_key(*name))
        {
            return Err(VectorsError::Missing {
                what: "vector",
                name: name.clone(),
            });
        }
        Ok(())
    }

    /// How many points match; all of them without a filter. Exact: a point written again meanwhile counts once.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for a filter that makes no sense, [`VectorsError::Corrupt`] when stored bytes are damaged.
    pub fn count(&self, filter: Option<&Filter>) -> Result<u64, VectorsError> {
        let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
            let _still = self.visible.read().unwrap_or_else(PoisonError::into_inner);
            let set = self.current();
            let now = self.now_unix_ms();
            return Ok(set
                .handles()
                .map(|segment| {
                    segment.with(|view| {
                        view.sweep_expired(now);
                        u64::from(view.rows() - view.live().removed())
                    })
                })
                .sum());
        };
        filter.validate()?;
        Ok(self.matching_ids(filter)?.len() as u64)
    }

    /// The ids of all points that match.
    pub(crate) fn matching_ids(&self, filter: &Filter) -> Result<BTreeSet<PointId>, VectorsError> {
        let now = self.now_unix_ms();
        let mut ids = BTreeSet::new();
        self.current().walk(
            || self.current(),
            |segment| {
                segment.with(|view| {
                    view.sweep_expired(now);
                    let rows = payload::rows(filter, view, view.payload_indexes())?;
                    let live = view.live();
                    ids.extend(
                        rows.iter()
                            .filter(|&row| live.contains(row))
                            .map(|row| view.id(row)),
                    );
                    Ok(())
                })
            },
        )?;
        self.want_indexes(filter);
        Ok(ids)
    }

    /// How many matching points have each value of a field, the most frequent first, equal counts by value. Strings, whole
    /// numbers and booleans count, and the elements of arrays; a point counts once per value. Exact as of one moment. Read
    /// from the field's index where a segment has one; otherwise from payloads, and the index is built for the next time.
    ///
    /// # Errors
    /// As [`Collection::count`]; [`VectorsError::Limit`] when `limit` is too large.
    pub fn facet(
        &self,
        key: &FieldPath,
        filter: Option<&Filter>,
        limit: usize,
    ) -> Result<Vec<FacetHit>, VectorsError> {
        limits::check("values of a facet", limit, FACET_VALUES_MAX)?;
        let filter = filter.filter(|filter| !filter.is_empty());
        if let Some(filter) = filter {
            filter.validate()?;
        }
        let mut counts: BTreeMap<Scalar, u64> = BTreeMap::new();
        for (segment, live) in self.moment().segments {
            segment.with(|view| {
                let rows = moment::matching(view, &live, filter)?;
                for (value, count) in payload::facet(key, &rows, view, view.payload_indexes())? {
                    *counts.entry(value).or_default() += count;
                }
                Ok(())
            })?;
        }
        if let Some(filter) = filter {
            self.want_indexes(filter);
        }
        self.want_index_for_facet(key);
        let mut hits: Vec<(String, FacetHit)> = counts
            .into_iter()
            .map(|(value, count)| {
                let value = match value {
                    Scalar::Text(text) => serde_json::Value::from(text),
                    Scalar::Integer(number) => number.into(),
                    Scalar::Bool(truth) => truth.into(),
                };
                (value.to_string(), FacetHit { value, count })
            })
            .collect();
        hits.sort_by(|(one_text, one), (two_text, two)| {
            two.count
                .cmp(&one.count)
                .then_with(|| one_text.cmp(two_text))
        });
        hits.truncate(limit);
        Ok(hits.into_iter().map(|(_, hit)| hit).collect())
    }
}
