//! OpenAI's vector stores: made, filled with files, searched.

mod convert;
mod files;
mod read;
mod routes;
mod types;

pub use files::{
    attach, batch, batch_files, cancel_batch, content, create_batch, describe, detach, file,
    list_files,
};
pub use routes::{create, list, remove, retrieve, search, update};
