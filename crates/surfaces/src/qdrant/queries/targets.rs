//! What queries are near to, on the wire: a vector, a point that has one, or a text that a model makes into one.

use serde::Deserialize;
use serde_json::Value;
use service::Error;
use service::collections::{Document, Input, Payload, PointId, SparseVector, Vector};

use super::super::ids::WireId;
use super::part::Part;

/// What a query is near to: a vector, the id of a point that has one, or something to be embedded.
pub fn target(part: &Part<'_>) -> Result<Input, Error> {
    match part.value() {
        Value::Number(_) | Value::String(_) => Ok(Input::Point(point_id(part)?)),
        _ => input(part),
    }
}

fn input(part: &Part<'_>) -> Result<Input, Error> {
    match part.value() {
        Value::Array(elements) if elements.first().is_some_and(Value::is_array) => {
            let rows = part
                .items()?
                .map(|row| floats(&row))
                .collect::<Result<_, _>>()?;
            Ok(Input::Vector(Vector::Multi(rows)))
        }
        Value::Array(_) => Ok(Input::Vector(Vector::Dense(floats(part)?))),
        Value::Object(fields) if fields.contains_key("indices") => {
            Ok(Input::Vector(Vector::Sparse(sparse(part)?)))
        }
        Value::Object(_) => inference(part)?.ok_or_else(|| {
            part.invalid("expected a vector, {\"indices\", \"values\"} or {\"text\", \"model\"}")
        }),
        _ => Err(part.expected("a vector")),
    }
}

/// What a model has to make a vector of; `None` when this is none of the shapes for it. Vectors may be called `text` or
/// `model`, but no vector is a string.
fn inference(part: &Part<'_>) -> Result<Option<Input>, Error> {
    let fields = part.map()?;
    if !fields.get("model").is_some_and(Value::is_string) {
        return Ok(None);
    }
    if fields.contains_key("text") {
        part.object(&["text", "model", "options"])?;
        let options = match part.field("options") {
            Some(options) => options.map()?.clone(),
            None => Payload::new(),
        };
        return Ok(Some(Input::Document(Document {
            text: part.required("text")?.text()?.to_owned(),
            model: part.required("model")?.text()?.to_owned(),
            options,
        })));
    }
    for kind in ["image", "object"] {
        if let Some(part) = part.field(kind) {
            return Err(part.unsupported(
                "this server embeds texts only: send {\"text\", \"model\"}, or the vector itself",
            ));
        }
    }
    Ok(None)
}

/// The id of a point.
fn point_id(part: &Part<'_>) -> Result<PointId, Error> {
    WireId::deserialize(part.value())
        .map(|id| id.0)
        .map_err(|error| part.invalid(error))
}

fn floats(part: &Part<'_>) -> Result<Vec<f32>, Error> {
    part.items()?.map(|value| value.float()).collect()
}

/// Indices in any order, each once.
fn sparse(part: &Part<'_>) -> Result<SparseVector, Error> {
    part.object(&["indices", "values"])?;
    let (indices, values) = (part.required("indices")?, part.required("values")?);
    let (keys, weights) = (indices.items()?, values.items()?);
    if keys.len() != weights.len() {
        return Err(part.invalid("must be the same length: indices and values"));
    }
    let mut entries = Vec::with_capacity(keys.len());
    for (key, weight) in keys.zip(weights) {
        let index = u32::try_from(key.whole()?).map_err(|_| key.invalid("must be below 2^32"))?;
        entries.push((index, weight.float()?));
    }
    entries.sort_unstable_by_key(|(index, _)| *index);
    if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(indices.invalid("must be unique"));
    }
    let (indices, values) = entries.into_iter().unzip();
    Ok(SparseVector { indices, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(value: &Value) -> String {
        target(&Part::root(value)).expect_err("refused").message
    }

    #[test]
    fn every_shape_of_a_target_is_told_apart() {
        let read = |value: Value| target(&Part::root(&value)).expect("fits");
        let id = 0x936D_A01F_9ABD_4D9D_80C7_02AF_85C8_22A8;
        assert_eq!(
            read(json!([1, 2.5])),
            Input::Vector(Vector::Dense(vec![1.0, 2.5]))
        );
        assert_eq!(
            read(json!([[1, 2], [3, 4]])),
            Input::Vector(Vector::Multi(vec![vec![1.0, 2.0], vec![3.0, 4.0]]))
        );
        assert_eq!(
            read(json!({"indices": [7, 2], "values": [0.5, 1]})),
            Input::Vector(Vector::Sparse(SparseVector {
                indices: vec![2, 7],
                values: vec![1.0, 0.5],
            }))
        );
        assert_eq!(
            read(json!(u64::MAX)),
            Input::Point(PointId::Number(u64::MAX))
        );
        for text in [
            "936DA01F9ABD4D9D80C702AF85C822A8",
            "936da01f-9abd-4d9d-80c7-02af85c822a8",
            "urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a8",
            "{936da01f-9abd-4d9d-80c7-02af85c822a8}",
        ] {
            assert_eq!(read(json!(text)), Input::Point(PointId::Uuid(id)), "{text}");
        }
        assert_eq!(
            read(json!({"text": "a", "model": "m", "options": {"k": 1}})),
            Input::Document(Document {
                text: "a".to_owned(),
                model: "m".to_owned(),
                options: json!({"k": 1}).as_object().expect("object").clone(),
            })
        );
    }

    #[test]
    fn what_is_no_vector_is_refused_by_its_place() {
        for (value, words) in [
            (json!([1, "a"]), "[1]"),
            (json!([1e39]), "32-bit"),
            (json!([[1], 2]), "[1]"),
            (json!({"indices": [1], "values": []}), "same length"),
            (json!({"indices": [1, 1], "values": [1, 2]}), "unique"),
            (
                json!({"indices": [4_294_967_296u64], "values": [1]}),
                "indices[0]",
            ),
            (json!({"indices": [-1], "values": [1]}), "indices[0]"),
            (json!(-1), "point id"),
            (json!(1.5), "point id"),
            (json!("abc"), "not a valid point ID"),
            (
                json!("936da01f+9abd-4d9d-80c7-02af85c822a8"),
                "not a valid point ID",
            ),
            (json!({"image": "x", "model": "m"}), "image"),
            (json!({"object": {}, "model": "m"}), "object"),
            (json!({"text": 5, "model": "m"}), "text"),
            (json!({"words": "x"}), "expected a vector"),
            (json!(true), "expected a vector"),
        ] {
            let message = refused(&value);
            assert!(message.contains(words), "{value}: {message}");
        }
    }
}
