//! The index of one field.
//!
//! Besides rows by value it remembers facts of each row: that the field is there, empty or null, how many elements its
//! values have, that it has values of another type than the index holds, and that it has several. So it can say of
//! every condition on the field which rows satisfy it and, where values alone don't tell, which may.

use std::ops::{Bound, Range};
use std::sync::Arc;

use serde_json::Value;

use super::cells;
use super::keys;
use super::kind::{PayloadIndexKind, ValueClass, class_of};
use super::postings::Postings;
use super::selection::{Selection, add, drop_rows, keep};
use crate::error::VectorsError;
use crate::filter::geo::GeoPoint;
use crate::filter::words::{self, PlainWords, Words};
use crate::filter::{Condition, FieldPath, FieldTest, Scalar, ScalarSet, datetime};
use crate::point::Payload;
use crate::rows::RowSet;
use crate::text::{Analyzer, TextIndex, TextQuery};

/// Longest string in a keyword index; longer ones count as values that the index doesn't hold. Filters mean labels.
const KEYWORD_BYTES_MAX: usize = 1_024;

/// Facts of rows, keys of [`FieldIndex::facts`].
mod fact {
    /// The path selects a value.
    pub const FOUND: &[u8] = b"f";
    /// The field isn't empty.
    pub const FILLED: &[u8] = b"v";
    /// The field is null.
    pub const NULL: &[u8] = b"n";
    /// A value is in the index.
    pub const HELD: &[u8] = b"h";
    /// Several values are in the index.
    pub const SEVERAL: &[u8] = b"s";
    /// A value is not null and not in the index.
    pub const OTHER: &[u8] = b"o";
    /// Before the eight bytes of a count of elements.
    pub const COUNT: u8 = b'c';

    pub fn count(count: u64) -> [u8; 9] {
        let mut key = [COUNT; 9];
        key[1..].copy_from_slice(&count.to_be_bytes());
        key
    }
}

/// The texts among values and the elements of arrays, in their order.
fn texts<'p>(values: &[&'p Value]) -> impl Iterator<Item = &'p str> {
    values
        .iter()
        .flat_map(|value| match value {
            Value::Array(elements) => elements.as_slice(),
            single => std::slice::from_ref(*single),
        })
        .filter_map(Value::as_str)
}

/// Index of one field of the rows of one segment.
#[derive(Clone)]
pub struct FieldIndex {
    pub(super) key: FieldPath,
    pub(super) kind: PayloadIndexKind,
    pub(super) words: Option<Arc<dyn Words>>,
    /// Words with their places, instead of `values`, for texts that are scored.
    pub(super) text: Option<Arc<TextIndex>>,
    /// Rows that were inserted. Of others nothing is known.
    pub(super) covered: Range<u32>,
    pub(super) facts: Postings,
    /// Rows by value; integers of numbers.
    pub(super) values: Postings,
    /// Rows by value of numbers that are no integer.
    pub(super) floats: Postings,
}

impl std::fmt::Debug for FieldIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FieldIndex")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

impl FieldIndex {
    /// An index without rows.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the analyzer of a text index makes no sense.
    pub fn new(key: FieldPath, kind: PayloadIndexKind) -> Result<Self, VectorsError> {
        let words: Option<Arc<dyn Words>> = match &kind {
            PayloadIndexKind::Text {
                analyzer: Some(options),
                ..
            } => Some(Arc::new(Analyzer::new(options)?)),
            PayloadIndexKind::Text { scoring: None, .. } => Some(Arc::new(PlainWords)),
            _ => None,
        };
        let mut text = None;
        let words = match kind.scored_text() {
            None => words,
            Some((options, scoring)) => {
                scoring.validate()?;
                text = Some(Arc::new(TextIndex::new(&options)?));
                Some(Arc::new(Analyzer::new(&options)?) as Arc<dyn Words>)
            }
        };
        Ok(FieldIndex {
            key,
            kind,
            words,
            text,
            covered: 0..0,
            facts: Postings::default(),
            values: Postings::default(),
            floats: Postings::default(),
        })
    }

    /// The field.
    pub fn key(&self) -> &FieldPath {
        &self.key
    }

    /// What it is made for.
    pub fn kind(&self) -> &PayloadIndexKind {
        &self.kind
    }

    /// Estimate of the bytes in memory; of a mapped index the system keeps what it likes.
    pub fn bytes_in_memory(&self) -> u64 {
        [&self.facts, &self.values, &self.floats]
            .iter()
            .map(|postings| postings.bytes_in_memory())
            .sum::<u64>()
            + self.text.as_ref().map_or(0, |text| text.bytes_in_memory())
    }

    /// The lists of words with their places, when texts are scored.
    pub fn text(&self) -> Option<&TextIndex> {
        self.text.as_deref()
    }

    /// How many different values it holds; words that are scored are not counted.
    pub fn values(&self) -> usize {
        self.values.keys() + self.floats.keys()
    }

    /// Adds a row of a growing segment. Rows come in order, none left out, also those without the field.
    ///
    /// # Panics
    /// For an index of a sealed segment, and for a row that isn't the next one.
    pub fn insert(&mut self, row: u32, payload: &Payload) {
        if self.covered.is_empty() {
            self.covered = row..row;
        }
        // A row left out would count as one without the field: results would be wrong.
        assert_eq!(row, self.covered.end, "rows are indexed in order");
        self.covered.end = row + 1;
        let values = self.key.values(payload);
        if values.is_empty() {
            return;
        }
        self.facts.insert(fact::FOUND, row);
        if !crate::filter::is_empty(&values) {
            self.facts.insert(fact::FILLED, row);
        }
        if crate::filter::is_null(&values) {
            self.facts.insert(fact::NULL, row);
        }
        for count in crate::filter::counts(&values) {
            self.facts.insert(&fact::count(count), row);
        }
        if let Some(text) = &mut self.text {
            // Nobody else holds the lists of an index that grows; rows come in order, as was asserted above.
            let inserted =
                Arc::get_mut(text).is_some_and(|text| text.insert(row, texts(&values)).is_ok());
            assert!(inserted, "a sealed or shared index takes no rows");
        }
        let mut held = 0;
        for value in values {
            let elements = match value {
                Value::Array(elements) => elements.as_slice(),
                single => std::slice::from_ref(single),
            };
            for element in elements.iter().filter(|element| !element.is_null()) {
                if self.insert_value(row, element) {
                    held += 1;
                } else {
                    self.facts.insert(fact::OTHER, row);
                }
            }
        }
        if held > 0 {
            self.facts.insert(fact::HELD, row);
        }
        if held > 1 {
            self.facts.insert(fact::SEVERAL, row);
        }
    }

    /// Adds a value; false when it isn't one that the index holds.
    fn insert_value(&mut self, row: u32, value: &Value) -> bool {
        match (&self.kind, value) {
            (PayloadIndexKind::Keyword, Value::String(text)) if text.len() <= KEYWORD_BYTES_MAX => {
                self.values.insert(text.as_bytes(), row);
            }
            (PayloadIndexKind::Text { .. }, Value::String(_)) if self.text.is_some() => {}
            (PayloadIndexKind::Text { .. }, Value::String(text)) => {
                let values = &mut self.values;
                let words = self.words.as_deref().unwrap_or(&PlainWords);
                words.words(text, &mut |word| values.insert(word.as_bytes(), row));
            }
            (PayloadIndexKind::Integer | PayloadIndexKind::Float, Value::Number(number)) => {
                if let Some(integer) = number.as_i64() {
                    self.values.insert(&keys::of_integer(integer), row);
                } else if let Some(float) = number.as_f64() {
                    self.floats.insert(&keys::of_float(float), row);
                }
            }
            (PayloadIndexKind::Bool, Value::Bool(truth)) => {
                self.values.insert(&[u8::from(*truth)], row);
            }
            (PayloadIndexKind::Datetime, Value::String(text)) => match datetime::parse(text) {
                Some(time) => self.values.insert(&keys::of_integer(time), row),
                None => return false,
            },
            (PayloadIndexKind::Uuid, Value::String(text)) => match keys::of_uuid(text) {
                Some(key) => self.values.insert(&key, row),
                None => return false,
            },
            (PayloadIndexKind::Geo, value) => match GeoPoint::of_value(value) {
                Some(place) if place.is_on_earth() => {
                    self.values.insert(&cells::of_place(place), row);
                }
                _ => return false,
            },
            _ => return false,
        }
        true
    }

    /// The rows with a fact.
    fn fact(&self, key: &[u8], rows: u32) -> Result<RowSet, VectorsError> {
        let mut set = RowSet::none(rows);
        self.facts.add(key, &mut set)?;
        Ok(set)
    }

    /// Rows with a value that the index doesn't hold.
    pub(super) fn others(&self, rows: u32) -> Result<RowSet, VectorsError> {
        self.fact(fact::OTHER, rows)
    }

    /// The rows of a segment of `rows` rows that were never inserted.
    pub(super) fn uncovered(&self, rows: u32) -> RowSet {
        let mut set = RowSet::all(rows);
        for row in self.covered.start..self.covered.end.min(rows) {
            set.remove(row);
        }
        set
    }

    /// Whether every row of `rows` was inserted.
    pub(super) fn covers(&self, rows: u32) -> bool {
        rows == 0 || (self.covered.start == 0 && self.covered.end >= rows)
    }

    /// What the index knows of a condition on its field, of all of `rows` rows; `None` when the condition is another's.
    pub(crate) fn select(
        &self,
        condition: &Condition,
        rows: u32,
    ) -> Result<Option<Selection>, VectorsError> {
        let mut selection = match condition {
            Condition::Field { test, .. } => self.select_test(test, rows)?,
            Condition::IsEmpty { .. } => Selection::exactly(self.fact(fact::FILLED, rows)?).not(),
            Condition::IsNull { .. } => Selection::exactly(self.fact(fact::NULL, rows)?),
            _ => return Ok(None),
        };
        if !self.covers(rows) {
            selection.forget(&self.uncovered(rows));
        }
        Ok(Some(selection))
    }

    fn select_test(&self, test: &FieldTest, rows: u32) -> Result<Selection, VectorsError> {
        if let FieldTest::ValuesCount(range) = test {
            return self.select_counts(range, rows);
        }
        if let FieldTest::Except(excluded) = test {
            return self.select_except(excluded, rows);
        }
        if let Some(selection) = self.select_held(test, rows)? {
            return Ok(selection);
        }
        // Rows whose values are of the type that the test looks for.
        let mut possible = RowSet::none(rows);
        if class_of(test) == self.kind.class() {
            self.facts.add(fact::HELD, &mut possible)?;
        }
        if class_of(test) != self.kind.class() || !self.holds_its_class() {
            self.facts.add(fact::OTHER, &mut possible)?;
        }
        Ok(Selection::with_maybe(RowSet::none(rows), &possible))
    }

    /// Whether a value that the index doesn't hold is of another type than those it holds.
    fn holds_its_class(&self) -> bool {
        self.kind.holds_its_class() && !matches!(self.kind, PayloadIndexKind::Keyword)
    }

    /// Tests that the index was made for.
    fn select_held(&self, test: &FieldTest, rows: u32) -> Result<Option<Selection>, VectorsError> {
        let mut sure = RowSet::none(rows);
        match (&self.kind, test) {
            (PayloadIndexKind::Keyword, _) => return self.select_keywords(test, rows),
            (PayloadIndexKind::Text { .. }, _) => return self.select_words(test, rows),
            (PayloadIndexKind::Integer | PayloadIndexKind::Float, _) => {
                if !self.add_numbers(test, &mut sure)? {
                    return Ok(None);
                }
            }
            (PayloadIndexKind::Bool, FieldTest::Equal(Scalar::Bool(truth))) => {
                self.values.add(&[u8::from(*truth)], &mut sure)?;
            }
            (PayloadIndexKind::Datetime, FieldTest::Datetime(range)) => {
                self.values
                    .add_range(keys::borrowed(&keys::of_integers(range)), &mut sure)?;
            }
            (PayloadIndexKind::Uuid, FieldTest::Equal(Scalar::Text(text))) => {
                return self
                    .select_uuids(&mut std::iter::once(text.as_str()), rows)
                    .map(Some);
            }
            (PayloadIndexKind::Uuid, FieldTest::Any(ScalarSet::Texts(texts))) => {
                return self
                    .select_uuids(&mut texts.iter().map(String::as_str), rows)
                    .map(Some);
            }
            (PayloadIndexKind::Geo, _) => return self.select_places(test, rows),
            _ => return Ok(None),
        }
        Ok(Some(Selection::exactly(sure)))
    }

    /// Adds the rows whose number passes; false when the test is none of numbers.
    fn add_numbers(&self, test: &FieldTest, sure: &mut RowSet) -> Result<bool, VectorsError> {
        match test {
            FieldTest::Equal(Scalar::Integer(integer)) => {
                self.values.add(&keys::of_integer(*integer), sure)?;
            }
            FieldTest::Any(ScalarSet::Integers(integers)) => {
                for integer in integers {
                    self.values.add(&keys::of_integer(*integer), sure)?;
                }
            }
            FieldTest::Number(range) => {
                let integers = keys::integers_within(range);
                self.values.add_range(keys::borrowed(&integers), sure)?;
                let floats = keys::floats_within(range);
                self.floats.add_range(keys::borrowed(&floats), sure)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn select_keywords(
        &self,
        test: &FieldTest,
        rows: u32,
    ) -> Result<Option<Selection>, VectorsError> {
        let mut sure = RowSet::none(rows);
        // Whether a string too long to be held may pass.
        let mut longer = false;
        match test {
            FieldTest::Equal(Scalar::Text(text)) => {
                longer = text.len() > KEYWORD_BYTES_MAX;
                self.values.add(text.as_bytes(), &mut sure)?;
            }
            FieldTest::Any(ScalarSet::Texts(texts)) => {
                for text in texts {
                    longer = longer || text.len() > KEYWORD_BYTES_MAX;
                    self.values.add(text.as_bytes(), &mut sure)?;
                }
            }
            FieldTest::Prefix(prefix) => {
                longer = true;
                let end = keys::behind_prefix(prefix.as_bytes());
                let range = (
                    Bound::Included(prefix.as_bytes()),
                    end.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
                );
                self.values.add_range(range, &mut sure)?;
            }
            FieldTest::Substring(part) => {
                longer = true;
                let part = part.as_bytes();
                let everything = (Bound::Unbounded, Bound::Unbounded);
                self.values.walk(everything, false, &mut |key, key_rows| {
                    let holds =
                        part.is_empty() || key.windows(part.len()).any(|window| window == part);
                    if holds {
                        key_rows.for_each(|row| sure.insert(row));
                    }
                    true
                })?;
            }
            _ => return Ok(None),
        }
        let maybe = if longer {
            self.fact(fact::OTHER, rows)?
        } else {
            RowSet::none(rows)
        };
        Ok(Some(Selection::with_maybe(sure, &maybe)))
    }

    fn select_words(&self, test: &FieldTest, rows: u32) -> Result<Option<Selection>, VectorsError> {
        let (FieldTest::Text(text) | FieldTest::TextAny(text) | FieldTest::Phrase(text)) = test
        else {
            return Ok(None);
        };
        if let Some(index) = &self.text {
            return self.select_placed_words(index, test, text, rows).map(Some);
        }
        let words = self.words.as_deref().unwrap_or(&PlainWords);
        let wanted = words::query_words_of(words, text);
        let mut sure = RowSet::none(rows);
        if matches!(test, FieldTest::TextAny(_)) {
            for word in &wanted {
                self.values.add(word.as_bytes(), &mut sure)?;
            }
            return Ok(Some(Selection::exactly(sure)));
        }
        for (place, word) in wanted.iter().enumerate() {
            let mut with = RowSet::none(rows);
            self.values.add(word.as_bytes(), &mut with)?;
            if place == 0 {
                sure = with;
            } else {
                keep(&mut sure, &with);
            }
        }
        if wanted.len() < 2 {
            return Ok(Some(Selection::exactly(sure)));
        }
        // The words of one row may stand in several of its texts, or not one after the other.
        let mut open = sure.clone();
        if matches!(test, FieldTest::Text(_)) {
            keep(&mut open, &self.fact(fact::SEVERAL, rows)?);
        }
        drop_rows(&mut sure, &open);
        Ok(Some(Selection::with_maybe(sure, &open)))
    }

    /// Tests of words whose places are known.
    fn select_placed_words(
        &self,
        index: &TextIndex,
        test: &FieldTest,
        text: &str,
        rows: u32,
    ) -> Result<Selection, VectorsError> {
        let query = match test {
            FieldTest::Phrase(_) => TextQuery::phrase(index.analyzer(), text),
            _ => TextQuery::words(index.analyzer(), text, matches!(test, FieldTest::Text(_))),
        };
        let mut sure = index.matching_rows(&query, rows)?;
        // All words of a row may stand in several of its texts; so may a phrase with a gap as wide as that between texts.
        let mut open = RowSet::none(rows);
        if query.is_cut() {
            open = match test {
                FieldTest::TextAny(_) => self.fact(fact::HELD, rows)?,
                _ => sure.clone(),
            };
        } else if query.may_span_texts() {
            open = self.fact(fact::SEVERAL, rows)?;
            keep(&mut open, &sure);
        }
        drop_rows(&mut sure, &open);
        Ok(Selection::with_maybe(sure, &open))
    }

    fn select_uuids(
        &self,
        texts: &mut dyn Iterator<Item = &str>,
        rows: u32,
    ) -> Result<Selection, VectorsError> {
        let mut sure = RowSet::none(rows);
        let mut maybe = RowSet::none(rows);
        for text in texts {
            match keys::of_uuid(text) {
                Some(key) => self.values.add(&key, &mut sure)?,
                // Not a canonical UUID: only strings that aren't held can be equal to it.
                None => self.facts.add(fact::OTHER, &mut maybe)?,
            }
        }
        Ok(Selection::with_maybe(sure, &maybe))
    }

    fn select_places(
        &self,
        test: &FieldTest,
        rows: u32,
    ) -> Result<Option<Selection>, VectorsError> {
        let Some(ranges) = cells::ranges_of(test) else {
            return Ok(None);
        };
        let mut sure = RowSet::none(rows);
        for range in &ranges {
            self.values
                .walk(keys::borrowed(range), false, &mut |key, key_rows| {
                    let within = cells::to_place(key).is_some_and(|place| match test {
                        FieldTest::GeoBox(area) => area.contains(place),
                        FieldTest::GeoCircle(circle) => circle.contains(place),
                        FieldTest::GeoPolygon(polygon) => polygon.contains(place),
                        _ => false,
                    });
                    if within {
                        key_rows.for_each(|row| sure.insert(row));
                    }
                    true
                })?;
        }
        let others = self.fact(fact::OTHER, rows)?;
        Ok(Some(Selection::with_maybe(sure, &others)))
    }

    fn select_counts(
        &self,
        range: &crate::filter::Range<u64>,
        rows: u32,
    ) -> Result<Selection, VectorsError> {
        let mut sure = RowSet::none(rows);
        let counts = (
            Bound::Included(&[fact::COUNT][..]),
            Bound::Excluded(&[fact::COUNT + 1][..]),
        );
        self.facts.walk(counts, false, &mut |key, key_rows| {
            let count = key.get(1..).and_then(|bytes| bytes.try_into().ok());
            if count.is_some_and(|bytes| range.contains(&u64::from_be_bytes(bytes))) {
                key_rows.for_each(|row| sure.insert(row));
            }
            true
        })?;
        if range.contains(&0) {
            let mut missing = RowSet::all(rows);
            drop_rows(&mut missing, &self.fact(fact::FOUND, rows)?);
            add(&mut sure, &missing);
        }
        Ok(Selection::exactly(sure))
    }

    fn select_except(&self, excluded: &ScalarSet, rows: u32) -> Result<Selection, VectorsError> {
        let class = match excluded {
            ScalarSet::Texts(_) => ValueClass::Text,
            ScalarSet::Integers(_) => ValueClass::Number,
        };
        let held = self.fact(fact::HELD, rows)?;
        let others = self.fact(fact::OTHER, rows)?;
        if class != self.kind.class() {
            // Whatever is held is of a type that is never equal.
            return Ok(Selection::with_maybe(held, &others));
        }
        let mut equal = RowSet::none(rows);
        match (&self.kind, excluded) {
            (PayloadIndexKind::Keyword, ScalarSet::Texts(texts)) => {
                for text in texts {
                    self.values.add(text.as_bytes(), &mut equal)?;
                }
            }
            (_, ScalarSet::Integers(integers)) => {
                for integer in integers {
                    self.values.add(&keys::of_integer(*integer), &mut equal)?;
                }
            }
            _ => {
                let mut any = held;
                add(&mut any, &others);
                return Ok(Selection::with_maybe(RowSet::none(rows), &any));
            }
        }
        // A row with one value has no other than the excluded one; with several, its payload tells. Values that
        // aren't held differ, unless they are strings too long to be held.
        let mut sure = held;
        drop_rows(&mut sure, &equal);
        keep(&mut equal, &self.fact(fact::SEVERAL, rows)?);
        if class == ValueClass::Text {
            add(&mut equal, &others);
        } else {
            add(&mut sure, &others);
        }
        Ok(Selection::with_maybe(sure, &equal))
    }
}
