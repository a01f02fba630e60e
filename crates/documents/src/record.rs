//! Records (rows of tables, objects of JSON Lines) to pieces.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::limits::Limits;
use crate::piece::{Piece, Place};

/// How records become text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordOptions {
    /// Columns whose values are the text, in this order. Empty: all columns, as `name: value` lines.
    pub text: Vec<String>,
    /// Column that holds the vector: an array of numbers, or text such as `[1, 2.5]`.
    pub vector: Option<String>,
}

/// The piece of one record.
pub(crate) fn piece(
    mut fields: Map<String, Value>,
    place: Place,
    options: &RecordOptions,
    limits: &Limits,
) -> Result<Piece, Error> {
    if fields.len() > limits.columns_max {
        return Err(Error::too_large("columns", limits.columns_max as u64).at(place));
    }
    let vector = match &options.vector {
        None => None,
        Some(column) => match fields.remove(column) {
            None | Some(Value::Null) => None,
            Some(value) => Some(numbers(&value).ok_or_else(|| {
                Error::malformed(format!("column '{column}' holds no vector")).at(place.clone())
            })?),
        },
    };
    let mut text = String::new();
    if options.text.is_empty() {
        for (name, value) in &fields {
            let value = plain(value);
            if !value.is_empty() {
                push_line(&mut text, &format!("{name}: {value}"));
            }
        }
    } else {
        for column in &options.text {
            let Some(value) = fields.get(column) else {
                let known: Vec<&str> = fields.keys().take(20).map(String::as_str).collect();
                let detail = format!("has no column '{column}'; it has {}", known.join(", "));
                return Err(Error::malformed(detail).at(place));
            };
            push_line(&mut text, &plain(value));
        }
    }
    Ok(Piece {
        text,
        place,
        fields: Some(fields),
        vector,
        ..Piece::default()
    })
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// A value as people write it: strings without quotes, nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Longest vector that a record may bring along: eight times the widest embedding model known.
const VECTOR_DIMENSIONS_MAX: usize = 65_536;

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let parsed;
    let items = match value {
        Value::Array(items) => items,
        Value::String(text) => {
            parsed = serde_json::from_str::<Vec<Value>>(text).ok()?;
            &parsed
        }
        _ => return None,
    };
    if items.is_empty() || items.len() > VECTOR_DIMENSIONS_MAX {
        return None;
    }
    items
        .iter()
        .map(|item| item.as_f64().map(|number| number as f32))
        .map(|number| number.filter(|number| number.is_finite()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    #[test]
    fn all_columns_are_text_unless_some_are_named() {
        let record = json!({"title": "A", "note": null, "count": 3, "tags": ["x", "y"]});
        let options = RecordOptions::default();
        let limits = Limits::default();
        let all = piece(fields(record.clone()), Place::row(1), &options, &limits).expect("piece");
        assert_eq!(all.text, "title: A\ncount: 3\ntags: [\"x\",\"y\"]");
        let named = RecordOptions {
            text: vec!["count".into(), "title".into()],
            vector: None,
        };
        let some = piece(fields(record.clone()), Place::row(1), &named, &limits).expect("piece");
        assert_eq!(some.text, "3\nA");
        let missing = RecordOptions {
            text: vec!["body".into()],
            vector: None,
        };
        let error = piece(fields(record), Place::row(7), &missing, &limits).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "row 7: has no column 'body'; it has title, note, count, tags"
        );
    }

    #[test]
    fn vectors_are_arrays_or_pgvectors_text_and_nothing_else() {
        let options = RecordOptions {
            text: Vec::new(),
            vector: Some("v".into()),
        };
        let limits = Limits::default();
        for (value, expected) in [
            (json!([1, 2.5]), Some(vec![1.0, 2.5])),
            (json!("[1, -2e1]"), Some(vec![1.0, -20.0])),
            (Value::Null, None),
        ] {
            let record = fields(json!({"v": value, "t": "x"}));
            let made = piece(record, Place::row(1), &options, &limits).expect("piece");
            assert_eq!(made.vector, expected);
            assert_eq!(made.text, "t: x");
        }
        for value in [
            json!([]),
            json!(["a"]),
            json!("1,2"),
            json!([1e300]),
            json!(3),
        ] {
            let record = fields(json!({"v": value}));
            assert!(piece(record, Place::row(1), &options, &limits).is_err());
        }
    }
}
