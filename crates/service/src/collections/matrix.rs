//! Distances within a sample: for each of some random points, which of the others are nearest to it.

use std::collections::{BTreeSet, HashMap};

use security::Identity;
use vectors::VectorsError;
use vectors::collection::With;
use vectors::filter::{Condition, Filter};
use vectors::point::PointId;
use vectors::query::{Query, QueryRequest, SearchOptions, Stage, Target};

use super::call::{Call, Used};
use crate::error::{Error, Result};
use crate::failures;
use crate::service::Service;

/// Most points of a sample: each is compared with all others.
pub const SAMPLE_MAX: usize = 1_000;

/// A sample and how much of it is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixRequest {
    /// Which of the collection's vectors.
    pub using: String,
    /// Which points may be in the sample.
    pub filter: Filter,
    /// How many points, 2 to [`SAMPLE_MAX`].
    pub sample: usize,
    /// How many neighbours of each, at least 1.
    pub limit: usize,
    /// The same seed over the same points gives the same sample.
    pub seed: u64,
}

/// The nearest neighbours of each point of a sample, among the sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// The sample, in the order of ids.
    pub ids: Vec<PointId>,
    /// For each point of it: places of others in `ids`, nearest first, and their scores.
    pub neighbours: Vec<Vec<(usize, f32)>>,
}

impl Service {
    /// A seed for samples that nobody can foresee.
    ///
    /// # Errors
    /// `Internal` when the operating system gives no random numbers.
    pub fn sample_seed(&self) -> Result<u64> {
        platform::entropy::random_u64().map_err(failures::internal)
    }

    /// Samples points that have the vector, and finds for each its nearest neighbours among them, exactly.
    ///
    /// # Errors
    /// `NotFound` for the collection; `InvalidRequest` naming the field at fault.
    pub async fn points_matrix(
        &self,
        identity: &Identity,
        collection: &str,
        request: MatrixRequest,
    ) -> Result<Matrix> {
        if !(2..=SAMPLE_MAX).contains(&request.sample) {
            return Err(Error::invalid(
                "sample",
                format!("sample: must be from 2 to {SAMPLE_MAX}"),
            ));
        }
        if request.limit == 0 {
            return Err(Error::invalid("limit", "limit: must be at least 1"));
        }
        self.with_collection(identity, Call::read("matrix"), collection, move |used| {
            used.matrix(&request)
        })
        .await
    }
}

impl Used {
    fn matrix(&self, request: &MatrixRequest) -> Result<Matrix, VectorsError> {
        // No point has such a vector: without this the answer would be an empty matrix.
        if !self
            .collection
            .schema()
            .vectors
            .contains_key(&request.using)
        {
            return Err(VectorsError::Missing {
                what: "vector",
                name: request.using.clone(),
            });
        }
        let mut filter = request.filter.clone();
        filter
            .must
            .push(Condition::HasVector(request.using.clone()));
        let sample = self.collection.query(
            &QueryRequest {
                stage: Stage {
                    query: Some(Query::Sample { seed: request.seed }),
                    filter,
                    limit: request.sample,
                    ..Stage::default()
                },
                offset: 0,
            },
            &With::nothing(),
        )?;
        let ids: BTreeSet<PointId> = sample.iter().map(|one| one.point.id).collect();
        if ids.len() < 2 {
            return Ok(Matrix::default());
        }
        let places: HashMap<PointId, usize> = ids.iter().copied().zip(0..).collect();
        let among = Filter {
            must: vec![Condition::HasId(ids.clone())],
            ..Filter::default()
        };
        let neighbours = ids
            .iter()
            .map(|id| {
                let found = self.collection.query(
                    &QueryRequest {
                        stage: Stage {
                            query: Some(Query::Nearest {
                                target: Target::Point(*id),
                                mmr: None,
                            }),
                            using: request.using.clone(),
                            filter: among.clone(),
                            options: SearchOptions {
                                exact: true,
                                ..SearchOptions::default()
                            },
                            limit: request.limit,
                            ..Stage::default()
                        },
                        offset: 0,
                    },
                    &With::nothing(),
                )?;
                Ok(found
                    .iter()
                    .filter_map(|one| Some((*places.get(&one.point.id)?, one.score)))
                    .collect())
            })
            .collect::<Result<_, VectorsError>>()?;
        Ok(Matrix {
            ids: ids.into_iter().collect(),
            neighbours,
        })
    }
}
