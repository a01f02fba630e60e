//! Vectors on the wire: `[…]`, `[[…], …]`, `{"indices": […], "values": […]}`, objects that a model turns into a vector, and
//! maps of all of these by name.
//!
//! Bodies of writes are mostly numbers, so these are read straight into arrays of floats, not by way of a tree of JSON values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use service::collections::{Document, Input, SparseVector, Vector};

/// One vector as a client writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum WireVector {
    /// Numbers.
    Vector(Vector),
    /// A text that a model turns into a vector.
    Document(WireDocument),
}

/// `{"text": …, "model": …, "options": {…}}`
#[derive(Debug, Clone, PartialEq)]
pub struct WireDocument {
    /// The text.
    pub text: String,
    /// The model that turns it into a vector.
    pub model: String,
    /// Settings of the model; an empty object when there are none.
    pub options: serde_json::Map<String, Value>,
}

/// All vectors of a point as a client writes them.
#[derive(Debug, Clone, PartialEq)]
pub struct WireVectors(pub BTreeMap<String, WireVector>);

/// A value that may be a vector or hold vectors, before it is known which.
#[derive(Debug, Clone, PartialEq)]
pub enum Lump {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A single number.
    Number(f64),
    /// A text.
    Text(String),
    /// Numbers only.
    Numbers(Vec<f64>),
    /// Anything else in an array.
    Items(Vec<Lump>),
    /// An object.
    Map(Vec<(String, Lump)>),
}

impl<'de> Deserialize<'de> for Lump {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LumpVisitor)
    }
}

struct LumpVisitor;

impl<'de> Visitor<'de> for LumpVisitor {
    type Value = Lump;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a vector")
    }

    fn visit_unit<E>(self) -> Result<Lump, E> {
        Ok(Lump::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Lump, E> {
        Ok(Lump::Bool(truth))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Lump, E> {
        Ok(Lump::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Lump, E> {
        Ok(Lump::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Lump, E> {
        Ok(Lump::Number(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lump, E> {
        Ok(Lump::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Lump, A::Error> {
        let mut numbers: Vec<f64> = Vec::new();
        while let Some(item) = sequence.next_element::<Lump>()? {
            let Lump::Number(number) = item else {
                let mut items: Vec<Lump> = numbers.into_iter().map(Lump::Number).collect();
                items.push(item);
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                return Ok(Lump::Items(items));
            };
            numbers.push(number);
        }
        Ok(Lump::Numbers(numbers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lump, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Lump::Map(entries))
    }
}

impl From<Lump> for Value {
    fn from(lump: Lump) -> Value {
        match lump {
            Lump::Null => Value::Null,
            Lump::Bool(truth) => Value::Bool(truth),
            Lump::Number(number) => number_value(number),
            Lump::Text(text) => Value::String(text),
            Lump::Numbers(numbers) => numbers.into_iter().map(number_value).collect(),
            Lump::Items(items) => items.into_iter().map(Value::from).collect(),
            Lump::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
        }
    }
}

/// Largest whole number of which every smaller one is a double too.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        return Value::from(number as i64);
    }
    Value::from(number)
}

impl WireVector {
    /// The vector that a value is.
    ///
    /// # Errors
    /// What a vector may be, when it is none.
    pub fn of(lump: Lump) -> Result<WireVector, String> {
        match lump {
            Lump::Numbers(numbers) => Ok(WireVector::Vector(Vector::Dense(floats(&numbers)))),
            Lump::Items(items) => multi(items).map(WireVector::Vector),
            Lump::Map(entries) => of_map(entries),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

const EXPECTED: &str = "expected a list of numbers, a list of such lists, {\"indices\", \"values\"} or {\"text\", \"model\"}";

fn floats(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

fn multi(items: Vec<Lump>) -> Result<Vector, String> {
    let rows = items.into_iter().map(|item| match item {
        Lump::Numbers(numbers) => Ok(floats(&numbers)),
        _ => Err(EXPECTED.to_owned()),
    });
    rows.collect::<Result<_, _>>().map(Vector::Multi)
}

fn of_map(entries: Vec<(String, Lump)>) -> Result<WireVector, String> {
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if has("indices") && has("values") {
        return sparse(entries).map(|vector| WireVector::Vector(Vector::Sparse(vector)));
    }
    if is_inference(&entries) {
        return document(entries).map(WireVector::Document);
    }
    Err(EXPECTED.to_owned())
}

fn sparse(entries: Vec<(String, Lump)>) -> Result<SparseVector, String> {
    let mut vector = SparseVector::default();
    for (key, value) in entries {
        let Lump::Numbers(numbers) = value else {
            return Err(format!("`{key}` of a sparse vector is a list of numbers"));
        };
        match key.as_str() {
            "values" => vector.values = floats(&numbers),
            "indices" => {
                let indices = numbers.iter().map(|&number| {
                    let whole = number.fract() == 0.0;
                    (whole && (0.0..=f64::from(u32::MAX)).contains(&number))
                        .then_some(number as u32)
                });
                vector.indices = indices.collect::<Option<_>>().ok_or_else(|| {
                    "`indices` of a sparse vector are whole numbers of 32 bits".to_owned()
                })?;
            }
            other => return Err(format!("a sparse vector has no `{other}`")),
        }
    }
    in_order(vector)
}

/// Entries by rising index: clients may write them as they like.
fn in_order(vector: SparseVector) -> Result<SparseVector, String> {
    if vector.indices.len() != vector.values.len() {
        return Err("a sparse vector has as many `indices` as `values`".to_owned());
    }
    if vector.indices.is_sorted() {
        return Ok(vector);
    }
    let mut entries: Vec<(u32, f32)> = vector.indices.into_iter().zip(vector.values).collect();
    entries.sort_by_key(|(index, _)| *index);
    let (indices, values) = entries.into_iter().unzip();
    Ok(SparseVector { indices, values })
}

/// Whether an object is for a model: it names one, by a text, which no named vector is.
fn is_inference(entries: &[(String, Lump)]) -> bool {
    entries
        .iter()
        .any(|(key, value)| key == "model" && matches!(value, Lump::Text(_)))
}

fn document(entries: Vec<(String, Lump)>) -> Result<WireDocument, String> {
    let (mut text, mut model, mut options) = (None, None, serde_json::Map::new());
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("text", Lump::Text(given)) => text = Some(given),
            ("model", Lump::Text(given)) => model = Some(given),
            ("options", Lump::Null) => {}
            ("options", given @ Lump::Map(_)) => {
                if let Value::Object(given) = Value::from(given) {
                    options = given;
                }
            }
            ("image" | "object", _) => {
                return Err("only texts can be turned into vectors by this server".to_owned());
            }
            (other, _) => return Err(format!("`{other}` of a document is not valid")),
        }
    }
    match (text, model) {
        (Some(text), Some(model)) => Ok(WireDocument {
            text,
            model,
            options,
        }),
        _ => Err("a document has a `text` and a `model`".to_owned()),
    }
}

impl<'de> Deserialize<'de> for WireVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WireVector::of(Lump::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for WireVectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lump = Lump::deserialize(deserializer)?;
        let named = match lump {
            Lump::Map(entries) if !is_inference(&entries) => entries
                .into_iter()
                .map(|(name, value)| {
                    let vector = WireVector::of(value)
                        .map_err(|reason| serde::de::Error::custom(format!("`{name}`: {reason}")));
                    vector.map(|vector| (name, vector))
                })
                .collect::<Result<_, D::Error>>()?,
            // An empty list cannot be a vector, so it is none: what clients write for points of payload only.
            Lump::Numbers(numbers) if numbers.is_empty() => BTreeMap::new(),
            other => {
                let vector = WireVector::of(other).map_err(serde::de::Error::custom)?;
                BTreeMap::from([(String::new(), vector)])
            }
        };
        Ok(WireVectors(named))
    }
}

impl WireVectors {
    /// The vectors, and the texts that have to become some, by name.
    pub fn inputs(self) -> BTreeMap<String, Input> {
        let input = |vector| match vector {
            WireVector::Vector(vector) => Input::Vector(vector),
            WireVector::Document(document) => Input::Document(Document {
                text: document.text,
                model: document.model,
                options: document.options,
            }),
        };
        self.0
            .into_iter()
            .map(|(name, vector)| (name, input(vector)))
            .collect()
    }
}

/// A vector as it is answered.
pub struct ShownVector<'a>(pub &'a Vector);

impl Serialize for ShownVector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Vector::Dense(values) => values.serialize(serializer),
            Vector::Multi(rows) => rows.serialize(serializer),
            Vector::Sparse(vector) => vector.serialize(serializer),
        }
    }
}

/// The vectors of a point as they are answered: the unnamed one alone stands without a name.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownVectors(pub BTreeMap<String, Vector>);

impl Serialize for ShownVectors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let (1, Some(vector)) = (self.0.len(), self.0.get("")) {
            return ShownVector(vector).serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, vector) in &self.0 {
            map.serialize_entry(name, &ShownVector(vector))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, WireVector>, String> {
        serde_json::from_str::<WireVectors>(text)
            .map(|vectors| vectors.0)
            .map_err(|error| error.to_string())
    }

    fn unnamed(vector: Vector) -> BTreeMap<String, WireVector> {
        BTreeMap::from([(String::new(), WireVector::Vector(vector))])
    }

    #[test]
    fn vectors_are_read_in_all_their_shapes() {
        assert_eq!(
            read("[1, 2.5, -3e0]"),
            Ok(unnamed(Vector::Dense(vec![1.0, 2.5, -3.0])))
        );
        assert_eq!(
            read("[[1, 2], [3, 4]]"),
            Ok(unnamed(Vector::Multi(vec![vec![1.0, 2.0], vec![3.0, 4.0]])))
        );
        let sparse = SparseVector {
            indices: vec![3, 4_294_967_295],
            values: vec![0.5, 1.0],
        };
        assert_eq!(
            read(r#"{"s": {"indices": [4294967295, 3], "values": [1.0, 0.5]}, "d": [1]}"#),
            Ok(BTreeMap::from([
                ("s".to_owned(), WireVector::Vector(Vector::Sparse(sparse))),
                ("d".to_owned(), WireVector::Vector(Vector::Dense(vec![1.0]))),
            ]))
        );
        assert_eq!(read("{}"), Ok(BTreeMap::new()));
    }

    #[test]
    fn documents_are_told_from_named_vectors() {
        let document = |text: &str| {
            WireVector::Document(WireDocument {
                text: text.to_owned(),
                model: "m".to_owned(),
                options: serde_json::Map::new(),
            })
        };
        assert_eq!(
            read(r#"{"text": "a", "model": "m"}"#),
            Ok(BTreeMap::from([(String::new(), document("a"))]))
        );
        assert_eq!(
            read(r#"{"text": {"text": "b", "model": "m", "options": null}, "model": [1, 2]}"#),
            Ok(BTreeMap::from([
                ("text".to_owned(), document("b")),
                (
                    "model".to_owned(),
                    WireVector::Vector(Vector::Dense(vec![1.0, 2.0]))
                ),
            ]))
        );
    }

    #[test]
    fn what_is_no_vector_is_refused_in_words() {
        for (text, reason) in [
            ("5", "expected a list"),
            ("[1, [2]]", "expected a list"),
            ("[\"a\"]", "expected a list"),
            (r#"{"a": "b"}"#, "`a`"),
            (r#"{"a": {"indices": [1], "values": [1, 2]}}"#, "as many"),
            (r#"{"a": {"indices": [-1], "values": [1]}}"#, "32 bits"),
            (r#"{"a": {"indices": [1.5], "values": [1]}}"#, "32 bits"),
            (r#"{"image": "x", "model": "m"}"#, "only texts"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_unnamed_vector_is_shown_alone_and_others_by_name() {
        let show = |vectors: &[(&str, Vector)]| {
            let named = vectors
                .iter()
                .map(|(name, vector)| ((*name).to_owned(), vector.clone()));
            serde_json::to_string(&ShownVectors(named.collect())).expect("JSON")
        };
        assert_eq!(show(&[("", Vector::Dense(vec![0.1, 2.0]))]), "[0.1,2.0]");
        assert_eq!(
            show(&[
                ("", Vector::Dense(vec![1.0])),
                ("s", Vector::Multi(vec![vec![2.0]]))
            ]),
            r#"{"":[1.0],"s":[[2.0]]}"#
        );
    }
}
