//! The rows that a filter lets through, and how a search should use them.
//!
//! Every condition becomes what the indexes know of it (`selection`), the clauses combine that by words of 64 rows, and
//! only rows that are still open have their payload read and checked against the whole filter. So the answer is that
//! of [`crate::filter::matches`] for every live row, whichever indexes there are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::PayloadIndexes;
use super::selection::{Selection, is_none};
use crate::error::VectorsError;
use crate::filter::{Candidate, Condition, FieldPath, FieldTest, Filter, Matcher};
use crate::rows::RowSet;
use crate::segment::SegmentView;

/// How many rows a filter lets through, by what indexes know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cardinality {
    /// At least so many.
    pub min: u64,
    /// About so many.
    pub expected: u64,
    /// At most so many.
    pub max: u64,
}

/// The rows of a segment that pass a filter that was validated. Of dead rows some may be among them.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an index or a payload that was needed is damaged.
pub fn rows(
    filter: &Filter,
    view: &dyn SegmentView,
    indexes: &PayloadIndexes,
) -> Result<RowSet, VectorsError> {
    let selection = Evaluation { view, indexes }.filter(filter)?;
    let (mut rows, open) = selection.into_parts();
    let Some(open) = open else {
        return Ok(rows);
    };
    let live = view.live();
    let matcher = Matcher::new(filter, &|key| indexes.words_of(key));
    for row in open.iter().filter(|&row| live.contains(row)) {
        let payload = view.payload(row)?;
        let passes = matcher.matches(Candidate {
            id: Some(view.id(row)),
            payload: &payload,
            has_vector: &|name| view.has_vector(name, row),
        });
        if passes {
            rows.insert(row);
        }
    }
    Ok(rows)
}

/// How many live rows pass a filter, without reading any payload.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an index that was needed is damaged.
pub fn estimate(
    filter: &Filter,
    view: &dyn SegmentView,
    indexes: &PayloadIndexes,
) -> Result<Cardinality, VectorsError> {
    let selection = Evaluation { view, indexes }.filter(filter)?;
    let min = live_count(selection.sure(), view);
    let max = live_count(selection.possible(), view);
    // Of a row about which nothing is known, either may be true.
    Ok(Cardinality {
        min,
        expected: min + (max - min) / 2,
        max,
    })
}

/// How many of these rows are live.
fn live_count(rows: &RowSet, view: &dyn SegmentView) -> u64 {
    let live = view.live();
    if live.removed() == 0 {
        return u64::from(rows.count());
    }
    u64::from(live.count_of(rows))
}

/// What the indexes of one segment know.
struct Evaluation<'a> {
    view: &'a dyn SegmentView,
    indexes: &'a PayloadIndexes,
}

impl Evaluation<'_> {
    fn filter(&self, filter: &Filter) -> Result<Selection, VectorsError> {
        let rows = self.view.rows();
        let mut all: Option<Selection> = None;
        let mut both = |more: Selection| {
            match &mut all {
                Some(all) => all.and(&more),
                None => all = Some(more),
            }
            all.as_ref().is_some_and(|all| is_none(all.possible()))
        };
        for condition in &filter.must {
            if both(self.condition(condition)?) {
                return Ok(Selection::none(rows));
            }
        }
        for condition in &filter.must_not {
            if both(self.condition(condition)?.not()) {
                return Ok(Selection::none(rows));
            }
        }
        if let Some((first, others)) = filter.should.split_first() {
            let mut any = self.condition(first)?;
            for condition in others {
                any.or(&self.condition(condition)?);
            }
            both(any);
        }
        if let Some(min_should) = &filter.min_should {
            both(self.at_least(&min_should.conditions, min_should.count)?);
        }
        Ok(all.unwrap_or_else(|| Selection::exactly(RowSet::all(rows))))
    }

    /// At least `count` of the conditions.
    fn at_least(&self, conditions: &[Condition], count: usize) -> Result<Selection, VectorsError> {
        let rows = self.view.rows();
        if count > conditions.len() {
            return Ok(Selection::none(rows));
        }
        let mut sure = vec![0u16; rows as usize];
        let mut possible = sure.clone();
        for condition in conditions {
            let selection = self.condition(condition)?;
            for (counts, set) in [
                (&mut sure, selection.sure()),
                (&mut possible, selection.possible()),
            ] {
                set.iter().for_each(|row| counts[row as usize] += 1);
            }
        }
        let enough = |counts: &[u16]| {
            let mut set = RowSet::none(rows);
            for (row, &has) in (0u32..).zip(counts) {
                if usize::from(has) >= count {
                    set.insert(row);
                }
            }
            set
        };
        Ok(Selection::with_maybe(enough(&sure), &enough(&possible)))
    }

    fn condition(&self, condition: &Condition) -> Result<Selection, VectorsError> {
        let rows = self.view.rows();
        match condition {
            Condition::Field { key, .. }
            | Condition::IsEmpty { key }
            | Condition::IsNull { key } => self.field(key, condition),
            Condition::HasId(ids) => {
                let mut set = RowSet::none(rows);
                for row in ids.iter().filter_map(|id| self.view.row_of(*id)) {
                    set.insert(row);
                }
                Ok(Selection::exactly(set))
            }
            Condition::HasVector(name) => {
                let mut set = RowSet::none(rows);
                for row in (0..rows).filter(|&row| self.view.has_vector(name, row)) {
                    set.insert(row);
                }
                Ok(Selection::exactly(set))
            }
            Condition::Nested { key, filter } => self.nested(&key.every(), filter),
            Condition::Filter(filter) => self.filter(filter),
        }
    }

    /// What all indexes of a field know of a condition on it.
    fn field(&self, key: &FieldPath, condition: &Condition) -> Result<Selection, VectorsError> {
        let rows = self.view.rows();
        let mut known: Option<Selection> = None;
        for index in self.indexes.of_field(key) {
            if let Some(more) = index.select(condition, rows)? {
                match &mut known {
                    Some(known) => known.refine(&more),
                    None => known = Some(more),
                }
                if known.as_ref().is_some_and(Selection::is_exact) {
                    break;
                }
            }
        }
        Ok(known.unwrap_or_else(|| Selection::unknown(rows)))
    }

    /// A filter on the objects in the arrays at `place`. Indexes of `place[].inner` know rows, not objects: that one
    /// object satisfies a test on `inner` is what they say, that one object satisfies several only possible.
    fn nested(&self, place: &FieldPath, filter: &Filter) -> Result<Selection, VectorsError> {
        let rows = self.view.rows();
        let alone = filter.must.len() == 1
            && filter.should.is_empty()
            && filter.must_not.is_empty()
            && filter.min_should.is_none();
        let mut all = RowSet::all(rows);
        let mut sure = RowSet::none(rows);
        for condition in &filter.must {
            let one = self.in_object(place, condition)?;
            super::selection::keep(&mut all, one.possible());
            if alone {
                sure = one.sure().clone();
            }
        }
        if !filter.should.is_empty() {
            let mut any = RowSet::none(rows);
            for condition in &filter.should {
                super::selection::add(&mut any, self.in_object(place, condition)?.possible());
            }
            super::selection::keep(&mut all, &any);
        }
        Ok(Selection::with_maybe(sure, &all))
    }

    /// That one object at `place` satisfies a condition.
    fn in_object(
        &self,
        place: &FieldPath,
        condition: &Condition,
    ) -> Result<Selection, VectorsError> {
        match condition {
            // A test that a missing field never passes: some object has the value that passes.
            Condition::Field { key, test } if !matches!(test, FieldTest::ValuesCount(_)) => {
                self.field(&place.join(key), condition)
            }
            Condition::Nested { key, filter } => self.nested(&place.join(key).every(), filter),
            Condition::Filter(filter) => self.nested(place, filter),
            _ => Ok(Selection::unknown(self.view.rows())),
        }
    }
}

/// Filters of recent searches of one sealed segment, and their rows. Sealed rows don't change; forget it when a text
/// index comes or goes, as that may change what its conditions mean.
#[derive(Debug, Default)]
pub struct FilterCache {
    recent: Mutex<VecDeque<(Filter, Arc<RowSet>)>>,
}

/// Most filters remembered per segment: those of a few tenants that search at once.
const CACHED_FILTERS_MAX: usize = 8;
/// Most conditions of a filter worth remembering; comparing a longer one may cost more than it saves.
const CACHED_CONDITIONS_MAX: usize = 16;

impl FilterCache {
    fn get(&self, filter: &Filter) -> Option<Arc<RowSet>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = recent.iter().position(|(known, _)| known == filter)?;
        let entry = recent.remove(place)?;
        let rows = entry.1.clone();
        recent.push_back(entry);
        Some(rows)
    }

    fn put(&self, filter: &Filter, rows: &Arc<RowSet>) {
        let conditions = filter.must.len() + filter.should.len() + filter.must_not.len();
        if conditions > CACHED_CONDITIONS_MAX {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= CACHED_FILTERS_MAX {
            recent.pop_front();
        }
        recent.push_back((filter.clone(), rows.clone()));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.clear();
    }

    /// Bytes in memory.
    pub fn bytes_in_memory(&self) -> u64 {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .iter()
            .map(|(_, rows)| rows.words().len() as u64 * 8)
            .sum()
    }
}

/// How a search of one segment uses its filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Every live row may be found: search without a filter.
    Everything,
    /// No row passes: don't search.
    Nothing,
    /// Few rows pass: compare the query with each of them.
    Scan(Arc<RowSet>),
    /// Many rows pass: traverse the index, which returns only these.
    Traverse(Arc<RowSet>),
}

/// What the choice between scan and traversal depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanParameters {
    /// Size of the candidate list of a traversal.
    pub ef: usize,
    /// Whether the search must be exact.
    pub exact: bool,
}

/// A traversal with a candidate list of `ef` computes about 17 to 40 distances for each of its entries (438 at ef 16,
/// 1,899 at ef 128 on 200,000 vectors of 384 dimensions, reference graph with 16 links), each a cache miss, while a scan of so many rows reads them in
/// order. So below this many rows per entry the scan is faster, and it is exact.
pub const SCAN_ROWS_PER_EF: u64 = 20;
/// Below this share of the rows a traversal meets so few allowed rows that it visits most of the graph around the
/// query: one in 50, the lower end of where other engines switch (2 to 5 %).
pub const SCAN_ONE_ROW_IN: u64 = 50;

/// Chooses how to search a segment. The filter was validated; `cache` is for sealed segments only.
///
/// # Errors
/// As [`rows`].
pub fn plan(
    filter: Option<&Filter>,
    view: &dyn SegmentView,
    indexes: &PayloadIndexes,
    cache: Option<&FilterCache>,
    parameters: PlanParameters,
) -> Result<Plan, VectorsError> {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
        return Ok(Plan::Everything);
    };
    let allowed = match cache.and_then(|cache| cache.get(filter)) {
        Some(allowed) => allowed,
        None => {
            let allowed = Arc::new(rows(filter, view, indexes)?);
            if let Some(cache) = cache {
                cache.put(filter, &allowed);
            }
            allowed
        }
    };
    let count = live_count(&allowed, view);
    let total = u64::from(view.rows());
    let live = total - u64::from(view.live().removed());
    Ok(if count == 0 {
        Plan::Nothing
    } else if count >= live {
        Plan::Everything
    } else if parameters.exact
        || count <= (parameters.ef as u64 * SCAN_ROWS_PER_EF).max(total / SCAN_ONE_ROW_IN)
    {
        Plan::Scan(allowed)
    } else {
        Plan::Traverse(allowed)
    })
}
