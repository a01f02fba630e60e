//! Filters from the wire. How deep and how large one may be is the engine's to say; the decoder bounds recursion.

use service::Error;
use service::collections::filter::geo::{GeoBox, GeoCircle, GeoPoint, GeoPolygon};
use service::collections::filter::{MinShould, Number, Range, Scalar, ScalarSet};
use service::collections::{Condition, FieldPath, FieldTest, Filter};

use super::ids::{ids, path};
use super::values::microseconds;
use super::{invalid, missing, unsupported};
use crate::grpc::protocol::qdrant as wire;
use wire::condition::ConditionOneOf;
use wire::r#match::MatchValue;

/// A filter that a client sent.
///
/// # Errors
/// A part of it is missing, not valid, or not supported.
pub fn filter(filter: wire::Filter) -> Result<Filter, Error> {
    let list = |conditions: Vec<wire::Condition>| {
        let all = conditions.into_iter().map(condition);
        all.collect::<Result<Vec<_>, Error>>()
    };
    Ok(Filter {
        must: list(filter.must)?,
        should: list(filter.should)?,
        must_not: list(filter.must_not)?,
        min_should: match filter.min_should {
            None => None,
            Some(some) => Some(MinShould {
                conditions: list(some.conditions)?,
                count: usize::try_from(some.min_count).unwrap_or(usize::MAX),
            }),
        },
    })
}

/// The same where there may be none.
///
/// # Errors
/// As [`filter`].
pub fn optional(given: Option<wire::Filter>) -> Result<Option<Filter>, Error> {
    given.map(filter).transpose()
}

/// One condition.
///
/// # Errors
/// As [`filter`].
pub fn condition(condition: wire::Condition) -> Result<Condition, Error> {
    Ok(
        match condition
            .condition_one_of
            .ok_or_else(|| missing("condition"))?
        {
            ConditionOneOf::Field(field) => field_condition(field)?,
            ConditionOneOf::IsEmpty(empty) => Condition::IsEmpty {
                key: path("is_empty.key", &empty.key)?,
            },
            ConditionOneOf::IsNull(null) => Condition::IsNull {
                key: path("is_null.key", &null.key)?,
            },
            ConditionOneOf::HasId(has) => Condition::HasId(ids(has.has_id)?.into_iter().collect()),
            ConditionOneOf::HasVector(has) => Condition::HasVector(has.has_vector),
            ConditionOneOf::Filter(inner) => Condition::Filter(filter(inner)?),
            ConditionOneOf::Nested(nested) => Condition::Nested {
                key: path("nested.key", &nested.key)?,
                filter: filter(nested.filter.ok_or_else(|| missing("nested.filter"))?)?,
            },
            ConditionOneOf::Slice(_) => {
                return Err(unsupported("filters by slices of the ids are"));
            }
        },
    )
}

/// Tests of one field; several of them all have to hold.
fn field_condition(field: wire::FieldCondition) -> Result<Condition, Error> {
    let key = path("key", &field.key)?;
    let mut tests = Vec::new();
    if let Some(wanted) = field.r#match {
        tests.push(matching(wanted)?);
    }
    if let Some(range) = field.range {
        tests.push(FieldTest::Number(Range {
            lt: number(range.lt)?,
            lte: number(range.lte)?,
            gt: number(range.gt)?,
            gte: number(range.gte)?,
        }));
    }
    if let Some(range) = field.datetime_range {
        tests.push(FieldTest::Datetime(Range {
            lt: range.lt.map(microseconds).transpose()?,
            lte: range.lte.map(microseconds).transpose()?,
            gt: range.gt.map(microseconds).transpose()?,
            gte: range.gte.map(microseconds).transpose()?,
        }));
    }
    if let Some(count) = field.values_count {
        tests.push(FieldTest::ValuesCount(Range {
            lt: count.lt,
            lte: count.lte,
            gt: count.gt,
            gte: count.gte,
        }));
    }
    if let Some(area) = field.geo_bounding_box {
        tests.push(FieldTest::GeoBox(GeoBox {
            top_left: place("geo_bounding_box.top_left", area.top_left)?,
            bottom_right: place("geo_bounding_box.bottom_right", area.bottom_right)?,
        }));
    }
    if let Some(circle) = field.geo_radius {
        tests.push(FieldTest::GeoCircle(GeoCircle {
            center: place("geo_radius.center", circle.center)?,
            radius_metres: f64::from(circle.radius),
        }));
    }
    if let Some(area) = field.geo_polygon {
        let exterior = area
            .exterior
            .ok_or_else(|| missing("geo_polygon.exterior"))?;
        tests.push(FieldTest::GeoPolygon(GeoPolygon {
            exterior: line(exterior)?,
            interiors: area
                .interiors
                .into_iter()
                .map(line)
                .collect::<Result<_, _>>()?,
        }));
    }
    let mut conditions: Vec<Condition> = tests
        .into_iter()
        .map(|test| Condition::field(key.clone(), test))
        .collect();
    conditions.extend(presence(&key, field.is_empty, field.is_null));
    match conditions.len() {
        0 => Err(invalid(
            "field",
            format!("the condition on `{}` has no test", field.key),
        )),
        1 => Ok(conditions.remove(0)),
        _ => Ok(Condition::Filter(Filter {
            must: conditions,
            ..Filter::default()
        })),
    }
}

/// The two questions about presence that a field condition can ask, each for yes or for no.
fn presence(
    key: &FieldPath,
    is_empty: Option<bool>,
    is_null: Option<bool>,
) -> impl Iterator<Item = Condition> {
    let empty = |_| Condition::IsEmpty { key: key.clone() };
    let null = |_| Condition::IsNull { key: key.clone() };
    let asked = [
        (is_empty, is_empty.map(empty)),
        (is_null, is_null.map(null)),
    ];
    asked.into_iter().filter_map(|(wanted, condition)| {
        let condition = condition?;
        Some(match wanted? {
            true => condition,
            false => Condition::Filter(Filter {
                must_not: vec![condition],
                ..Filter::default()
            }),
        })
    })
}

fn matching(wanted: wire::Match) -> Result<FieldTest, Error> {
    let texts =
        |texts: wire::RepeatedStrings| ScalarSet::Texts(texts.strings.into_iter().collect());
    let integers = |integers: wire::RepeatedIntegers| {
        ScalarSet::Integers(integers.integers.into_iter().collect())
    };
    Ok(match wanted.match_value.ok_or_else(|| missing("match"))? {
        MatchValue::Keyword(text) => FieldTest::Equal(Scalar::Text(text)),
        MatchValue::Integer(integer) => FieldTest::Equal(Scalar::Integer(integer)),
        MatchValue::Boolean(truth) => FieldTest::Equal(Scalar::Bool(truth)),
        MatchValue::Keywords(all) => FieldTest::Any(texts(all)),
        MatchValue::Integers(all) => FieldTest::Any(integers(all)),
        MatchValue::ExceptKeywords(all) => FieldTest::Except(texts(all)),
        MatchValue::ExceptIntegers(all) => FieldTest::Except(integers(all)),
        MatchValue::Text(text) => FieldTest::Text(text),
        MatchValue::TextAny(text) => FieldTest::TextAny(text),
        MatchValue::Phrase(text) => FieldTest::Phrase(text),
        MatchValue::Prefix(text) => FieldTest::Prefix(text),
        MatchValue::Substring(text) => FieldTest::Substring(text),
    })
}

/// A bound. The wire has floats only; a whole one compares as the whole number that it is.
fn number(bound: Option<f64>) -> Result<Option<Number>, Error> {
    match bound {
        Some(float) if float.is_nan() => Err(invalid("range", "a bound is not a number")),
        bound => Ok(bound.map(Number::Float)),
    }
}

/// A place that a client sent.
///
/// # Errors
/// There is none.
pub fn place(field: &str, point: Option<wire::GeoPoint>) -> Result<GeoPoint, Error> {
    let point = point.ok_or_else(|| missing(field))?;
    Ok(GeoPoint {
        latitude: point.lat,
        longitude: point.lon,
    })
}

fn line(line: wire::GeoLineString) -> Result<Vec<GeoPoint>, Error> {
    let point = |point| place("geo_polygon", Some(point));
    line.points.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(change: impl FnOnce(&mut wire::FieldCondition)) -> Result<Condition, Error> {
        let mut field = wire::FieldCondition {
            key: "a.b".to_owned(),
            ..wire::FieldCondition::default()
        };
        change(&mut field);
        condition(wire::Condition {
            condition_one_of: Some(ConditionOneOf::Field(field)),
        })
    }

    #[test]
    fn a_field_with_several_tests_wants_them_all() {
        let found = field(|field| {
            field.is_null = Some(false);
            field.values_count = Some(wire::ValuesCount {
                gte: Some(2),
                ..wire::ValuesCount::default()
            });
        });
        let Ok(Condition::Filter(both)) = found else {
            panic!("{found:?}");
        };
        assert_eq!(both.must.len(), 2);
        let Condition::Filter(not) = &both.must[1] else {
            panic!("{both:?}");
        };
        assert!(matches!(not.must_not[..], [Condition::IsNull { .. }]));
    }

    #[test]
    fn what_is_missing_or_not_supported_is_named() {
        assert!(field(|_| {}).is_err());
        assert!(field(|field| field.key = "a..b".to_owned()).is_err());
        let nan = field(|field| {
            field.range = Some(wire::Range {
                lt: Some(f64::NAN),
                ..wire::Range::default()
            });
        });
        assert!(nan.is_err());
        assert!(condition(wire::Condition::default()).is_err());
        let slice = condition(wire::Condition {
            condition_one_of: Some(ConditionOneOf::Slice(wire::SliceCondition {
                total: 2,
                index: 0,
            })),
        });
        assert_eq!(
            slice.expect_err("refused").kind,
            service::ErrorKind::NotSupported
        );
    }
}
