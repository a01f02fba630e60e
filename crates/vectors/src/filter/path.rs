//! Paths of payload fields: `a.b[].c`, `a[0]`, `"a key.with dots".b`.
//!
//! Grammar: `key (("." key) | ("[" digits "]") | "[]")*`, where a key is a run of letters, digits, `_` and `-`, or any
//! text without `"` and `\` between quotation marks. A path selects any number of values: `[]` selects every element
//! of an array, a key or an index that isn't there selects nothing.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::error::VectorsError;
use crate::point::Payload;

/// Longest path in bytes. Keys of payloads are short; a bound keeps messages and file headers small.
pub const PATH_BYTES_MAX: usize = 1_024;

/// Most steps of a path: payloads are JSON, which readers bound to 128 levels.
pub const PATH_STEPS_MAX: usize = 128;

/// One step behind the first key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathStep {
    /// The value of a key of an object.
    Key(String),
    /// The element of an array at a place, from 0.
    Index(usize),
    /// Every element of an array.
    Every,
}

/// A path that selects values of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    first: String,
    rest: Vec<PathStep>,
}

impl FieldPath {
    /// The path of a key of the payload itself, whatever characters it has but `"` and `\`.
    pub fn key(key: impl Into<String>) -> Self {
        FieldPath {
            first: key.into(),
            rest: Vec::new(),
        }
    }

    /// The key of the payload itself that the path begins with.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The steps behind the first key.
    pub fn steps(&self) -> &[PathStep] {
        &self.rest
    }

    /// The path of `inner` inside of what this path selects.
    pub fn join(&self, inner: &FieldPath) -> FieldPath {
        let mut rest = self.rest.clone();
        rest.push(PathStep::Key(inner.first.clone()));
        rest.extend(inner.rest.iter().cloned());
        FieldPath {
            first: self.first.clone(),
            rest,
        }
    }

    /// The same path ending with `[]`, added if it isn't there.
    pub fn every(&self) -> FieldPath {
        let mut path = self.clone();
        if path.rest.last() != Some(&PathStep::Every) {
            path.rest.push(PathStep::Every);
        }
        path
    }

    /// Calls `visit` for every value that the path selects, in the payload's order, until it returns false.
    pub fn visit<'a>(&self, payload: &'a Payload, visit: &mut dyn FnMut(&'a Value) -> bool) {
        if let Some(value) = payload.get(&self.first) {
            descend(&self.rest, value, visit);
        }
    }

    /// The values that the path selects, in the payload's order.
    pub fn values<'a>(&self, payload: &'a Payload) -> Vec<&'a Value> {
        let mut values = Vec::new();
        self.visit(payload, &mut |value| {
            values.push(value);
            true
        });
        values
    }

    /// Whether one of the selected values satisfies `test`; a selected array is satisfied by any of its elements.
    pub fn any_element<'a>(
        &self,
        payload: &'a Payload,
        test: &mut dyn FnMut(&'a Value) -> bool,
    ) -> bool {
        let mut found = false;
        self.visit(payload, &mut |value| {
            found = match value {
                Value::Array(elements) => elements.iter().any(&mut *test),
                single => test(single),
            };
            !found
        });
        found
    }
}

/// Walks `steps` from `value`. Returns whether to go on.
fn descend<'a>(
    steps: &[PathStep],
    value: &'a Value,
    visit: &mut dyn FnMut(&'a Value) -> bool,
) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return visit(value);
    };
    match (step, value) {
        (PathStep::Key(key), Value::Object(object)) => object
            .get(key)
            .is_none_or(|value| descend(rest, value, visit)),
        (PathStep::Index(index), Value::Array(elements)) => elements
            .get(*index)
            .is_none_or(|value| descend(rest, value, visit)),
        (PathStep::Every, Value::Array(elements)) => {
            elements.iter().all(|value| descend(rest, value, visit))
        }
        _ => true,
    }
}

impl FromStr for FieldPath {
    type Err = VectorsError;

    fn from_str(text: &str) -> Result<Self, VectorsError> {
        parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            VectorsError::invalid(
                "key",
                format!("`{shown}` isn't a path like `a.b[].c`, `a[0]` or `\"a key\".b`"),
            )
        })
    }
}

fn parse(text: &str) -> Option<FieldPath> {
    if text.len() > PATH_BYTES_MAX {
        return None;
    }
    let (first, mut text) = parse_key(text)?;
    let mut rest = Vec::new();
    while !text.is_empty() {
        if rest.len() == PATH_STEPS_MAX {
            return None;
        }
        let step;
        (step, text) = if let Some(behind) = text.strip_prefix("[]") {
            (PathStep::Every, behind)
        } else if let Some(behind) = text.strip_prefix('[') {
            let (digits, behind) = behind.split_once(']')?;
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (PathStep::Index(digits.parse().ok()?), behind)
        } else {
            let (key, behind) = parse_key(text.strip_prefix('.')?)?;
            (PathStep::Key(key), behind)
        };
        rest.push(step);
    }
    Some(FieldPath { first, rest })
}

/// The key that `text` begins with, and the text behind it.
fn parse_key(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, behind) = quoted.split_once('"')?;
        return (!key.contains('\\')).then(|| (key.to_owned(), behind));
    }
    let end = text
        .find(|character: char| !is_bare(character))
        .unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

fn is_bare(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '-'
}

impl fmt::Display for FieldPath {
    /// The one canonical spelling: keys are quoted only when they must be.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(&self.first, formatter)?;
        for step in &self.rest {
            match step {
                PathStep::Key(key) => {
                    formatter.write_str(".")?;
                    write_key(key, formatter)?;
                }
                PathStep::Index(index) => write!(formatter, "[{index}]")?,
                PathStep::Every => formatter.write_str("[]")?,
            }
        }
        Ok(())
    }
}

fn write_key(key: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !key.is_empty() && key.chars().all(is_bare) {
        formatter.write_str(key)
    } else {
        write!(formatter, "\"{key}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selected(path: &str, payload: &Value) -> Vec<Value> {
        let path: FieldPath = path.parse().unwrap();
        let payload = payload.as_object().unwrap();
        path.values(payload).into_iter().cloned().collect()
    }

    #[test]
    fn paths_select_what_they_name() {
        let payload = json!({
            "a": {"b": [{"c": 1}, {"c": [2, 3]}, {"d": 4}], "x.y": 5},
            "list": [[1, 2], [3]],
            "größe": null,
        });
        for (path, expected) in [
            ("a.b[].c", json!([1, [2, 3]])),
            ("a.b[0].c", json!([1])),
            ("a.b[9].c", json!([])),
            ("a.b.c", json!([])),
            ("a.\"x.y\"", json!([5])),
            ("list[]", json!([[1, 2], [3]])),
            ("list[][]", json!([1, 2, 3])),
            ("list[0][1]", json!([2])),
            ("größe", json!([null])),
            ("none", json!([])),
        ] {
            assert_eq!(Value::Array(selected(path, &payload)), expected, "{path}");
        }
    }

    #[test]
    fn spellings_round_trip_and_others_are_refused() {
        for text in [
            "a",
            "a.b[].c",
            "a[0][12]",
            "\"a b\".c-d_e[]",
            "\"\"",
            "ключ",
        ] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        let long = "a".repeat(PATH_BYTES_MAX + 1);
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[",
            "a[x]",
            "a[-1]",
            "[]",
            "a b",
            "a\"b\"",
            "\"a",
            "a[0]b",
            "\"a\\\"\"",
            "a[99999999999999999999999]",
            &long,
        ] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
        assert_eq!(
            "\"plain\"".parse::<FieldPath>().unwrap().to_string(),
            "plain"
        );
    }
}
