//! Filters on the attributes of files, as the engine's.

use std::collections::BTreeSet;

use serde_json::{Number as JsonNumber, Value};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Number, Range, Scalar, ScalarSet};

use crate::error::{Error, Result};

/// Deepest nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Most comparisons and combinations in a filter.
pub const FILTER_NODES_MAX: usize = 256;
/// Most values of an `in`.
const VALUES_MAX: usize = 1_000;

/// What a file's attributes must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeFilter {
    /// One attribute compared with a value.
    Compare {
        /// Which attribute.
        key: String,
        /// How.
        comparison: Comparison,
        /// With what.
        value: Value,
    },
    /// All of these.
    All(Vec<AttributeFilter>),
    /// Any of these.
    Any(Vec<AttributeFilter>),
}

/// How an attribute is compared. A file without the attribute is unequal to everything and in no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is the value.
    Equal,
    /// It is not.
    NotEqual,
    /// It is a greater number.
    Greater,
    /// It is that number or a greater one.
    GreaterOrEqual,
    /// It is a smaller number.
    Less,
    /// It is that number or a smaller one.
    LessOrEqual,
    /// It is one of the values.
    In,
    /// It is none of them.
    NotIn,
}

/// The engine's filter.
///
/// # Errors
/// A value that cannot be compared so, or a filter that is too deep or too large; the field is its path in the filter.
pub(super) fn convert(filter: &AttributeFilter) -> Result<Filter> {
    let mut nodes = 0;
    let condition = node(filter, "filters", 1, &mut nodes)?;
    Ok(Filter {
        must: vec![condition],
        ..Filter::default()
    })
}

fn node(
    filter: &AttributeFilter,
    field: &str,
    depth: usize,
    nodes: &mut usize,
) -> Result<Condition> {
    *nodes += 1;
    if depth > FILTER_DEPTH_MAX || *nodes > FILTER_NODES_MAX {
        let message =
            format!("A filter has at most {FILTER_DEPTH_MAX} levels and {FILTER_NODES_MAX} parts.");
        return Err(Error::invalid(field, message));
    }
    let inner = |parts: &[AttributeFilter], nodes: &mut usize| -> Result<Vec<Condition>> {
        if parts.is_empty() {
            return Err(Error::invalid(
                field,
                "A combination needs at least one filter.",
            ));
        }
        parts
            .iter()
            .enumerate()
            .map(|(index, part)| node(part, &format!("{field}.filters[{index}]"), depth + 1, nodes))
            .collect()
    };
    Ok(match filter {
        AttributeFilter::Compare {
            key,
            comparison,
            value,
        } => compare(key, *comparison, value, field)?,
        AttributeFilter::All(parts) => Condition::Filter(Filter {
            must: inner(parts, nodes)?,
            ..Filter::default()
        }),
        AttributeFilter::Any(parts) => Condition::Filter(Filter {
            should: inner(parts, nodes)?,
            ..Filter::default()
        }),
    })
}

fn compare(key: &str, comparison: Comparison, value: &Value, field: &str) -> Result<Condition> {
    if key.is_empty()
        || key.chars().count() > super::KEY_CHARACTERS_MAX
        || key.contains(['"', '\\'])
    {
        let message = "`key` must be the name of an attribute.";
        return Err(Error::invalid(format!("{field}.key"), message));
    }
    let path = FieldPath::key("attributes").join(&FieldPath::key(key));
    let wrong = |message: &str| Error::invalid(format!("{field}.value"), message);
    let range = |made: fn(Number) -> Range<Number>| -> Result<Condition> {
        let number = match value {
            Value::Number(number) => number_of(number),
            _ => return Err(wrong("This comparison needs a number.")),
        };
        Ok(Condition::field(
            path.clone(),
            FieldTest::Number(made(number)),
        ))
    };
    Ok(match comparison {
        Comparison::Equal => equal(&path, value)
            .ok_or_else(|| wrong("`value` must be a text, a number or a truth."))?,
        Comparison::NotEqual => not(equal(&path, value)
            .ok_or_else(|| wrong("`value` must be a text, a number or a truth."))?),
        Comparison::Greater => range(|number| Range {
            gt: Some(number),
            ..Range::default()
        })?,
        Comparison::GreaterOrEqual => range(|number| Range {
            gte: Some(number),
            ..Range::default()
        })?,
        Comparison::Less => range(|number| Range {
            lt: Some(number),
            ..Range::default()
        })?,
        Comparison::LessOrEqual => range(|number| Range {
            lte: Some(number),
            ..Range::default()
        })?,
        Comparison::In => among(&path, value, &wrong)?,
        Comparison::NotIn => not(among(&path, value, &wrong)?),
    })
}

/// Whether a field is a value. Numbers are compared by value: 1 and 1.0 are the same attribute.
fn equal(path: &FieldPath, value: &Value) -> Option<Condition> {
    let test = match value {
        Value::String(text) => FieldTest::Equal(Scalar::Text(text.clone())),
        Value::Bool(truth) => FieldTest::Equal(Scalar::Bool(*truth)),
        Value::Number(number) => {
            let number = number_of(number);
            FieldTest::Number(Range {
                gte: Some(number),
                lte: Some(number),
                ..Range::default()
            })
        }
        _ => return None,
    };
    Some(Condition::field(path.clone(), test))
}

fn among(path: &FieldPath, value: &Value, wrong: &dyn Fn(&str) -> Error) -> Result<Condition> {
    let message = "`value` must be a list of texts or numbers.";
    let Value::Array(values) = value else {
        return Err(wrong(message));
    };
    if values.len() > VALUES_MAX {
        return Err(wrong(&format!("A list has at most {VALUES_MAX} values.")));
    }
    let mut texts = BTreeSet::new();
    let mut should = Vec::new();
    for value in values {
        match value {
            Value::String(text) => {
                texts.insert(text.clone());
            }
            Value::Number(_) | Value::Bool(_) => should.extend(equal(path, value)),
            _ => return Err(wrong(message)),
        }
    }
    // Also for an empty list, which nothing is in.
    if !texts.is_empty() || should.is_empty() {
        let test = FieldTest::Any(ScalarSet::Texts(texts));
        should.push(Condition::field(path.clone(), test));
    }
    Ok(Condition::Filter(Filter {
        should,
        ..Filter::default()
    }))
}

fn not(condition: Condition) -> Condition {
    Condition::Filter(Filter {
        must_not: vec![condition],
        ..Filter::default()
    })
}

fn number_of(number: &JsonNumber) -> Number {
    match number.as_i64() {
        Some(integer) => Number::Integer(integer),
        None => Number::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}
