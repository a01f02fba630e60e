//! The calls that `Query` replaces: each is turned into the query message that says the same, so that there is one way in.

use service::Error;

use super::{missing, unsupported};
use crate::grpc::protocol::qdrant as wire;
use wire::query::Variant;
use wire::vector_input::Variant as InputVariant;

/// `Search` as a query.
pub fn search(request: wire::SearchPoints) -> wire::QueryPoints {
    wire::QueryPoints {
        collection_name: request.collection_name,
        query: nearest(request.vector, request.sparse_indices),
        using: request.vector_name,
        filter: request.filter,
        params: request.params,
        score_threshold: request.score_threshold,
        limit: Some(request.limit),
        offset: request.offset,
        with_vectors: request.with_vectors,
        with_payload: request.with_payload,
        read_consistency: request.read_consistency,
        shard_key_selector: request.shard_key_selector,
        timeout: request.timeout,
        ..wire::QueryPoints::default()
    }
}

/// `SearchGroups` as a query.
pub fn search_groups(request: wire::SearchPointGroups) -> wire::QueryPointGroups {
    wire::QueryPointGroups {
        collection_name: request.collection_name,
        query: nearest(request.vector, request.sparse_indices),
        using: request.vector_name,
        filter: request.filter,
        params: request.params,
        score_threshold: request.score_threshold,
        with_payload: request.with_payload,
        with_vectors: request.with_vectors,
        limit: Some(request.limit.into()),
        group_size: Some(request.group_size.into()),
        group_by: request.group_by,
        read_consistency: request.read_consistency,
        with_lookup: request.with_lookup,
        timeout: request.timeout,
        shard_key_selector: request.shard_key_selector,
        ..wire::QueryPointGroups::default()
    }
}

fn nearest(values: Vec<f32>, indices: Option<wire::SparseIndices>) -> Option<wire::Query> {
    let variant = match indices {
        Some(indices) => InputVariant::Sparse(wire::SparseVector {
            values,
            indices: indices.data,
        }),
        None => InputVariant::Dense(wire::DenseVector { data: values }),
    };
    query(Variant::Nearest(input(variant)))
}

fn query(variant: Variant) -> Option<wire::Query> {
    Some(wire::Query {
        variant: Some(variant),
    })
}

fn input(variant: InputVariant) -> wire::VectorInput {
    wire::VectorInput {
        variant: Some(variant),
    }
}

/// `Recommend` as a query.
///
/// # Errors
/// An example is not valid.
pub fn recommend(request: wire::RecommendPoints) -> Result<wire::QueryPoints, Error> {
    Ok(wire::QueryPoints {
        collection_name: request.collection_name,
        query: examples(Examples {
            positive: (request.positive, request.positive_vectors),
            negative: (request.negative, request.negative_vectors),
            strategy: request.strategy,
        })?,
        using: request.using,
        filter: request.filter,
        params: request.params,
        score_threshold: request.score_threshold,
        limit: Some(request.limit),
        offset: request.offset,
        with_vectors: request.with_vectors,
        with_payload: request.with_payload,
        read_consistency: request.read_consistency,
        shard_key_selector: request.shard_key_selector,
        lookup_from: request.lookup_from,
        timeout: request.timeout,
        ..wire::QueryPoints::default()
    })
}

/// `RecommendGroups` as a query.
///
/// # Errors
/// As [`recommend`].
pub fn recommend_groups(
    request: wire::RecommendPointGroups,
) -> Result<wire::QueryPointGroups, Error> {
    Ok(wire::QueryPointGroups {
        collection_name: request.collection_name,
        query: examples(Examples {
            positive: (request.positive, request.positive_vectors),
            negative: (request.negative, request.negative_vectors),
            strategy: request.strategy,
        })?,
        using: request.using,
        filter: request.filter,
        params: request.params,
        score_threshold: request.score_threshold,
        with_payload: request.with_payload,
        with_vectors: request.with_vectors,
        lookup_from: request.lookup_from,
        limit: Some(request.limit.into()),
        group_size: Some(request.group_size.into()),
        group_by: request.group_by,
        read_consistency: request.read_consistency,
        with_lookup: request.with_lookup,
        timeout: request.timeout,
        shard_key_selector: request.shard_key_selector,
        ..wire::QueryPointGroups::default()
    })
}

/// Examples as the older calls send them: points and vectors apart.
struct Examples {
    positive: (Vec<wire::PointId>, Vec<wire::Vector>),
    negative: (Vec<wire::PointId>, Vec<wire::Vector>),
    strategy: Option<i32>,
}

fn examples(examples: Examples) -> Result<Option<wire::Query>, Error> {
    let together = |(ids, vectors): (Vec<wire::PointId>, Vec<wire::Vector>)| {
        let ids = ids.into_iter().map(|id| Ok(input(InputVariant::Id(id))));
        let all = ids.chain(vectors.into_iter().map(vector));
        all.collect::<Result<Vec<_>, Error>>()
    };
    Ok(query(Variant::Recommend(wire::RecommendInput {
        positive: together(examples.positive)?,
        negative: together(examples.negative)?,
        strategy: examples.strategy,
    })))
}

/// A vector of the kind that is stored as one to search with.
fn vector(vector: wire::Vector) -> Result<wire::VectorInput, Error> {
    use wire::vector::Vector as Kind;
    Ok(input(match vector.vector {
        Some(Kind::Dense(dense)) => InputVariant::Dense(dense),
        Some(Kind::Sparse(sparse)) => InputVariant::Sparse(sparse),
        Some(Kind::MultiDense(multi)) => InputVariant::MultiDense(multi),
        Some(Kind::Document(document)) => InputVariant::Document(document),
        Some(Kind::Image(image)) => InputVariant::Image(image),
        Some(Kind::Object(object)) => InputVariant::Object(object),
        None => match (vector.indices, vector.vectors_count) {
            (Some(indices), _) => InputVariant::Sparse(wire::SparseVector {
                values: vector.data,
                indices: indices.data,
            }),
            (None, Some(_)) => return Err(unsupported("multi-vectors in this older spelling are")),
            (None, None) => InputVariant::Dense(wire::DenseVector { data: vector.data }),
        },
    }))
}

/// `Discover` as a query. Without a target it is a search by context alone.
///
/// # Errors
/// An example is missing or not valid.
pub fn discover(request: wire::DiscoverPoints) -> Result<wire::QueryPoints, Error> {
    use wire::target_vector::Target;
    let pair = |pair: wire::ContextExamplePair| {
        Ok(wire::ContextInputPair {
            positive: Some(example("context.positive", pair.positive)?),
            negative: Some(example("context.negative", pair.negative)?),
        })
    };
    let context = wire::ContextInput {
        pairs: request
            .context
            .into_iter()
            .map(pair)
            .collect::<Result<_, Error>>()?,
    };
    let asked = match request.target.and_then(|target| target.target) {
        None => Variant::Context(context),
        Some(Target::Single(one)) => Variant::Discover(wire::DiscoverInput {
            target: Some(example("target", Some(one))?),
            context: Some(context),
        }),
    };
    Ok(wire::QueryPoints {
        collection_name: request.collection_name,
        query: query(asked),
        using: request.using,
        filter: request.filter,
        params: request.params,
        limit: Some(request.limit),
        offset: request.offset,
        with_vectors: request.with_vectors,
        with_payload: request.with_payload,
        read_consistency: request.read_consistency,
        shard_key_selector: request.shard_key_selector,
        lookup_from: request.lookup_from,
        timeout: request.timeout,
        ..wire::QueryPoints::default()
    })
}

fn example(field: &str, example: Option<wire::VectorExample>) -> Result<wire::VectorInput, Error> {
    use wire::vector_example::Example;
    match example.and_then(|example| example.example) {
        Some(Example::Id(id)) => Ok(input(InputVariant::Id(id))),
        Some(Example::Vector(given)) => vector(given),
        None => Err(missing(field)),
    }
}
