//! The REST wire of Qdrant, as its clients of 1.19 and 1.20 speak it. Errors are `{"status": {"error": "…"}, "time": …}`,
//! in words that integrations read.

pub mod collections;
mod envelope;
mod facts;
mod filter;
mod ids;
mod moment;
mod multipart;
pub mod points;
pub mod queries;
mod selection;
pub mod snapshots;
mod vectors;

pub use envelope::failure_body;
pub use facts::{cluster, telemetry};
pub use filter::filter;
pub use ids::uuid;
pub use queries::point_of_group;

/// The version whose wire this is. Clients warn when it is more than a minor version from their own.
pub const WIRE_VERSION: &str = "1.20.0";

/// First parts of paths on this wire.
const FIRST: [&str; 7] = [
    "collections",
    "aliases",
    "cluster",
    "issues",
    "quotas",
    "snapshots",
    "telemetry",
];
/// Parts of a collection that other servers of this wire have.
const ELSEWHERE_OF_COLLECTIONS: [&str; 3] = ["shards", "optimizations", "vectors"];

/// Whether a path belongs to this wire.
pub fn owns(path: &str) -> bool {
    parts(path)
        .next()
        .is_some_and(|first| FIRST.contains(&first))
}

/// Whether a path without a route is one of this wire that other servers have.
pub fn is_known_elsewhere(path: &str) -> bool {
    match parts(path).collect::<Vec<_>>()[..] {
        ["collections", _, third, ..] => ELSEWHERE_OF_COLLECTIONS.contains(&third),
        ["cluster" | "issues" | "quotas" | "snapshots", ..] => true,
        _ => false,
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        assert!(owns("/collections") && owns("/collections/a/points") && owns("/aliases"));
        assert!(!owns("/") && !owns("/collectionsx") && !owns("/v1/collections"));
        assert!(is_known_elsewhere("/collections/a/shards/0/snapshots"));
        assert!(is_known_elsewhere("/snapshots") && is_known_elsewhere("/issues"));
        assert!(!is_known_elsewhere("/collections/shards") && !is_known_elsewhere("/aliases/x"));
    }
}
