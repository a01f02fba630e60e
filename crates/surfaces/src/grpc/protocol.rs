//! The generated messages of `proto/`.
#![expect(
    clippy::doc_markdown,
    clippy::enum_variant_names,
    clippy::large_enum_variant,
    reason = "generated code"
)]

/// The Qdrant wire.
pub mod qdrant {
    include!(concat!(env!("OUT_DIR"), "/qdrant.rs"));
}

/// The health service.
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// Server reflection.
pub mod reflection {
    include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
}
