//! The generated messages of `proto/runner.proto`.
#![expect(
    missing_docs,
    reason = "generated; the proto file carries the documentation"
)]
#![expect(
    clippy::allow_attributes,
    clippy::doc_markdown,
    reason = "generated code"
)]

tonic::include_proto!("fornax.runner.v1");
