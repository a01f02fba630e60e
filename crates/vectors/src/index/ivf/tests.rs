//! Inverted lists against exact search, on clustered data.

use std::collections::HashMap;
use std::sync::Arc;

use super::Ivf;
use super::search::IvfScratch;
use crate::index::flat::{self, FlatScratch};
use crate::index::{BuildControl, IndexParameters, SearchParameters, SectionId};
use crate::quantize::rotation::Random;
use crate::quantize::store::SectionBytes;
use crate::quantize::{Originals, SliceOriginals, Values};
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::schema::{HnswParameters, IndexKind, Metric, Quantization};

/// About normal with deviation 1.
fn normal(random: &mut Random) -> f32 {
    let uniform = |random: &mut Random| (random.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    (0..12).map(|_| uniform(random)).sum::<f32>() * 0.5
}

/// `rows` vectors around `clusters` centres, of unit length for the cosine.
fn clustered(
    rows: usize,
    dimensions: usize,
    clusters: usize,
    metric: Metric,
    seed: u64,
) -> Vec<f32> {
    let mut centres = Random::new(99);
    let centres: Vec<f32> = (0..clusters * dimensions)
        .map(|_| normal(&mut centres))
        .collect();
    let mut random = Random::new(seed);
    let mut values = Vec::with_capacity(rows * dimensions);
    for _ in 0..rows {
        let centre = random.below(clusters);
        let from = values.len();
        for dimension in 0..dimensions {
            values.push(centres[centre * dimensions + dimension] + 0.7 * normal(&mut random));
        }
        if metric == Metric::Cosine {
            kernels::Kernels::best().normalize_f32(&mut values[from..]);
        }
    }
    values
}

fn parameters(metric: Metric, threads: usize) -> IndexParameters {
    IndexParameters {
        metric,
        kind: IndexKind::Ivf,
        hnsw: HnswParameters::default(),
        quantization: Quantization::Auto,
        threads,
        seed: 42,
    }
}

fn build(originals: &dyn Originals, metric: Metric) -> Ivf {
    Ivf::build(originals, &parameters(metric, 2), &BuildControl::default()).expect("builds")
}

fn exact(
    originals: &dyn Originals,
    metric: Metric,
    query: &[f32],
    k: usize,
    allowed: Allowed<'_>,
) -> Vec<Scored> {
    flat::search(
        originals,
        metric,
        query,
        k,
        allowed,
        &mut FlatScratch::default(),
    )
    .expect("reads")
}

/// Mean share of the exact results found.
fn recall(
    index: &Ivf,
    originals: &dyn Originals,
    queries: &[f32],
    search: &SearchParameters,
    allowed: Allowed<'_>,
) -> f64 {
    let mut scratch = IvfScratch::default();
    let (mut found, mut wanted) = (0, 0);
    for query in queries.chunks(originals.dimensions()) {
        let answer = index
            .search(query, search, allowed, originals, &mut scratch)
            .expect("searches");
        let truth = exact(originals, index.metric, query, search.k, allowed);
        assert_eq!(answer.len(), truth.len());
        assert!(answer.is_sorted(), "best first");
        assert!(answer.iter().all(|one| allowed.contains(one.row)));
        wanted += truth.len();
        found += truth
            .iter()
            .filter(|one| answer.iter().any(|other| other.row == one.row))
            .count();
    }
    found as f64 / wanted.max(1) as f64
}

#[test]
fn recall_meets_its_target_for_every_metric_and_odd_sizes() {
    for (metric, dimensions) in [
        (Metric::Euclid, 100),
        (Metric::Cosine, 64),
        (Metric::Dot, 33),
    ] {
        let values = clustered(8000, dimensions, 60, metric, 1);
        let queries = clustered(50, dimensions, 60, metric, 2);
        let originals = SliceOriginals::new(dimensions, Values::Float32(&values));
        let index = build(&originals, metric);
        for target in [0.9, 0.99] {
            let search = SearchParameters {
                target_recall: Some(target),
                ..SearchParameters::of(10)
            };
            let found = recall(&index, &originals, &queries, &search, Allowed::default());
            assert!(
                found >= f64::from(target) - 0.04,
                "{metric:?} {target}: {found}"
            );
        }
        let everything = SearchParameters {
            ef: Some(100_000),
            ..SearchParameters::of(10)
        };
        let found = recall(
            &index,
            &originals,
            &queries,
            &everything,
            Allowed::default(),
        );
        assert!(
            found >= 0.99,
            "{metric:?}: {found} when every list is probed"
        );
    }
}

#[test]
fn filters_and_deletions_keep_recall_and_fill_the_answer() {
    let metric = Metric::Euclid;
    let values = clustered(8000, 48, 40, metric, 1);
    let queries = clustered(40, 48, 40, metric, 2);
    let originals = SliceOriginals::new(48, Values::Float32(&values));
    let index = build(&originals, metric);
    let live = AtomicRowSet::from_set(&RowSet::all(8000));
    for row in (0..8000).step_by(7) {
        live.remove(row);
    }
    for every in [1000, 100, 10, 2] {
        let mut filter = RowSet::none(8000);
        (0..8000).step_by(every).for_each(|row| filter.insert(row));
        let allowed = Allowed {
            live: Some(&live),
            filter: Some(&filter),
        };
        let found = recall(
            &index,
            &originals,
            &queries,
            &SearchParameters::of(10),
            allowed,
        );
        assert!(found >= 0.95, "one row in {every}: {found}");
    }
    // Correlated with the query: only rows far from it.
    let query = &queries[..48];
    let ranked = exact(&originals, metric, query, 8000, Allowed::default());
    let mut filter = RowSet::none(8000);
    ranked[6000..].iter().for_each(|one| filter.insert(one.row));
    let allowed = Allowed {
        live: Some(&live),
        filter: Some(&filter),
    };
    let found = recall(
        &index,
        &originals,
        query,
        &SearchParameters::of(10),
        allowed,
    );
    assert!(found >= 0.9, "far rows only: {found}");
}

#[test]
fn answers_are_short_only_where_few_rows_are_allowed() {
    let values = clustered(500, 20, 5, Metric::Euclid, 1);
    let originals = SliceOriginals::new(20, Values::Float32(&values));
    let index = build(&originals, Metric::Euclid);
    let mut scratch = IvfScratch::default();
    let live = AtomicRowSet::from_set(&RowSet::all(500));
    (3..500).for_each(|row| assert!(live.remove(row)));
    let allowed = Allowed {
        live: Some(&live),
        filter: None,
    };
    let mut ask = |k, allowed| {
        let search = SearchParameters {
            ef: Some(1),
            ..SearchParameters::of(k)
        };
        index
            .search(&values[..20], &search, allowed, &originals, &mut scratch)
            .expect("searches")
    };
    assert_eq!(ask(10, allowed).len(), 3);
    assert_eq!(ask(0, allowed), []);
    assert_eq!(ask(700, Allowed::default()).len(), 500);
    let none = RowSet::none(500);
    let allowed = Allowed {
        live: None,
        filter: Some(&none),
    };
    assert_eq!(ask(10, allowed), []);
}

fn sections_of(index: &Ivf) -> HashMap<SectionId, Vec<u8>> {
    let sections = index.sections().into_iter();
    sections
        .map(|(id, bytes)| (id, bytes.into_owned()))
        .collect()
}

/// Bytes on a multiple of 64, as containers hand them out.
struct Aligned(platform::buffer::AlignedBuffer);

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn open(
    sections: &HashMap<SectionId, Vec<u8>>,
    metric: Metric,
    dimensions: usize,
    rows: u32,
) -> Result<Ivf, crate::VectorsError> {
    Ivf::open(metric, dimensions, rows, &|id| {
        let mut buffer = platform::buffer::AlignedBuffer::zeroed(sections.get(&id)?.len()).ok()?;
        buffer.copy_from_slice(&sections[&id]);
        Some(Arc::new(Aligned(buffer)) as SectionBytes)
    })
}

#[test]
fn an_opened_index_answers_as_the_one_that_was_written_and_threads_do_not_matter() {
    let metric = Metric::Cosine;
    let values = clustered(3000, 40, 20, metric, 1);
    let originals = SliceOriginals::new(40, Values::Float32(&values));
    let index = build(&originals, metric);
    let sections = sections_of(&index);
    let alone =
        Ivf::build(&originals, &parameters(metric, 1), &BuildControl::default()).expect("builds");
    assert!(
        sections_of(&alone) == sections,
        "the same bytes from one thread"
    );
    let opened = open(&sections, metric, 40, 3000).expect("opens");
    assert_eq!(opened.recall_steps(), index.recall_steps());
    let mut scratch = IvfScratch::default();
    for query in values.chunks(40).step_by(300) {
        let mut ask = |index: &Ivf, rescore| {
            let search = SearchParameters {
                rescore,
                ..SearchParameters::of(5)
            };
            index
                .search(query, &search, Allowed::default(), &originals, &mut scratch)
                .expect("searches")
        };
        for rescore in [None, Some(false)] {
            assert_eq!(ask(&opened, rescore), ask(&index, rescore));
        }
    }
}

#[test]
fn sections_that_do_not_fit_are_refused_and_damage_never_panics() {
    let values = clustered(700, 24, 10, Metric::Euclid, 1);
    let originals = SliceOriginals::new(24, Values::Float32(&values));
    let index = build(&originals, Metric::Euclid);
    let sections = sections_of(&index);
    assert!(open(&sections, Metric::Dot, 24, 700).is_err());
    assert!(open(&sections, Metric::Euclid, 25, 700).is_err());
    assert!(open(&sections, Metric::Euclid, 24, 701).is_err());
    for id in sections.keys() {
        let mut less = sections.clone();
        less.remove(id);
        assert!(open(&less, Metric::Euclid, 24, 700).is_err());
        let mut shorter = sections.clone();
        shorter.get_mut(id).expect("there").pop();
        assert!(open(&shorter, Metric::Euclid, 24, 700).is_err());
    }
    let mut random = Random::new(8);
    let mut scratch = IvfScratch::default();
    for (id, bytes) in &sections {
        for _ in 0..30 {
            let mut damaged = sections.clone();
            let place = random.below(bytes.len());
            damaged.get_mut(id).expect("there")[place] ^= 1 << random.below(8);
            if let Ok(index) = open(&damaged, Metric::Euclid, 24, 700) {
                let search = SearchParameters::of(10);
                let _ = index.search(
                    &values[..24],
                    &search,
                    Allowed::default(),
                    &originals,
                    &mut scratch,
                );
            }
        }
    }
}

#[test]
fn equal_rows_and_tiny_segments_work() {
    for rows in [1, 2, 63, 64, 65, 400] {
        let values = vec![0.5f32; rows * 8];
        let originals = SliceOriginals::new(8, Values::Float32(&values));
        let index = build(&originals, Metric::Euclid);
        let mut scratch = IvfScratch::default();
        let search = SearchParameters::of(10);
        let found = index.search(
            &[0.5; 8],
            &search,
            Allowed::default(),
            &originals,
            &mut scratch,
        );
        let found = found.expect("searches");
        assert_eq!(found.len(), rows.min(10));
        assert!(found.iter().all(|one| one.rank == 0.0));
    }
}

#[test]
fn manhattan_and_nothing_are_refused_and_builds_can_be_cancelled() {
    let values = clustered(300, 8, 3, Metric::Euclid, 1);
    let originals = SliceOriginals::new(8, Values::Float32(&values));
    let nothing = SliceOriginals::new(8, Values::Float32(&[]));
    let build = |originals: &dyn Originals, metric, control: &BuildControl| {
        Ivf::build(originals, &parameters(metric, 2), control)
    };
    let control = BuildControl::default();
    assert!(build(&originals, Metric::Manhattan, &control).is_err());
    assert!(build(&nothing, Metric::Euclid, &control).is_err());
    control.cancel();
    let cancelled = build(&originals, Metric::Euclid, &control);
    assert!(matches!(cancelled, Err(crate::VectorsError::Cancelled)));
}
