//! Whether one point passes a filter: the definition that every index must agree with.

use std::sync::Arc;

use serde_json::Value;

use super::datetime;
use super::geo::GeoPoint;
use super::language::{Condition, FieldTest, Filter, Number};
use super::path::FieldPath;
use super::words::{self, PlainWords, Words};
use crate::point::{Payload, PointId};

/// A point, or an object within a payload, to be checked.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The point's id; `None` for an object within a payload.
    pub id: Option<PointId>,
    /// Its payload.
    pub payload: &'a Payload,
    /// Whether it has the vector of a name.
    pub has_vector: &'a dyn Fn(&str) -> bool,
}

/// Whether the point passes the filter, its texts cut into [`PlainWords`].
pub fn matches(filter: &Filter, candidate: Candidate<'_>) -> bool {
    Matcher::new(filter, &|_| None).matches(candidate)
}

/// A filter made ready to be checked on many points: the words of its texts are known, and how fields are cut into words.
pub struct Matcher<'f> {
    must: Vec<Check<'f>>,
    should: Vec<Check<'f>>,
    must_not: Vec<Check<'f>>,
    min_should: Option<(Vec<Check<'f>>, usize)>,
}

/// One condition made ready.
enum Check<'f> {
    /// Nothing to prepare.
    Plain(&'f Condition),
    /// A test of words.
    Words {
        key: &'f FieldPath,
        words: Arc<dyn Words>,
        wanted: Wanted,
    },
    /// A filter on the objects at a path that ends with `[]`.
    Nested(FieldPath, Matcher<'f>),
    /// A filter within the filter.
    Filter(Matcher<'f>),
}

/// The words of a test.
enum Wanted {
    All(Vec<String>),
    Any(Vec<String>),
    /// Each with its distance from the first.
    Phrase(Vec<(String, u32)>),
}

/// How a field's text is cut into words; `None` where no text index says so.
pub type WordsOfField<'a> = &'a dyn Fn(&FieldPath) -> Option<Arc<dyn Words>>;

impl<'f> Matcher<'f> {
    /// Prepares a filter that was validated.
    pub fn new(filter: &'f Filter, words: WordsOfField<'_>) -> Self {
        Matcher::below(filter, None, words)
    }

    /// Prepares a filter on objects at `place`.
    fn below(filter: &'f Filter, place: Option<&FieldPath>, words: WordsOfField<'_>) -> Self {
        let list = |conditions: &'f [Condition]| -> Vec<Check<'f>> {
            conditions
                .iter()
                .map(|condition| Check::new(condition, place, words))
                .collect()
        };
        Matcher {
            must: list(&filter.must),
            should: list(&filter.should),
            must_not: list(&filter.must_not),
            min_should: filter
                .min_should
                .as_ref()
                .map(|some| (list(&some.conditions), some.count)),
        }
    }

    /// Whether the point passes.
    pub fn matches(&self, candidate: Candidate<'_>) -> bool {
        let holds = |check: &Check<'_>| check.holds(candidate);
        self.must.iter().all(holds)
            && !self.must_not.iter().any(holds)
            && (self.should.is_empty() || self.should.iter().any(holds))
            && self.min_should.as_ref().is_none_or(|(checks, count)| {
                checks
                    .iter()
                    .filter(|check| holds(check))
                    .take(*count)
                    .count()
                    == *count
            })
    }
}

impl<'f> Check<'f> {
    fn new(condition: &'f Condition, place: Option<&FieldPath>, words: WordsOfField<'_>) -> Self {
        let inside = |key: &FieldPath| place.map_or_else(|| key.clone(), |place| place.join(key));
        match condition {
            Condition::Field { key, test } => {
                let (FieldTest::Text(text) | FieldTest::TextAny(text) | FieldTest::Phrase(text)) =
                    test
                else {
                    return Check::Plain(condition);
                };
                let words = words(&inside(key)).unwrap_or_else(|| Arc::new(PlainWords));
                let wanted = match test {
                    FieldTest::Phrase(_) => Wanted::Phrase(words::phrase_of(&*words, text)),
                    FieldTest::TextAny(_) => Wanted::Any(words::query_words_of(&*words, text)),
                    _ => Wanted::All(words::query_words_of(&*words, text)),
                };
                Check::Words { key, words, wanted }
            }
            Condition::Nested { key, filter } => {
                let below = inside(key).every();
                Check::Nested(key.every(), Matcher::below(filter, Some(&below), words))
            }
            Condition::Filter(filter) => Check::Filter(Matcher::below(filter, place, words)),
            Condition::IsEmpty { .. }
            | Condition::IsNull { .. }
            | Condition::HasId(_)
            | Condition::HasVector(_) => Check::Plain(condition),
        }
    }

    fn holds(&self, candidate: Candidate<'_>) -> bool {
        match self {
            Check::Plain(condition) => holds(condition, candidate),
            Check::Words { key, words, wanted } => {
                key.any_element(candidate.payload, &mut |value| {
                    let Value::String(text) = value else {
                        return false;
                    };
                    match wanted {
                        Wanted::All(wanted) => words::has_all(&**words, text, wanted),
                        Wanted::Any(wanted) => words::has_any(&**words, text, wanted),
                        Wanted::Phrase(wanted) => words::has_phrase(&**words, text, wanted),
                    }
                })
            }
            Check::Nested(key, matcher) => {
                let mut found = false;
                key.visit(candidate.payload, &mut |value| {
                    found = value.as_object().is_some_and(|object| {
                        matcher.matches(Candidate {
                            id: None,
                            payload: object,
                            has_vector: &|_| false,
                        })
                    });
                    !found
                });
                found
            }
            Check::Filter(matcher) => matcher.matches(candidate),
        }
    }
}

/// The conditions that need no preparation. The others were taken care of by [`Check::new`].
fn holds(condition: &Condition, candidate: Candidate<'_>) -> bool {
    match condition {
        Condition::Field {
            key,
            test: FieldTest::ValuesCount(range),
        } => counts(&key.values(candidate.payload))
            .into_iter()
            .any(|count| range.contains(&count)),
        Condition::Field { key, test } => {
            key.any_element(candidate.payload, &mut |value| passes(test, value))
        }
        Condition::IsEmpty { key } => is_empty(&key.values(candidate.payload)),
        Condition::IsNull { key } => is_null(&key.values(candidate.payload)),
        Condition::HasId(ids) => candidate.id.is_some_and(|id| ids.contains(&id)),
        Condition::HasVector(name) => (candidate.has_vector)(name),
        Condition::Nested { .. } | Condition::Filter(_) => false,
    }
}

/// Whether one value, no longer an array to look into, passes a test. Words and counts are tested elsewhere.
pub(crate) fn passes(test: &FieldTest, value: &Value) -> bool {
    let place = |within: &dyn Fn(GeoPoint) -> bool| GeoPoint::of_value(value).is_some_and(within);
    match test {
        FieldTest::Equal(scalar) => scalar.equals(value),
        FieldTest::Any(set) => set.contains(value),
        FieldTest::Except(set) => !value.is_null() && !set.contains(value),
        FieldTest::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
        FieldTest::Substring(part) => value.as_str().is_some_and(|text| text.contains(part)),
        FieldTest::Number(range) => {
            Number::of_value(value).is_some_and(|number| range.contains(&number))
        }
        FieldTest::Datetime(range) => value
            .as_str()
            .and_then(datetime::parse)
            .is_some_and(|time| range.contains(&time)),
        FieldTest::GeoBox(area) => place(&|point| area.contains(point)),
        FieldTest::GeoCircle(circle) => place(&|point| circle.contains(point)),
        FieldTest::GeoPolygon(polygon) => place(&|point| polygon.contains(point)),
        FieldTest::Text(_)
        | FieldTest::TextAny(_)
        | FieldTest::Phrase(_)
        | FieldTest::ValuesCount(_) => false,
    }
}

/// Whether a field of these values counts as empty.
pub(crate) fn is_empty(values: &[&Value]) -> bool {
    values.iter().all(|value| match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    })
}

/// Whether one of these values counts as null.
pub(crate) fn is_null(values: &[&Value]) -> bool {
    values.iter().any(|value| match value {
        Value::Null => true,
        Value::Array(elements) => elements.iter().any(Value::is_null),
        _ => false,
    })
}

/// How many elements each of these values has; a missing field counts 0 once.
pub(crate) fn counts(values: &[&Value]) -> Vec<u64> {
    if values.is_empty() {
        return vec![0];
    }
    values
        .iter()
        .map(|value| match value {
            Value::Null => 0,
            Value::Array(elements) => elements.len() as u64,
            _ => 1,
        })
        .collect()
}
