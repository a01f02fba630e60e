//! Indexes against the definition, and the definition against Qdrant's client.

mod cases;
mod random;
mod view;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::filter::{Candidate, Condition, FieldTest, Filter, Number, Range, Scalar, matches};
use crate::rows::RowSet;
use crate::segment::SegmentView;
use view::View;

/// Indexes of every row of a view.
fn grown(schema: &[PayloadIndexSchema], view: &View) -> PayloadIndexes {
    PayloadIndexes::build(schema, view.rows(), |row| view.payload(row)).unwrap()
}

/// The same written as sections and opened from them.
fn sealed(indexes: &PayloadIndexes, rows: u32) -> PayloadIndexes {
    let sections: BTreeMap<SectionId, Vec<u8>> =
        indexes.sections(rows).unwrap().into_iter().collect();
    PayloadIndexes::open(rows, &|id| Ok(Bytes::from_vec(sections[&id].clone()))).unwrap()
}

fn schema(fields: &[(&str, PayloadIndexKind)]) -> Vec<PayloadIndexSchema> {
    fields
        .iter()
        .map(|(key, kind)| PayloadIndexSchema {
            key: (*key).to_owned(),
            kind: kind.clone(),
        })
        .collect()
}

/// The live rows that pass by the definition.
fn by_definition(filter: &Filter, view: &View) -> Vec<u32> {
    (0..view.rows())
        .filter(|&row| view.live().contains(row))
        .filter(|&row| {
            matches(
                filter,
                Candidate {
                    id: Some(view.id(row)),
                    payload: &view.payloads[row as usize],
                    has_vector: &|name| view.has_vector(name, row),
                },
            )
        })
        .collect()
}

/// The live rows that pass by the indexes.
fn by_indexes(filter: &Filter, view: &View, indexes: &PayloadIndexes) -> Vec<u32> {
    let rows = rows(filter, view, indexes).unwrap();
    rows.iter()
        .filter(|&row| view.live().contains(row))
        .collect()
}

fn must(key: &str, test: FieldTest) -> Filter {
    Filter {
        must: vec![Condition::field(key.parse().unwrap(), test)],
        ..Filter::default()
    }
}

fn numbers(count: u32) -> View {
    View::of((0..count).map(|row| json!({"n": row, "half": f64::from(row) / 2.0})))
}

#[test]
fn plans_follow_the_share_of_rows() {
    let view = numbers(10_000);
    let indexes = sealed(
        &grown(&schema(&[("n", PayloadIndexKind::Integer)]), &view),
        10_000,
    );
    let cache = FilterCache::default();
    let below = |limit: i64| {
        let range = Range {
            lt: Some(Number::Integer(limit)),
            ..Range::default()
        };
        must("n", FieldTest::Number(range))
    };
    let choose = |filter: &Filter, exact| {
        let parameters = PlanParameters { ef: 16, exact };
        plan(Some(filter), &view, &indexes, Some(&cache), parameters).unwrap()
    };
    assert_eq!(choose(&Filter::default(), true), Plan::Everything);
    assert_eq!(choose(&below(0), false), Plan::Nothing);
    assert_eq!(choose(&below(10_000), false), Plan::Everything);
    assert!(matches!(choose(&below(320), false), Plan::Scan(rows) if rows.count() == 320));
    assert!(matches!(choose(&below(321), false), Plan::Traverse(rows) if rows.count() == 321));
    assert!(matches!(choose(&below(321), true), Plan::Scan(_)));
    // The second question is answered from memory.
    let (Plan::Traverse(one), Plan::Traverse(two)) =
        (choose(&below(5_000), false), choose(&below(5_000), false))
    else {
        panic!("half of the rows are to be traversed");
    };
    assert!(Arc::ptr_eq(&one, &two));
    // Dead rows are not counted.
    for row in 0..5_000 {
        view.live.remove(row);
    }
    assert_eq!(choose(&below(5_000), false), Plan::Nothing);
    let left = estimate(&below(6_000), &view, &indexes).unwrap();
    assert_eq!((left.min, left.expected, left.max), (1_000, 1_000, 1_000));
    let unknown = must("half", FieldTest::Equal(Scalar::Integer(3)));
    let nothing_known = estimate(&unknown, &view, &indexes).unwrap();
    assert_eq!((nothing_known.min, nothing_known.max), (0, 5_000));
}

#[test]
fn facets_count_each_row_once_for_each_value() {
    let view = View::of([
        json!({"tag": "a"}),
        json!({"tag": ["a", "b", "a"]}),
        json!({"tag": ["b", 7, true, null, 1.5]}),
        json!({}),
        json!({"tag": "c"}),
    ]);
    let mut allowed = RowSet::all(5);
    allowed.remove(4);
    let expected = BTreeMap::from([
        (Scalar::Text("a".into()), 2),
        (Scalar::Text("b".into()), 2),
        (Scalar::Integer(7), 1),
        (Scalar::Bool(true), 1),
    ]);
    let key = "tag".parse().unwrap();
    for kind in [
        PayloadIndexKind::Keyword,
        PayloadIndexKind::Integer,
        PayloadIndexKind::Geo,
    ] {
        let growing = grown(&schema(&[("tag", kind)]), &view);
        for indexes in [&growing, &sealed(&growing, 5), PayloadIndexes::none()] {
            assert_eq!(facet(&key, &allowed, &view, indexes).unwrap(), expected);
        }
    }
}

#[test]
fn orders_go_both_ways_from_a_start_with_ids_for_ties() {
    let view = View::of([
        json!({"n": 3}),
        json!({"n": 1.5}),
        json!({"n": [3, -1]}),
        json!({"n": "2026-01-01"}),
        json!({"other": 1}),
        json!({"n": 2}),
    ]);
    let key = "n".parse().unwrap();
    let growing = grown(&schema(&[("n", PayloadIndexKind::Float)]), &view);
    for indexes in [&growing, &sealed(&growing, 6), PayloadIndexes::none()] {
        let list = |direction, start: Option<i64>, limit| -> Vec<u32> {
            let start = start.map(Number::Integer);
            let all = RowSet::all(6);
            ordered(&key, direction, start, limit, &all, &view, indexes)
                .unwrap()
                .into_iter()
                .map(|entry| entry.row)
                .collect()
        };
        assert_eq!(list(Direction::Ascending, None, 9), [2, 1, 5, 0, 2, 3]);
        assert_eq!(list(Direction::Ascending, Some(2), 2), [5, 0]);
        assert_eq!(list(Direction::Descending, Some(3), 9), [0, 2, 5, 1, 2]);
        assert_eq!(list(Direction::Descending, None, 2), [3, 0]);
    }
}

#[test]
fn filters_name_the_indexes_they_would_like() {
    let filter = wire::filter(&json!({
        "must": [
            {"key": "a", "match": {"value": "x"}},
            {"is_empty": {"key": "a"}},
            {"is_null": {"key": "b"}},
            {"nested": {"key": "list", "filter": {"must": [{"key": "n", "range": {"gt": 1}}]}}},
        ],
        "should": [{"key": "a", "match": {"text": "x"}}, {"key": "a", "match": {"any": ["y"]}}],
    }));
    let wanted: Vec<(String, Option<&str>)> = fields_wanting_index(&filter)
        .iter()
        .map(|(key, kind)| (key.to_string(), kind.as_ref().map(PayloadIndexKind::name)))
        .collect();
    let named = |key: &str, kind| (key.to_owned(), kind);
    assert_eq!(
        wanted,
        [
            named("a", Some("keyword")),
            named("b", None),
            named("list[].n", Some("float")),
            named("a", Some("text")),
        ]
    );
    let view = View::of([json!({"b": [1.5, 2.5]}), json!({}), json!({"b": 3.5})]);
    let kind = kind_for_field(&"b".parse().unwrap(), None, &view).unwrap();
    assert_eq!(kind, PayloadIndexKind::Float);
    let values = [json!(1), json!(2), json!("x"), Value::Null];
    assert_eq!(kind_for_values(&values), PayloadIndexKind::Integer);
}

#[test]
fn memory_is_counted_as_rows_come() {
    let view = numbers(5_000);
    let fields = schema(&[("n", PayloadIndexKind::Integer)]);
    let growing = grown(&fields, &view);
    let bytes = growing.bytes_in_memory();
    // Keys of 8 bytes, each with its own row; facts are a few bitmaps.
    assert!((5_000 * 50..5_000 * 70).contains(&bytes), "{bytes}");
    // Sealed in memory: key, end and row of each value, and the bitmaps of facts.
    let bytes = sealed(&growing, 5_000).bytes_in_memory();
    assert!((5_000 * 16..5_000 * 18).contains(&bytes), "{bytes}");
}

#[test]
fn damaged_sections_are_errors() {
    let view = numbers(300);
    let fields = schema(&[
        ("n", PayloadIndexKind::Integer),
        ("half", PayloadIndexKind::Float),
    ]);
    let sections: BTreeMap<SectionId, Vec<u8>> = grown(&fields, &view)
        .sections(300)
        .unwrap()
        .into_iter()
        .collect();
    let open = |sections: &BTreeMap<SectionId, Vec<u8>>| {
        PayloadIndexes::open(300, &|id| Ok(Bytes::from_vec(sections[&id].clone())))
    };
    let filter = wire::filter(&json!({"must": [{"key": "n", "range": {"gte": 3, "lt": 200}}]}));
    assert!(open(&sections).is_ok());
    for id in sections.keys() {
        for cut in [0, 7, 31, sections[id].len() - 1] {
            let mut damaged = sections.clone();
            damaged.get_mut(id).unwrap().truncate(cut);
            assert!(open(&damaged).is_err(), "{id} cut to {cut}");
        }
        // Without a container no checksum tells; whatever comes out, nothing panics.
        for place in 0..sections[id].len() {
            let mut damaged = sections.clone();
            damaged.get_mut(id).unwrap()[place] ^= 0xff;
            if let Ok(indexes) = open(&damaged) {
                let _ = rows(&filter, &view, &indexes);
            }
        }
    }
}

#[test]
fn a_text_index_says_how_words_are_cut() {
    let view = View::of([
        json!({"t": "The cats are running"}),
        json!({"t": "one cat runs"}),
        json!({"t": ["dog", "a running cat"]}),
    ]);
    let analyzer = crate::text::AnalyzerOptions::for_language(crate::text::Language::English);
    let kind = PayloadIndexKind::Text {
        analyzer: Some(Box::new(analyzer)),
        scoring: None,
    };
    let growing = grown(&schema(&[("t", kind)]), &view);
    let opened = sealed(&growing, 3);
    for indexes in [&growing, &opened] {
        let found = |test| by_indexes(&must("t", test), &view, indexes);
        assert_eq!(found(FieldTest::Text("cat running".into())), [0, 1, 2]);
        assert_eq!(found(FieldTest::Phrase("running cats".into())), [2]);
        assert_eq!(found(FieldTest::TextAny("dogs".into())), [2]);
        assert_eq!(found(FieldTest::Text("dog cat".into())), [] as [u32; 0]);
    }
}
