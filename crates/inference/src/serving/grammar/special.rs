//! References to special tokens in Lark text, matched with the vocabulary at hand.
//!
//! llguidance refuses a grammar that names a special token which the vocabulary lacks, and cannot name one whose
//! text is not in angle brackets. Both are settled here, before it reads the grammar.

use super::Vocabulary;

/// Rewrites every `<name>` that is no control token of the vocabulary to the literal `"<name>"`, and `<[NAME]>`
/// to the token's number (or to the literal `"[NAME]"`). Number ranges (`<[10-20]>`, `<[^7]>`, `<[*]>`), strings,
/// regular expressions and comments stay as they are.
pub(super) fn resolve(text: &str, vocabulary: &Vocabulary) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '"' => delimited(rest, '"'),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' => delimited(rest, '/'),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '<' => {
                if let Some(length) = reference(rest) {
                    out.push_str(&replace(&rest[..length], vocabulary));
                    rest = &rest[length..];
                    continue;
                }
                1
            }
            _ => character.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// Length of a string or regular expression from its opening delimiter to its closing one; to the end of the
/// line when it is never closed (the compiler will say so).
fn delimited(text: &str, delimiter: char) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return index,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == delimiter => return index + delimiter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Length of a special-token reference at the start of `text`, if one is there.
fn reference(text: &str) -> Option<usize> {
    let end = text.find('>')?;
    let name = &text[1..end];
    let plain = !name.is_empty()
        && !name
            .chars()
            .any(|character| character.is_whitespace() || matches!(character, '<' | '"'));
    plain.then_some(end + 1)
}

fn replace(reference: &str, vocabulary: &Vocabulary) -> String {
    let name = &reference[1..reference.len() - 1];
    if let Some(bracketed) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let is_range = bracketed.chars().all(|character| {
            character.is_ascii_digit() || matches!(character, '-' | ',' | '^' | '*')
        });
        if is_range {
            return reference.to_owned();
        }
        return match vocabulary.control_token(name) {
            Some(token) => format!("<[{token}]>"),
            None => literal(name),
        };
    }
    if vocabulary.control_token(reference).is_some() {
        reference.to_owned()
    } else {
        literal(reference)
    }
}

/// A Lark string: JSON's escapes are the ones it has.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let words = vec![
            b"a".to_vec(),
            b"\xff<tool_call>".to_vec(),
            b"\xff[TOOL_CALLS]".to_vec(),
        ];
        assert_eq!(resolve(text, &Vocabulary::new(words, vec![])), expected);
    }

    #[test]
    fn references_follow_the_vocabulary() {
        check("start: <tool_call> X", "start: <tool_call> X");
        check("start: <think> X", r#"start: "<think>" X"#);
        check("start: <[TOOL_CALLS]> X", "start: <[2]> X");
        check("start: <[OTHER]> X", r#"start: "[OTHER]" X"#);
        check(
            "start: <[1-2,7]> <[^3]> <[*]>",
            "start: <[1-2,7]> <[^3]> <[*]>",
        );
    }

    #[test]
    fn strings_regexes_and_comments_stay() {
        check(
            r#"start: "<think>" /<b>/ // <c>"#,
            r#"start: "<think>" /<b>/ // <c>"#,
        );
        check(r#"A: "x\"<think>""#, r#"A: "x\"<think>""#);
        check("# <a>\nA: <b>", "# <a>\nA: \"<b>\"");
        check("A: \"open <b>", "A: \"open <b>");
        check("a < b > c", "a < b > c");
    }
}
