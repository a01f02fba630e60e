//! Filters as clients write them. An error names the condition at fault: `filter.must[2].range.lt`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use service::collections::filter::geo::{GeoBox, GeoCircle, GeoPoint, GeoPolygon};
use service::collections::filter::{MinShould, Number, Range, Scalar, ScalarSet, datetime};
use service::collections::{Condition, FieldPath, FieldTest, Filter, PointId};
use service::{Error, ErrorKind};

use super::ids::WireId;

/// The filter that a value is; `null` is none. `place` is where it stands in the request.
///
/// # Errors
/// `InvalidRequest` naming the place, `NotSupported` for conditions that the engine does not know.
pub fn filter(value: &Value, place: &str) -> Result<Option<Filter>, Error> {
    match value {
        Value::Null => Ok(None),
        value => clauses(value, place).map(Some),
    }
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| Error::invalid(place, "an object is expected"))
}

fn unknown(key: &str, place: &str) -> Error {
    let shown: String = key.chars().take(64).collect();
    Error::invalid(place, format!("`{shown}` is not known here"))
}

fn clauses(value: &Value, place: &str) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    for (key, value) in object(value, place)? {
        let place = || format!("{place}.{key}");
        match key.as_str() {
            _ if value.is_null() => {}
            "must" => filter.must = conditions(value, &place())?,
            "should" => filter.should = conditions(value, &place())?,
            "must_not" => filter.must_not = conditions(value, &place())?,
            "min_should" => filter.min_should = Some(min_should(value, &place())?),
            other => return Err(unknown(other, &place())),
        }
    }
    Ok(filter)
}

/// A list of conditions, or a single one.
fn conditions(value: &Value, place: &str) -> Result<Vec<Condition>, Error> {
    let Value::Array(items) = value else {
        return condition(value, place).map(|one| vec![one]);
    };
    let each = items.iter().enumerate();
    each.map(|(index, item)| condition(item, &format!("{place}[{index}]")))
        .collect()
}

fn min_should(value: &Value, place: &str) -> Result<MinShould, Error> {
    let value = object(value, place)?;
    let count = value.get("min_count").and_then(Value::as_u64);
    let count = count.and_then(|count| usize::try_from(count).ok());
    Ok(MinShould {
        conditions: match value.get("conditions") {
            Some(list) => conditions(list, &format!("{place}.conditions"))?,
            None => return Err(Error::invalid(place, "`conditions` is required")),
        },
        count: count.ok_or_else(|| {
            Error::invalid(format!("{place}.min_count"), "a whole number is expected")
        })?,
    })
}

/// One condition.
///
/// # Errors
/// As [`filter`].
pub fn condition(value: &Value, place: &str) -> Result<Condition, Error> {
    let fields = object(value, place)?;
    if fields.contains_key("key") {
        return field_condition(fields, place);
    }
    let only = |name: &str| match fields.keys().find(|key| *key != name) {
        Some(other) => Err(unknown(other, place)),
        None => Ok(()),
    };
    let inner_key = |name: &str| {
        let place = format!("{place}.{name}");
        let inner = object(&fields[name], &place)?;
        path(inner.get("key"), &format!("{place}.key"))
    };
    if fields.contains_key("is_empty") {
        only("is_empty")?;
        return Ok(Condition::IsEmpty {
            key: inner_key("is_empty")?,
        });
    }
    if fields.contains_key("is_null") {
        only("is_null")?;
        return Ok(Condition::IsNull {
            key: inner_key("is_null")?,
        });
    }
    if let Some(ids) = fields.get("has_id") {
        only("has_id")?;
        return has_id(ids, &format!("{place}.has_id"));
    }
    if let Some(name) = fields.get("has_vector") {
        only("has_vector")?;
        let name = name.as_str().ok_or_else(|| {
            Error::invalid(format!("{place}.has_vector"), "a vector's name is expected")
        })?;
        return Ok(Condition::HasVector(name.to_owned()));
    }
    if let Some(nested) = fields.get("nested") {
        only("nested")?;
        let place = format!("{place}.nested");
        let inner = object(nested, &place)?;
        return Ok(Condition::Nested {
            key: path(inner.get("key"), &format!("{place}.key"))?,
            filter: clauses(
                inner.get("filter").unwrap_or(&Value::Null),
                &format!("{place}.filter"),
            )?,
        });
    }
    if fields.contains_key("slice") {
        return Err(Error::new(
            ErrorKind::NotSupported,
            "The condition `slice` is not supported.",
        )
        .at(place));
    }
    clauses(value, place).map(Condition::Filter)
}

fn path(value: Option<&Value>, place: &str) -> Result<FieldPath, Error> {
    let text = value
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid(place, "the path of a payload field is expected"))?;
    text.parse()
        .map_err(|error| Error::invalid(place, format!("{error}")))
}

/// A point's id.
///
/// # Errors
/// `InvalidRequest` at `place`.
pub fn point_id(value: &Value, place: &str) -> Result<PointId, Error> {
    serde_json::from_value::<WireId>(value.clone())
        .map(|id| id.0)
        .map_err(|error| Error::invalid(place, error.to_string()))
}

fn has_id(value: &Value, place: &str) -> Result<Condition, Error> {
    let ids = value
        .as_array()
        .ok_or_else(|| Error::invalid(place, "a list of point ids is expected"))?;
    let each = ids.iter().enumerate();
    each.map(|(index, id)| point_id(id, &format!("{place}[{index}]")))
        .collect::<Result<_, _>>()
        .map(Condition::HasId)
}

/// One or more tests of a field, all of which must hold.
fn field_condition(fields: &Map<String, Value>, place: &str) -> Result<Condition, Error> {
    let key = path(fields.get("key"), &format!("{place}.key"))?;
    let mut all = Vec::new();
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        let test = match name.as_str() {
            "key" => continue,
            _ if value.is_null() => continue,
            "match" => matching(value, &place)?,
            "range" => range(value, &place)?,
            "geo_bounding_box" => FieldTest::GeoBox(geo_box(value, &place)?),
            "geo_radius" => FieldTest::GeoCircle(geo_circle(value, &place)?),
            "geo_polygon" => FieldTest::GeoPolygon(geo_polygon(value, &place)?),
            "values_count" => {
                FieldTest::ValuesCount(bounds(value, &place, &|value| value.as_u64())?)
            }
            "is_empty" | "is_null" => {
                let key = key.clone();
                let condition = match name.as_str() {
                    "is_empty" => Condition::IsEmpty { key },
                    _ => Condition::IsNull { key },
                };
                all.push(match value.as_bool() {
                    Some(true) => condition,
                    Some(false) => Condition::Filter(Filter {
                        must_not: vec![condition],
                        ..Filter::default()
                    }),
                    None => return Err(Error::invalid(place, "true or false is expected")),
                });
                continue;
            }
            other => return Err(unknown(other, &place)),
        };
        all.push(Condition::field(key.clone(), test));
    }
    match all.len() {
        0 => Err(Error::invalid(place, "a condition on the field is missing")),
        1 => Ok(all.remove(0)),
        _ => Ok(Condition::Filter(Filter {
            must: all,
            ..Filter::default()
        })),
    }
}

fn matching(value: &Value, place: &str) -> Result<FieldTest, Error> {
    let fields = object(value, place)?;
    let mut entries = fields.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(Error::invalid(
            place,
            "exactly one of value, any, except, text, text_any, phrase, prefix, substring is expected",
        ));
    };
    let place = format!("{place}.{name}");
    let text = || {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::invalid(&place, "a text is expected"))
    };
    Ok(match name.as_str() {
        "value" => FieldTest::Equal(scalar(value, &place)?),
        "any" => FieldTest::Any(scalars(value, &place)?),
        "except" => FieldTest::Except(scalars(value, &place)?),
        "text" => FieldTest::Text(text()?),
        "text_any" => FieldTest::TextAny(text()?),
        "phrase" => FieldTest::Phrase(text()?),
        "prefix" => FieldTest::Prefix(text()?),
        "substring" => FieldTest::Substring(text()?),
        other => return Err(unknown(other, &place)),
    })
}

fn scalar(value: &Value, place: &str) -> Result<Scalar, Error> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Bool(truth) => Some(Scalar::Bool(*truth)),
        Value::Number(number) => number.as_i64().map(Scalar::Integer),
        _ => None,
    }
    .ok_or_else(|| Error::invalid(place, "a text, a whole number or true or false is expected"))
}

fn scalars(value: &Value, place: &str) -> Result<ScalarSet, Error> {
    let mixed = || {
        Error::invalid(
            place,
            "a list of texts or a list of whole numbers is expected",
        )
    };
    let items = value.as_array().ok_or_else(mixed)?;
    let texts: Option<BTreeSet<String>> = items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect();
    if let Some(texts) = texts {
        return Ok(ScalarSet::Texts(texts));
    }
    let integers: Option<BTreeSet<i64>> = items.iter().map(Value::as_i64).collect();
    integers.map(ScalarSet::Integers).ok_or_else(mixed)
}

/// Bounds of numbers, or of dates when they are texts.
fn range(value: &Value, place: &str) -> Result<FieldTest, Error> {
    let fields = object(value, place)?;
    if fields.values().any(Value::is_string) {
        let moment = |value: &Value| value.as_str().and_then(datetime::parse);
        return bounds(value, place, &moment).map(FieldTest::Datetime);
    }
    bounds(value, place, &Number::of_value).map(FieldTest::Number)
}

fn bounds<T>(
    value: &Value,
    place: &str,
    read: &dyn Fn(&Value) -> Option<T>,
) -> Result<Range<T>, Error> {
    let mut range = Range::default();
    for (name, value) in object(value, place)? {
        let place = || format!("{place}.{name}");
        if value.is_null() {
            continue;
        }
        let bound = match name.as_str() {
            "lt" => &mut range.lt,
            "lte" => &mut range.lte,
            "gt" => &mut range.gt,
            "gte" => &mut range.gte,
            other => return Err(unknown(other, &place())),
        };
        *bound = Some(read(value).ok_or_else(|| {
            Error::invalid(
                place(),
                "a number, or a date as RFC 3339 writes it, is expected",
            )
        })?);
    }
    Ok(range)
}

fn geo_point(value: Option<&Value>, place: &str) -> Result<GeoPoint, Error> {
    value.and_then(GeoPoint::of_value).ok_or_else(|| {
        Error::invalid(
            place,
            "a place is an object of two numbers, `lon` and `lat`",
        )
    })
}

fn geo_box(value: &Value, place: &str) -> Result<GeoBox, Error> {
    let fields = object(value, place)?;
    Ok(GeoBox {
        top_left: geo_point(fields.get("top_left"), &format!("{place}.top_left"))?,
        bottom_right: geo_point(fields.get("bottom_right"), &format!("{place}.bottom_right"))?,
    })
}

fn geo_circle(value: &Value, place: &str) -> Result<GeoCircle, Error> {
    let fields = object(value, place)?;
    let radius = fields.get("radius").and_then(Value::as_f64);
    Ok(GeoCircle {
        center: geo_point(fields.get("center"), &format!("{place}.center"))?,
        radius_metres: radius.ok_or_else(|| {
            Error::invalid(format!("{place}.radius"), "a number of metres is expected")
        })?,
    })
}

fn geo_polygon(value: &Value, place: &str) -> Result<GeoPolygon, Error> {
    let fields = object(value, place)?;
    let line = |value: Option<&Value>, place: String| {
        let points = value.and_then(|value| value["points"].as_array());
        let points = points.ok_or_else(|| {
            Error::invalid(place.clone(), "a line is an object with a list `points`")
        })?;
        points
            .iter()
            .enumerate()
            .map(|(index, point)| geo_point(Some(point), &format!("{place}.points[{index}]")))
            .collect::<Result<Vec<_>, _>>()
    };
    let interiors = match fields.get("interiors") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => list
            .as_array()
            .ok_or_else(|| {
                Error::invalid(format!("{place}.interiors"), "a list of lines is expected")
            })?
            .iter()
            .enumerate()
            .map(|(index, inner)| line(Some(inner), format!("{place}.interiors[{index}]")))
            .collect::<Result<_, _>>()?,
    };
    Ok(GeoPolygon {
        exterior: line(fields.get("exterior"), format!("{place}.exterior"))?,
        interiors,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn equal(key: &str, value: Scalar) -> Condition {
        Condition::field(key.parse().expect("path"), FieldTest::Equal(value))
    }

    #[test]
    fn every_clause_and_condition_is_read() {
        let read = filter(
            &json!({
                "must": [
                    {"key": "a.b[]", "match": {"value": "x"}},
                    {"key": "n", "range": {"gte": 1, "lt": 2.5}},
                    {"has_id": [1, "550e8400-e29b-41d4-a716-446655440000"]},
                    {"nested": {"key": "list", "filter": {"must": [{"key": "n", "match": {"value": 3}}]}}},
                ],
                "should": {"is_empty": {"key": "e"}},
                "must_not": [{"key": "t", "match": {"any": []}}, {"has_vector": ""}],
                "min_should": {"conditions": [{"key": "k", "match": {"except": [1, 2]}}], "min_count": 1},
            }),
            "filter",
        )
        .expect("read")
        .expect("a filter");
        assert_eq!(read.must[0], equal("a.b[]", Scalar::Text("x".to_owned())));
        let bounds = Range {
            gte: Some(Number::Integer(1)),
            lt: Some(Number::Float(2.5)),
            ..Range::default()
        };
        let expected = Condition::field("n".parse().expect("path"), FieldTest::Number(bounds));
        assert_eq!(read.must[1], expected);
        let ids = [
            PointId::Number(1),
            PointId::Uuid(0x550e_8400_e29b_41d4_a716_4466_5544_0000),
        ];
        assert_eq!(read.must[2], Condition::HasId(ids.into()));
        let Condition::Nested { filter: inner, .. } = &read.must[3] else {
            panic!("{:?}", read.must[3]);
        };
        assert_eq!(inner.must, [equal("n", Scalar::Integer(3))]);
        assert!(matches!(read.should[..], [Condition::IsEmpty { .. }]));
        assert_eq!(read.must_not[1], Condition::HasVector(String::new()));
        assert_eq!(
            read.min_should.map(|it| (it.count, it.conditions.len())),
            Some((1, 1))
        );
    }

    #[test]
    fn dates_places_and_several_tests_of_one_field_are_read() {
        let read = |value: Value| filter(&json!({"must": [value]}), "filter");
        let date = read(json!({"key": "d", "range": {"gt": "2024-01-01T00:00:00Z", "lt": null}}));
        let date = date.expect("read").expect("a filter");
        let Condition::Field {
            test: FieldTest::Datetime(range),
            ..
        } = &date.must[0]
        else {
            panic!("{date:?}");
        };
        // 1,704,067,200 seconds from 1970 to 2024.
        assert_eq!(range.gt, Some(1_704_067_200_000_000));
        let both = read(json!({"key": "n", "match": {"value": 1}, "is_null": false}));
        let both = both.expect("read").expect("a filter");
        assert!(matches!(&both.must[0], Condition::Filter(inner) if inner.must.len() == 2));
        for place in [
            json!({"key": "g", "geo_radius": {"center": {"lon": 1.0, "lat": 2.0}, "radius": 5.0}}),
            json!({"key": "g", "geo_bounding_box": {"top_left": {"lon": 1, "lat": 2}, "bottom_right": {"lon": 3, "lat": 1}}}),
            json!({"key": "g", "geo_polygon": {"exterior": {"points": [{"lon": 1, "lat": 2}]}, "interiors": [{"points": []}]}}),
        ] {
            read(place).expect("read");
        }
    }

    #[test]
    fn an_error_names_its_place() {
        for (value, place) in [
            (
                json!({"must": [{"key": "a", "match": {"value": 1.5}}]}),
                "filter.must[0].match.value",
            ),
            (json!({"must": [{"key": "a"}]}), "filter.must[0]"),
            (
                json!({"must": [{"key": "a b", "match": {"value": 1}}]}),
                "filter.must[0].key",
            ),
            (
                json!({"should": [{"key": "a", "range": {"lt": "soon"}}]}),
                "filter.should[0].range.lt",
            ),
            (
                json!({"must": [{"has_id": ["x"]}]}),
                "filter.must[0].has_id[0]",
            ),
            (json!({"sometimes": []}), "filter.sometimes"),
            (
                json!({"must": [{"key": "a", "match": {"any": [1, "b"]}}]}),
                "filter.must[0].match.any",
            ),
            (json!([]), "filter"),
        ] {
            let error = filter(&value, "filter").expect_err("refused");
            assert_eq!(error.field.as_deref(), Some(place), "{error}");
        }
        let slice = filter(
            &json!({"must": [{"slice": {"total": 2, "index": 0}}]}),
            "filter",
        );
        assert_eq!(slice.expect_err("refused").kind, ErrorKind::NotSupported);
    }
}
