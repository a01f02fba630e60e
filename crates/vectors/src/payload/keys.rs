//! Keys of postings: values as bytes whose order is the order of the values.

use std::ops::Bound;

use crate::filter::{Number, Range};

/// An integer or a time in microseconds: big-endian with the sign turned, so that negative ones come first.
pub(crate) fn of_integer(integer: i64) -> [u8; 8] {
    (integer as u64 ^ 1 << 63).to_be_bytes()
}

/// The integer of such a key.
pub(crate) fn to_integer(key: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(key.try_into().ok()?) ^ 1 << 63) as i64)
}

/// A float that is a number: of positive ones the sign is turned, of negative ones every bit. Both zeros are one.
pub(crate) fn of_float(float: f64) -> [u8; 8] {
    let bits = (float + 0.0).to_bits();
    let ordered = if bits >> 63 == 0 {
        bits ^ 1 << 63
    } else {
        !bits
    };
    ordered.to_be_bytes()
}

/// The float of such a key.
pub(crate) fn to_float(key: &[u8]) -> Option<f64> {
    let ordered = u64::from_be_bytes(key.try_into().ok()?);
    let bits = if ordered >> 63 == 1 {
        ordered ^ 1 << 63
    } else {
        !ordered
    };
    Some(f64::from_bits(bits))
}

/// The UUID that a text spells canonically: lower-case digits in groups of 8, 4, 4, 4 and 12.
pub(crate) fn of_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (place, byte) in bytes.iter().enumerate() {
        let digit = match (place, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value.to_be_bytes())
}

/// The canonical spelling of such a key.
pub(crate) fn to_uuid(key: &[u8]) -> Option<String> {
    let value = u128::from_be_bytes(key.try_into().ok()?);
    Some(crate::point::PointId::Uuid(value).to_string())
}

/// A range of keys of 8 bytes.
pub(crate) type Bounds = (Bound<[u8; 8]>, Bound<[u8; 8]>);

/// Bounds as postings take them.
pub(crate) fn borrowed(bounds: &Bounds) -> super::postings::KeyRange<'_> {
    (
        bounds.0.as_ref().map(|key| key.as_slice()),
        bounds.1.as_ref().map(|key| key.as_slice()),
    )
}

/// The keys of integers within a range of integers.
pub(crate) fn of_integers(range: &Range<i64>) -> Bounds {
    combine(
        [
            range.gt.map(|bound| Bound::Excluded(of_integer(bound))),
            range.gte.map(|bound| Bound::Included(of_integer(bound))),
        ],
        [
            range.lt.map(|bound| Bound::Excluded(of_integer(bound))),
            range.lte.map(|bound| Bound::Included(of_integer(bound))),
        ],
    )
}

/// The keys of integers within a range of numbers.
pub(crate) fn integers_within(range: &Range<Number>) -> Bounds {
    // An integer is greater than 1.5 exactly when it is greater than 1, and at least 1.5 exactly when it is too.
    let lower = |bound: Number, inclusive: bool| match bound {
        Number::Integer(bound) => edge(of_integer(bound), inclusive),
        Number::Float(bound) if bound >= 9_223_372_036_854_775_808.0 => {
            Bound::Excluded([u8::MAX; 8])
        }
        Number::Float(bound) if bound < -9_223_372_036_854_775_808.0 => Bound::Unbounded,
        Number::Float(bound) => {
            let whole = bound.floor();
            edge(of_integer(whole as i64), inclusive && whole == bound)
        }
    };
    let upper = |bound: Number, inclusive: bool| match bound {
        Number::Integer(bound) => edge(of_integer(bound), inclusive),
        Number::Float(bound) if bound >= 9_223_372_036_854_775_808.0 => Bound::Unbounded,
        Number::Float(bound) if bound < -9_223_372_036_854_775_808.0 => Bound::Excluded([0; 8]),
        Number::Float(bound) => {
            let whole = bound.floor();
            // Less than 1.5 is at most 1.
            edge(of_integer(whole as i64), inclusive || whole < bound)
        }
    };
    combine(
        [
            range.gt.map(|bound| lower(bound, false)),
            range.gte.map(|bound| lower(bound, true)),
        ],
        [
            range.lt.map(|bound| upper(bound, false)),
            range.lte.map(|bound| upper(bound, true)),
        ],
    )
}

/// The keys of floats within a range of numbers.
pub(crate) fn floats_within(range: &Range<Number>) -> Bounds {
    // No float lies between an integer and the float nearest to it. So to be greater than the integer is to be greater
    // than that float, or to be it when it is the greater of the two.
    let lower = |bound: Number, inclusive: bool| {
        let nearest = Number::Float(bound.to_f64());
        edge(
            of_float(bound.to_f64()),
            nearest > bound || (inclusive && nearest == bound),
        )
    };
    let upper = |bound: Number, inclusive: bool| {
        let nearest = Number::Float(bound.to_f64());
        edge(
            of_float(bound.to_f64()),
            nearest < bound || (inclusive && nearest == bound),
        )
    };
    combine(
        [
            range.gt.map(|bound| lower(bound, false)),
            range.gte.map(|bound| lower(bound, true)),
        ],
        [
            range.lt.map(|bound| upper(bound, false)),
            range.lte.map(|bound| upper(bound, true)),
        ],
    )
}

fn edge(key: [u8; 8], inclusive: bool) -> Bound<[u8; 8]> {
    if inclusive {
        Bound::Included(key)
    } else {
        Bound::Excluded(key)
    }
}

/// The narrowest of two lower and of two upper bounds.
fn combine(lower: [Option<Bound<[u8; 8]>>; 2], upper: [Option<Bound<[u8; 8]>>; 2]) -> Bounds {
    let narrower = |one: Bound<[u8; 8]>, two: Bound<[u8; 8]>, is_lower: bool| match (one, two) {
        (Bound::Unbounded, other) | (other, Bound::Unbounded) => other,
        (
            Bound::Included(first) | Bound::Excluded(first),
            Bound::Included(second) | Bound::Excluded(second),
        ) => {
            let two_wins = match first.cmp(&second) {
                std::cmp::Ordering::Equal => matches!(two, Bound::Excluded(_)),
                order => (order == std::cmp::Ordering::Less) == is_lower,
            };
            if two_wins { two } else { one }
        }
    };
    let [lower, upper] = [(lower, true), (upper, false)].map(|(bounds, is_lower)| {
        bounds
            .into_iter()
            .flatten()
            .fold(Bound::Unbounded, |one, two| narrower(one, two, is_lower))
    });
    (lower, upper)
}

/// The first key behind every key that begins with `prefix`; `None` when there is none.
pub(crate) fn behind_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_their_values() {
        let floats = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -1e-300,
            0.0,
            1e-300,
            1.0,
            1.5,
            f64::INFINITY,
        ];
        for pair in floats.windows(2) {
            assert!(of_float(pair[0]) < of_float(pair[1]));
        }
        assert_eq!(of_float(-0.0), of_float(0.0));
        for float in floats {
            assert_eq!(to_float(&of_float(float)), Some(float));
        }
        let integers = [i64::MIN, -5, -1, 0, 1, 256, i64::MAX];
        for pair in integers.windows(2) {
            assert!(of_integer(pair[0]) < of_integer(pair[1]));
        }
        for integer in integers {
            assert_eq!(to_integer(&of_integer(integer)), Some(integer));
        }
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(to_uuid(&of_uuid(text).unwrap()).as_deref(), Some(text));
        for other in [
            "550E8400-e29b-41d4-a716-446655440000",
            "550e8400e29b41d4a716446655440000",
            "",
        ] {
            assert_eq!(of_uuid(other), None);
        }
    }

    #[test]
    fn ranges_of_keys_hold_what_ranges_of_numbers_hold() {
        let numbers = [
            Number::Integer(i64::MIN),
            Number::Integer(-2),
            Number::Integer(1),
            Number::Integer(9_007_199_254_740_992),
            Number::Integer(9_007_199_254_740_993),
            Number::Integer(i64::MAX),
            Number::Float(-1e30),
            Number::Float(-9_223_372_036_854_775_808.0),
            Number::Float(-1.5),
            Number::Float(1.0),
            Number::Float(1.5),
            Number::Float(9_007_199_254_740_992.0),
            Number::Float(9_223_372_036_854_775_808.0),
            Number::Float(f64::INFINITY),
            Number::Float(f64::NEG_INFINITY),
        ];
        let within = |bounds: Bounds, key: [u8; 8]| {
            (match bounds.0 {
                Bound::Unbounded => true,
                Bound::Included(bound) => key >= bound,
                Bound::Excluded(bound) => key > bound,
            }) && match bounds.1 {
                Bound::Unbounded => true,
                Bound::Included(bound) => key <= bound,
                Bound::Excluded(bound) => key < bound,
            }
        };
        for one in numbers {
            for two in numbers {
                for range in [
                    Range {
                        gt: Some(one),
                        lt: Some(two),
                        ..Range::default()
                    },
                    Range {
                        gte: Some(one),
                        lte: Some(two),
                        ..Range::default()
                    },
                    Range {
                        gt: Some(one),
                        gte: Some(two),
                        ..Range::default()
                    },
                    Range {
                        lt: Some(one),
                        lte: Some(two),
                        ..Range::default()
                    },
                ] {
                    for value in numbers {
                        let found = match value {
                            Number::Integer(value) => {
                                within(integers_within(&range), of_integer(value))
                            }
                            Number::Float(value) => within(floats_within(&range), of_float(value)),
                        };
                        assert_eq!(found, range.contains(&value), "{range:?} {value:?}");
                    }
                }
            }
        }
    }
}
