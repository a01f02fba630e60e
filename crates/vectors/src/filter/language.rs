//! The filter language: what a point must be like to be found.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::geo::{GeoBox, GeoCircle, GeoPolygon};
use super::path::FieldPath;
use crate::point::PointId;

/// Conditions on a point, all four clauses of which must hold. The empty filter lets every point through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// All of these hold.
    pub must: Vec<Condition>,
    /// At least one of these holds, when there are any.
    pub should: Vec<Condition>,
    /// None of these holds.
    pub must_not: Vec<Condition>,
    /// At least so many of its conditions hold.
    pub min_should: Option<MinShould>,
}

/// So many of several conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct MinShould {
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// How many of them must hold, at least 1.
    pub count: usize,
}

/// One condition on a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A value of a field satisfies a test.
    Field {
        /// Which field.
        key: FieldPath,
        /// The test.
        test: FieldTest,
    },
    /// The field is missing, or every value of it is null or an empty array.
    IsEmpty {
        /// Which field.
        key: FieldPath,
    },
    /// A value of the field is null or an array with a null among its elements.
    IsNull {
        /// Which field.
        key: FieldPath,
    },
    /// The point's id is one of these.
    HasId(BTreeSet<PointId>),
    /// The point has the vector of this name; the unnamed vector's name is empty.
    HasVector(String),
    /// One object in an array satisfies a whole filter. Ids and vectors are not an object's: such conditions don't hold in it.
    Nested {
        /// The field with the array.
        key: FieldPath,
        /// What one of its objects must be like; keys are the object's.
        filter: Filter,
    },
    /// A filter within the filter.
    Filter(Filter),
}

impl Condition {
    /// A test of a field.
    pub fn field(key: FieldPath, test: FieldTest) -> Self {
        Condition::Field { key, test }
    }
}

/// A test of a field's values. It holds when any value passes it; a value that is an array passes by any of its
/// elements. A missing field, like a null, passes none but a count of 0.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldTest {
    /// Equal to a value of the same type: an integer never equals a float.
    Equal(Scalar),
    /// Equal to one of these.
    Any(ScalarSet),
    /// Not null, and equal to none of these.
    Except(ScalarSet),
    /// A text with all the words of this one, in any order.
    Text(String),
    /// A text with at least one of the words of this one.
    TextAny(String),
    /// A text with the words of this one, one after the other.
    Phrase(String),
    /// A string that begins with this one, byte for byte.
    Prefix(String),
    /// A string that holds this one, byte for byte.
    Substring(String),
    /// A number within bounds.
    Number(Range<Number>),
    /// A date or time within bounds, in microseconds since 1970 (see [`super::datetime::parse`]).
    Datetime(Range<i64>),
    /// A place within a box.
    GeoBox(GeoBox),
    /// A place within a circle.
    GeoCircle(GeoCircle),
    /// A place within a polygon.
    GeoPolygon(GeoPolygon),
    /// How many elements the value has: an array its length, null and a missing field 0, everything else 1.
    ValuesCount(Range<u64>),
}

/// A value to be equal to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// A string, byte for byte.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Bool(bool),
}

impl Scalar {
    /// Whether a payload value is this.
    pub fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Scalar::Text(text), Value::String(other)) => text == other,
            (Scalar::Integer(integer), Value::Number(other)) => other.as_i64() == Some(*integer),
            (Scalar::Bool(truth), Value::Bool(other)) => truth == other,
            _ => false,
        }
    }
}

/// Values to be equal to one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScalarSet {
    /// Strings.
    Texts(BTreeSet<String>),
    /// Whole numbers.
    Integers(BTreeSet<i64>),
}

impl ScalarSet {
    /// Whether a payload value is one of these.
    pub fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (ScalarSet::Texts(texts), Value::String(text)) => texts.contains(text),
            (ScalarSet::Integers(integers), Value::Number(number)) => number
                .as_i64()
                .is_some_and(|integer| integers.contains(&integer)),
            _ => false,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            ScalarSet::Texts(texts) => texts.len(),
            ScalarSet::Integers(integers) => integers.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bounds, each of which must be met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range<T> {
    /// Less than this.
    pub lt: Option<T>,
    /// At most this.
    pub lte: Option<T>,
    /// Greater than this.
    pub gt: Option<T>,
    /// At least this.
    pub gte: Option<T>,
}

impl<T> Default for Range<T> {
    /// No bound.
    fn default() -> Self {
        Range {
            lt: None,
            lte: None,
            gt: None,
            gte: None,
        }
    }
}

impl<T: PartialOrd> Range<T> {
    /// Whether `value` meets every bound.
    pub fn contains(&self, value: &T) -> bool {
        self.lt.as_ref().is_none_or(|bound| value < bound)
            && self.lte.as_ref().is_none_or(|bound| value <= bound)
            && self.gt.as_ref().is_none_or(|bound| value > bound)
            && self.gte.as_ref().is_none_or(|bound| value >= bound)
    }
}

/// A number of a payload or a bound. Compared by value: integers beyond 2^53 are told apart from floats near them.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other.
    Float(f64),
}

impl Number {
    /// The number that a payload value is.
    pub fn of_value(value: &Value) -> Option<Number> {
        let number = value.as_number()?;
        match number.as_i64() {
            Some(integer) => Some(Number::Integer(integer)),
            None => number.as_f64().map(Number::Float),
        }
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Integer(integer) => integer as f64,
            Number::Float(float) => float,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (*self, *other) {
            (Number::Integer(one), Number::Integer(two)) => Some(one.cmp(&two)),
            (Number::Float(one), Number::Float(two)) => one.partial_cmp(&two),
            (Number::Integer(one), Number::Float(two)) => compare(one, two),
            (Number::Float(one), Number::Integer(two)) => compare(two, one).map(Ordering::reverse),
        }
    }
}

/// Compares without rounding either; `None` for NaN.
fn compare(integer: i64, float: f64) -> Option<Ordering> {
    // 2^63 is a float, and every i64 is less.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= BEYOND {
        Some(Ordering::Less)
    } else if float < -BEYOND {
        Some(Ordering::Greater)
    } else {
        let whole = float.floor();
        Some(integer.cmp(&(whole as i64)).then(if float > whole {
            Ordering::Less
        } else {
            Ordering::Equal
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_by_value() {
        let large = 9_007_199_254_740_993; // 2^53 + 1, which no float is.
        let cases = [
            (1, 1.0, Ordering::Equal),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (large, 9_007_199_254_740_992.0, Ordering::Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (i64::MIN, f64::NEG_INFINITY, Ordering::Greater),
            (0, f64::INFINITY, Ordering::Less),
        ];
        for (integer, float, order) in cases {
            let (one, two) = (Number::Integer(integer), Number::Float(float));
            assert_eq!(one.partial_cmp(&two), Some(order), "{integer} {float}");
            assert_eq!(two.partial_cmp(&one), Some(order.reverse()));
        }
        assert_eq!(
            Number::Integer(1).partial_cmp(&Number::Float(f64::NAN)),
            None
        );
    }
}
