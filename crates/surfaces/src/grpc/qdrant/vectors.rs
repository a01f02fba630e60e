//! Vectors from and to the wire.

use std::collections::{BTreeMap, BTreeSet};

use service::Error;
use service::collections::{Document, Input, SparseVector, Vector, VectorSelection};

use super::ids::id;
use super::values::payload;
use super::{invalid, missing, unsupported};
use crate::grpc::protocol::qdrant as wire;

/// The name of the vector that has none.
pub const UNNAMED: &str = "";

/// Vectors to be stored, by name; each as the service takes it.
///
/// # Errors
/// One is missing, not valid, or of a kind that is not supported.
pub fn named(vectors: Option<wire::Vectors>) -> Result<BTreeMap<String, Input>, Error> {
    use wire::vectors::VectorsOptions;
    match vectors.and_then(|vectors| vectors.vectors_options) {
        None => Ok(BTreeMap::new()),
        Some(VectorsOptions::Vector(one)) => {
            Ok(BTreeMap::from([(UNNAMED.to_owned(), vector(one)?)]))
        }
        Some(VectorsOptions::Vectors(all)) => all
            .vectors
            .into_iter()
            .map(|(name, one)| Ok((name, vector(one)?)))
            .collect(),
    }
}

fn vector(vector: wire::Vector) -> Result<Input, Error> {
    use wire::vector::Vector as Kind;
    let plain = match vector.vector {
        Some(Kind::Dense(dense)) => Ok(Vector::Dense(dense.data)),
        Some(Kind::Sparse(given)) => sparse(given.indices, given.values),
        Some(Kind::MultiDense(given)) => Ok(multi(given)),
        Some(Kind::Document(given)) => return document(given),
        Some(Kind::Image(_)) => Err(unsupported("images as vectors are")),
        Some(Kind::Object(_)) => Err(unsupported("objects as vectors are")),
        // How clients before 1.17 send them.
        None => match (vector.indices, vector.vectors_count) {
            (Some(indices), _) => sparse(indices.data, vector.data),
            (None, Some(count)) => rows(&vector.data, count),
            (None, None) => Ok(Vector::Dense(vector.data)),
        },
    };
    plain.map(Input::Vector)
}

fn document(given: wire::Document) -> Result<Input, Error> {
    Ok(Input::Document(Document {
        text: given.text,
        model: given.model,
        options: payload(given.options)?,
    }))
}

fn multi(given: wire::MultiDenseVector) -> Vector {
    Vector::Multi(given.vectors.into_iter().map(|one| one.data).collect())
}

/// `count` vectors of one size, one after the other.
fn rows(data: &[f32], count: u32) -> Result<Vector, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 || data.is_empty() || !data.len().is_multiple_of(count) {
        let message = format!("{} values are not {count} vectors of one size", data.len());
        return Err(invalid("vectors_count", message));
    }
    let rows = data.chunks_exact(data.len() / count);
    Ok(Vector::Multi(rows.map(<[f32]>::to_vec).collect()))
}

/// A sparse vector, its entries brought into order. That no dimension stands twice is the engine's to check.
///
/// # Errors
/// There are not as many values as indices.
pub fn sparse(indices: Vec<u32>, values: Vec<f32>) -> Result<Vector, Error> {
    if indices.len() != values.len() {
        let message = format!(
            "{} indices and {} values: there must be one value for each index",
            indices.len(),
            values.len()
        );
        return Err(invalid("sparse", message));
    }
    if indices.is_sorted() {
        return Ok(Vector::Sparse(SparseVector { indices, values }));
    }
    let mut entries: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
    entries.sort_by_key(|(index, _)| *index);
    let (indices, values) = entries.into_iter().unzip();
    Ok(Vector::Sparse(SparseVector { indices, values }))
}

/// What a query is to be near to.
///
/// # Errors
/// As [`named`].
pub fn input(field: &str, input: Option<wire::VectorInput>) -> Result<Input, Error> {
    use wire::vector_input::Variant;
    let given = input.and_then(|input| input.variant);
    let plain = match given.ok_or_else(|| missing(field))? {
        Variant::Id(point) => return Ok(Input::Point(id(Some(point))?)),
        Variant::Document(given) => return document(given),
        Variant::Dense(dense) => Ok(Vector::Dense(dense.data)),
        Variant::Sparse(given) => sparse(given.indices, given.values),
        Variant::MultiDense(given) => Ok(multi(given)),
        Variant::Image(_) => Err(unsupported("images as vectors are")),
        Variant::Object(_) => Err(unsupported("objects as vectors are")),
    };
    plain.map(Input::Vector)
}

/// The vectors of a stored point for a client; `None` when none were asked for.
pub fn wire_vectors(mut vectors: BTreeMap<String, Vector>) -> Option<wire::VectorsOutput> {
    use wire::vectors_output::VectorsOptions;
    if vectors.is_empty() {
        return None;
    }
    // A point of an unnamed vector and others is written by names, as the only way to show them all.
    let options = match (vectors.len(), vectors.remove(UNNAMED)) {
        (1, Some(unnamed)) => VectorsOptions::Vector(wire_vector(unnamed)),
        (_, unnamed) => {
            vectors.extend(unnamed.map(|vector| (UNNAMED.to_owned(), vector)));
            let all = vectors.into_iter();
            VectorsOptions::Vectors(wire::NamedVectorsOutput {
                vectors: all.map(|(name, one)| (name, wire_vector(one))).collect(),
            })
        }
    };
    Some(wire::VectorsOutput {
        vectors_options: Some(options),
    })
}

fn wire_vector(vector: Vector) -> wire::VectorOutput {
    use wire::vector_output::Vector as Kind;
    let kind = match vector {
        Vector::Dense(data) => Kind::Dense(wire::DenseVector { data }),
        Vector::Sparse(SparseVector { indices, values }) => {
            Kind::Sparse(wire::SparseVector { values, indices })
        }
        Vector::Multi(rows) => Kind::MultiDense(wire::MultiDenseVector {
            vectors: rows
                .into_iter()
                .map(|data| wire::DenseVector { data })
                .collect(),
        }),
    };
    wire::VectorOutput {
        vector: Some(kind),
        ..wire::VectorOutput::default()
    }
}

/// Which vectors a client wants back.
pub fn selection(selector: Option<wire::WithVectorsSelector>) -> VectorSelection {
    use wire::with_vectors_selector::SelectorOptions;
    match selector.and_then(|selector| selector.selector_options) {
        None | Some(SelectorOptions::Enable(false)) => VectorSelection::None,
        Some(SelectorOptions::Enable(true)) => VectorSelection::All,
        Some(SelectorOptions::Include(names)) => {
            VectorSelection::Names(names.names.into_iter().collect::<BTreeSet<_>>())
        }
    }
}
