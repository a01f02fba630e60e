//! Filters from the JSON in which Qdrant's clients write them; complete enough for the cases of these tests.

use serde_json::Value;

use crate::filter::geo::{GeoBox, GeoCircle, GeoPoint, GeoPolygon};
use crate::filter::{
    Condition, FieldPath, FieldTest, Filter, MinShould, Number, Range, Scalar, ScalarSet, datetime,
};
use crate::point::PointId;

pub(super) fn filter(json: &Value) -> Filter {
    let list = |clause: &str| json.get(clause).map_or_else(Vec::new, conditions);
    Filter {
        must: list("must"),
        should: list("should"),
        must_not: list("must_not"),
        min_should: json.get("min_should").map(|some| MinShould {
            conditions: conditions(&some["conditions"]),
            count: some["min_count"].as_u64().unwrap() as usize,
        }),
    }
}

fn conditions(list: &Value) -> Vec<Condition> {
    list.as_array().unwrap().iter().map(condition).collect()
}

fn path(json: &Value) -> FieldPath {
    json["key"].as_str().unwrap().parse().unwrap()
}

fn condition(json: &Value) -> Condition {
    if let Some(ids) = json.get("has_id") {
        let ids = ids.as_array().unwrap().iter();
        return Condition::HasId(
            ids.map(|id| PointId::Number(id.as_u64().unwrap()))
                .collect(),
        );
    }
    if let Some(name) = json.get("has_vector") {
        return Condition::HasVector(name.as_str().unwrap().to_owned());
    }
    if let Some(field) = json.get("is_empty") {
        return Condition::IsEmpty { key: path(field) };
    }
    if let Some(field) = json.get("is_null") {
        return Condition::IsNull { key: path(field) };
    }
    if let Some(nested) = json.get("nested") {
        return Condition::Nested {
            key: path(nested),
            filter: filter(&nested["filter"]),
        };
    }
    if json.get("key").is_none() {
        return Condition::Filter(filter(json));
    }
    Condition::field(path(json), test(json))
}

fn test(json: &Value) -> FieldTest {
    if let Some(found) = json.get("match") {
        return match_test(found);
    }
    if let Some(range) = json.get("range") {
        if range.as_object().unwrap().values().any(Value::is_string) {
            let time = |bound: &Value| bound.as_str().and_then(datetime::parse);
            return FieldTest::Datetime(bounds(range, time));
        }
        return FieldTest::Number(bounds(range, Number::of_value));
    }
    if let Some(range) = json.get("values_count") {
        return FieldTest::ValuesCount(bounds(range, Value::as_u64));
    }
    if let Some(area) = json.get("geo_bounding_box") {
        return FieldTest::GeoBox(GeoBox {
            top_left: place(&area["top_left"]),
            bottom_right: place(&area["bottom_right"]),
        });
    }
    if let Some(circle) = json.get("geo_radius") {
        return FieldTest::GeoCircle(GeoCircle {
            center: place(&circle["center"]),
            radius_metres: circle["radius"].as_f64().unwrap(),
        });
    }
    let polygon = &json["geo_polygon"];
    FieldTest::GeoPolygon(GeoPolygon {
        exterior: line(&polygon["exterior"]),
        interiors: polygon.get("interiors").map_or_else(Vec::new, |lines| {
            lines.as_array().unwrap().iter().map(line).collect()
        }),
    })
}

fn match_test(json: &Value) -> FieldTest {
    let (kind, wanted) = json.as_object().unwrap().iter().next().unwrap();
    let text = || wanted.as_str().unwrap().to_owned();
    match kind.as_str() {
        "value" => FieldTest::Equal(match wanted {
            Value::String(text) => Scalar::Text(text.clone()),
            Value::Bool(truth) => Scalar::Bool(*truth),
            _ => Scalar::Integer(wanted.as_i64().unwrap()),
        }),
        "any" => FieldTest::Any(set(wanted)),
        "except" => FieldTest::Except(set(wanted)),
        "text" => FieldTest::Text(text()),
        "text_any" => FieldTest::TextAny(text()),
        "phrase" => FieldTest::Phrase(text()),
        "prefix" => FieldTest::Prefix(text()),
        "substring" => FieldTest::Substring(text()),
        other => panic!("unknown match {other}"),
    }
}

fn set(list: &Value) -> ScalarSet {
    let list = list.as_array().unwrap();
    if list.iter().all(Value::is_string) {
        ScalarSet::Texts(
            list.iter()
                .map(|text| text.as_str().unwrap().to_owned())
                .collect(),
        )
    } else {
        ScalarSet::Integers(list.iter().map(|number| number.as_i64().unwrap()).collect())
    }
}

fn bounds<T>(json: &Value, bound: impl Fn(&Value) -> Option<T>) -> Range<T> {
    let of = |name: &str| json.get(name).map(|value| bound(value).unwrap());
    Range {
        lt: of("lt"),
        lte: of("lte"),
        gt: of("gt"),
        gte: of("gte"),
    }
}

fn place(json: &Value) -> GeoPoint {
    GeoPoint::of_value(json).unwrap()
}

fn line(json: &Value) -> Vec<GeoPoint> {
    json["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(place)
        .collect()
}
