//! What comes from outside is checked here, once, before anything is changed; errors name the part that is wrong.

use std::collections::BTreeMap;

use half::f16;

use super::limits::{
    self, DIMENSIONS_MAX, MULTI_VECTORS_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX,
    SPARSE_ENTRIES_MAX, VECTOR_NAMES_MAX,
};
use crate::error::VectorsError;
use crate::point::{Payload, Point, SparseVector, Vector};
use crate::schema::{CollectionSchema, Datatype, Metric, VectorSchema};

/// Checks a schema before a collection is made of it.
///
/// # Errors
/// [`VectorsError::Invalid`] or [`VectorsError::Limit`].
pub(crate) fn schema(schema: &CollectionSchema) -> Result<(), VectorsError> {
    limits::check("vector names", schema.vectors.len(), VECTOR_NAMES_MAX)?;
    for (name, vector) in &schema.vectors {
        let field = |part: &str| format!("{}.{part}", vector_field(name));
        limits::check("bytes of a vector name", name.len(), NAME_BYTES_MAX)?;
        let VectorSchema::Dense {
            dimensions,
            metric,
            datatype,
            hnsw,
            quantization,
            ..
        } = vector
        else {
            continue;
        };
        if *dimensions == 0 || *dimensions > DIMENSIONS_MAX {
            return Err(VectorsError::invalid(
                field("dimensions"),
                format!("{dimensions} is not within 1 to {DIMENSIONS_MAX}"),
            ));
        }
        if *metric == Metric::Cosine && *datatype == Datatype::Uint8 {
            return Err(VectorsError::invalid(
                field("datatype"),
                "cosine vectors are normalised when stored, which whole numbers cannot hold; use float16, or dot products",
            ));
        }
        if !(4..=128).contains(&hnsw.m) {
            return Err(VectorsError::invalid(
                field("hnsw.m"),
                format!("{} is not within 4 to 128", hnsw.m),
            ));
        }
        if hnsw.ef_construct < u32::from(hnsw.m) || hnsw.ef_construct > 10_000 {
            return Err(VectorsError::invalid(
                field("hnsw.ef_construct"),
                format!("{} is not within m to 10000", hnsw.ef_construct),
            ));
        }
        if let crate::schema::Quantization::Product {
            dimensions_per_code,
        } = quantization
            && (*dimensions_per_code == 0 || u32::from(*dimensions_per_code) > *dimensions)
        {
            return Err(VectorsError::invalid(
                field("quantization.dimensions_per_code"),
                format!("{dimensions_per_code} is not within 1 to the vector's {dimensions}"),
            ));
        }
    }
    Ok(())
}

/// Checks a point and brings its vectors into their stored form (see [`vector`]).
///
/// # Errors
/// [`VectorsError::Invalid`] naming the part below `field`.
pub(crate) fn point(
    schema: &CollectionSchema,
    point: &mut Point,
    field: &dyn Fn() -> String,
) -> Result<(), VectorsError> {
    vectors(schema, &mut point.vectors, field)?;
    payload(&point.payload, &|| format!("{}.payload", field()))
}

/// Checks named vectors and brings them into their stored form.
pub(crate) fn vectors(
    schema: &CollectionSchema,
    vectors: &mut BTreeMap<String, Vector>,
    field: &dyn Fn() -> String,
) -> Result<(), VectorsError> {
    for (name, value) in vectors.iter_mut() {
        let at = || format!("{}.{}", field(), vector_field(name));
        let Some(expected) = schema.vectors.get(name) else {
            return Err(VectorsError::invalid(
                at(),
                format!(
                    "the collection has no vector of this name; it has {}",
                    names(schema)
                ),
            ));
        };
        vector(expected, value, &at)?;
    }
    Ok(())
}

/// Checks one vector and brings it into its stored form: cosine vectors normalised, values rounded to the datatype.
///
/// # Errors
/// [`VectorsError::Invalid`] naming `field` or a part of it.
pub(crate) fn vector(
    expected: &VectorSchema,
    value: &mut Vector,
    field: &dyn Fn() -> String,
) -> Result<(), VectorsError> {
    match (expected, value) {
        (
            VectorSchema::Dense {
                dimensions,
                metric,
                datatype,
                multi: false,
                ..
            },
            Vector::Dense(values),
        ) => dense(*dimensions, *metric, *datatype, values, field),
        (
            VectorSchema::Dense {
                dimensions,
                metric,
                datatype,
                multi: true,
                ..
            },
            Vector::Multi(vectors),
        ) => {
            if vectors.is_empty() {
                return Err(VectorsError::invalid(
                    field(),
                    "a multi-vector holds at least one vector",
                ));
            }
            limits::check(
                "vectors of a multi-vector",
                vectors.len(),
                MULTI_VECTORS_MAX,
            )?;
            for (index, values) in vectors.iter_mut().enumerate() {
                dense(*dimensions, *metric, *datatype, values, &|| {
                    format!("{}[{index}]", field())
                })?;
            }
            Ok(())
        }
        (VectorSchema::Sparse { .. }, Vector::Sparse(vector)) => sparse(vector, field),
        (expected, value) => Err(VectorsError::invalid(
            field(),
            format!(
                "is a {} vector, but the collection stores {} ones here",
                kind_of(value),
                match expected {
                    VectorSchema::Sparse { .. } => "sparse",
                    VectorSchema::Dense { multi: true, .. } => "multi-dense",
                    VectorSchema::Dense { .. } => "dense",
                }
            ),
        )),
    }
}

fn kind_of(vector: &Vector) -> &'static str {
    match vector {
        Vector::Dense(_) => "dense",
        Vector::Sparse(_) => "sparse",
        Vector::Multi(_) => "multi-dense",
    }
}

fn dense(
    dimensions: u32,
    metric: Metric,
    datatype: Datatype,
    values: &mut [f32],
    field: &dyn Fn() -> String,
) -> Result<(), VectorsError> {
    if values.len() != dimensions as usize {
        return Err(VectorsError::invalid(
            field(),
            format!("has {} dimensions instead of {dimensions}", values.len()),
        ));
    }
    finite(values, field)?;
    if metric == Metric::Cosine {
        normalise(values);
    }
    match datatype {
        Datatype::Float32 => {}
        Datatype::Float16 => {
            for (index, value) in values.iter_mut().enumerate() {
                *value = f16::from_f32(*value).to_f32();
                if !value.is_finite() {
                    return Err(VectorsError::invalid(
                        format!("{}[{index}]", field()),
                        "does not fit into 16 bits; the largest value is 65504",
                    ));
                }
            }
        }
        Datatype::Uint8 => {
            if let Some(index) = values
                .iter()
                .position(|value| value.fract() != 0.0 || !(0.0..=255.0).contains(value))
            {
                return Err(VectorsError::invalid(
                    format!("{}[{index}]", field()),
                    format!("{} is no whole number from 0 to 255", values[index]),
                ));
            }
        }
    }
    Ok(())
}

/// Length 1; the zero vector stays as it is. Computed in f64: no overflow for any finite input.
pub(crate) fn normalise(values: &mut [f32]) {
    let square: f64 = values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum();
    let length = square.sqrt();
    // A vector that is normalised already keeps its bits, so that reading and writing it back changes nothing.
    if length > 0.0 && (length - 1.0).abs() > 1e-6 {
        for value in values {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

fn sparse(vector: &SparseVector, field: &dyn Fn() -> String) -> Result<(), VectorsError> {
    if vector.indices.len() != vector.values.len() {
        return Err(VectorsError::invalid(
            field(),
            format!(
                "has {} indices but {} values",
                vector.indices.len(),
                vector.values.len()
            ),
        ));
    }
    limits::check(
        "entries of a sparse vector",
        vector.indices.len(),
        SPARSE_ENTRIES_MAX,
    )?;
    if let Some(index) = vector
        .indices
        .windows(2)
        .position(|pair| pair[0] >= pair[1])
    {
        return Err(VectorsError::invalid(
            format!("{}.indices[{}]", field(), index + 1),
            "indices are strictly increasing",
        ));
    }
    finite(&vector.values, &|| format!("{}.values", field()))
}

fn finite(values: &[f32], field: &dyn Fn() -> String) -> Result<(), VectorsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(VectorsError::invalid(
            format!("{}[{index}]", field()),
            format!("{} is not a finite number", values[index]),
        )),
        None => Ok(()),
    }
}

/// Checks size and depth of a payload.
pub(crate) fn payload(payload: &Payload, field: &dyn Fn() -> String) -> Result<(), VectorsError> {
    let mut bytes = 2;
    for (key, value) in payload {
        bytes += key.len() + 4 + measured(value, 2, field)?;
    }
    limits::check("bytes of a payload", bytes, PAYLOAD_BYTES_MAX)
}

/// About the bytes of the value's JSON text, or an error when it is nested too deeply.
fn measured(
    value: &serde_json::Value,
    depth: usize,
    field: &dyn Fn() -> String,
) -> Result<usize, VectorsError> {
    use serde_json::Value;
    if depth > PAYLOAD_DEPTH_MAX {
        return Err(VectorsError::invalid(
            field(),
            format!("is nested more than {PAYLOAD_DEPTH_MAX} levels deep"),
        ));
    }
    let mut bytes = 8;
    match value {
        Value::String(text) => bytes += text.len(),
        Value::Array(values) => {
            for value in values {
                bytes += measured(value, depth + 1, field)?;
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                bytes += key.len() + 4 + measured(value, depth + 1, field)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(bytes)
}

/// How a vector is named in errors.
pub(crate) fn vector_field(name: &str) -> String {
    if name.is_empty() {
        "vector".to_owned()
    } else {
        format!("vector.{name}")
    }
}

fn names(schema: &CollectionSchema) -> String {
    if schema.vectors.is_empty() {
        return "none".to_owned();
    }
    let mut listed = String::new();
    for name in schema.vectors.keys() {
        if !listed.is_empty() {
            listed.push_str(", ");
        }
        listed.push('`');
        listed.push_str(name);
        listed.push('`');
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::PointId;

    fn dense_schema(metric: Metric, datatype: Datatype, multi: bool) -> VectorSchema {
        VectorSchema::Dense {
            dimensions: 2,
            metric,
            datatype,
            multi,
            index: Default::default(),
            hnsw: Default::default(),
            quantization: Default::default(),
            on_disk: false,
        }
    }

    fn collection() -> CollectionSchema {
        CollectionSchema {
            vectors: [
                (
                    String::new(),
                    dense_schema(Metric::Cosine, Datatype::Float32, false),
                ),
                (
                    "bytes".into(),
                    dense_schema(Metric::Euclid, Datatype::Uint8, false),
                ),
                (
                    "half".into(),
                    dense_schema(Metric::Dot, Datatype::Float16, false),
                ),
                (
                    "tokens".into(),
                    dense_schema(Metric::Dot, Datatype::Float32, true),
                ),
                ("words".into(), VectorSchema::Sparse { idf: true }),
            ]
            .into(),
            ..CollectionSchema::default()
        }
    }

    fn check(name: &str, value: Vector) -> Result<Vector, String> {
        let mut one = Point {
            id: PointId::Number(1),
            vectors: [(name.to_owned(), value)].into(),
            payload: Payload::new(),
            expires_unix_ms: None,
        };
        point(&collection(), &mut one, &|| "points[3]".to_owned())
            .map_err(|error| error.to_string())?;
        Ok(one.vectors.remove(name).expect("still there"))
    }

    #[test]
    fn wrong_vectors_are_named() {
        let sparse = |indices: &[u32], values: &[f32]| {
            Vector::Sparse(SparseVector {
                indices: indices.to_vec(),
                values: values.to_vec(),
            })
        };
        for (name, value, expected) in [
            (
                "",
                Vector::Dense(vec![1.0]),
                "points[3].vector: has 1 dimensions instead of 2",
            ),
            (
                "",
                Vector::Dense(vec![1.0, f32::NAN]),
                "points[3].vector[1]: NaN is not a finite number",
            ),
            (
                "",
                sparse(&[], &[]),
                "points[3].vector: is a sparse vector, but the collection stores dense ones here",
            ),
            (
                "bytes",
                Vector::Dense(vec![3.0, 256.0]),
                "points[3].vector.bytes[1]: 256 is no whole number from 0 to 255",
            ),
            (
                "half",
                Vector::Dense(vec![1e6, 0.0]),
                "points[3].vector.half[0]: does not fit into 16 bits; the largest value is 65504",
            ),
            (
                "tokens",
                Vector::Multi(vec![vec![1.0, 2.0], vec![1.0]]),
                "points[3].vector.tokens[1]: has 1 dimensions instead of 2",
            ),
            (
                "tokens",
                Vector::Multi(vec![]),
                "points[3].vector.tokens: a multi-vector holds at least one vector",
            ),
            (
                "words",
                sparse(&[5, 5], &[1.0, 2.0]),
                "points[3].vector.words.indices[1]: indices are strictly increasing",
            ),
            (
                "words",
                sparse(&[5], &[f32::INFINITY]),
                "points[3].vector.words.values[0]: inf is not a finite number",
            ),
            (
                "words",
                sparse(&[5], &[]),
                "points[3].vector.words: has 1 indices but 0 values",
            ),
            (
                "other",
                Vector::Dense(vec![]),
                "points[3].vector.other: the collection has no vector of this name; it has ``, `bytes`, `half`, `tokens`, `words`",
            ),
        ] {
            assert_eq!(check(name, value).expect_err(expected), expected);
        }
    }

    #[test]
    fn stored_forms_are_stable() {
        let once = check("", Vector::Dense(vec![3.0, 4.0])).expect("valid");
        assert_eq!(once, Vector::Dense(vec![0.6, 0.8]));
        assert_eq!(check("", once.clone()).expect("valid"), once);
        let zero = Vector::Dense(vec![0.0, 0.0]);
        assert_eq!(check("", zero.clone()).expect("valid"), zero);
        let third = check("half", Vector::Dense(vec![1.0 / 3.0, 1.0])).expect("valid");
        assert_eq!(third, Vector::Dense(vec![0.333_251_95, 1.0]));
    }

    #[test]
    fn payloads_are_bounded_in_depth_and_size() {
        let mut value = serde_json::Value::Null;
        for _ in 0..PAYLOAD_DEPTH_MAX {
            value = serde_json::Value::Array(vec![value]);
        }
        let deep: Payload = [("a".to_owned(), value)].into_iter().collect();
        let error = payload(&deep, &|| "payload".to_owned()).expect_err("too deep");
        assert_eq!(
            error.to_string(),
            "payload: is nested more than 64 levels deep"
        );
        let text = "x".repeat(PAYLOAD_BYTES_MAX);
        let large: Payload = [("a".to_owned(), text.into())].into_iter().collect();
        payload(&large, &|| "payload".to_owned()).expect_err("too large");
    }
}
