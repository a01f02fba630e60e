//! Queries: trees of stages with vectors, points and texts as their targets, groups, and matrices of distances.

mod convert;
mod formula;
mod part;
mod replies;
mod routes;
mod targets;
#[cfg(test)]
mod tests;

pub use replies::{point_of_group, usage};
pub use routes::{query, query_batch, query_groups, search_matrix_offsets, search_matrix_pairs};
