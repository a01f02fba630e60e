//! Every case that Qdrant's client answered (`testdata/filters/generate.py`): by the definition, and by indexes.

use serde_json::Value;

use super::view::View;
use super::{by_definition, by_indexes, grown, schema, sealed, wire};
use crate::payload::{PayloadIndexKind, PayloadIndexes};

const CASES: &str = include_str!("../../../testdata/filters/cases.json");

#[test]
fn filters_find_what_qdrant_finds() {
    let json: Value = serde_json::from_str(CASES).unwrap();
    let points = json["points"].as_array().unwrap();
    let mut view = View::of(points.iter().map(|point| point["payload"].clone()));
    view.vectors = points
        .iter()
        .map(|point| serde_json::from_value(point["vectors"].clone()).unwrap())
        .collect();
    let text = PayloadIndexKind::Text {
        analyzer: None,
        scoring: None,
    };
    let right = schema(&[
        ("key", PayloadIndexKind::Keyword),
        ("key[]", PayloadIndexKind::Uuid),
        ("deep.key", PayloadIndexKind::Keyword),
        ("num", PayloadIndexKind::Integer),
        ("num[]", PayloadIndexKind::Float),
        ("flag", PayloadIndexKind::Bool),
        ("text", text.clone()),
        ("deep.text", text.clone()),
        ("geo", PayloadIndexKind::Geo),
        ("geo[]", PayloadIndexKind::Geo),
        ("time", PayloadIndexKind::Datetime),
        ("objs[].x", PayloadIndexKind::Keyword),
        ("objs[].y", PayloadIndexKind::Float),
    ]);
    // Kinds that don't fit the field's values or the conditions on it.
    let wrong = schema(&[
        ("key", PayloadIndexKind::Integer),
        ("num", PayloadIndexKind::Keyword),
        ("flag", PayloadIndexKind::Geo),
        ("text", PayloadIndexKind::Datetime),
        ("geo", PayloadIndexKind::Bool),
        ("time", text),
        ("objs[].x", PayloadIndexKind::Uuid),
    ]);
    let rows = points.len() as u32;
    let [right, wrong] = [right, wrong].map(|schema| grown(&schema, &view));
    let sets = [
        ("growing", right.clone()),
        ("sealed", sealed(&right, rows)),
        ("wrong", sealed(&wrong, rows)),
        ("none", PayloadIndexes::default()),
    ];
    let cases = json["cases"].as_array().unwrap();
    assert!(cases.len() > 400);
    for case in cases {
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let filter = wire::filter(&case["filter"]);
        filter.validate().unwrap();
        assert_eq!(
            by_definition(&filter, &view),
            expected,
            "{}",
            case["filter"]
        );
        for (name, indexes) in &sets {
            let found = by_indexes(&filter, &view, indexes);
            assert_eq!(found, expected, "{name}: {}", case["filter"]);
        }
    }
}
