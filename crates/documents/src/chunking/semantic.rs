//! Cuts where the meaning turns.

use super::atoms::Atom;
use super::marks::{ALWAYS, Mark, SENTENCE};
use super::{ChunkingError, TextModel};

/// Sentences in one question to the model.
const SENTENCES_PER_CALL: usize = 64;

/// Marks the borders of sentences where neighbours are farther apart than `keep_together` of all. Each sentence is
/// embedded with its neighbours: alone, a short one is far from everything.
pub(super) fn mark(
    text: &str,
    atoms: &[Atom],
    marks: &mut [Mark],
    keep_together: f64,
    model: &mut dyn TextModel,
) -> Result<(), ChunkingError> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain((1..atoms.len()).filter(|index| marks[*index] >= SENTENCE))
        .collect();
    // Two borders at least: of one alone nobody can say that it is the larger.
    if starts.len() < 3 {
        return Ok(());
    }
    let end = |sentence: usize| {
        starts
            .get(sentence + 1)
            .map_or(text.len(), |start| atoms[*start].bytes.start)
    };
    let windows: Vec<&str> = (0..starts.len())
        .map(|sentence| {
            let from = atoms[starts[sentence.saturating_sub(1)]].bytes.start;
            let to = end((sentence + 1).min(starts.len() - 1));
            text[from..to].trim()
        })
        .collect();
    let mut distances = Vec::with_capacity(starts.len());
    let mut before: Option<Vec<f32>> = None;
    for part in windows.chunks(SENTENCES_PER_CALL) {
        let vectors = model.embed(part).map_err(ChunkingError::Model)?;
        if vectors.len() != part.len() {
            return Err(ChunkingError::Answers {
                asked: part.len(),
                given: vectors.len(),
            });
        }
        for vector in vectors {
            if let Some(before) = &before {
                distances.push(distance(before, &vector));
            }
            before = Some(vector);
        }
    }
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let rank = ((sorted.len() - 1) as f64 * keep_together).round() as usize;
    let threshold = sorted.get(rank).copied().unwrap_or(f64::INFINITY);
    for (sentence, distance) in distances.into_iter().enumerate() {
        if distance > threshold {
            marks[starts[sentence + 1]] = ALWAYS;
        }
    }
    Ok(())
}

/// One minus the cosine; vectors without length are far from all.
fn distance(left: &[f32], right: &[f32]) -> f64 {
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter()
            .zip(right)
            .map(|(left, right)| f64::from(*left) * f64::from(*right))
            .sum()
    };
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    if lengths > 0.0 {
        1.0 - dot(left, right) / lengths
    } else {
        1.0
    }
}
