//! The llama.cpp engine against the contract, on the small model that ships with the product.
//!
//! Logits are compared within [`TOLERANCE`]: a batch of several sequences takes other matrix kernels than a lone
//! one, and floating-point sums depend on their order.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use inference::engine::{BatchEntry, Engine, EngineError, SequenceId, Token};
use inference::engines::llama::{LlamaEngine, LlamaOptions, Pooling, system_info};

/// Largest difference of two logits that counts as equal. The model's logits lie within ±30, its weights are F16 or
/// 8 bits wide; the order of sums moves a logit by some 1e-3.
const TOLERANCE: f32 = 0.02;

fn model() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/fornax-nano/fornax-nano.gguf"
    ))
}

fn load(options: LlamaOptions) -> LlamaEngine {
    LlamaEngine::load(&model(), options, &mut |_| true).expect("the shipped model loads")
}

fn small() -> LlamaOptions {
    LlamaOptions {
        cache_tokens: 512,
        sequences_max: 8,
        batch_tokens_max: 128,
        threads: 2,
        ..LlamaOptions::default()
    }
}

/// Entries for `tokens` of one sequence from `start` on; only the last wants logits.
fn entries(sequence: SequenceId, start: u32, tokens: &[Token]) -> Vec<BatchEntry> {
    let mut entries: Vec<BatchEntry> = (start..)
        .zip(tokens)
        .map(|(position, &token)| BatchEntry {
            token,
            position,
            sequence,
            wants_logits: false,
        })
        .collect();
    if let Some(last) = entries.last_mut() {
        last.wants_logits = true;
    }
    entries
}

/// Logits after `tokens`, computed alone in an empty sequence that is emptied again.
fn alone(engine: &mut LlamaEngine, tokens: &[Token]) -> Vec<f32> {
    engine
        .decode(&entries(0, 0, tokens))
        .expect("the batch fits");
    let logits = engine.logits(tokens.len() - 1).to_vec();
    assert!(engine.sequence_truncate(0, 0));
    logits
}

fn assert_close(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    let difference = left
        .iter()
        .zip(right)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max);
    assert!(difference <= TOLERANCE, "logits differ by {difference}");
    assert!(
        left.iter().any(|logit| *logit != left[0]),
        "all logits equal"
    );
}

fn prompts(engine: &LlamaEngine) -> Vec<Vec<Token>> {
    [
        "To be, or not to be, that is the question:",
        "Now is the winter of our discontent",
        "O Romeo, Romeo! wherefore art thou Romeo?",
    ]
    .iter()
    .map(|text| engine.tokenize(text, true, false).expect("short text"))
    .collect()
}

#[test]
fn facts_are_those_of_the_file() {
    let mut seen = Vec::new();
    let engine = LlamaEngine::load(&model(), small(), &mut |fraction| {
        seen.push(fraction);
        true
    })
    .unwrap();
    let limits = engine.limits();
    assert_eq!((limits.cache_tokens, limits.sequences_max), (512, 8));
    assert!(limits.context_tokens >= 256 && limits.context_tokens <= 512);
    assert!(limits.generates && !limits.embeds && !limits.ranks && limits.partial_removal);
    assert!(limits.vocabulary > 0 && limits.embedding_dimensions > 0);
    let end = engine.special_tokens().end.unwrap();
    assert!(engine.special_tokens().end_of_generation.contains(&end));
    let memory = engine.memory_bytes();
    assert!(
        memory.weights > 0 && memory.cache > 0 && memory.compute > 0,
        "{memory:?}"
    );
    assert!(seen.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
    assert_eq!(engine.threads(), 2);
    assert!(
        system_info().unwrap().contains("CPU"),
        "{:?}",
        system_info()
    );
}

#[test]
fn a_batch_of_sequences_equals_each_alone() {
    let mut engine = load(small());
    let prompts = prompts(&engine);
    let expected: Vec<_> = prompts
        .iter()
        .map(|prompt| alone(&mut engine, prompt))
        .collect();
    let mut batch = Vec::new();
    let mut rows = Vec::new();
    for (sequence, prompt) in (0..).zip(&prompts) {
        batch.extend(entries(sequence, 0, prompt));
        rows.push(batch.len() - 1);
    }
    engine.decode(&batch).unwrap();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_close(engine.logits(*row), expected);
    }
    // One more token for each, all in one batch, as a serving loop does it.
    let next: Vec<Token> = vec![5, 6, 7];
    let step: Vec<BatchEntry> = (0..)
        .zip(&prompts)
        .zip(&next)
        .flat_map(|((sequence, prompt), &token)| entries(sequence, prompt.len() as u32, &[token]))
        .collect();
    engine.decode(&step).unwrap();
    let rows: Vec<_> = (0..3).map(|row| engine.logits(row).to_vec()).collect();
    for sequence in 0..3 {
        assert!(engine.sequence_truncate(sequence, 0));
    }
    for ((prompt, token), row) in prompts.iter().zip(next).zip(rows) {
        let whole: Vec<Token> = prompt.iter().copied().chain([token]).collect();
        assert_close(&alone(&mut engine, &whole), &row);
    }
}

#[test]
fn a_shared_prefix_equals_a_full_prefill() {
    let mut engine = load(small());
    let prompts = prompts(&engine);
    let (prefix, suffix) = (&prompts[0], &prompts[1][1..]);
    let whole: Vec<Token> = prefix.iter().chain(suffix).copied().collect();
    let expected = alone(&mut engine, &whole);
    engine.decode(&entries(0, 0, prefix)).unwrap();
    let shared = prefix.len() as u32;
    engine.sequence_share(0, 1, shared);
    // The first sequence may go: its cells belong to the second too.
    assert!(engine.sequence_truncate(0, 0));
    engine.decode(&entries(1, shared, suffix)).unwrap();
    assert_close(engine.logits(suffix.len() - 1), &expected);
}

#[test]
fn a_part_of_a_prefix_can_be_shared() {
    let mut engine = load(small());
    let prompts = prompts(&engine);
    let expected = alone(&mut engine, &prompts[0]);
    engine.decode(&entries(2, 0, &prompts[0])).unwrap();
    let shared = 4;
    engine.sequence_share(2, 3, shared);
    engine
        .decode(&entries(3, shared, &prompts[0][shared as usize..]))
        .unwrap();
    assert_close(
        engine.logits(prompts[0].len() - 1 - shared as usize),
        &expected,
    );
}

#[test]
fn a_truncated_sequence_goes_on_as_if_nothing_had_followed() {
    let mut engine = load(small());
    let prompt = prompts(&engine)[2].clone();
    let expected = alone(&mut engine, &prompt);
    let cut = 5;
    engine.decode(&entries(0, 0, &prompt[..cut])).unwrap();
    engine.decode(&entries(0, cut as u32, &[9, 9, 9])).unwrap();
    assert!(engine.sequence_truncate(0, cut as u32));
    engine
        .decode(&entries(0, cut as u32, &prompt[cut..]))
        .unwrap();
    assert_close(engine.logits(prompt.len() - cut - 1), &expected);
}

#[test]
fn a_full_cache_is_said_and_passes_when_room_is_made() {
    let mut engine = load(LlamaOptions {
        cache_tokens: 256,
        ..small()
    });
    let prompt = prompts(&engine)[0].clone();
    let expected = alone(&mut engine, &prompt);
    let filler: Vec<Token> = vec![3; 120];
    engine.decode(&entries(0, 0, &filler)).unwrap();
    engine.decode(&entries(1, 0, &filler)).unwrap();
    let refused = engine.decode(&entries(2, 0, &filler));
    assert!(
        matches!(refused, Err(EngineError::CacheFull)),
        "{refused:?}"
    );
    assert!(engine.sequence_truncate(0, 0));
    engine.decode(&entries(2, 0, &prompt)).unwrap();
    assert_close(engine.logits(prompt.len() - 1), &expected);
    // The sequence that stayed was not harmed by the refusal.
    engine.decode(&entries(1, 120, &[4])).unwrap();
}

#[test]
fn an_interrupted_batch_leaves_every_sequence_as_it_was() {
    let mut engine = load(small());
    let prompt = prompts(&engine)[1].clone();
    let expected = alone(&mut engine, &prompt);
    let cut = 3;
    engine.decode(&entries(0, 0, &prompt[..cut])).unwrap();
    engine.interrupt().store(true, Ordering::Relaxed);
    let stopped = engine.decode(&entries(0, cut as u32, &[8; 100]));
    assert!(
        matches!(stopped, Err(EngineError::Interrupted)),
        "{stopped:?}"
    );
    engine.interrupt().store(false, Ordering::Relaxed);
    engine
        .decode(&entries(0, cut as u32, &prompt[cut..]))
        .unwrap();
    assert_close(engine.logits(prompt.len() - cut - 1), &expected);
}

#[test]
fn batches_that_break_a_limit_are_refused_and_harmless() {
    let mut engine = load(small());
    let vocabulary = engine.limits().vocabulary;
    let context = engine.limits().context_tokens;
    let good = entries(0, 0, &[1, 2, 3]);
    let cases: [(Vec<BatchEntry>, &str); 6] = [
        (vec![], "1 to 128 tokens"),
        (entries(0, 0, &[3; 129]), "1 to 128 tokens"),
        (entries(0, 0, &[vocabulary]), "vocabulary"),
        (entries(8, 0, &[1]), "sequence 8"),
        (entries(0, context, &[1]), "context"),
        (entries(0, 7, &[1]), "position"),
    ];
    for (batch, word) in cases {
        // The last case leaves a gap, which only the library notices: something must be in the sequence.
        engine.decode(&good).unwrap();
        match engine.decode(&batch) {
            Err(EngineError::Invalid { what }) => assert!(what.contains(word), "{what}"),
            other => panic!("{word}: {other:?}"),
        }
        assert!(engine.sequence_truncate(0, 0));
    }
}

#[test]
fn logits_are_there_for_every_row_that_asked() {
    let mut engine = load(small());
    let prompt = prompts(&engine)[0].clone();
    let mut batch = entries(0, 0, &prompt);
    for entry in &mut batch {
        entry.wants_logits = true;
    }
    engine.decode(&batch).unwrap();
    let third = engine.logits(2).to_vec();
    assert!(engine.sequence_truncate(0, 0));
    assert_close(&alone(&mut engine, &prompt[..3]), &third);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.decode(&entries(0, 0, &prompt)).unwrap();
        engine.logits(0).len()
    }));
    assert!(
        refused.is_err(),
        "a row that was not asked for must not be read"
    );
}

#[test]
fn text_survives_tokens_and_back() {
    let engine = load(small());
    let texts = [
        "",
        " ",
        "Hello, world!",
        "a\0b",
        "naïve café 🦀 — 日本語",
        "line\n\tline  two",
    ];
    for text in texts {
        let tokens = engine.tokenize(text, false, false).unwrap();
        let bytes = engine.detokenize(&tokens, true);
        assert_eq!(String::from_utf8_lossy(&bytes), text);
        let mut pieces = Vec::new();
        for &token in &tokens {
            engine.token_bytes(token, true, &mut pieces);
        }
        assert_eq!(
            String::from_utf8_lossy(&pieces).trim_start(),
            text.trim_start()
        );
    }
    let mut none = Vec::new();
    engine.token_bytes(Token::MAX, true, &mut none);
    assert!(none.is_empty());
}

#[test]
fn written_special_tokens_are_tokens_only_when_asked() {
    let engine = load(small());
    let end = engine.special_tokens().end.unwrap();
    let mut name = Vec::new();
    engine.token_bytes(end, true, &mut name);
    let name = String::from_utf8(name).unwrap();
    assert_eq!(engine.tokenize(&name, false, true).unwrap(), [end]);
    let as_text = engine.tokenize(&name, false, false).unwrap();
    assert!(!as_text.contains(&end), "{as_text:?}");
    let mut bytes = Vec::new();
    engine.token_bytes(end, false, &mut bytes);
    assert!(bytes.is_empty(), "a control token has no text");
}

#[test]
fn a_model_that_generates_embeds_when_asked() {
    let mut engine = load(LlamaOptions {
        batch_tokens_max: 32,
        ..small()
    });
    let prompts = prompts(&engine);
    let expected_logits = alone(&mut engine, &prompts[0]);
    let together = engine.embed(&prompts).unwrap();
    for (prompt, row) in prompts.iter().zip(&together) {
        assert_eq!(row.len(), engine.limits().embedding_dimensions as usize);
        let lone = engine.embed(std::slice::from_ref(prompt)).unwrap();
        assert!(cosine(&lone[0], row) > 0.9999, "{}", cosine(&lone[0], row));
    }
    assert!(cosine(&together[0], &together[1]) < 0.9999);
    assert_close(&alone(&mut engine, &prompts[0]), &expected_logits);
    for bad in [vec![], vec![1; 33], vec![Token::MAX]] {
        let refused = engine.embed(&[vec![1], bad]);
        assert!(
            matches!(&refused, Err(EngineError::Invalid { what }) if what.contains("input 1")),
            "{refused:?}"
        );
    }
    assert!(matches!(
        engine.rank(&[vec![1]]),
        Err(EngineError::Invalid { .. })
    ));
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let dot = |left: &[f32], right: &[f32]| -> f32 {
        left.iter()
            .zip(right)
            .map(|(left, right)| left * right)
            .sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[test]
fn pooling_can_be_chosen() {
    let embed = |pooling| {
        let mut engine = load(LlamaOptions { pooling, ..small() });
        assert!(engine.limits().embeds && !engine.limits().generates);
        let prompt = prompts(&engine)[0].clone();
        engine.embed(&[prompt]).unwrap().remove(0)
    };
    assert!(cosine(&embed(Pooling::Mean), &embed(Pooling::Last)) < 0.9999);
    let ranker = LlamaOptions {
        pooling: Pooling::Rank,
        ..small()
    };
    let refused = LlamaEngine::load(&model(), ranker, &mut |_| true).unwrap_err();
    assert!(refused.to_string().contains("ranking head"), "{refused}");
}

#[test]
fn broken_files_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let whole = std::fs::read(model()).unwrap();
    let cut = whole.len() * 2 / 3;
    let mut lying = whole.clone();
    // The number of tensors, a little-endian u64 behind magic and version.
    lying[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(&str, &[u8], &str); 4] = [
        ("empty.gguf", b"", "magic"),
        (
            "text.gguf",
            b"this is not a model at all, not at all",
            "magic",
        ),
        ("cut.gguf", &whole[..cut], "tensor"),
        ("lying.gguf", &lying, "tensor"),
    ];
    for (name, bytes, word) in cases {
        let path = directory.path().join(name);
        std::fs::File::create(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
            .unwrap();
        match LlamaEngine::load(&path, small(), &mut |_| true) {
            Err(EngineError::Load { reason }) => assert!(reason.contains(word), "{name}: {reason}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let missing = LlamaEngine::load(&directory.path().join("none.gguf"), small(), &mut |_| true);
    assert!(
        matches!(missing, Err(EngineError::Load { .. })),
        "{missing:?}"
    );
}

#[test]
fn a_load_can_be_stopped() {
    let stopped = LlamaEngine::load(&model(), small(), &mut |_| false);
    assert!(
        matches!(stopped, Err(EngineError::Interrupted)),
        "{stopped:?}"
    );
}
