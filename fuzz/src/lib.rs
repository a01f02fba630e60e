//! What is fuzzed: the product's own source of the parsers, compiled without the rest of its crate so that a fuzzing
//! build takes seconds, and one function per target that reads everything a header offers.

#[path = "../../crates/inference/src/files"]
pub mod files {
    //! The parsers, as in `inference::files`.
    pub mod error;
    pub mod gguf;
    pub mod safetensors;
}

pub mod vectors_files;

use std::io::Cursor;

use files::gguf::GgufHeader;
use files::safetensors::SafetensorsHeader;

/// One target: must return for every input, soon and without much memory.
pub type Target = fn(&[u8]);

/// Targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("log", vectors_files::log),
    ("container", vectors_files::container),
    ("manifest", vectors_files::manifest),
];

/// Reads a GGUF header and asks it everything.
pub fn gguf(bytes: &[u8]) {
    match GgufHeader::parse(bytes) {
        Ok(header) => {
            let _ = header.kv_bytes_per_token();
            for tensor in &header.tensors {
                let end = header.data_offset + tensor.offset + tensor.bytes;
                assert!(end <= bytes.len() as u64, "a tensor outside the file");
                let _ = tensor.elements();
            }
            for token in [0, 1, u64::MAX] {
                let _ = header.token_text(Cursor::new(bytes), token);
            }
        }
        Err(error) => assert!(!error.field.is_empty() && !error.message.is_empty()),
    }
}

/// Reads a safetensors header.
pub fn safetensors(bytes: &[u8]) {
    match SafetensorsHeader::parse(bytes) {
        Ok(header) => {
            for tensor in &header.tensors {
                assert!(
                    tensor.offset + tensor.bytes <= bytes.len() as u64,
                    "a tensor outside the file"
                );
                assert_eq!(tensor.elements() * tensor.element.bytes(), tensor.bytes);
            }
        }
        Err(error) => assert!(!error.field.is_empty() && !error.message.is_empty()),
    }
}
