//! Markdown as it is written, with its headings and blocks.

use std::fs::File;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::decode;
use crate::error::Error;
use crate::output::Output;
use crate::piece::{Heading, Piece};

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let text = decode::whole(file, false, output.limits.whole_bytes_max)?;
    let (headings, blocks) = structure(&text);
    output.piece(Piece {
        text,
        headings,
        blocks: Some(blocks),
        ..Piece::default()
    })
}

/// Headings, and the bytes where blocks of the top level and items of lists begin.
fn structure(text: &str) -> (Vec<Heading>, Vec<usize>) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let (mut headings, mut blocks) = (Vec::new(), Vec::new());
    let mut open: Option<Heading> = None;
    let mut depth = 0usize;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 || matches!(tag, Tag::Item) {
                    blocks.push(range.start);
                }
                if let Tag::Heading { level, .. } = tag
                    && depth == 0
                {
                    open = Some(Heading {
                        byte: range.start,
                        level: level as u8,
                        title: String::new(),
                    });
                }
                depth += 1;
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if let TagEnd::Heading(_) = tag
                    && let Some(mut heading) = open.take()
                {
                    heading.title = heading.title.trim().to_owned();
                    headings.push(heading);
                }
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut open {
                    heading.title.push_str(&part);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some(heading) = &mut open {
                    heading.title.push(' ');
                }
            }
            _ if depth == 0 => blocks.push(range.start),
            _ => {}
        }
    }
    blocks.sort_unstable();
    blocks.dedup();
    (headings, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_in_code_are_none_and_blocks_begin_where_they_do() {
        let text = "# One *two*\n\npara\nline\n\n```sh\n# no heading\n\nx\n```\n\n## Three `c`\n- a\n- b\n";
        let (headings, blocks) = structure(text);
        let titles: Vec<(u8, &str)> = headings
            .iter()
            .map(|heading| (heading.level, heading.title.as_str()))
            .collect();
        assert_eq!(titles, [(1, "One two"), (2, "Three c")]);
        assert_eq!(headings[1].byte, text.find("## Three").expect("there"));
        let begins: Vec<&str> = blocks.iter().map(|byte| &text[*byte..*byte + 3]).collect();
        assert_eq!(begins, ["# O", "par", "```", "## ", "- a", "- b"]);
    }
}
