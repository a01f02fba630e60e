//! Science models under `/fornax/v1/science`, and the result cache under `/fornax/v1/cache`. Errors are ours:
//! `{"error": {"kind", "message", "field", "code"}}`.

pub(crate) mod convert;
mod routes;
pub(crate) mod types;

pub use routes::{
    begin_training, cache_clear, cache_statistics, cancel_training, compactification, create,
    devices, infer, lift, list, model, onnx, parameters, remove, safetensors, spectrum,
    string_parameters, training, trainings, unified,
};
