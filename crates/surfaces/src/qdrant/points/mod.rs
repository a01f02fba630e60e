//! Points: writing, reading, counting them, their payloads and vectors.

mod batch;
mod convert;
mod read;
mod shown;
mod types;
mod write;

pub use batch::batch;
pub use read::{count, facet, point, retrieve, scroll};
pub use shown::Updated;
pub use write::{
    clear_payload, delete, delete_payload, delete_vectors, overwrite_payload, set_payload,
    update_vectors, upsert,
};
