//! Word documents: paragraphs, headings by style or outline level, lists, tables, notes.

use std::collections::HashMap;
use std::fs::File;

use quick_xml::events::BytesStart;

use super::layout::Layout;
use super::xml::{Node, walk};
use crate::archive::Archive;
use crate::decode;
use crate::error::Error;
use crate::output::Output;
use crate::piece::Place;

const DOCUMENT: &str = "word/document.xml";
const STYLES: &str = "word/styles.xml";
/// Parts whose text belongs to the document, in reading order.
const NOTES: [&str; 2] = ["word/footnotes.xml", "word/endnotes.xml"];

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let mut archive = Archive::open(file, output.limits)?;
    if !archive.holds(DOCUMENT) {
        return Err(Error::malformed(format!(
            "holds no '{DOCUMENT}', so it is no Word document"
        )));
    }
    let depth_max = output.limits.depth_max;
    let levels = if archive.holds(STYLES) {
        let bytes = archive.read(STYLES)?;
        decode::utf8(&bytes)
            .and_then(|text| outline_levels(text, depth_max))
            .map_err(|error| within(STYLES, error))?
    } else {
        HashMap::new()
    };
    let document = read(&mut archive, DOCUMENT, &levels, depth_max)?;
    output.piece(document.into_piece())?;
    for note in NOTES {
        if !archive.holds(note) {
            continue;
        }
        // A broken part of notes costs the notes only.
        match read(&mut archive, note, &levels, depth_max) {
            Ok(layout) => {
                let mut piece = layout.into_piece();
                piece.place = Place::part(note);
                output.piece(piece)?;
            }
            Err(error) => output.fault(error)?,
        }
    }
    Ok(())
}

fn read(
    archive: &mut Archive,
    name: &str,
    levels: &HashMap<String, u8>,
    depth_max: usize,
) -> Result<Layout, Error> {
    let bytes = archive.read(name)?;
    decode::utf8(&bytes)
        .and_then(|text| Part::read(text, levels, depth_max))
        .map_err(|error| within(name, error))
}

fn within(part: &str, mut error: Error) -> Error {
    error.place.part = Some(part.to_owned());
    error
}

/// Style identifiers that make headings, with their level, from the styles of the document.
fn outline_levels(text: &str, depth_max: usize) -> Result<HashMap<String, u8>, Error> {
    let mut levels = HashMap::new();
    let mut style = None;
    walk(text, depth_max, &mut |node, _| {
        if let Node::Open(tag) = node {
            match tag.local_name().as_ref() {
                "style" => style = attribute(tag, "styleId"),
                "outlineLvl" => {
                    if let (Some(id), Some(level)) = (&style, level(tag)) {
                        levels.insert(id.clone(), level);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok(levels)
}

/// The value of the attribute with this local name.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag
        .attributes()
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    Some(found.value.into_owned())
}

/// `outlineLvl` counts from 0; 9 means body text.
fn level(tag: &BytesStart<'_>) -> Option<u8> {
    let value: u8 = attribute(tag, "val")?.parse().ok()?;
    (value < 9).then_some(value + 1)
}

/// The text of one part.
struct Part<'a> {
    levels: &'a HashMap<String, u8>,
    layout: Layout,
    /// Inside `w:t`, where the words are; other elements hold field codes and settings.
    in_text: bool,
    /// Inside deleted text of tracked changes, or a drawing's second rendering.
    hidden: usize,
    /// Words of the paragraph so far, its heading level and whether it is an item of a list.
    paragraph: Vec<Run>,
    heading: Option<u8>,
    item: bool,
}

/// Words, or what parts them.
enum Run {
    Words(String),
    Line,
}

impl<'a> Part<'a> {
    fn read(
        text: &str,
        levels: &'a HashMap<String, u8>,
        depth_max: usize,
    ) -> Result<Layout, Error> {
        let mut part = Part {
            levels,
            layout: Layout::default(),
            in_text: false,
            hidden: 0,
            paragraph: Vec::new(),
            heading: None,
            item: false,
        };
        walk(text, depth_max, &mut |node, _| {
            match node {
                Node::Open(tag) => part.open(tag),
                Node::Close(name) => part.close(name),
                Node::Text(words) if part.in_text && part.hidden == 0 => {
                    part.paragraph.push(Run::Words(words.to_owned()));
                }
                Node::Text(_) => {}
            }
            Ok(())
        })?;
        part.end_paragraph();
        Ok(part.layout)
    }

    fn open(&mut self, tag: &BytesStart<'_>) {
        match tag.local_name().as_ref() {
            "t" => self.in_text = true,
            "tab" => self.paragraph.push(Run::Words(" ".to_owned())),
            "br" | "cr" => self.paragraph.push(Run::Line),
            "tc" => self.paragraph.push(Run::Words(" ".to_owned())),
            "tr" => self.layout.line(),
            "tbl" => self.layout.block(),
            "numPr" => self.item = true,
            "pStyle" => {
                let level = attribute(tag, "val").and_then(|id| self.levels.get(&id).copied());
                self.heading = self.heading.or(level);
            }
            "outlineLvl" => self.heading = level(tag).or(self.heading),
            "del" | "Fallback" => self.hidden += 1,
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => self.end_paragraph(),
            "del" | "Fallback" => self.hidden = self.hidden.saturating_sub(1),
            _ => {}
        }
    }

    fn end_paragraph(&mut self) {
        let runs = std::mem::take(&mut self.paragraph);
        let heading = self.heading.take();
        let item = std::mem::take(&mut self.item);
        match (heading, item) {
            (Some(level), _) => self.layout.begin_heading(level),
            (None, true) => {
                self.layout.line();
                self.layout.words("- ");
            }
            (None, false) => self.layout.block(),
        }
        for run in runs {
            match run {
                Run::Words(words) => self.layout.words(&words),
                Run::Line => self.layout.line(),
            }
        }
        if heading.is_some() {
            self.layout.end_heading();
        }
    }
}
