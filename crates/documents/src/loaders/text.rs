//! Plain text, in runs of bounded length.

use std::fs::File;

use crate::decode::TextReader;
use crate::error::Error;
use crate::output::Output;
use crate::piece::Piece;

/// A run is handed out when it has this many bytes; a run ends between paragraphs if it can, so that chunks do not
/// notice.
const RUN_BYTES: usize = 1 << 20;

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let mut reader = TextReader::new(file, false)?;
    let mut text = String::new();
    let mut characters = 0u64;
    while reader.read(&mut text)? {
        while text.len() >= 2 * RUN_BYTES {
            let rest = text.split_off(cut(&text));
            emit(std::mem::replace(&mut text, rest), &mut characters, output)?;
        }
    }
    emit(text, &mut characters, output)
}

fn emit(text: String, characters: &mut u64, output: &mut Output<'_>) -> Result<(), Error> {
    let before = *characters;
    *characters += text.chars().count() as u64;
    output.piece(Piece {
        text,
        characters_before: before,
        ..Piece::default()
    })
}

/// Where a run ends: after the last empty line in its second half, else the last line, else the last space.
fn cut(text: &str) -> usize {
    let (from, to) = (
        text.floor_char_boundary(RUN_BYTES / 2),
        text.floor_char_boundary(RUN_BYTES),
    );
    let half = &text[from..to];
    ["\n\n", "\n", " "]
        .iter()
        .find_map(|separator| Some(from + half.rfind(separator)? + separator.len()))
        .unwrap_or(to)
}
