//! Converted files in llama.cpp.

use std::path::Path;

use inference::engine::{BatchEntry, Engine};
use inference::engines::llama::{LlamaEngine, LlamaOptions};
use inference::files::quantize::WeightType;

use crate::checkpoint::{Decoder, LLAMA, bert, decoder};
use crate::forward;

pub fn load(path: &Path) -> LlamaEngine {
    let options = LlamaOptions {
        cache_tokens: 512,
        sequences_max: 4,
        batch_tokens_max: 512,
        threads: 2,
        ..LlamaOptions::default()
    };
    LlamaEngine::load(path, options, &mut |_| true).unwrap()
}

/// The engine's logits of a converted decoder are those of a plain forward pass over the checkpoint. F32 weights; the
/// rest is the F16 key/value cache: rounding each key and value to 11 bits moves logits of size 3 by less than 0.02.
#[test]
fn decoders_compute_what_their_checkpoint_says() {
    let shapes = [
        LLAMA,
        Decoder {
            tied: true,
            biases: true,
            ..LLAMA
        },
        Decoder {
            model_type: "mistral",
            kv_heads: 1,
            ..LLAMA
        },
        Decoder {
            model_type: "qwen2",
            biases: true,
            ..LLAMA
        },
    ];
    let tokens = [259_usize, 257, 258, 104, 257, 32, 101, 44];
    for shape in shapes {
        let checkpoint = decoder(shape);
        checkpoint.convert(WeightType::F32);
        let mut engine = load(&checkpoint.output());
        let batch: Vec<BatchEntry> = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| BatchEntry {
                token: token.try_into().unwrap(),
                position: position.try_into().unwrap(),
                sequence: 0,
                wants_logits: position + 1 == tokens.len(),
            })
            .collect();
        engine.decode(&batch).unwrap();
        let expected = forward::logits(&checkpoint, shape, &tokens);
        let found = engine.logits(tokens.len() - 1);
        assert_eq!(found.len(), expected.len());
        let spread = expected
            .iter()
            .fold(0.0_f32, |spread, value| spread.max(value.abs()));
        let worst = found
            .iter()
            .zip(&expected)
            .fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(
            worst < 0.01 * spread.max(1.0),
            "{shape:?}: off by {worst} of {spread}"
        );
    }
}

#[test]
fn byte_level_tokenizers_split_and_merge() {
    let checkpoint = decoder(LLAMA);
    checkpoint.convert(WeightType::Q4_0);
    let engine = load(&checkpoint.output());
    let tokens = engine.tokenize("the the\n<|end|>", true, true).unwrap();
    // The newline is the byte 10, which this vocabulary has at id 10.
    assert_eq!(tokens, [259, 257, 258, 10, 260]);
    assert_eq!(engine.detokenize(&tokens[1..4], false), b"the the\n");
}

#[test]
fn encoders_tokenize_by_wordpiece_and_embed() {
    for kind in WeightType::ALL {
        let checkpoint = bert();
        checkpoint.convert(kind);
        let mut engine = load(&checkpoint.output());
        let tokens = engine
            .tokenize("The houseboat is rédd.", true, false)
            .unwrap();
        // [CLS] the house ##boat is [UNK] . [SEP]
        assert_eq!(tokens, [2, 5, 6, 8, 9, 1, 11, 3]);
        let rows = engine.embed(&[tokens]).unwrap();
        assert_eq!(rows[0].len(), crate::checkpoint::BERT_WIDTH);
        assert!(rows[0].iter().all(|value| value.is_finite()));
        assert!(rows[0].iter().any(|value| *value != 0.0));
    }
}
