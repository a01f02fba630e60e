//! The laws of chunking on random texts with counters of several kinds, and examples by hand.

use std::error::Error as StdError;

use proptest::prelude::*;

use super::Strategy;
use super::*;
use crate::piece::Heading;

/// Ways to count tokens that differ as tokenizers do.
#[derive(Debug, Clone, Copy)]
enum Counter {
    /// A token per character: no spaces are free.
    Characters,
    /// A token per byte: one character has up to four.
    Bytes,
    /// A token per word and one per four letters more.
    Pieces,
    /// As `Pieces`, and one more for every border between words: wholes have more than the sum of their parts.
    Grudging,
}

impl TextModel for Counter {
    fn count(&mut self, texts: &[&str]) -> Result<Vec<usize>, Box<dyn StdError + Send + Sync>> {
        let count = |text: &&str| {
            let words = text.split_whitespace().count();
            let pieces: usize = text
                .split_whitespace()
                .map(|word| word.chars().count().div_ceil(4))
                .sum();
            match self {
                Counter::Characters => text.chars().count(),
                Counter::Bytes => text.len(),
                Counter::Pieces => pieces,
                Counter::Grudging => pieces + words.saturating_sub(1),
            }
        };
        Ok(texts.iter().map(count).collect())
    }

    /// Texts about the same letter are near each other.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        let embed = |text: &&str| {
            let mut vector = vec![0.01; 26];
            for byte in text.bytes().filter(u8::is_ascii_lowercase) {
                vector[usize::from(byte - b'a')] += 1.0;
            }
            vector
        };
        Ok(texts.iter().map(embed).collect())
    }
}

fn options(strategy: Strategy, size: usize, overlap: usize) -> ChunkingOptions {
    ChunkingOptions {
        strategy,
        size,
        overlap,
        keep_together: 0.8,
    }
}

fn prose(text: &str) -> Piece {
    Piece {
        text: text.to_owned(),
        ..Piece::default()
    }
}

fn check_laws(piece: &Piece, options: ChunkingOptions, mut counter: Counter) {
    let mut chunker = Chunker::new(options).expect("options");
    let chunks = chunker.chunk(piece, &mut counter).expect("chunks");
    let text = &piece.text;
    if text.trim().is_empty() {
        assert!(chunks.is_empty());
        return;
    }
    let joined: String = chunks
        .iter()
        .map(|chunk| &text[chunk.span.clone()])
        .collect();
    assert_eq!(&joined, text, "the spans without overlap are the text");
    let characters: Vec<char> = text.chars().collect();
    for chunk in &chunks {
        assert!(!chunk.text.trim().is_empty());
        assert_eq!(chunk.text, text[chunk.content.clone()]);
        let (start, end) = (
            (chunk.start - piece.characters_before) as usize,
            (chunk.end - piece.characters_before) as usize,
        );
        assert_eq!(
            chunk.text,
            characters[start..end].iter().collect::<String>()
        );
        let counted = counter.count(&[&chunk.text]).expect("count")[0];
        assert_eq!(counted, chunk.tokens);
        assert!(
            counted <= options.size,
            "{counted} of {}: {:?}",
            options.size,
            chunk.text
        );
        let repeated = &text[chunk.content.start.min(chunk.span.start)..chunk.span.start];
        // Only the sum over words is known to be within the overlap.
        let words: Vec<&str> = repeated.split_whitespace().collect();
        assert!(words.len() <= options.overlap.max(1) * 2);
        if options.overlap == 0 {
            assert!(chunk.content.start >= chunk.span.start);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_laws_hold_for_every_text(
        text in "(\\PC{0,12}|[a-z]{1,9}[.!?]? |\n\n|\n|[\u{4e00}-\u{4e20}]{1,60}|😀{1,3}|[a-z/:.]{60,90}| |\t){0,60}",
        strategy in 0..Strategy::ALL.len(),
        counter in prop::sample::select(vec![Counter::Characters, Counter::Bytes, Counter::Pieces, Counter::Grudging]),
        size in SIZE_MIN..60,
        overlap in 0usize..60,
        before in 0u64..1000,
    ) {
        let piece = Piece { characters_before: before, ..prose(&text) };
        let options = options(Strategy::ALL[strategy].1, size, overlap.min(size - 1));
        check_laws(&piece, options, counter);
    }
}

#[test]
fn a_megabyte_is_cut_in_a_moment() {
    let text = "Some words of a sentence. ".repeat(40_000);
    for (_, strategy) in Strategy::ALL {
        check_laws(&prose(&text), options(strategy, 200, 40), Counter::Pieces);
    }
}

fn cut(piece: &Piece, options: ChunkingOptions, mut counter: Counter) -> Vec<Chunk> {
    let mut chunker = Chunker::new(options).expect("options");
    chunker.chunk(piece, &mut counter).expect("chunks")
}

fn texts(chunks: &[Chunk]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

#[test]
fn sentences_stay_whole_and_the_overlap_is_one() {
    let text = "One two three. Four five six. Seven eight nine. Ten.";
    let chunks = cut(
        &prose(text),
        options(Strategy::Sentence, 12, 4),
        Counter::Pieces,
    );
    assert_eq!(
        texts(&chunks),
        [
            "One two three. Four five six.",
            "Four five six. Seven eight nine. Ten."
        ]
        .map(str::to_owned)
    );
}

#[test]
fn wrapped_lines_are_no_sentences() {
    let text = "A sentence that is\nwrapped over lines. Another one\nthat is wrapped.";
    let chunks = cut(
        &prose(text),
        options(Strategy::Sentence, 10, 0),
        Counter::Pieces,
    );
    assert_eq!(chunks[0].text, "A sentence that is\nwrapped over lines.");
}

#[test]
fn sections_have_their_headings_as_path_and_lonely_titles_stay_with_what_follows() {
    let text = "# Top\n\n## First\n\nBody of first.\n\n## Second\n\nBody of second.\n";
    let heading = |title: &str, level| Heading {
        byte: text
            .find(&format!("{} {title}", "#".repeat(usize::from(level))))
            .expect("there"),
        level,
        title: title.to_owned(),
    };
    let piece = Piece {
        headings: vec![heading("Top", 1), heading("First", 2), heading("Second", 2)],
        path: vec!["Book".to_owned()],
        ..prose(text)
    };
    let chunks = cut(
        &piece,
        options(Strategy::Markdown, 100, 10),
        Counter::Pieces,
    );
    assert_eq!(
        texts(&chunks),
        [
            "# Top\n\n## First\n\nBody of first.",
            "## Second\n\nBody of second."
        ]
    );
    assert_eq!(chunks[0].path, ["Book", "Top"]);
    assert_eq!(chunks[1].path, ["Book", "Top", "Second"]);
    assert_eq!(chunks[1].tokens, 7);
}

#[test]
fn the_meaning_turns_where_the_words_do() {
    let text = "Aaaa aaa aa. Aaa aaaa a. Aa aaa aaa. Zzzz zzz zz. Zzz zz zzz. Zz zzzz z.";
    let chunks = cut(
        &prose(text),
        options(Strategy::Semantic, 100, 0),
        Counter::Pieces,
    );
    let turned: Vec<bool> = chunks
        .iter()
        .map(|chunk| chunk.text.contains("Zzzz"))
        .collect();
    assert!(chunks.len() >= 2, "{chunks:?}");
    assert!(
        chunks
            .iter()
            .all(|chunk| !(chunk.text.contains("Aaaa aaa") && chunk.text.contains("z z.")))
    );
    assert!(turned.contains(&true));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for bad in [
        options(Strategy::Fixed, 7, 0),
        options(Strategy::Fixed, 100, 100),
        options(Strategy::Fixed, 100, 101),
        options(Strategy::Fixed, usize::MAX, 0),
        ChunkingOptions {
            keep_together: f64::NAN,
            ..options(Strategy::Semantic, 100, 0)
        },
    ] {
        assert!(matches!(
            Chunker::new(bad),
            Err(ChunkingError::Options { .. })
        ));
    }
}

/// A model that fails, or forgets a text.
struct Broken {
    forgets: bool,
}

impl TextModel for Broken {
    fn count(&mut self, texts: &[&str]) -> Result<Vec<usize>, Box<dyn StdError + Send + Sync>> {
        if self.forgets {
            Ok(vec![1; texts.len() - 1])
        } else {
            Err("no runner".into())
        }
    }

    fn embed(&mut self, _: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        Err("no runner".into())
    }
}

#[test]
fn what_the_model_does_wrong_is_an_error() {
    let mut chunker = Chunker::new(options(Strategy::Fixed, 10, 0)).expect("options");
    let failed = chunker.chunk(&prose("some text"), &mut Broken { forgets: false });
    assert!(matches!(failed, Err(ChunkingError::Model(_))));
    let mut chunker = Chunker::new(options(Strategy::Fixed, 10, 0)).expect("options");
    let forgot = chunker.chunk(&prose("some text"), &mut Broken { forgets: true });
    assert!(matches!(
        forgot,
        Err(ChunkingError::Answers { asked: 2, given: 1 })
    ));
}
