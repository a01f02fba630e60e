//! Headers made by hand, whole and damaged. The table of damaged files with their fields is in `tests/malformed.rs`.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// Writes GGUF bytes from the format's description alone, sharing nothing with the product's reader and writer.
#[derive(Clone)]
pub(crate) struct Sample {
    pub version: u32,
    pub alignment: usize,
    entries: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<u64>, u32, usize)>,
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

impl Sample {
    pub(crate) fn empty() -> Self {
        Self {
            version: 3,
            alignment: 32,
            entries: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// A small model of the Llama family with a vocabulary, a template and two tensors.
    pub(crate) fn llama() -> Self {
        Self::empty()
            .text("general.architecture", "llama")
            .text("general.name", "Tiny")
            .text("general.license", "mit")
            .texts("general.languages", &["en", "de"])
            .number("general.file_type", 15)
            .number("llama.context_length", 2048)
            .number("llama.embedding_length", 64)
            .number("llama.block_count", 3)
            .number("llama.feed_forward_length", 128)
            .number("llama.attention.head_count", 8)
            .number("llama.attention.head_count_kv", 2)
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "llama-bpe")
            .texts("tokenizer.ggml.tokens", &["<s>", "</s>", "a", "b"])
            .number("tokenizer.ggml.bos_token_id", 0)
            .number("tokenizer.ggml.eos_token_id", 1)
            .truth("tokenizer.ggml.add_bos_token", true)
            .text("tokenizer.chat_template", "{{ messages }}")
            .texts("tokenizer.chat_templates", &["tool_use"])
            .text("tokenizer.chat_template.tool_use", "{{ tools }}")
            .tensor("token_embd.weight", &[64, 4], 0, 64 * 4 * 4)
            .tensor("blk.0.attn_q.weight", &[64, 64], 8, 64 * 64 / 32 * 34)
    }

    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        let mut bytes = text(key);
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(value);
        self.entries.push(bytes);
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, 8, &text(value))
    }

    pub(crate) fn number(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn truth(self, key: &str, value: bool) -> Self {
        self.entry(key, 7, &[value.into()])
    }

    pub(crate) fn texts(self, key: &str, values: &[&str]) -> Self {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| text(value)));
        self.entry(key, 9, &bytes)
    }

    fn numbers(self, key: &str, values: &[u32]) -> Self {
        let mut bytes = 4u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.entry(key, 9, &bytes)
    }

    pub(crate) fn tensor(
        mut self,
        name: &str,
        dimensions: &[u64],
        kind: u32,
        bytes: usize,
    ) -> Self {
        self.tensors
            .push((name.into(), dimensions.into(), kind, bytes));
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend_from_slice(&self.version.to_le_bytes());
        file.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        file.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        file.extend(self.entries.iter().flatten());
        let mut offset = 0;
        for (name, dimensions, kind, bytes) in &self.tensors {
            file.extend(text(name));
            file.extend_from_slice(&(dimensions.len() as u32).to_le_bytes());
            file.extend(dimensions.iter().flat_map(|length| length.to_le_bytes()));
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&(offset as u64).to_le_bytes());
            offset += bytes.next_multiple_of(self.alignment);
        }
        if !self.tensors.is_empty() {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
        }
        file.resize(file.len() + offset, 7);
        file
    }
}

fn header(sample: &Sample) -> GgufHeader {
    GgufHeader::parse(&sample.bytes()).expect("a good file")
}

fn refusal(sample: &Sample) -> FileError {
    GgufHeader::parse(&sample.bytes()).expect_err("a bad file")
}

#[test]
fn every_fact_is_read() {
    let header = header(&Sample::llama());
    assert_eq!(header.architecture, "llama");
    assert_eq!(header.name.as_deref(), Some("Tiny"));
    assert_eq!(header.license.as_deref(), Some("mit"));
    assert_eq!(header.languages, ["en", "de"]);
    assert_eq!(header.quantization, "Q4_K_M");
    assert_eq!(header.context_length, Some(2048));
    assert_eq!(header.embedding_length, Some(64));
    assert_eq!(header.block_count, Some(3));
    assert_eq!(header.feed_forward_length, Some(128));
    assert_eq!(
        (header.head_count, header.head_count_kv),
        (Some(8), Some(2))
    );
    assert_eq!(header.vocabulary_size, Some(4));
    assert_eq!(header.parameter_count, 64 * 4 + 64 * 64);
    assert_eq!(header.bos_token.as_deref(), Some("<s>"));
    assert_eq!(header.eos_token.as_deref(), Some("</s>"));
    assert_eq!((header.add_bos, header.add_eos), (Some(true), None));
    assert_eq!(header.tokenizer_model.as_deref(), Some("gpt2"));
    assert_eq!(header.tokenizer_pre.as_deref(), Some("llama-bpe"));
    assert_eq!(header.chat_template.as_deref(), Some("{{ messages }}"));
    assert_eq!(header.chat_templates["tool_use"], "{{ tools }}");
    assert_eq!((header.kind, header.pooling_type), (Kind::Generate, None));
    // 3 layers × 2 heads × (8 + 8) elements × 2 bytes.
    assert_eq!(header.kv_bytes_per_token(), 192);
    let tensor = header.tensor("blk.0.attn_q.weight").expect("tensor");
    assert_eq!(
        (tensor.kind, tensor.bytes),
        (TensorType::Q8_0, 64 * 64 / 32 * 34)
    );
    assert_eq!(tensor.offset, 1024);
    assert_eq!(header.data_offset % header.alignment, 0);
}

#[test]
fn a_token_is_read_from_the_file_by_its_number() {
    let bytes = Sample::llama().bytes();
    let header = GgufHeader::parse(&bytes).expect("header");
    let token = |id| {
        header
            .token_text(MemoryCursor::new(&bytes), id)
            .expect("read")
    };
    assert_eq!(token(3).as_deref(), Some("b"));
    assert_eq!(token(4), None);
    // The file was exchanged for a shorter one meanwhile.
    header
        .token_text(MemoryCursor::new(&bytes[..40]), 3)
        .expect_err("gone");
}

#[test]
fn long_arrays_stay_in_the_file() {
    let words: Vec<String> = (0..5000).map(|number| format!("w{number}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let sample = Sample::empty()
        .text("general.architecture", "bert")
        .texts("tokenizer.ggml.tokens", &words)
        .numbers("tokenizer.ggml.token_type", &[1; 5000])
        .number("tokenizer.ggml.eos_token_id", 4999);
    let header = header(&sample);
    assert_eq!(header.vocabulary_size, Some(5000));
    assert_eq!(header.eos_token.as_deref(), Some("w4999"));
    for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"] {
        let array = header
            .metadata
            .get(key)
            .and_then(Value::as_array)
            .expect(key);
        assert_eq!((array.count, &array.items), (5000, &None));
    }
}

#[test]
fn the_kind_follows_from_pooling_and_architecture() {
    let check = |architecture: &str, pooling: Option<u32>, expected: Kind| {
        let mut sample = Sample::empty().text("general.architecture", architecture);
        if let Some(pooling) = pooling {
            sample = sample.number(&format!("{architecture}.pooling_type"), pooling);
        }
        assert_eq!(header(&sample).kind, expected, "{architecture} {pooling:?}");
    };
    check("llama", None, Kind::Generate);
    check("llama", Some(0), Kind::Generate);
    check("bert", None, Kind::Embed);
    check("bert", Some(1), Kind::Embed);
    check("qwen3", Some(3), Kind::Embed);
    check("qwen3", Some(4), Kind::Rank);
    check("bert", Some(4), Kind::Rank);
}

#[test]
fn layers_that_differ_count_as_their_largest() {
    let sample = Sample::empty()
        .text("general.architecture", "openelm")
        .numbers("openelm.attention.head_count", &[12, 16, 20])
        .numbers("openelm.attention.head_count_kv", &[3, 4, 5]);
    let header = header(&sample);
    assert_eq!(
        (header.head_count, header.head_count_kv),
        (Some(20), Some(5))
    );
}

#[test]
fn the_quantization_is_declared_or_that_of_most_elements() {
    let bare = Sample::empty().text("general.architecture", "llama");
    let mixed = bare
        .clone()
        .tensor("a", &[32], 0, 128)
        .tensor("b", &[256, 8], 12, 144 * 8);
    assert_eq!(header(&mixed).quantization, "Q4_K");
    assert_eq!(
        header(&mixed.number("general.file_type", 1024 + 17)).quantization,
        "Q5_K_M"
    );
    assert_eq!(header(&bare).quantization, "none");
}

#[test]
fn an_unset_token_is_no_token() {
    let header = header(&Sample::llama().number("tokenizer.ggml.padding_token_id", 9));
    assert!(header.metadata.contains("tokenizer.ggml.padding_token_id"));
    let unset = Sample::empty()
        .text("general.architecture", "llama")
        .texts("tokenizer.ggml.tokens", &["a"])
        .number("tokenizer.ggml.bos_token_id", u32::MAX);
    assert_eq!(
        super::GgufHeader::parse(&unset.bytes())
            .expect("header")
            .bos_token,
        None
    );
}

#[test]
fn split_models_are_refused_by_name() {
    let error = refusal(&Sample::llama().number("split.count", 3));
    assert_eq!(error.field, "metadata[\"split.count\"]");
    assert_eq!(error.kind, FileErrorKind::Unsupported);
    assert!(error.message.contains("3 files"), "{error}");
    header(&Sample::llama().number("split.count", 1));
}

#[test]
fn foreign_files_are_recognised() {
    let check = |bytes: &[u8], hint: &str| {
        let error = GgufHeader::parse(bytes).expect_err(hint);
        assert_eq!(error.field, "magic");
        assert!(error.message.contains(hint), "{error}");
    };
    check(b"PK\x03\x04rest", "PyTorch");
    check(b"<!DOCTYPE html>", "web page");
    check(b"version https://git-lfs", "Git LFS");
    check(b"tjgg....", "before GGUF");
    check(&[0x20, 1, 0, 0, 0, 0, 0, 0, b'{'], "safetensors");
    check(b"GG", "2 are left");
}

#[test]
fn a_missing_file_and_a_directory_are_errors() {
    let missing = std::path::Path::new("/nowhere/model.gguf");
    assert_eq!(
        GgufHeader::read(missing).expect_err("absent").kind,
        FileErrorKind::Io
    );
    let directory = std::env::temp_dir();
    assert_eq!(
        GgufHeader::read(&directory).expect_err("directory").kind,
        FileErrorKind::Format
    );
}

#[test]
fn every_truncation_is_an_error_of_its_own_field() {
    let bytes = Sample::llama().bytes();
    let data_bytes = 64 * 4 * 4 + (64_usize * 64 / 32 * 34);
    for length in 0..bytes.len() {
        match GgufHeader::parse(&bytes[..length]) {
            Err(error) => {
                assert!(
                    !error.field.is_empty() && error.offset <= length as u64,
                    "{length}: {error}"
                );
            }
            // Only the padding after the last tensor may be absent.
            Ok(header) => assert!(length as u64 >= header.data_offset + data_bytes as u64),
        }
    }
}

#[test]
fn counts_that_lie_cost_nothing() {
    let begun = Instant::now();
    for count in [u64::MAX, 1 << 63, 1 << 40, 200_000] {
        for place in [8, 16] {
            let mut bytes = Sample::llama().bytes();
            bytes[place..place + 8].copy_from_slice(&count.to_le_bytes());
            let error = GgufHeader::parse(&bytes).expect_err("lies");
            let field = if place == 8 {
                "tensor_count"
            } else {
                "kv_count"
            };
            assert_eq!(error.field, field);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_panics(
        flips in prop::collection::vec((0usize..1200, any::<u8>()), 1..8),
        keep in 0usize..6000,
    ) {
        let mut bytes = Sample::llama().bytes();
        for (place, value) in flips {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(keep);
        if let Ok(header) = GgufHeader::parse(&bytes) {
            let _ = header.kv_bytes_per_token();
            for tensor in &header.tensors {
                prop_assert!(header.data_offset + tensor.offset + tensor.bytes <= bytes.len() as u64);
            }
        }
    }

    #[test]
    fn no_text_of_bytes_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(bytes);
        let _ = GgufHeader::parse(&file);
    }
}
