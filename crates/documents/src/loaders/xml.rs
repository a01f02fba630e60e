//! XML: the text of each child of the root is a piece. Also the bounded walk over XML that Word documents use.

use std::fs::File;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::layout::Layout;
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::output::Output;
use crate::piece::Place;

/// What a walk meets.
pub(super) enum Node<'a> {
    /// An element begins. An empty element is met as a begin and an end.
    Open(&'a BytesStart<'a>),
    /// The element of this local name ends.
    Close(&'a str),
    /// Characters, with references resolved.
    Text(&'a str),
}

/// Walks over `text` and hands every node to `take`, with the number of elements that are open around it. Only the five
/// predefined entities and references to characters are resolved: entities that a document declares are the way to make
/// a kilobyte into a gigabyte.
pub(super) fn walk(
    text: &str,
    depth_max: usize,
    take: &mut dyn FnMut(Node<'_>, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0usize;
    loop {
        let event = reader.read_event().map_err(|error| {
            Error::malformed(format!("is no well-formed XML: {error}"))
                .at(place(text, reader.error_position()))
        })?;
        let position = reader.buffer_position();
        let here = |error: Error| {
            if error.place == Place::default() {
                error.at(place(text, position))
            } else {
                error
            }
        };
        match event {
            Event::Start(tag) => {
                if depth == depth_max {
                    return Err(here(Error::too_large(
                        "levels of elements",
                        depth_max as u64,
                    )));
                }
                take(Node::Open(&tag), depth).map_err(here)?;
                depth += 1;
            }
            Event::Empty(tag) => {
                take(Node::Open(&tag), depth).map_err(here)?;
                take(Node::Close(tag.local_name().as_ref()), depth).map_err(here)?;
            }
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                take(Node::Close(tag.local_name().as_ref()), depth).map_err(here)?;
            }
            Event::Text(part) => take(Node::Text(&part), depth).map_err(here)?,
            Event::CData(part) => take(Node::Text(&part), depth).map_err(here)?,
            Event::GeneralRef(name) => {
                let resolved = resolve(&name).map_err(here)?;
                take(Node::Text(resolved.encode_utf8(&mut [0; 4])), depth).map_err(here)?;
            }
            Event::Eof if depth > 0 => {
                return Err(here(Error::malformed(format!(
                    "ends inside {depth} elements that are still open"
                ))));
            }
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// The character of `&name;`, without the marks.
fn resolve(name: &str) -> Result<char, Error> {
    let code = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        },
        None => {
            let known = [
                ("lt", '<'),
                ("gt", '>'),
                ("amp", '&'),
                ("apos", '\''),
                ("quot", '"'),
                ("nbsp", '\u{a0}'),
            ];
            let found = known.iter().find(|(known, _)| *known == name);
            return found.map(|(_, character)| *character).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("refers to the entity '{name}', and entities that a document declares are not expanded"),
                )
            });
        }
    };
    code.and_then(char::from_u32)
        .ok_or_else(|| Error::malformed(format!("'&{name};' is no character")))
}

fn place(text: &str, position: u64) -> Place {
    let end = text.floor_char_boundary(usize::try_from(position).unwrap_or(usize::MAX));
    let line = text[..end].bytes().filter(|byte| *byte == b'\n').count() as u64 + 1;
    Place::byte(end as u64).with_line(line)
}

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let text = decode::whole(file, true, output.limits.whole_bytes_max)?;
    let depth_max = output.limits.depth_max;
    let mut layout = Layout::default();
    let mut row = 0;
    let mut elements = 0u64;
    walk(&text, depth_max, &mut |node, depth| {
        match node {
            Node::Open(_) => {
                elements += 1;
                layout.line();
            }
            Node::Text(part) => layout.words(part),
            Node::Close(name) => {
                layout.line();
                // A child of the root, or the root with text of its own.
                if depth <= 1 {
                    let mut piece = std::mem::take(&mut layout).into_piece();
                    if depth == 1 {
                        row += 1;
                        output.row()?;
                        piece.place = Place::row(row);
                    }
                    piece.place.part = Some(name.to_owned());
                    output.piece(piece)?;
                }
            }
        }
        Ok(())
    })?;
    if elements == 0 {
        return Err(Error::malformed("holds no element, so it is no XML"));
    }
    Ok(())
}
