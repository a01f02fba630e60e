//! What is written, as our own parser reads it.

use inference::files::convert::convert;
use inference::files::gguf::{GgufHeader, Kind, Pooling, TensorType};
use inference::files::quantize::{WeightType, dequantize};

use crate::checkpoint::{Checkpoint, Decoder, LLAMA, bert, decoder};

fn header(checkpoint: &Checkpoint) -> GgufHeader {
    GgufHeader::read(&checkpoint.output()).unwrap()
}

/// The values of a tensor of the output.
fn values(checkpoint: &Checkpoint, name: &str, kind: WeightType) -> Vec<f32> {
    let header = header(checkpoint);
    let tensor = header.tensor(name).unwrap();
    assert_eq!(tensor.kind, kind.tensor_type(), "{name}");
    let bytes = std::fs::read(checkpoint.output()).unwrap();
    let start = (header.data_offset + tensor.offset) as usize;
    dequantize(&bytes[start..start + tensor.bytes as usize], kind).unwrap()
}

#[test]
fn a_sentence_encoder_keeps_its_settings_and_values() {
    let checkpoint = bert();
    let summary = checkpoint.convert(WeightType::F32);
    assert_eq!(
        (summary.architecture.as_str(), summary.name.as_str()),
        ("bert", "tiny")
    );
    assert!(summary.normalize);
    assert_eq!(summary.notes, Vec::<String>::new());
    let header = header(&checkpoint);
    assert_eq!(header.kind, Kind::Embed);
    assert_eq!(header.pooling_type, Some(Pooling::Mean));
    assert_eq!(header.normalize, Some(true));
    assert_eq!(header.context_length, Some(32));
    assert_eq!(header.tokenizer_model.as_deref(), Some("bert"));
    assert_eq!(
        (header.bos_token.as_deref(), header.eos_token.as_deref()),
        (Some("[CLS]"), Some("[SEP]"))
    );
    assert_eq!(header.tensors.len(), summary.tensors);
    assert_eq!(header.parameter_count, summary.parameters);
    assert_eq!(header.file_bytes, summary.file_bytes);
    let source = &checkpoint.tensors["encoder.layer.1.intermediate.dense.weight"].1;
    assert_eq!(
        &values(&checkpoint, "blk.1.ffn_up.weight", WeightType::F32),
        source
    );
}

#[test]
fn every_type_is_written_and_vectors_stay_full() {
    for kind in WeightType::ALL {
        let checkpoint = bert();
        checkpoint.convert(kind);
        let header = header(&checkpoint);
        assert_eq!(header.quantization, kind.as_str());
        for tensor in &header.tensors {
            let full = tensor.dimensions.len() == 1
                || ["token_types.weight", "position_embd.weight"].contains(&tensor.name.as_str());
            let expected = if full {
                TensorType::F32
            } else {
                kind.tensor_type()
            };
            assert_eq!(tensor.kind, expected, "{}", tensor.name);
        }
        let source = &checkpoint.tensors["embeddings.word_embeddings.weight"].1;
        let written = values(&checkpoint, "token_embd.weight", kind);
        let worst = source
            .iter()
            .zip(&written)
            .fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 0.07, "{kind:?}: {worst}");
    }
}

#[test]
fn a_decoder_has_its_rotary_rows_as_neighbours_and_its_templates() {
    let checkpoint = decoder(LLAMA);
    let summary = checkpoint.convert(WeightType::F32);
    assert_eq!(summary.architecture, "llama");
    assert!(!summary.normalize);
    let header = header(&checkpoint);
    assert_eq!(header.kind, Kind::Generate);
    assert_eq!(
        (header.head_count, header.head_count_kv),
        (Some(4), Some(2))
    );
    assert_eq!(header.tokenizer_pre.as_deref(), Some("gpt-2"));
    assert_eq!(header.bos_token.as_deref(), Some("<|begin|>"));
    assert_eq!(header.eos_token.as_deref(), Some("<|end|>"));
    assert_eq!(header.add_bos, Some(true));
    assert_eq!(
        header.chat_template.as_deref(),
        Some("{{ messages[0].content }}")
    );
    assert_eq!(header.chat_templates["tool_use"], "{{ tools }}");
    assert_eq!(header.vocabulary_size, Some(270));
    let source = &checkpoint.tensors["model.layers.0.self_attn.k_proj.weight"].1;
    let written = values(&checkpoint, "blk.0.attn_k.weight", WeightType::F32);
    let row = |values: &[f32], index: usize| values[index * 64..(index + 1) * 64].to_vec();
    // Heads of width 16: rows 0, 1, 2 of the second head come from its rows 0, 8, 1.
    assert_eq!(row(&written, 16), row(source, 16));
    assert_eq!(row(&written, 17), row(source, 24));
    assert_eq!(row(&written, 18), row(source, 17));
    assert_eq!(row(&written, 31), row(source, 31));
    let value = &checkpoint.tensors["model.layers.0.self_attn.v_proj.weight"].1;
    assert_eq!(
        &values(&checkpoint, "blk.0.attn_v.weight", WeightType::F32),
        value
    );
}

#[test]
fn shards_give_the_same_file_as_one() {
    let checkpoint = decoder(LLAMA);
    checkpoint.convert(WeightType::Q8_0);
    let whole = std::fs::read(checkpoint.output()).unwrap();
    std::fs::remove_file(checkpoint.path().join("model.safetensors")).unwrap();
    checkpoint.save(3);
    convert(&checkpoint.options(WeightType::Q8_0), &mut |_, _| {}).unwrap();
    assert_eq!(std::fs::read(checkpoint.output()).unwrap(), whole);
}

#[test]
fn rows_that_are_no_whole_blocks_fall_back_with_a_note() {
    let shape = Decoder {
        inner: 90,
        tied: true,
        ..LLAMA
    };
    let checkpoint = decoder(shape);
    let summary = checkpoint.convert(WeightType::Q4_0);
    assert_eq!(summary.notes.len(), 2, "{:?}", summary.notes);
    assert!(summary.notes[0].contains("blk.0.ffn_down.weight is stored as F16"));
    let header = header(&checkpoint);
    let kind = |name: &str| header.tensor(name).unwrap().kind;
    assert_eq!(kind("blk.1.ffn_down.weight"), TensorType::F16);
    assert_eq!(kind("blk.1.ffn_up.weight"), TensorType::Q4_0);
    assert_eq!(
        kind("token_embd.weight"),
        TensorType::Q8_0,
        "it also makes the logits"
    );
    assert!(header.tensor("output.weight").is_none());
}

#[test]
fn mistral_is_written_as_llama_within_its_window() {
    let mut checkpoint = decoder(Decoder {
        model_type: "mistral",
        ..LLAMA
    });
    checkpoint.config["sliding_window"] = 32.into();
    let summary = checkpoint.convert(WeightType::F16);
    assert_eq!(summary.architecture, "llama");
    assert_eq!(header(&checkpoint).context_length, Some(32));
    assert!(summary.notes[0].contains("sliding windows are not applied"));
}
