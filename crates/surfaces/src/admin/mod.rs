//! Our own administration under `/fornax/v1`: runners, models, keys, version. Errors are
//! `{"error": {"kind", "message", "field", "code"}}`.

mod convert;
mod routes;
mod types;

pub use routes::{
    copy, create_key, list_keys, load, model, models, pull, remove, revoke_key, runners, unload,
    version,
};
