//! Queries whose vectors are given as something else than a [`Target`](super::Target), and their way to one.
//!
//! Visiting and mapping go through the targets in the same order, which is part of the contract: a caller may look at
//! all of them first (to embed every text of a query in one batch) and then replace them one by one from a list.

use super::examples::ContextPair;
use super::groups::GroupRequest;
use super::request::{Query, QueryRequest, Stage};

/// Where in a query a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetPlace<'a> {
    /// Path of its stage: empty for the root, else `prefetch[0].` and so on.
    pub stage: &'a str,
    /// The vector's name that its stage searches.
    pub using: &'a str,
}

impl<T> QueryRequest<T> {
    /// Calls `visit` with every target.
    pub fn visit_targets<'t>(&'t self, visit: &mut dyn FnMut(TargetPlace<'_>, &'t T)) {
        self.stage.visit_targets(visit);
    }

    /// The same query with every target replaced by what `map` makes of it.
    ///
    /// # Errors
    /// The first error of `map`.
    pub fn try_map_targets<U, E>(
        self,
        map: &mut dyn FnMut(TargetPlace<'_>, T) -> Result<U, E>,
    ) -> Result<QueryRequest<U>, E> {
        Ok(QueryRequest {
            stage: self.stage.try_map_targets(map)?,
            offset: self.offset,
        })
    }
}

impl<T> GroupRequest<T> {
    /// The same grouped query with every target replaced by what `map` makes of it.
    ///
    /// # Errors
    /// The first error of `map`.
    pub fn try_map_targets<U, E>(
        self,
        map: &mut dyn FnMut(TargetPlace<'_>, T) -> Result<U, E>,
    ) -> Result<GroupRequest<U>, E> {
        Ok(GroupRequest {
            query: self.query.try_map_targets(map)?,
            group_by: self.group_by,
            group_size: self.group_size,
            limit: self.limit,
        })
    }
}

impl<T> Stage<T> {
    /// Calls `visit` with every target of this stage and of its prefetches.
    pub fn visit_targets<'t>(&'t self, visit: &mut dyn FnMut(TargetPlace<'_>, &'t T)) {
        self.visit_within("", visit);
    }

    /// The same stage with every target replaced by what `map` makes of it.
    ///
    /// # Errors
    /// The first error of `map`.
    pub fn try_map_targets<U, E>(
        self,
        map: &mut dyn FnMut(TargetPlace<'_>, T) -> Result<U, E>,
    ) -> Result<Stage<U>, E> {
        self.map_within("", map)
    }

    fn visit_within<'t>(&'t self, path: &str, visit: &mut dyn FnMut(TargetPlace<'_>, &'t T)) {
        for (index, stage) in self.prefetch.iter().enumerate() {
            stage.visit_within(&format!("{path}prefetch[{index}]."), visit);
        }
        let place = TargetPlace {
            stage: path,
            using: &self.using,
        };
        if let Some(query) = &self.query {
            query.visit(&mut |target| visit(place, target));
        }
    }

    fn map_within<U, E>(
        self,
        path: &str,
        map: &mut dyn FnMut(TargetPlace<'_>, T) -> Result<U, E>,
    ) -> Result<Stage<U>, E> {
        let mut prefetch = Vec::with_capacity(self.prefetch.len());
        for (index, stage) in self.prefetch.into_iter().enumerate() {
            prefetch.push(stage.map_within(&format!("{path}prefetch[{index}]."), map)?);
        }
        let place = TargetPlace {
            stage: path,
            using: &self.using,
        };
        let query = match self.query {
            Some(query) => Some(query.try_map(&mut |target| map(place, target))?),
            None => None,
        };
        Ok(Stage {
            prefetch,
            query,
            using: self.using,
            filter: self.filter,
            options: self.options,
            score_threshold: self.score_threshold,
            limit: self.limit,
            lookup_from: self.lookup_from,
        })
    }
}

impl<T> Query<T> {
    fn visit<'t>(&'t self, visit: &mut dyn FnMut(&'t T)) {
        match self {
            Query::Nearest { target, .. } => visit(target),
            Query::Recommend {
                positive, negative, ..
            } => positive.iter().chain(negative).for_each(visit),
            Query::Discover { target, context } => {
                visit(target);
                visit_pairs(context, visit);
            }
            Query::Context { context } => visit_pairs(context, visit),
            Query::Text { .. }
            | Query::OrderBy(_)
            | Query::Sample { .. }
            | Query::Fusion(_)
            | Query::Formula(_) => {}
        }
    }

    fn try_map<U, E>(self, map: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Query<U>, E> {
        Ok(match self {
            Query::Nearest { target, mmr } => Query::Nearest {
                target: map(target)?,
                mmr,
            },
            Query::Recommend {
                positive,
                negative,
                strategy,
            } => Query::Recommend {
                positive: positive
                    .into_iter()
                    .map(&mut *map)
                    .collect::<Result<_, E>>()?,
                negative: negative
                    .into_iter()
                    .map(&mut *map)
                    .collect::<Result<_, E>>()?,
                strategy,
            },
            Query::Discover { target, context } => Query::Discover {
                target: map(target)?,
                context: map_pairs(context, map)?,
            },
            Query::Context { context } => Query::Context {
                context: map_pairs(context, map)?,
            },
            Query::Text { text, parameters } => Query::Text { text, parameters },
            Query::OrderBy(order) => Query::OrderBy(order),
            Query::Sample { seed } => Query::Sample { seed },
            Query::Fusion(fusion) => Query::Fusion(fusion),
            Query::Formula(formula) => Query::Formula(formula),
        })
    }
}

fn visit_pairs<'t, T>(pairs: &'t [ContextPair<T>], visit: &mut dyn FnMut(&'t T)) {
    for pair in pairs {
        visit(&pair.positive);
        visit(&pair.negative);
    }
}

fn map_pairs<T, U, E>(
    pairs: Vec<ContextPair<T>>,
    map: &mut dyn FnMut(T) -> Result<U, E>,
) -> Result<Vec<ContextPair<U>>, E> {
    pairs
        .into_iter()
        .map(|pair| {
            Ok(ContextPair {
                positive: map(pair.positive)?,
                negative: map(pair.negative)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::PointId;
    use crate::query::{Strategy, Target};

    #[test]
    fn targets_are_seen_and_mapped_in_one_order_with_their_places() {
        let pair = |positive, negative| ContextPair { positive, negative };
        let leaf = |query, using: &str| Stage {
            query: Some(query),
            using: using.to_owned(),
            ..Stage::default()
        };
        let request = QueryRequest {
            stage: Stage {
                prefetch: vec![
                    leaf(
                        Query::Nearest {
                            target: 1u64,
                            mmr: None,
                        },
                        "a",
                    ),
                    Stage {
                        prefetch: vec![leaf(
                            Query::Discover {
                                target: 2,
                                context: vec![pair(3, 4)],
                            },
                            "b",
                        )],
                        ..leaf(
                            Query::Recommend {
                                positive: vec![5],
                                negative: vec![6, 7],
                                strategy: Strategy::BestScore,
                            },
                            "c",
                        )
                    },
                ],
                ..leaf(
                    Query::Context {
                        context: vec![pair(8, 9)],
                    },
                    "",
                )
            },
            offset: 3,
        };
        let mut seen = Vec::new();
        request.visit_targets(&mut |place, &target| {
            seen.push((format!("{}{}", place.stage, place.using), target));
        });
        let expected = [
            ("prefetch[0].a", 1),
            ("prefetch[1].prefetch[0].b", 2),
            ("prefetch[1].prefetch[0].b", 3),
            ("prefetch[1].prefetch[0].b", 4),
            ("prefetch[1].c", 5),
            ("prefetch[1].c", 6),
            ("prefetch[1].c", 7),
            ("", 8),
            ("", 9),
        ]
        .map(|(place, target)| (place.to_owned(), target));
        assert_eq!(seen, expected);
        let mut order = Vec::new();
        let mapped: QueryRequest = request
            .clone()
            .try_map_targets(&mut |place, target| {
                order.push((format!("{}{}", place.stage, place.using), target));
                Ok::<_, ()>(Target::Point(PointId::Number(target)))
            })
            .unwrap();
        assert_eq!(order, expected);
        assert_eq!(mapped.offset, 3);
        let failed = request.try_map_targets(&mut |_, target| match target {
            5.. => Err(target),
            other => Ok(other),
        });
        assert_eq!(failed, Err(5));
    }
}
