//! Search by examples in one segment: every allowed row with the vector is compared with every example.

use std::collections::BinaryHeap;

use super::execute::normalized;
use super::mmr::rank;
use super::searcher::ExampleSearch;
use crate::error::VectorsError;
use crate::point::Vector;
use crate::rows::{Allowed, Scored};
use crate::schema::Metric;
use crate::segment::SegmentView;

/// The best allowed rows of a segment, best first. `metric` is that of the vector, [`Metric::Dot`] for sparse ones; the
/// filter of the search is expected in `allowed`.
///
/// # Errors
/// [`VectorsError::Corrupt`] when stored vectors are damaged.
pub fn scan_by_examples(
    segment: &dyn SegmentView,
    metric: Metric,
    search: &ExampleSearch<'_>,
    allowed: Allowed<'_>,
) -> Result<Vec<Scored>, VectorsError> {
    let examples: Vec<Vector> = match metric {
        Metric::Cosine => search.examples.iter().map(normalized).collect(),
        _ => search.examples.to_vec(),
    };
    let mut ranks = vec![0.0; examples.len()];
    let mut best: BinaryHeap<Scored> = BinaryHeap::new();
    for row in 0..segment.rows() {
        if search.limit == 0 || !allowed.contains(row) {
            continue;
        }
        let Some(vector) = segment.vector(search.vector, row)? else {
            continue;
        };
        for (place, example) in ranks.iter_mut().zip(&examples) {
            *place = rank(metric, example, &vector);
        }
        let scored = Scored {
            row,
            rank: (search.combine)(&ranks),
        };
        if best.len() < search.limit {
            best.push(scored);
        } else if let Some(mut worst) = best.peek_mut()
            && scored < *worst
        {
            *worst = scored;
        }
    }
    Ok(best.into_sorted_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::memory::{Component, Ledger};
    use crate::point::{Payload, Point, PointId};
    use crate::query::SearchOptions;
    use crate::query::examples::context;
    use crate::schema::CollectionSchema;
    use crate::segment::growing::GrowingSegment;

    #[test]
    fn a_segment_gives_its_best_live_rows_by_several_ranks() {
        let schema: CollectionSchema = serde_json::from_str(
            r#"{"vectors": {"": {"kind": "dense", "dimensions": 2, "metric": "dot"}}}"#,
        )
        .unwrap();
        let reservation = Ledger::new(None).reserve(Component::Growing, 0).unwrap();
        let segment = GrowingSegment::new(1, &schema, Default::default(), reservation);
        for (number, values) in [[1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [2.0, 2.5]]
            .iter()
            .enumerate()
        {
            segment.write().append(
                Point {
                    id: PointId::Number(number as u64),
                    vectors: [(String::new(), Vector::Dense(values.to_vec()))].into(),
                    payload: Payload::new(),
                    expires_unix_ms: None,
                },
                number as u64 + 1,
            );
        }
        segment.write().append(
            Point {
                id: PointId::Number(9),
                vectors: Default::default(),
                payload: Payload::new(),
                expires_unix_ms: None,
            },
            9,
        );
        let rows = segment.read();
        rows.remove(PointId::Number(1));
        let examples = [[1.0, 0.0], [0.0, 1.0]].map(|values| Vector::Dense(values.to_vec()));
        let search = ExampleSearch {
            vector: "",
            examples: &examples,
            combine: &|ranks| context(ranks),
            filter: &Filter::default(),
            options: SearchOptions::default(),
            limit: 2,
        };
        let allowed = Allowed {
            live: Some(rows.live()),
            filter: None,
        };
        let found = scan_by_examples(&*rows, Metric::Dot, &search, allowed).unwrap();
        // Row 0 lies on the good side; row 3 by 0.5 on the bad one, -0.5 / 1.5; row 2 by 3.
        assert_eq!(found.iter().map(|one| one.row).collect::<Vec<_>>(), [0, 3]);
        assert!(found[0].rank == 0.0 && (found[1].rank + 1.0 / 3.0).abs() < 1e-6);
    }
}
