//! Tiny random checkpoints, as transformers would save them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inference::files::convert::{ConvertOptions, ConvertSummary, convert};
use inference::files::quantize::WeightType;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tensor: its shape and its values, row by row.
pub type Tensor = (Vec<usize>, Vec<f32>);

/// A checkpoint directory that can still be changed; written by [`Checkpoint::save`].
pub struct Checkpoint {
    pub directory: TempDir,
    pub config: Value,
    pub tokenizer: Value,
    pub tensors: BTreeMap<String, Tensor>,
    /// Other files by name.
    pub files: BTreeMap<String, String>,
}

/// Numbers from -0.5 to 0.5 that depend on the seed only.
pub struct Noise(pub u64);

impl Noise {
    pub fn number(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    }

    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        (shape.to_vec(), (0..count).map(|_| self.number()).collect())
    }
}

impl Checkpoint {
    fn new(config: Value, tokenizer: Value) -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            config,
            tokenizer,
            tensors: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn output(&self) -> PathBuf {
        self.path().join("out.gguf")
    }

    /// Writes the directory, its weights split into `shards` files.
    pub fn save(&self, shards: usize) {
        let write = |name: &str, text: String| {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("config.json", self.config.to_string());
        write("tokenizer.json", self.tokenizer.to_string());
        for (name, text) in &self.files {
            write(name, text.clone());
        }
        if shards == 1 {
            let bytes = safetensors(self.tensors.iter());
            std::fs::write(self.path().join("model.safetensors"), bytes).unwrap();
            return;
        }
        let mut map = serde_json::Map::new();
        for shard in 0..shards {
            let file = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
            let own = || {
                let all = self.tensors.iter().enumerate();
                all.filter(move |(index, _)| index % shards == shard)
                    .map(|(_, entry)| entry)
            };
            for (name, _) in own() {
                map.insert(name.clone(), json!(file));
            }
            std::fs::write(self.path().join(file), safetensors(own())).unwrap();
        }
        write(
            "model.safetensors.index.json",
            json!({ "weight_map": map }).to_string(),
        );
    }

    pub fn options(&self, weight_type: WeightType) -> ConvertOptions {
        ConvertOptions {
            source: self.path().to_owned(),
            output: self.output(),
            weight_type,
            name: Some("tiny".into()),
            pooling: None,
        }
    }

    /// Saves and converts; the progress must end at its total.
    pub fn convert(&self, weight_type: WeightType) -> ConvertSummary {
        self.save(1);
        let mut last = (0, 1);
        let summary = convert(&self.options(weight_type), &mut |done, total| {
            last = (done, total)
        });
        let summary = summary.unwrap();
        assert_eq!(last.0, last.1);
        summary
    }
}

fn safetensors<'a>(tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, (shape, values)) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub const BERT_WIDTH: usize = 64;
pub const BERT_TOKENS: usize = 40;

/// A sentence encoder: two layers of width 64, mean pooling, normalised.
pub fn bert() -> Checkpoint {
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "house", "##s", "##boat", "is", "red",
        ".",
    ];
    let mut vocabulary: serde_json::Map<String, Value> = serde_json::Map::new();
    for (id, word) in words.iter().enumerate() {
        vocabulary.insert((*word).into(), json!(id));
    }
    for id in words.len()..BERT_TOKENS {
        vocabulary.insert(format!("word{id}"), json!(id));
    }
    let added: Vec<Value> = (0..5)
        .map(|id| json!({ "id": id, "content": words[id], "special": true }))
        .collect();
    let (width, inner) = (BERT_WIDTH, 96);
    let mut checkpoint = Checkpoint::new(
        json!({
            "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": width,
            "intermediate_size": inner, "layer_norm_eps": 1e-12, "max_position_embeddings": 32,
            "num_attention_heads": 4, "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": BERT_TOKENS,
        }),
        json!({
            "added_tokens": added,
            "normalizer": { "type": "BertNormalizer", "lowercase": true, "strip_accents": null },
            "model": { "type": "WordPiece", "continuing_subword_prefix": "##", "vocab": vocabulary },
        }),
    );
    let modules = json!([
        { "path": "", "type": "sentence_transformers.models.Transformer" },
        { "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
        { "path": "2_Normalize", "type": "sentence_transformers.models.Normalize" },
    ]);
    let pooling = json!({ "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true, "include_prompt": true });
    checkpoint
        .files
        .insert("modules.json".into(), modules.to_string());
    checkpoint
        .files
        .insert("1_Pooling/config.json".into(), pooling.to_string());
    let mut noise = Noise(1);
    let mut add = |name: String, shape: &[usize]| {
        checkpoint.tensors.insert(name, noise.tensor(shape));
    };
    add(
        "embeddings.word_embeddings.weight".into(),
        &[BERT_TOKENS, width],
    );
    add(
        "embeddings.token_type_embeddings.weight".into(),
        &[2, width],
    );
    add("embeddings.position_embeddings.weight".into(), &[32, width]);
    add("embeddings.position_ids".into(), &[1, 32]);
    add("pooler.dense.weight".into(), &[width, width]);
    add("pooler.dense.bias".into(), &[width]);
    let mut pair = |name: String, rows: usize, columns: Option<usize>| {
        let shape = columns.map_or(vec![rows], |columns| vec![rows, columns]);
        add(format!("{name}.weight"), &shape);
        add(format!("{name}.bias"), &[rows]);
    };
    pair("embeddings.LayerNorm".into(), width, None);
    for layer in 0..2 {
        let prefix = format!("encoder.layer.{layer}");
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            pair(format!("{prefix}.attention.{name}"), width, Some(width));
        }
        pair(format!("{prefix}.attention.output.LayerNorm"), width, None);
        pair(format!("{prefix}.intermediate.dense"), inner, Some(width));
        pair(format!("{prefix}.output.dense"), width, Some(inner));
        pair(format!("{prefix}.output.LayerNorm"), width, None);
    }
    checkpoint
}

/// What distinguishes the decoders made here.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// `llama`, `mistral` or `qwen2`.
    pub model_type: &'static str,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub inner: usize,
    pub tied: bool,
    /// Biases of q, k and v.
    pub biases: bool,
}

pub const LLAMA: Decoder = Decoder {
    model_type: "llama",
    width: 64,
    heads: 4,
    kv_heads: 2,
    inner: 96,
    tied: false,
    biases: false,
};
pub const DECODER_TOKENS: usize = 270;
pub const LAYERS: usize = 2;

/// The byte-to-character table of GPT-2's tokenizer: printable Latin-1 stands for itself, the rest follows from U+0100.
fn byte_characters() -> Vec<String> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100;
    (0..=255_u8)
        .map(|byte| {
            let code = if printable(byte) {
                u32::from(byte)
            } else {
                others += 1;
                others - 1
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect()
}

/// A decoder of two layers with a byte-level tokenizer.
pub fn decoder(shape: Decoder) -> Checkpoint {
    let mut vocabulary = serde_json::Map::new();
    for (id, text) in byte_characters().into_iter().enumerate() {
        vocabulary.insert(text, json!(id));
    }
    for (id, text) in [(256, "th"), (257, "the"), (258, "Ġthe")] {
        vocabulary.insert(text.into(), json!(id));
    }
    let added = |id: usize, content: &str| json!({ "id": id, "content": content, "special": true });
    let head_width = shape.width / shape.heads;
    let mut checkpoint = Checkpoint::new(
        json!({
            "model_type": shape.model_type, "hidden_act": "silu", "hidden_size": shape.width,
            "intermediate_size": shape.inner, "max_position_embeddings": 64, "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads, "num_hidden_layers": LAYERS, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "vocab_size": DECODER_TOKENS, "tie_word_embeddings": shape.tied,
            "eos_token_id": [260, 261],
        }),
        json!({
            "added_tokens": [added(259, "<|begin|>"), added(260, "<|end|>")],
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "use_regex": true },
            "post_processor": { "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<|begin|>" } }] },
            "model": { "type": "BPE", "vocab": vocabulary, "merges": ["t h", ["th", "e"], "Ġ the"] },
        }),
    );
    let settings = json!({
        "bos_token": { "content": "<|begin|>" },
        "chat_template": [
            { "name": "default", "template": "{{ messages[0].content }}" },
            { "name": "tool_use", "template": "{{ tools }}" },
        ],
    });
    checkpoint
        .files
        .insert("tokenizer_config.json".into(), settings.to_string());
    let mut noise = Noise(7);
    let mut add = |name: String, dimensions: &[usize]| {
        checkpoint
            .tensors
            .insert(format!("{name}.weight"), noise.tensor(dimensions));
        if shape.biases
            && ["q_proj", "k_proj", "v_proj"]
                .iter()
                .any(|end| name.ends_with(end))
        {
            checkpoint
                .tensors
                .insert(format!("{name}.bias"), noise.tensor(&dimensions[..1]));
        }
    };
    let kv_width = shape.kv_heads * head_width;
    add("model.embed_tokens".into(), &[DECODER_TOKENS, shape.width]);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(name("input_layernorm"), &[shape.width]);
        add(name("self_attn.q_proj"), &[shape.width, shape.width]);
        add(name("self_attn.k_proj"), &[kv_width, shape.width]);
        add(name("self_attn.v_proj"), &[kv_width, shape.width]);
        add(name("self_attn.o_proj"), &[shape.width, shape.width]);
        add(name("post_attention_layernorm"), &[shape.width]);
        add(name("mlp.gate_proj"), &[shape.inner, shape.width]);
        add(name("mlp.up_proj"), &[shape.inner, shape.width]);
        add(name("mlp.down_proj"), &[shape.width, shape.inner]);
    }
    add("model.norm".into(), &[shape.width]);
    if !shape.tied {
        add("lm_head".into(), &[DECODER_TOKENS, shape.width]);
    }
    checkpoint
}
