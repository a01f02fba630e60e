//! Checkpoints that must not become a file: each is refused by an error that names what is wrong.

use inference::files::convert::convert;
use inference::files::quantize::WeightType;
use serde_json::json;

use crate::checkpoint::{Checkpoint, LLAMA, bert, decoder};

/// Converts a changed checkpoint; it must fail, say each of `words`, and leave no file.
fn refused(mut checkpoint: Checkpoint, change: impl FnOnce(&mut Checkpoint), words: &[&str]) {
    change(&mut checkpoint);
    checkpoint.save(1);
    refused_as_saved(&checkpoint, words);
}

fn refused_as_saved(checkpoint: &Checkpoint, words: &[&str]) {
    let error = convert(&checkpoint.options(WeightType::Q8_0), &mut |_, _| {}).unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    let left: Vec<String> = std::fs::read_dir(checkpoint.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("gguf"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn unknown_architectures_and_settings() {
    refused(
        bert(),
        |it| it.config["model_type"] = json!("gpt_neox"),
        &["gpt_neox", "llama", "bert"],
    );
    refused(
        bert(),
        |it| it.config["hidden_act"] = json!("relu"),
        &["config.json", "hidden_act", "relu"],
    );
    refused(
        bert(),
        |it| it.config["num_attention_heads"] = json!(7),
        &["num_attention_heads"],
    );
    refused(
        bert(),
        |it| it.config["hidden_size"] = json!(-64),
        &["hidden_size", "whole number"],
    );
    refused(
        bert(),
        |it| it.config["num_hidden_layers"] = json!(null),
        &["num_hidden_layers", "missing"],
    );
    refused(
        decoder(LLAMA),
        |it| it.config["rope_scaling"] = json!({ "type": "longrope" }),
        &["longrope"],
    );
    refused(
        decoder(LLAMA),
        |it| it.config["num_key_value_heads"] = json!(3),
        &["num_key_value_heads"],
    );
    let modules =
        json!([{ "path": "3_Dense", "type": "sentence_transformers.models.Dense" }]).to_string();
    refused(
        bert(),
        |it| {
            it.files.insert("modules.json".into(), modules);
        },
        &["modules.json", "Dense"],
    );
    let pooling = json!({ "pooling_mode_max_tokens": true }).to_string();
    refused(
        bert(),
        |it| {
            it.files.insert("1_Pooling/config.json".into(), pooling);
        },
        &["1_Pooling", "max_tokens"],
    );
    let two = json!({ "0": "no", "1": "yes" });
    refused(
        bert(),
        |it| {
            it.config["architectures"] = json!(["BertForSequenceClassification"]);
            it.config["id2label"] = two;
        },
        &["2 labels"],
    );
}

#[test]
fn unknown_tokenizers() {
    refused(
        bert(),
        |it| it.tokenizer["model"]["type"] = json!("Unigram"),
        &["Unigram", "WordPiece"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["type"] = json!("WordLevel"),
        &["WordLevel", "byte-level BPE"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["byte_fallback"] = json!(true),
        &["SentencePiece"],
    );
    let split = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": "unheard of" } }, { "type": "ByteLevel", "use_regex": false },
    ] });
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["pre_tokenizer"] = split,
        &["unheard of"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["pre_tokenizer"] = json!(null),
        &["not supported"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["merges"] = json!(["abc"]),
        &["merges"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["vocab"]["x"] = json!(99),
        &["99", "two tokens"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["vocab"]["far"] = json!(1_u64 << 40),
        &["beyond"],
    );
    refused(
        decoder(LLAMA),
        |it| it.tokenizer["model"]["vocab"]["far"] = json!(400),
        &["401 tokens", "270 rows"],
    );
    let named = json!({ "bos_token": "<s>" }).to_string();
    refused(
        decoder(LLAMA),
        |it| {
            it.files.insert("tokenizer_config.json".into(), named);
        },
        &["bos_token", "<s>"],
    );
}

#[test]
fn tensors_that_do_not_fit_the_configuration() {
    let norm = "model.layers.1.input_layernorm.weight";
    refused(
        decoder(LLAMA),
        |it| {
            it.tensors.remove(norm);
        },
        &[norm, "missing"],
    );
    refused(
        decoder(LLAMA),
        |it| {
            it.tensors.insert(norm.into(), (vec![2], vec![1.0; 2]));
        },
        &[norm, "[2]", "[64]"],
    );
    let extra = "model.layers.1.self_attn.q_norm.weight";
    refused(
        decoder(LLAMA),
        |it| {
            it.tensors.insert(extra.into(), (vec![2], vec![1.0; 2]));
        },
        &[extra, "not a part"],
    );
    for value in [f32::NAN, f32::INFINITY] {
        let spoil =
            |it: &mut Checkpoint| it.tensors.get_mut("lm_head.weight").unwrap().1[99] = value;
        refused(decoder(LLAMA), spoil, &["lm_head.weight", "not finite"]);
    }
    let huge = |it: &mut Checkpoint| it.tensors.get_mut("lm_head.weight").unwrap().1[99] = 1e30;
    refused(decoder(LLAMA), huge, &["lm_head.weight", "too large"]);
}

#[test]
fn broken_directories() {
    let checkpoint = bert();
    refused_as_saved(&checkpoint, &["model.safetensors", "not in the directory"]);
    checkpoint.save(1);
    std::fs::write(checkpoint.path().join("config.json"), "{").unwrap();
    refused_as_saved(&checkpoint, &["config.json", "JSON"]);
    checkpoint.save(1);
    std::fs::write(checkpoint.path().join("model.safetensors"), "short").unwrap();
    refused_as_saved(&checkpoint, &["model.safetensors"]);
    for escape in ["../outside.safetensors", "/etc/passwd", ""] {
        checkpoint.save(1);
        let index = json!({ "weight_map": { "a": escape } }).to_string();
        std::fs::write(
            checkpoint.path().join("model.safetensors.index.json"),
            index,
        )
        .unwrap();
        refused_as_saved(&checkpoint, &["leads out of"]);
    }
}
