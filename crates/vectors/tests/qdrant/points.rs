//! A collection that is a list of points: every answer comes from looking at each of them.

use std::collections::BTreeMap;

use serde_json::Value;
use vectors::filter::{Candidate, Number, datetime, matches};
use vectors::query::{
    Direction, ExampleSearch, NearestSearch, OrderBy, Ranked, Searcher, TextSearch,
};
use vectors::sparse::SparseStatistics;
use vectors::text::{AnalyzerOptions, Bm25, TextIndex, TextIndexSearch, TextQuery, Tokenizer};
use vectors::{
    Allowed, Condition, Filter, Metric, Payload, PointId, Vector, VectorSchema, VectorsError,
};

pub struct Points {
    metric: Metric,
    points: Vec<Point>,
    text: TextIndex,
}

struct Point {
    id: PointId,
    vectors: BTreeMap<String, Vector>,
    payload: Payload,
}

impl Points {
    pub fn new(metric: Metric, points: &[Value]) -> Self {
        let options = AnalyzerOptions {
            tokenizer: Tokenizer::Word,
            ..AnalyzerOptions::default()
        };
        let mut text = TextIndex::new(&options).unwrap();
        let mut list = Vec::new();
        for (row, point) in (0..).zip(points) {
            text.insert(row, point["payload"]["text"].as_str()).unwrap();
            let vectors = point["vector"].as_object().unwrap();
            list.push(Point {
                id: PointId::Number(point["id"].as_u64().unwrap()),
                vectors: vectors
                    .iter()
                    .map(|(name, value)| {
                        let vector = super::convert::vector(value);
                        (name.clone(), stored(metric, &vector))
                    })
                    .collect(),
                payload: point["payload"].as_object().unwrap().clone(),
            });
        }
        Points {
            metric,
            points: list,
            text,
        }
    }

    /// The groups of a point, for fields of texts only.
    pub fn groups_of(&self, id: PointId) -> Vec<String> {
        let point = self.points.iter().find(|point| point.id == id).unwrap();
        match &point.payload["group"] {
            Value::Array(values) => values
                .iter()
                .map(|value| value.as_str().unwrap().to_owned())
                .collect(),
            value => vec![value.as_str().unwrap().to_owned()],
        }
    }

    fn passing(&self, filter: &Filter) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| passes(filter, point))
    }

    fn of<T>(&self, ids: &[PointId], get: impl Fn(&Point) -> Option<T>) -> Vec<Option<T>> {
        ids.iter()
            .map(|id| {
                self.points
                    .iter()
                    .find(|point| point.id == *id)
                    .and_then(&get)
            })
            .collect()
    }
}

fn passes(filter: &Filter, point: &Point) -> bool {
    matches(
        filter,
        Candidate {
            id: Some(point.id),
            payload: &point.payload,
            has_vector: &|name| point.vectors.contains_key(name),
        },
    )
}

/// As a collection keeps it: of length 1 for cosine.
fn stored(metric: Metric, vector: &Vector) -> Vector {
    let unit = |values: &Vec<f32>| -> Vec<f32> {
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter().map(|value| value / length).collect()
    };
    match (metric, vector) {
        (Metric::Cosine, Vector::Dense(values)) => Vector::Dense(unit(values)),
        (Metric::Cosine, Vector::Multi(vectors)) => {
            Vector::Multi(vectors.iter().map(unit).collect())
        }
        _ => vector.clone(),
    }
}

/// The rank of two vectors; `None` for sparse ones without a common dimension.
fn rank(metric: Metric, one: &Vector, two: &Vector) -> Option<f32> {
    let dense = |one: &[f32], two: &[f32]| -> f32 {
        let pairs = one.iter().zip(two);
        match metric {
            Metric::Cosine | Metric::Dot => pairs.map(|(one, two)| one * two).sum(),
            Metric::Euclid => -pairs
                .map(|(one, two)| (one - two) * (one - two))
                .sum::<f32>(),
            Metric::Manhattan => -pairs.map(|(one, two)| (one - two).abs()).sum::<f32>(),
        }
    };
    match (one, two) {
        (Vector::Dense(one), Vector::Dense(two)) => Some(dense(one, two)),
        (Vector::Multi(one), Vector::Multi(two)) => Some(
            one.iter()
                .map(|one| {
                    two.iter()
                        .map(|two| dense(one, two))
                        .fold(f32::MIN, f32::max)
                })
                .sum(),
        ),
        (Vector::Sparse(one), Vector::Sparse(two)) => {
            let mut sum = None;
            for (index, value) in one.indices.iter().zip(&one.values) {
                if let Some(place) = two.indices.iter().position(|other| other == index) {
                    *sum.get_or_insert(0.0) += value * two.values[place];
                }
            }
            sum
        }
        _ => panic!("vectors of different kinds"),
    }
}

fn best(mut ranked: Vec<Ranked>, limit: usize) -> Vec<Ranked> {
    ranked.sort_by(|one, two| two.rank.total_cmp(&one.rank).then(one.id.cmp(&two.id)));
    ranked.truncate(limit);
    ranked
}

impl Searcher for Points {
    fn vector_schema(&self, name: &str) -> Result<VectorSchema, VectorsError> {
        match name {
            "sparse" | "rare" => Ok(VectorSchema::Sparse {
                idf: name == "rare",
            }),
            "" | "multi" => Ok(serde_json::from_value(serde_json::json!({
                "kind": "dense", "dimensions": 6, "metric": self.metric, "multi": name == "multi",
            }))
            .unwrap()),
            _ => Err(VectorsError::Missing {
                what: "vector",
                name: name.to_owned(),
            }),
        }
    }

    fn point_count(&self) -> u64 {
        self.points.len() as u64
    }

    fn nearest(&self, search: &NearestSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        let query = stored(self.metric, search.query);
        let ranked = self.passing(search.filter).filter_map(|point| {
            let rank = rank(self.metric, &query, point.vectors.get(search.vector)?)?;
            Some(Ranked { id: point.id, rank })
        });
        Ok(best(ranked.collect(), search.limit))
    }

    fn by_examples(&self, search: &ExampleSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        let examples: Vec<Vector> = search
            .examples
            .iter()
            .map(|example| stored(self.metric, example))
            .collect();
        let ranked = self.passing(search.filter).filter_map(|point| {
            let vector = point.vectors.get(search.vector)?;
            let ranks: Vec<f32> = examples
                .iter()
                .map(|example| rank(self.metric, example, vector).unwrap_or(0.0))
                .collect();
            Some(Ranked {
                id: point.id,
                rank: (search.combine)(&ranks),
            })
        });
        Ok(best(ranked.collect(), search.limit))
    }

    fn text(&self, search: &TextSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        assert_eq!(search.field, "text");
        let query = TextQuery::words(
            self.text.analyzer(),
            search.text,
            search.parameters.all_terms,
        );
        let statistics = self.text.statistics(&query, None)?;
        let scoring = search.parameters.scoring(Bm25::default());
        let found = self.text.search(&TextIndexSearch {
            query: &query,
            statistics: &statistics,
            k1: scoring.k1,
            b: scoring.b,
            k: self.points.len(),
            allowed: Allowed::default(),
        })?;
        let ranked = found.iter().filter_map(|scored| {
            let point = &self.points[scored.row as usize];
            passes(search.filter, point).then_some(Ranked {
                id: point.id,
                rank: scored.rank,
            })
        });
        Ok(best(ranked.collect(), search.limit))
    }

    fn inverse_document_frequencies(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<Option<Vec<f32>>, VectorsError> {
        if name != "rare" {
            return Ok(None);
        }
        let vectors: Vec<_> = self
            .points
            .iter()
            .filter_map(|point| match point.vectors.get(name) {
                Some(Vector::Sparse(vector)) => Some(vector),
                _ => None,
            })
            .collect();
        let with = |dimension| {
            vectors
                .iter()
                .filter(|vector| vector.indices.contains(dimension))
                .count() as u64
        };
        let statistics = SparseStatistics {
            rows: vectors.len() as u64,
            frequencies: dimensions.iter().map(with).collect(),
        };
        Ok(Some(statistics.inverse_document_frequencies()))
    }

    fn vectors(&self, name: &str, ids: &[PointId]) -> Result<Vec<Option<Vector>>, VectorsError> {
        Ok(self.of(ids, |point| point.vectors.get(name).cloned()))
    }

    fn vectors_elsewhere(
        &self,
        collection: &str,
        name: &str,
        ids: &[PointId],
    ) -> Result<Vec<Option<Vector>>, VectorsError> {
        match collection {
            "other" => self.vectors(name, ids),
            _ => Err(VectorsError::CollectionMissing {
                name: collection.to_owned(),
            }),
        }
    }

    fn payloads(&self, ids: &[PointId]) -> Result<Vec<Option<Payload>>, VectorsError> {
        Ok(self.of(ids, |point| Some(point.payload.clone())))
    }

    fn satisfying(
        &self,
        condition: &Condition,
        ids: &[PointId],
    ) -> Result<Vec<bool>, VectorsError> {
        let filter = Filter {
            must: vec![condition.clone()],
            ..Filter::default()
        };
        let holds = self.of(ids, |point| Some(passes(&filter, point)));
        Ok(holds.into_iter().map(|holds| holds == Some(true)).collect())
    }

    fn by_id(&self, filter: &Filter, limit: usize) -> Result<Vec<PointId>, VectorsError> {
        Ok(self
            .passing(filter)
            .map(|point| point.id)
            .take(limit)
            .collect())
    }

    fn ordered(
        &self,
        order: &OrderBy,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<PointId>, VectorsError> {
        let mut values: Vec<(f64, PointId)> = Vec::new();
        for point in self.passing(filter) {
            for value in order.key.values(&point.payload) {
                let number = match value {
                    Value::String(text) => datetime::parse(text).map(|micros| micros as f64),
                    other => Number::of_value(other).map(Number::to_f64),
                };
                values.extend(number.map(|number| (number, point.id)));
            }
        }
        values.sort_by(|one, two| {
            let order = match order.direction {
                Direction::Ascending => one.0.total_cmp(&two.0),
                Direction::Descending => two.0.total_cmp(&one.0),
            };
            order.then(one.1.cmp(&two.1))
        });
        Ok(values.into_iter().map(|(_, id)| id).take(limit).collect())
    }

    fn visit(&self, filter: &Filter, visit: &mut dyn FnMut(PointId)) -> Result<(), VectorsError> {
        self.passing(filter).for_each(|point| visit(point.id));
        Ok(())
    }
}
