//! JSON values, payloads and moments between the wire and the rest of the program.
//!
//! The decoder refuses messages nested more than a hundred deep, so recursion here is bounded.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use serde_json::{Number, Value as Json};
use service::Error;
use service::collections::Payload;

use super::invalid;
use crate::grpc::protocol::qdrant::value::Kind;
use crate::grpc::protocol::qdrant::{ListValue, NullValue, Struct, Value};

/// A JSON value that a client sent.
///
/// # Errors
/// A number that JSON does not have.
pub fn json(value: Value) -> Result<Json, Error> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(truth)) => Json::Bool(truth),
        Some(Kind::IntegerValue(integer)) => Json::from(integer),
        Some(Kind::DoubleValue(float)) => Number::from_f64(float)
            .map(Json::Number)
            .ok_or_else(|| invalid("payload", format!("{float} is not a number that JSON has")))?,
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => Json::Array(
            list.values
                .into_iter()
                .map(json)
                .collect::<Result<_, _>>()?,
        ),
        Some(Kind::StructValue(object)) => Json::Object(payload(object.fields)?),
    })
}

/// A payload, or options of a model, that a client sent.
///
/// # Errors
/// As [`json`].
pub fn payload(fields: BTreeMap<String, Value>) -> Result<Payload, Error> {
    fields
        .into_iter()
        .map(|(key, value)| Ok((key, json(value)?)))
        .collect()
}

/// A JSON value for a client. Whole numbers beyond 64 bits with a sign become the nearest float.
pub fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(NullValue::NullValue.into()),
        Json::Bool(truth) => Kind::BoolValue(truth),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Kind::IntegerValue(integer),
            None => Kind::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(value).collect(),
        }),
        Json::Object(object) => Kind::StructValue(Struct {
            fields: fields(object),
        }),
    };
    Value { kind: Some(kind) }
}

/// A payload for a client.
pub fn fields(payload: Payload) -> BTreeMap<String, Value> {
    payload
        .into_iter()
        .map(|(key, json)| (key, value(json)))
        .collect()
}

/// Microseconds since 1970 of a moment that a client sent.
///
/// # Errors
/// It is further away than the engine counts.
pub fn microseconds(moment: Timestamp) -> Result<i64, Error> {
    moment
        .seconds
        .checked_mul(1_000_000)
        .and_then(|micros| micros.checked_add(i64::from(moment.nanos) / 1_000))
        .ok_or_else(|| invalid("timestamp", "the moment is too far away"))
}

/// A moment for a client, from milliseconds since 1970.
pub fn timestamp(unix_ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ms % 1_000).unwrap_or(0) * 1_000_000,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_go_there_and_back_with_whole_numbers_apart_from_fractions() {
        for original in [
            json!(null),
            json!(true),
            json!(7),
            json!(-9_007_199_254_740_993_i64),
            json!(7.0),
            json!(0.1),
            json!(""),
            json!([1, [], {"a": null}]),
            json!({"b": {"c": [1.5, "x"]}, "a": 1}),
        ] {
            assert_eq!(
                super::json(value(original.clone())).expect("valid"),
                original
            );
        }
        let infinite = Value {
            kind: Some(Kind::DoubleValue(f64::INFINITY)),
        };
        assert!(super::json(infinite).is_err());
        assert_eq!(super::json(Value::default()).expect("null"), Json::Null);
    }

    #[test]
    fn moments_are_microseconds() {
        let moment = |seconds, nanos| microseconds(Timestamp { seconds, nanos });
        assert_eq!(moment(2, 3_000).expect("near"), 2_000_003);
        assert_eq!(moment(-1, 500_000_000).expect("near"), -500_000);
        assert!(moment(i64::MAX, 0).is_err());
        assert_eq!(
            timestamp(1_500),
            Timestamp {
                seconds: 1,
                nanos: 500_000_000
            }
        );
    }
}
