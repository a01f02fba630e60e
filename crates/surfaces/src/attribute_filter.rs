//! OpenAI's filters over the attributes of files (`{"type": "eq", "key": …, "value": …}`, `and`, `or`) as filters of points,
//! whose payload holds them under `attributes`.

use std::collections::BTreeSet;

use serde_json::Value;
use service::Error;
use service::collections::filter::{Number, Range, Scalar, ScalarSet};
use service::collections::{Condition, FieldPath, FieldTest, Filter};

/// Payload key of the attributes.
const ATTRIBUTES: &str = "attributes";
/// Deepest nesting of `and` and `or`.
const DEPTH_MAX: usize = 16;
/// Most filters in one `and` or `or`, and values in one `in` or `nin`.
const WIDTH_MAX: usize = 128;

/// Reads a filter that stands at `path` of a request.
///
/// # Errors
/// `InvalidRequest` at the part at fault.
pub fn read(path: &str, value: &Value) -> Result<Filter, Error> {
    Ok(Filter {
        must: vec![condition(path, value, DEPTH_MAX)?],
        ..Filter::default()
    })
}

fn condition(path: &str, value: &Value, depth: usize) -> Result<Condition, Error> {
    let Some(object) = value.as_object() else {
        return Err(
            Error::invalid(path, format!("`{path}` is an object")).with_code("invalid_type")
        );
    };
    if depth == 0 {
        let message = format!("filters are nested at most {DEPTH_MAX} deep");
        return Err(Error::invalid(path, message));
    }
    let kind = object.get("type").and_then(Value::as_str).unwrap_or("eq");
    if matches!(kind, "and" | "or") {
        let field = format!("{path}.filters");
        let Some(list) = object
            .get("filters")
            .and_then(Value::as_array)
            .filter(|list| (1..=WIDTH_MAX).contains(&list.len()))
        else {
            let message = format!("`{field}` is a list of 1 to {WIDTH_MAX} filters");
            return Err(Error::invalid(field, message));
        };
        let conditions: Vec<Condition> = list
            .iter()
            .enumerate()
            .map(|(index, value)| condition(&format!("{field}[{index}]"), value, depth - 1))
            .collect::<Result<_, _>>()?;
        return Ok(Condition::Filter(if kind == "and" {
            Filter {
                must: conditions,
                ..Filter::default()
            }
        } else {
            Filter {
                should: conditions,
                ..Filter::default()
            }
        }));
    }
    let field = format!("{path}.key");
    let key = match object.get("key").and_then(Value::as_str) {
        Some(key) if !key.is_empty() && !key.contains(['"', '\\']) => key,
        _ => {
            let message = format!("`{field}` is the name of an attribute");
            return Err(Error::invalid(field, message));
        }
    };
    let key = FieldPath::key(ATTRIBUTES).join(&FieldPath::key(key));
    let field = format!("{path}.value");
    let Some(value) = object.get("value").filter(|value| !value.is_null()) else {
        let message = format!("`{field}` is required");
        return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
    };
    let without = |condition: Condition| {
        Condition::Filter(Filter {
            must_not: vec![condition],
            ..Filter::default()
        })
    };
    match kind {
        "eq" => equal(&field, &key, value),
        "ne" => Ok(without(equal(&field, &key, value)?)),
        "gt" | "gte" | "lt" | "lte" => {
            let Some(bound) = Number::of_value(value) else {
                let message = format!("`{field}` is a number");
                return Err(Error::invalid(field, message).with_code("invalid_type"));
            };
            let mut range = Range::default();
            match kind {
                "gt" => range.gt = Some(bound),
                "gte" => range.gte = Some(bound),
                "lt" => range.lt = Some(bound),
                _ => range.lte = Some(bound),
            }
            Ok(Condition::field(key, FieldTest::Number(range)))
        }
        "in" => any(&field, &key, value),
        "nin" => Ok(without(any(&field, &key, value)?)),
        _ => {
            let field = format!("{path}.type");
            let message = format!("`{field}` is eq, ne, gt, gte, lt, lte, in, nin, and, or");
            Err(Error::invalid(field, message))
        }
    }
}

fn equal(field: &str, key: &FieldPath, value: &Value) -> Result<Condition, Error> {
    let test = match value {
        Value::String(text) => FieldTest::Equal(Scalar::Text(text.clone())),
        Value::Bool(truth) => FieldTest::Equal(Scalar::Bool(*truth)),
        // JSON does not tell 3 from 3.0, so numbers are equal by value.
        Value::Number(_) => match Number::of_value(value) {
            Some(number) => FieldTest::Number(Range {
                gte: Some(number),
                lte: Some(number),
                ..Range::default()
            }),
            None => return Err(no_scalar(field)),
        },
        _ => return Err(no_scalar(field)),
    };
    Ok(Condition::field(key.clone(), test))
}

fn any(field: &str, key: &FieldPath, value: &Value) -> Result<Condition, Error> {
    let Some(list) = value
        .as_array()
        .filter(|list| (1..=WIDTH_MAX).contains(&list.len()))
    else {
        let message = format!("`{field}` is a list of 1 to {WIDTH_MAX} values");
        return Err(Error::invalid(field, message));
    };
    let texts: Option<BTreeSet<String>> = list
        .iter()
        .map(|value| value.as_str().map(str::to_owned))
        .collect();
    if let Some(texts) = texts {
        let test = FieldTest::Any(ScalarSet::Texts(texts));
        return Ok(Condition::field(key.clone(), test));
    }
    Ok(Condition::Filter(Filter {
        should: list
            .iter()
            .enumerate()
            .map(|(index, value)| equal(&format!("{field}[{index}]"), key, value))
            .collect::<Result<_, _>>()?,
        ..Filter::default()
    }))
}

fn no_scalar(field: &str) -> Error {
    let message = format!("`{field}` is a string, a number, true or false");
    Error::invalid(field, message).with_code("invalid_type")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The field at which a filter is refused.
    fn refused(value: Value) -> String {
        let error = read("filters", &value).expect_err("refused");
        error.field.expect("field")
    }

    #[test]
    fn comparisons_and_their_combinations_are_read() {
        let filter = read(
            "filters",
            &json!({"type": "and", "filters": [
                {"type": "eq", "key": "region", "value": "eu"},
                {"type": "or", "filters": [
                    {"type": "gte", "key": "year", "value": 2020},
                    {"type": "nin", "key": "kind", "value": ["a", "b"]},
                ]},
            ]}),
        )
        .expect("read");
        let [Condition::Filter(both)] = filter.must.as_slice() else {
            panic!("{filter:?}");
        };
        assert_eq!(both.must.len(), 2);
        let Condition::Field { key, test } = &both.must[0] else {
            panic!("{both:?}");
        };
        assert_eq!(key.first(), "attributes");
        assert_eq!(*test, FieldTest::Equal(Scalar::Text("eu".into())));
        let Condition::Filter(either) = &both.must[1] else {
            panic!("{both:?}");
        };
        assert_eq!(either.should.len(), 2);
    }

    #[test]
    fn every_bad_part_is_named() {
        assert_eq!(refused(json!("a")), "filters");
        assert_eq!(refused(json!({"type": "like"})), "filters.key");
        assert_eq!(
            refused(json!({"type": "like", "key": "a", "value": 1})),
            "filters.type"
        );
        assert_eq!(refused(json!({"type": "eq", "key": "a"})), "filters.value");
        assert_eq!(
            refused(json!({"type": "gt", "key": "a", "value": "b"})),
            "filters.value"
        );
        assert_eq!(
            refused(json!({"type": "and", "filters": []})),
            "filters.filters"
        );
        assert_eq!(
            refused(json!({"type": "or", "filters": [{"type": "eq", "key": "", "value": 1}]})),
            "filters.filters[0].key"
        );
        assert_eq!(
            refused(json!({"type": "in", "key": "a", "value": [[]]})),
            "filters.value[0]"
        );
        let mut deep = json!({"type": "eq", "key": "a", "value": 1});
        for _ in 0..DEPTH_MAX {
            deep = json!({"type": "and", "filters": [deep]});
        }
        assert!(refused(deep).ends_with("filters[0]"));
    }
}
