//! Identities of points, and paths of fields.

use service::Error;
use service::collections::{FieldPath, PointId as Id};

use super::{invalid, missing};
use crate::grpc::protocol::qdrant::PointId;
use crate::grpc::protocol::qdrant::point_id::PointIdOptions;
use crate::qdrant::uuid;

/// The identity that a client sent.
///
/// # Errors
/// There is none, or the text is no UUID.
pub fn id(id: Option<PointId>) -> Result<Id, Error> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Num(number)) => Ok(Id::Number(number)),
        Some(PointIdOptions::Uuid(text)) => uuid(&text)
            .map(Id::Uuid)
            .ok_or_else(|| invalid("id", format!("Unable to parse UUID: {text}"))),
        None => Err(missing("id")),
    }
}

/// Several of them.
///
/// # Errors
/// As [`id`].
pub fn ids(all: Vec<PointId>) -> Result<Vec<Id>, Error> {
    all.into_iter().map(|one| id(Some(one))).collect()
}

/// An identity for a client.
pub fn wire_id(id: Id) -> PointId {
    PointId {
        point_id_options: Some(match id {
            Id::Number(number) => PointIdOptions::Num(number),
            Id::Uuid(_) => PointIdOptions::Uuid(id.to_string()),
        }),
    }
}

/// The path of a field.
///
/// # Errors
/// It is not one.
pub fn path(field: &str, text: &str) -> Result<FieldPath, Error> {
    text.parse().map_err(|error| {
        invalid(
            field,
            format!("`{text}` is not the path of a field: {error}"),
        )
    })
}

/// Several of them.
///
/// # Errors
/// As [`path`].
pub fn paths(field: &str, texts: &[String]) -> Result<Vec<FieldPath>, Error> {
    texts.iter().map(|text| path(field, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_there_and_back() {
        for original in [Id::Number(0), Id::Number(u64::MAX), Id::Uuid(7 << 100)] {
            assert_eq!(id(Some(wire_id(original))).expect("valid"), original);
        }
        let given = |text: &str| {
            id(Some(PointId {
                point_id_options: Some(PointIdOptions::Uuid(text.to_owned())),
            }))
        };
        assert!(given("550E8400E29B41D4A716446655440000").is_ok());
        assert!(given("7").is_err());
        assert!(id(Some(PointId::default())).is_err());
        assert!(id(None).is_err());
    }
}
