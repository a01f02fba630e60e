//! A collection as queries see it.

use super::request::{OrderBy, SearchOptions, TextParameters};
use crate::error::VectorsError;
use crate::filter::{Condition, Filter};
use crate::point::{Payload, PointId, Vector};
use crate::schema::VectorSchema;

/// A point and its rank; larger is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which point.
    pub id: PointId,
    /// As in [`crate::rows::Scored`]; never NaN.
    pub rank: f32,
}

/// A search for the nearest vectors.
#[derive(Debug, Clone, Copy)]
pub struct NearestSearch<'a> {
    /// The vector's name.
    pub vector: &'a str,
    /// Of the kind that the schema names. Not yet normalised for cosine; already weighted by document frequencies.
    pub query: &'a Vector,
    /// Which points may be found.
    pub filter: &'a Filter,
    /// How the search is done.
    pub options: SearchOptions,
    /// Most results.
    pub limit: usize,
}

/// A search by ranks to several example vectors at once.
pub struct ExampleSearch<'a> {
    /// The vector's name.
    pub vector: &'a str,
    /// The examples, as [`NearestSearch::query`]. A sparse row that shares no dimension with one has rank 0 to it.
    pub examples: &'a [Vector],
    /// The final rank from the ranks to the examples, in their order.
    pub combine: &'a (dyn Fn(&[f32]) -> f32 + Sync),
    /// Which points may be found; only those with the vector are.
    pub filter: &'a Filter,
    /// How the search is done.
    pub options: SearchOptions,
    /// Most results.
    pub limit: usize,
}

/// A search for words.
#[derive(Debug, Clone, Copy)]
pub struct TextSearch<'a> {
    /// Path of the field with the text index.
    pub field: &'a str,
    /// The words.
    pub text: &'a str,
    /// Scoring and matching.
    pub parameters: TextParameters,
    /// Which points may be found; document frequencies are the whole collection's whatever the filter.
    pub filter: &'a Filter,
    /// Most results.
    pub limit: usize,
}

/// What a collection can do for a query. Answers are about live points only, best first, without duplicate ids, equal
/// ranks by rising id as far as the method can tell them.
pub trait Searcher {
    /// What the vector called `name` is.
    ///
    /// # Errors
    /// [`VectorsError::Missing`] when there is none.
    fn vector_schema(&self, name: &str) -> Result<VectorSchema, VectorsError>;

    /// How many live points there are, at least; bounds every list.
    fn point_count(&self) -> u64;

    /// The nearest points.
    ///
    /// # Errors
    /// As the search of a segment.
    fn nearest(&self, search: &NearestSearch<'_>) -> Result<Vec<Ranked>, VectorsError>;

    /// The best points by a rank made of several.
    ///
    /// # Errors
    /// As the search of a segment.
    fn by_examples(&self, search: &ExampleSearch<'_>) -> Result<Vec<Ranked>, VectorsError>;

    /// The best points for words.
    ///
    /// # Errors
    /// [`VectorsError::Missing`] when the field has no text index.
    fn text(&self, search: &TextSearch<'_>) -> Result<Vec<Ranked>, VectorsError>;

    /// For each dimension ln((N − df + 0.5) / (df + 0.5) + 1) over the live points with the sparse vector `name`; `None`
    /// when its schema does not ask for it.
    ///
    /// # Errors
    /// As the search of a segment.
    fn inverse_document_frequencies(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<Option<Vec<f32>>, VectorsError>;

    /// Vectors called `name` of points of this collection, as stored; `None` for points or vectors that don't exist.
    ///
    /// # Errors
    /// As the reading of points.
    fn vectors(&self, name: &str, ids: &[PointId]) -> Result<Vec<Option<Vector>>, VectorsError>;

    /// As [`Searcher::vectors`], of another collection.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`] when it doesn't exist.
    fn vectors_elsewhere(
        &self,
        collection: &str,
        name: &str,
        ids: &[PointId],
    ) -> Result<Vec<Option<Vector>>, VectorsError>;

    /// Payloads of points; `None` for points that don't exist.
    ///
    /// # Errors
    /// As the reading of points.
    fn payloads(&self, ids: &[PointId]) -> Result<Vec<Option<Payload>>, VectorsError>;

    /// Whether each point satisfies the condition.
    ///
    /// # Errors
    /// As the reading of points.
    fn satisfying(&self, condition: &Condition, ids: &[PointId])
    -> Result<Vec<bool>, VectorsError>;

    /// The first points by id.
    ///
    /// # Errors
    /// As the evaluation of the filter.
    fn by_id(&self, filter: &Filter, limit: usize) -> Result<Vec<PointId>, VectorsError>;

    /// The first points by a value of their payload; a point with several values appears once for each.
    ///
    /// # Errors
    /// As the evaluation of the filter.
    fn ordered(
        &self,
        order: &OrderBy,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<PointId>, VectorsError>;

    /// Calls `visit` with every point, in any order.
    ///
    /// # Errors
    /// As the evaluation of the filter.
    fn visit(&self, filter: &Filter, visit: &mut dyn FnMut(PointId)) -> Result<(), VectorsError>;
}
