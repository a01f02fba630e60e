//! all-MiniLM-L6-v2, converted by us and run by the engine, against transformers' embeddings of 200 real sentences
//! (`models/check_minilm.py` made them). Needs the weights that `make models` fetches, as `make test` does before; passes
//! with a word without them.

use std::path::{Path, PathBuf};

use inference::engine::Engine;
use inference::files::convert::{ConvertOptions, convert};
use inference::files::quantize::WeightType;
use tempfile::TempDir;

use crate::engine::load;

const DIMENSIONS: usize = 384;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Inputs, one per line of `testdata/minilm/<inputs>`.
fn lines(inputs: &str) -> Vec<String> {
    let path = root().join("testdata/minilm").join(inputs);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The rows of a reference, a NumPy file of little-endian f32 in C order.
fn reference(file: &str) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(root().join("testdata/minilm").join(file)).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let description = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(
        description.contains("'<f4'") && description.contains("False"),
        "{description}"
    );
    let words = bytes[10 + header..].chunks_exact(4);
    let values: Vec<f32> = words
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    values
        .chunks_exact(DIMENSIONS)
        .map(<[f32]>::to_vec)
        .collect()
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

/// The least cosine between our embeddings of the lines and their reference, and the line it belongs to.
fn least(engine: &mut impl Engine, lines: &[String], expected: &[Vec<f32>]) -> (f64, String) {
    let tokens: Vec<_> = lines
        .iter()
        .map(|line| engine.tokenize(line, true, false).unwrap())
        .collect();
    let rows = engine.embed(&tokens).unwrap();
    assert_eq!((rows.len(), expected.len()), (lines.len(), lines.len()));
    let cosines = rows
        .iter()
        .zip(expected)
        .map(|(row, expected)| cosine(row, expected));
    let (least, line) = cosines
        .zip(lines)
        .min_by(|(left, _), (right, _)| left.total_cmp(right))
        .unwrap();
    (least, line.clone())
}

#[test]
fn embeddings_agree_with_transformers() {
    let source = root().join("models/downloads/all-minilm-l6-v2");
    if !source.join("model.safetensors").is_file() {
        eprintln!("not run: make models fetches the weights");
        return;
    }
    let (sentences, sentence_vectors) = (lines("sentences.txt"), reference("reference.f32.npy"));
    assert_eq!(sentences.len(), 200);
    // The vector of one word is a mean of three or four tokens only, and ggml's kernels for Q8_0 round the activations to
    // 8 bits too. With the weights alone rounded these reach 0.9995, so no other choice of blocks in the file would help.
    let (words, word_vectors) = (lines("words.txt"), reference("words.f32.npy"));
    let directory = TempDir::new().unwrap();
    for (weight_type, sentence_bar, word_bar) in [
        (WeightType::F32, 0.9999, 0.9999),
        (WeightType::F16, 0.9999, 0.9999),
        (WeightType::Q8_0, 0.999, 0.998),
    ] {
        let output = directory.path().join("minilm.gguf");
        let options = ConvertOptions {
            source: source.clone(),
            output: output.clone(),
            weight_type,
            name: None,
            pooling: None,
        };
        assert!(convert(&options, &mut |_, _| {}).unwrap().normalize);
        let mut engine = load(&output);
        for (inputs, vectors, bar) in [
            (&sentences, &sentence_vectors, sentence_bar),
            (&words, &word_vectors, word_bar),
        ] {
            let (cosine, line) = least(&mut engine, inputs, vectors);
            let (kind, count) = (weight_type.as_str(), inputs.len());
            eprintln!("{kind}: cosine of {count} lines at least {cosine:.7}, at {line:?}");
            assert!(cosine >= bar, "{kind}: {cosine} at {line:?}");
        }
    }
}
