//! Text that is laid out from markup: paragraphs, lines, headings. HTML and Word write into it.

use crate::piece::{Heading, Piece};

/// A text that grows; white space between words is one space, blocks are parted by an empty line.
#[derive(Default)]
pub(super) struct Layout {
    text: String,
    headings: Vec<Heading>,
    blocks: Vec<usize>,
    /// What must stand before the next word.
    gap: Gap,
    open: Option<Heading>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
    #[default]
    Block,
}

impl Layout {
    /// Words; white space in them only parts.
    pub(super) fn words(&mut self, text: &str) {
        if text.starts_with(char::is_whitespace) {
            self.gap = self.gap.max(Gap::Space);
        }
        for (index, word) in text.split_whitespace().enumerate() {
            if index > 0 {
                self.gap = self.gap.max(Gap::Space);
            }
            self.put(word);
        }
        if text.ends_with(char::is_whitespace) {
            self.gap = self.gap.max(Gap::Space);
        }
    }

    /// Text whose white space means something.
    pub(super) fn verbatim(&mut self, text: &str) {
        if text.trim().is_empty() && self.gap == Gap::Block {
            return;
        }
        if !text.is_empty() {
            self.put(text);
        }
    }

    /// The next word begins a line.
    pub(super) fn line(&mut self) {
        self.gap = self.gap.max(Gap::Line);
    }

    /// The next word begins a block.
    pub(super) fn block(&mut self) {
        self.gap = Gap::Block;
    }

    /// A heading begins.
    pub(super) fn begin_heading(&mut self, level: u8) {
        self.block();
        self.open = Some(Heading {
            byte: 0,
            level,
            title: String::new(),
        });
    }

    /// The heading ends; one without words is none.
    pub(super) fn end_heading(&mut self) {
        if let Some(heading) = self.open.take()
            && !heading.title.is_empty()
        {
            self.headings.push(heading);
        }
        self.block();
    }

    /// The text as one piece.
    pub(super) fn into_piece(mut self) -> Piece {
        self.end_heading();
        Piece {
            text: self.text,
            headings: self.headings,
            blocks: Some(self.blocks),
            ..Piece::default()
        }
    }

    fn put(&mut self, word: &str) {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        if !self.text.is_empty() {
            self.text.push_str(match gap {
                Gap::None => "",
                Gap::Space => " ",
                Gap::Line => "\n",
                Gap::Block => "\n\n",
            });
        }
        if gap == Gap::Block {
            self.blocks.push(self.text.len());
        }
        if let Some(heading) = &mut self.open {
            if heading.title.is_empty() {
                heading.byte = self.text.len();
            } else if gap != Gap::None {
                heading.title.push(' ');
            }
            heading.title.push_str(word);
        }
        self.text.push_str(word);
    }
}
