//! Bounds of a filter. What passes here can be evaluated by recursion and in bounded time per point.

use super::geo::GeoPoint;
use super::language::{Condition, FieldTest, Filter, Number, Range, Scalar, ScalarSet};
use crate::error::VectorsError;

/// Deepest nesting of filters. People write two or three levels; each level costs a frame of the stack.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Most conditions of a filter, those of its inner filters included: access lists become one condition, not many.
pub const FILTER_CONDITIONS_MAX: usize = 4_096;
/// Most values of one "any", "except" or "has id": an id list of a page of another system, but not a whole table.
pub const FILTER_VALUES_MAX: usize = 65_536;
/// Most bytes of a text, phrase, prefix or one value.
pub const FILTER_TEXT_BYTES_MAX: usize = 65_536;
/// Most places of all lines of a polygon: a detailed country, checked per candidate.
pub const POLYGON_POINTS_MAX: usize = 10_000;

impl Filter {
    /// Whether the filter has no condition at all and lets everything through.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty()
            && self.should.is_empty()
            && self.must_not.is_empty()
            && self.min_should.is_none()
    }

    /// Checks the bounds above and that every part makes sense.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] that names the part, as in `must[1].nested.should[0].any`, or [`VectorsError::Limit`].
    pub fn validate(&self) -> Result<(), VectorsError> {
        let mut conditions = 0;
        check_filter(self, 1, &mut conditions)
    }
}

/// Puts `place` in front of the field that an error names.
fn within(
    place: impl FnOnce() -> String,
    checked: Result<(), VectorsError>,
) -> Result<(), VectorsError> {
    checked.map_err(|error| match error {
        VectorsError::Invalid { field, message } => VectorsError::Invalid {
            field: format!("{}.{field}", place()),
            message,
        },
        other => other,
    })
}

fn limit(what: &'static str, limit: usize, actual: usize) -> Result<(), VectorsError> {
    if actual > limit {
        return Err(VectorsError::Limit {
            what,
            limit: limit as u64,
            actual: actual as u64,
        });
    }
    Ok(())
}

fn check_filter(filter: &Filter, depth: usize, conditions: &mut usize) -> Result<(), VectorsError> {
    limit("depth of the filter", FILTER_DEPTH_MAX, depth)?;
    for (clause, list) in [
        ("must", &filter.must),
        ("should", &filter.should),
        ("must_not", &filter.must_not),
    ] {
        check_list(clause, list, depth, conditions)?;
    }
    let Some(min_should) = &filter.min_should else {
        return Ok(());
    };
    if min_should.count == 0 {
        return Err(VectorsError::invalid(
            "min_should.min_count",
            "must be 1 or more",
        ));
    }
    check_list(
        "min_should.conditions",
        &min_should.conditions,
        depth,
        conditions,
    )
}

fn check_list(
    clause: &str,
    list: &[Condition],
    depth: usize,
    conditions: &mut usize,
) -> Result<(), VectorsError> {
    *conditions += list.len();
    limit(
        "number of conditions of the filter",
        FILTER_CONDITIONS_MAX,
        *conditions,
    )?;
    for (index, condition) in list.iter().enumerate() {
        within(
            || format!("{clause}[{index}]"),
            check_condition(condition, depth, conditions),
        )?;
    }
    Ok(())
}

fn check_condition(
    condition: &Condition,
    depth: usize,
    conditions: &mut usize,
) -> Result<(), VectorsError> {
    match condition {
        Condition::Field { test, .. } => check_test(test),
        Condition::HasId(ids) => limit("number of ids", FILTER_VALUES_MAX, ids.len()),
        Condition::Nested { filter, .. } => within(
            || "nested".to_owned(),
            check_filter(filter, depth + 1, conditions),
        ),
        Condition::Filter(filter) => within(
            || "filter".to_owned(),
            check_filter(filter, depth + 1, conditions),
        ),
        Condition::IsEmpty { .. } | Condition::IsNull { .. } | Condition::HasVector(_) => Ok(()),
    }
}

fn check_test(test: &FieldTest) -> Result<(), VectorsError> {
    match test {
        FieldTest::Any(set) | FieldTest::Except(set) => {
            limit("number of values", FILTER_VALUES_MAX, set.len())?;
            let longest = match set {
                ScalarSet::Texts(texts) => texts.iter().map(String::len).max(),
                ScalarSet::Integers(_) => None,
            };
            limit(
                "bytes of a value",
                FILTER_TEXT_BYTES_MAX,
                longest.unwrap_or(0),
            )
        }
        FieldTest::Equal(Scalar::Text(text)) => {
            limit("bytes of a value", FILTER_TEXT_BYTES_MAX, text.len())
        }
        FieldTest::Text(text)
        | FieldTest::TextAny(text)
        | FieldTest::Phrase(text)
        | FieldTest::Prefix(text)
        | FieldTest::Substring(text) => {
            limit("bytes of the text", FILTER_TEXT_BYTES_MAX, text.len())
        }
        FieldTest::Number(range) => check_numbers(range),
        FieldTest::GeoBox(area) => {
            check_place("geo_bounding_box.top_left", area.top_left, 180.0)?;
            check_place("geo_bounding_box.bottom_right", area.bottom_right, 180.0)?;
            if area.top_left.latitude < area.bottom_right.latitude {
                return Err(VectorsError::invalid(
                    "geo_bounding_box.top_left.lat",
                    "must not be south of bottom_right",
                ));
            }
            Ok(())
        }
        FieldTest::GeoCircle(circle) => {
            check_place("geo_radius.center", circle.center, 180.0)?;
            if circle.radius_metres.is_finite() && circle.radius_metres >= 0.0 {
                return Ok(());
            }
            Err(VectorsError::invalid(
                "geo_radius.radius",
                "must be a number of metres, 0 or more",
            ))
        }
        FieldTest::GeoPolygon(polygon) => {
            let places =
                polygon.exterior.len() + polygon.interiors.iter().map(Vec::len).sum::<usize>();
            limit(
                "number of places of the polygon",
                POLYGON_POINTS_MAX,
                places,
            )?;
            check_line("geo_polygon.exterior", &polygon.exterior)?;
            polygon
                .interiors
                .iter()
                .enumerate()
                .try_for_each(|(index, line)| {
                    check_line(&format!("geo_polygon.interiors[{index}]"), line)
                })
        }
        FieldTest::Equal(_) | FieldTest::Datetime(_) | FieldTest::ValuesCount(_) => Ok(()),
    }
}

fn check_numbers(range: &Range<Number>) -> Result<(), VectorsError> {
    for (name, bound) in [
        ("range.lt", range.lt),
        ("range.lte", range.lte),
        ("range.gt", range.gt),
        ("range.gte", range.gte),
    ] {
        if bound.is_some_and(|bound| bound.to_f64().is_nan()) {
            return Err(VectorsError::invalid(name, "must be a number"));
        }
    }
    Ok(())
}

fn check_place(field: &str, place: GeoPoint, longitude_max: f64) -> Result<(), VectorsError> {
    if !(-90.0..=90.0).contains(&place.latitude) {
        return Err(VectorsError::invalid(
            format!("{field}.lat"),
            "must lie between -90 and 90 degrees",
        ));
    }
    if !(-longitude_max..=longitude_max).contains(&place.longitude) {
        return Err(VectorsError::invalid(
            format!("{field}.lon"),
            format!("must lie between -{longitude_max} and {longitude_max} degrees"),
        ));
    }
    Ok(())
}

fn check_line(field: &str, line: &[GeoPoint]) -> Result<(), VectorsError> {
    if line.len() < 4 || line.first() != line.last() {
        return Err(VectorsError::invalid(
            field,
            "must have at least 4 points, the last one equal to the first",
        ));
    }
    // Beyond 180 degrees: a polygon across the antimeridian goes on counting.
    line.iter()
        .try_for_each(|place| check_place(field, *place, 540.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::geo::{GeoBox, GeoCircle, GeoPolygon};
    use crate::filter::{FieldPath, MinShould};

    fn at(latitude: f64, longitude: f64) -> GeoPoint {
        GeoPoint {
            latitude,
            longitude,
        }
    }

    fn tested(test: FieldTest) -> Filter {
        Filter {
            must: vec![Condition::field(FieldPath::key("a"), test)],
            ..Filter::default()
        }
    }

    #[test]
    fn errors_name_the_part_that_is_wrong() {
        let circle = |latitude, radius_metres| {
            FieldTest::GeoCircle(GeoCircle {
                center: at(latitude, 0.0),
                radius_metres,
            })
        };
        let nested = Filter {
            should: vec![
                Condition::HasVector("v".into()),
                Condition::Nested {
                    key: FieldPath::key("list"),
                    filter: tested(circle(0.0, -1.0)),
                },
            ],
            ..Filter::default()
        };
        let none_of = Filter {
            must_not: vec![Condition::Filter(Filter {
                min_should: Some(MinShould {
                    conditions: Vec::new(),
                    count: 0,
                }),
                ..Filter::default()
            })],
            ..Filter::default()
        };
        let upside_down = FieldTest::GeoBox(GeoBox {
            top_left: at(-10.0, 0.0),
            bottom_right: at(10.0, 1.0),
        });
        let line = FieldTest::GeoPolygon(GeoPolygon {
            exterior: vec![at(0.0, 0.0), at(0.0, 1.0), at(1.0, 1.0), at(1.0, 0.0)],
            interiors: Vec::new(),
        });
        let nan = FieldTest::Number(Range {
            gte: Some(Number::Float(f64::NAN)),
            ..Range::default()
        });
        for (filter, field) in [
            (tested(circle(91.0, 1.0)), "must[0].geo_radius.center.lat"),
            (nested, "should[1].nested.must[0].geo_radius.radius"),
            (none_of, "must_not[0].filter.min_should.min_count"),
            (tested(upside_down), "must[0].geo_bounding_box.top_left.lat"),
            (tested(line), "must[0].geo_polygon.exterior"),
            (tested(nan), "must[0].range.gte"),
        ] {
            match filter.validate() {
                Err(VectorsError::Invalid { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
        let fine = tested(FieldTest::Equal(Scalar::Bool(true)));
        assert!(fine.validate().is_ok() && Filter::default().validate().is_ok());
    }

    #[test]
    fn filters_are_bounded_in_depth_conditions_and_values() {
        let is_over =
            |filter: &Filter| matches!(filter.validate(), Err(VectorsError::Limit { .. }));
        let mut deep = Filter::default();
        for _ in 1..FILTER_DEPTH_MAX {
            deep = Filter {
                must: vec![Condition::Filter(deep)],
                ..Filter::default()
            };
        }
        assert!(!is_over(&deep));
        let deeper = Filter {
            must: vec![Condition::Filter(deep)],
            ..Filter::default()
        };
        assert!(is_over(&deeper));
        let conditions = |count| Filter {
            should: vec![Condition::HasVector(String::new()); count],
            ..Filter::default()
        };
        assert!(!is_over(&conditions(FILTER_CONDITIONS_MAX)));
        assert!(is_over(&conditions(FILTER_CONDITIONS_MAX + 1)));
        let values = |count: usize| {
            tested(FieldTest::Any(ScalarSet::Integers(
                (0..count as i64).collect(),
            )))
        };
        assert!(!is_over(&values(FILTER_VALUES_MAX)) && is_over(&values(FILTER_VALUES_MAX + 1)));
        let text = "a".repeat(FILTER_TEXT_BYTES_MAX + 1);
        assert!(is_over(&tested(FieldTest::Phrase(text))));
    }
}
