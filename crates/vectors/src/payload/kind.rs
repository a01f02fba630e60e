//! Kinds of payload indexes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::filter::{FieldTest, Scalar, ScalarSet};
use crate::text::{AnalyzerOptions, Bm25, Tokenizer};

/// What values of a field an index is made for. Other values of the field are remembered as such and looked at when a
/// filter might mean them, so that every kind gives every filter its right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PayloadIndexKind {
    /// Strings: equal, any, except, prefix, substring.
    Keyword,
    /// Numbers, mostly whole ones: equal, any, except, range, order.
    Integer,
    /// Numbers: the same.
    Float,
    /// True and false.
    Bool,
    /// Dates and times: range, order.
    Datetime,
    /// UUIDs in their canonical spelling, 16 bytes each: equal, any.
    Uuid,
    /// Places: box, circle, polygon.
    Geo,
    /// Words of texts: text, any word, phrase.
    Text {
        /// How texts are cut into words, which then holds for every filter on the field; `None` is as without an index.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        analyzer: Option<Box<AnalyzerOptions>>,
        /// Whether texts can be searched by BM25 as well, and how they are scored then. The words' places are kept, so
        /// that phrases are found without reading payloads. Without an analyzer, runs of letters and digits in lower
        /// case are the words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scoring: Option<Bm25>,
    },
}

/// What type of value a test looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueClass {
    Text,
    Number,
    Bool,
    Place,
    /// Any value but null.
    Any,
}

impl PayloadIndexKind {
    /// The kind's name: `keyword`, `integer`, `float`, `bool`, `datetime`, `uuid`, `geo`, `text`.
    pub fn name(&self) -> &'static str {
        match self {
            PayloadIndexKind::Keyword => "keyword",
            PayloadIndexKind::Integer => "integer",
            PayloadIndexKind::Float => "float",
            PayloadIndexKind::Bool => "bool",
            PayloadIndexKind::Datetime => "datetime",
            PayloadIndexKind::Uuid => "uuid",
            PayloadIndexKind::Geo => "geo",
            PayloadIndexKind::Text { .. } => "text",
        }
    }

    /// How texts are cut into words and scored, when they are scored.
    pub(crate) fn scored_text(&self) -> Option<(AnalyzerOptions, Bm25)> {
        let PayloadIndexKind::Text { analyzer, scoring } = self else {
            return None;
        };
        let options = match analyzer {
            Some(options) => options.as_ref().clone(),
            None => AnalyzerOptions {
                tokenizer: Tokenizer::Word,
                ..AnalyzerOptions::default()
            },
        };
        Some((options, (*scoring)?))
    }

    /// The type of the values in the index.
    pub(crate) fn class(&self) -> ValueClass {
        match self {
            PayloadIndexKind::Keyword
            | PayloadIndexKind::Datetime
            | PayloadIndexKind::Uuid
            | PayloadIndexKind::Text { .. } => ValueClass::Text,
            PayloadIndexKind::Integer | PayloadIndexKind::Float => ValueClass::Number,
            PayloadIndexKind::Bool => ValueClass::Bool,
            PayloadIndexKind::Geo => ValueClass::Place,
        }
    }

    /// Whether every value of that type is in the index: not every string is a date.
    pub(crate) fn holds_its_class(&self) -> bool {
        !matches!(
            self,
            PayloadIndexKind::Datetime | PayloadIndexKind::Uuid | PayloadIndexKind::Geo
        )
    }

    /// The kind that serves a test; `None` for tests that any kind serves alike.
    pub fn for_test(test: &FieldTest) -> Option<PayloadIndexKind> {
        Some(match test {
            FieldTest::Equal(Scalar::Text(_))
            | FieldTest::Any(ScalarSet::Texts(_))
            | FieldTest::Except(ScalarSet::Texts(_))
            | FieldTest::Prefix(_)
            | FieldTest::Substring(_) => PayloadIndexKind::Keyword,
            FieldTest::Equal(Scalar::Integer(_))
            | FieldTest::Any(ScalarSet::Integers(_))
            | FieldTest::Except(ScalarSet::Integers(_)) => PayloadIndexKind::Integer,
            FieldTest::Equal(Scalar::Bool(_)) => PayloadIndexKind::Bool,
            FieldTest::Number(_) => PayloadIndexKind::Float,
            FieldTest::Datetime(_) => PayloadIndexKind::Datetime,
            FieldTest::GeoBox(_) | FieldTest::GeoCircle(_) | FieldTest::GeoPolygon(_) => {
                PayloadIndexKind::Geo
            }
            FieldTest::Text(_) | FieldTest::TextAny(_) | FieldTest::Phrase(_) => {
                PayloadIndexKind::Text {
                    analyzer: None,
                    scoring: None,
                }
            }
            FieldTest::ValuesCount(_) => return None,
        })
    }

    /// The kind that suits a value of a payload; `None` for objects that are no place, and for null.
    pub fn for_value(value: &Value) -> Option<PayloadIndexKind> {
        match value {
            Value::Bool(_) => Some(PayloadIndexKind::Bool),
            Value::Number(number) if number.is_f64() => Some(PayloadIndexKind::Float),
            Value::Number(_) => Some(PayloadIndexKind::Integer),
            Value::String(text) if super::keys::of_uuid(text).is_some() => {
                Some(PayloadIndexKind::Uuid)
            }
            Value::String(_) => Some(PayloadIndexKind::Keyword),
            Value::Array(elements) => elements.iter().find_map(PayloadIndexKind::for_value),
            Value::Object(_) => {
                crate::filter::geo::GeoPoint::of_value(value).map(|_| PayloadIndexKind::Geo)
            }
            Value::Null => None,
        }
    }
}

/// The type of values that a test looks for.
pub(crate) fn class_of(test: &FieldTest) -> ValueClass {
    match test {
        FieldTest::Equal(Scalar::Text(_))
        | FieldTest::Any(ScalarSet::Texts(_))
        | FieldTest::Prefix(_)
        | FieldTest::Substring(_)
        | FieldTest::Text(_)
        | FieldTest::TextAny(_)
        | FieldTest::Phrase(_)
        | FieldTest::Datetime(_) => ValueClass::Text,
        FieldTest::Equal(Scalar::Integer(_))
        | FieldTest::Any(ScalarSet::Integers(_))
        | FieldTest::Number(_) => ValueClass::Number,
        FieldTest::Equal(Scalar::Bool(_)) => ValueClass::Bool,
        FieldTest::GeoBox(_) | FieldTest::GeoCircle(_) | FieldTest::GeoPolygon(_) => {
            ValueClass::Place
        }
        FieldTest::Except(_) | FieldTest::ValuesCount(_) => ValueClass::Any,
    }
}
