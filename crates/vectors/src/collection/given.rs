//! Writes whose vectors are given as something else than a [`Vector`], and their way to one.
//!
//! Visiting and mapping go through the vectors in the same order, so that a caller may look at all of them first (to
//! embed every text of a batch at once) and then replace them one by one from a list.

use std::collections::BTreeMap;

use super::request::Operation;
use crate::point::Point;

#[cfg(doc)]
use crate::point::Vector;

/// Where in a write a vector stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorPlace<'a> {
    /// Which of the operation's points, from 0.
    pub point: usize,
    /// The vector's name.
    pub name: &'a str,
}

impl<V> Operation<V> {
    /// Calls `visit` with every vector that is to be stored.
    pub fn visit_vectors<'v>(&'v self, visit: &mut dyn FnMut(VectorPlace<'_>, &'v V)) {
        let mut each = |point: usize, vectors: &'v BTreeMap<String, V>| {
            for (name, vector) in vectors {
                visit(VectorPlace { point, name }, vector);
            }
        };
        match self {
            Operation::Upsert(points) => {
                for (index, point) in points.iter().enumerate() {
                    each(index, &point.vectors);
                }
            }
            Operation::UpdateVectors(points) => {
                for (index, (_, vectors)) in points.iter().enumerate() {
                    each(index, vectors);
                }
            }
            _ => {}
        }
    }

    /// The same operation with every vector replaced by what `map` makes of it.
    ///
    /// # Errors
    /// The first error of `map`.
    pub fn try_map_vectors<U, E>(
        self,
        map: &mut dyn FnMut(VectorPlace<'_>, V) -> Result<U, E>,
    ) -> Result<Operation<U>, E> {
        Ok(match self {
            Operation::Upsert(points) => {
                let mut mapped = Vec::with_capacity(points.len());
                for (index, point) in points.into_iter().enumerate() {
                    mapped.push(Point {
                        id: point.id,
                        vectors: map_named(index, point.vectors, map)?,
                        payload: point.payload,
                        expires_unix_ms: point.expires_unix_ms,
                    });
                }
                Operation::Upsert(mapped)
            }
            Operation::UpdateVectors(points) => {
                let mut mapped = Vec::with_capacity(points.len());
                for (index, (id, vectors)) in points.into_iter().enumerate() {
                    mapped.push((id, map_named(index, vectors, map)?));
                }
                Operation::UpdateVectors(mapped)
            }
            Operation::Delete(selection) => Operation::Delete(selection),
            Operation::DeleteVectors { selection, names } => {
                Operation::DeleteVectors { selection, names }
            }
            Operation::SetPayload {
                selection,
                payload,
                at,
            } => Operation::SetPayload {
                selection,
                payload,
                at,
            },
            Operation::OverwritePayload { selection, payload } => {
                Operation::OverwritePayload { selection, payload }
            }
            Operation::DeletePayloadKeys { selection, keys } => {
                Operation::DeletePayloadKeys { selection, keys }
            }
            Operation::ClearPayload { selection } => Operation::ClearPayload { selection },
        })
    }
}

fn map_named<V, U, E>(
    point: usize,
    vectors: BTreeMap<String, V>,
    map: &mut dyn FnMut(VectorPlace<'_>, V) -> Result<U, E>,
) -> Result<BTreeMap<String, U>, E> {
    let mut mapped = BTreeMap::new();
    for (name, vector) in vectors {
        let vector = map(VectorPlace { point, name: &name }, vector)?;
        mapped.insert(name, vector);
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Payload, PointId, Vector};

    #[test]
    fn vectors_of_writes_are_seen_and_mapped_in_one_order_with_their_places() {
        let point = |id, vectors: [(&str, f32); 2]| Point {
            id: PointId::Number(id),
            vectors: vectors.map(|(name, value)| (name.to_owned(), value)).into(),
            payload: Payload::new(),
            expires_unix_ms: None,
        };
        let operation = Operation::Upsert(vec![
            point(1, [("b", 2.0), ("a", 1.0)]),
            point(2, [("", 3.0), ("b", 4.0)]),
        ]);
        let mut seen = Vec::new();
        operation.visit_vectors(&mut |place, &value| {
            seen.push((place.point, place.name.to_owned(), value));
        });
        let expected = [(0, "a", 1.0), (0, "b", 2.0), (1, "", 3.0), (1, "b", 4.0)]
            .map(|(point, name, value)| (point, name.to_owned(), value));
        assert_eq!(seen, expected);
        let mut order = Vec::new();
        let mapped: Operation = operation
            .try_map_vectors(&mut |place, value| {
                order.push((place.point, place.name.to_owned(), value));
                Ok::<_, ()>(Vector::Dense(vec![value]))
            })
            .unwrap();
        assert_eq!(order, expected);
        let mut values = Vec::new();
        mapped.visit_vectors(&mut |_, vector| values.push(vector.clone()));
        assert_eq!(values[3], Vector::Dense(vec![4.0]));
        let failed =
            Operation::UpdateVectors(vec![(PointId::Number(1), [(String::new(), 1)].into())])
                .try_map_vectors(&mut |_, value| Err::<(), _>(value));
        assert_eq!(failed, Err(1));
    }
}
