//! The text of HTML: what a reader sees, without scripts, styles and navigation.

use std::fs::File;

use html5gum::{DefaultEmitter, Token, Tokenizer};

use super::layout::Layout;
use crate::decode;
use crate::error::Error;
use crate::output::Output;

/// Elements whose content nobody reads as text.
const SKIPPED: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "math", "nav", "iframe", "object", "select",
    "button", "canvas",
];
/// Elements that stand on lines of their own, parted from others.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "details",
    "div",
    "dl",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "title",
    "ul",
];
/// Elements that begin a line.
const LINES: &[&str] = &["br", "dd", "dt", "li", "tr", "option", "caption"];

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let source = decode::whole(file, true, output.limits.whole_bytes_max)?;
    let mut page = Page::default();
    let mut emitter = DefaultEmitter::default();
    // Inside <script> and <style> a '<' begins no element.
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(&source, emitter) {
        // Reading from memory cannot fail.
        let Ok(token) = token;
        page.take(&token);
    }
    output.piece(page.layout.into_piece())
}

#[derive(Default)]
struct Page {
    layout: Layout,
    /// The skipped element we are in, and how many of its name are open.
    skipped: Option<(String, usize)>,
    preformatted: usize,
}

impl Page {
    fn take(&mut self, token: &Token) {
        match token {
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name);
                self.open(&name, tag.self_closing);
            }
            Token::EndTag(tag) => self.close(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) if self.skipped.is_none() => {
                let text = String::from_utf8_lossy(text);
                if self.preformatted > 0 {
                    self.layout.verbatim(&text);
                } else {
                    self.layout.words(&text);
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, name: &str, self_closing: bool) {
        if let Some((skipped, count)) = &mut self.skipped {
            if skipped == name && !self_closing {
                *count += 1;
            }
            return;
        }
        if SKIPPED.contains(&name) {
            if !self_closing {
                self.skipped = Some((name.to_owned(), 1));
            }
            return;
        }
        if let Some(level) = heading(name) {
            self.layout.begin_heading(level);
        } else if BLOCKS.contains(&name) {
            self.layout.block();
        } else if LINES.contains(&name) {
            self.layout.line();
        } else if name == "td" || name == "th" {
            self.layout.words(" ");
        }
        match name {
            "li" => self.layout.words("- "),
            "pre" => self.preformatted += 1,
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if let Some((skipped, count)) = &mut self.skipped {
            if skipped == name {
                *count -= 1;
                if *count == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        if heading(name).is_some() {
            self.layout.end_heading();
        } else if BLOCKS.contains(&name) {
            self.layout.block();
        } else if LINES.contains(&name) {
            self.layout.line();
        }
        if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
    }
}

/// The level of `h1` to `h6`.
fn heading(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> crate::Piece {
        let mut page = Page::default();
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        for Ok(token) in Tokenizer::new_with_emitter(source, emitter) {
            page.take(&token);
        }
        page.layout.into_piece()
    }

    #[test]
    fn readers_text_is_kept_and_nothing_else() {
        let piece = text(
            "<!doctype html><title>T</title><style>p{}</style><nav><a>menu</a></nav><h1>Top  <em>it</em></h1>\n\
             <p>One\n two<b>three</b> &amp; four</p><script>if (a<b) {}</script><ul><li>x<li>y</ul>\
             <pre>a  b\n  c</pre><table><tr><td>1<td>2<tr><td>3</table>",
        );
        assert_eq!(
            piece.text,
            "T\n\nTop it\n\nOne twothree & four\n\n- x\n- y\n\na  b\n  c\n\n1 2\n3"
        );
        assert_eq!(piece.headings.len(), 1);
        assert_eq!(piece.headings[0].title, "Top it");
        assert_eq!(piece.headings[0].byte, 3);
    }

    #[test]
    fn tags_that_are_never_closed_lose_no_more_than_they_must() {
        assert_eq!(
            text("<p>a<div>b<span>c").text,
            "a\n\nb\n\nc".replace("b\n\nc", "bc")
        );
        assert_eq!(text("</p></div>text</h1>").text, "text");
        assert_eq!(text("<").text, "<");
    }
}
