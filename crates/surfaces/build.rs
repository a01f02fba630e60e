//! Generates the messages of the gRPC surface from `proto/`, without a system protoc, and keeps the descriptors, which
//! reflection shows to clients.

use std::path::{Path, PathBuf};

use prost::Message;

/// Every file with a service, and through their imports all others.
const FILES: [&str; 6] = [
    "qdrant/collections.proto",
    "qdrant/points.proto",
    "qdrant/snapshots.proto",
    "qdrant/qdrant.proto",
    "grpc/health.proto",
    "grpc/reflection.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts where to write through the environment"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut descriptors = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new()
        .enable_type_names()
        .btree_map(["."])
        .compile_fds(descriptors.clone())?;
    for file in &mut descriptors.file {
        // Comments and places in the source: two thirds of the bytes, and no client asks for them.
        file.source_code_info = None;
    }
    write(&out.join("descriptors.bin"), &descriptors.encode_to_vec())?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build script's own output; cargo runs it again if it is lost"
)]
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)
}
