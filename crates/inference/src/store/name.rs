//! Names of models: what is allowed, how a name becomes a file name, and which known name a mistyped one resembles.

use super::error::StoreError;
use crate::files::error::quotable;

/// Bytes of a name. Percent-encoded at worst three times as long for every second byte, plus `.json`, it stays below
/// the 255 bytes that file systems allow.
pub const NAME_BYTES_MAX: usize = 120;
/// The tag that a name without one stands for.
const DEFAULT_TAG: &str = "latest";

/// Checks a name: letters, digits, `-`, `_`, `.`, `+`, `@`, parts separated by `/`, at most one `:` in the last part.
///
/// # Errors
/// [`StoreError::InvalidName`] with the rule that it breaks.
pub fn validate(name: &str) -> Result<(), StoreError> {
    let refuse = |reason| {
        Err(StoreError::InvalidName {
            name: quotable(name),
            reason,
        })
    };
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refuse("it must have 1 to 120 bytes");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+@/:".contains(&byte);
    if !name.bytes().all(allowed) {
        return refuse("only letters, digits and - _ . + @ / : are allowed");
    }
    let parts = name.split(['/', ':']);
    if parts
        .into_iter()
        .any(|part| part.is_empty() || part.starts_with('.'))
    {
        return refuse("no part between / and : may be empty or begin with a dot");
    }
    if let Some((_, tag)) = name.split_once(':')
        && tag.contains([':', '/'])
    {
        return refuse("one : is allowed, in the last part");
    }
    Ok(())
}

/// The name of the manifest's file: everything but letters, digits, `-`, `_` and `.` percent-encoded.
#[must_use]
pub fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded.push_str(".json");
    encoded
}

/// The name that means the same model: `x` for `x:latest` and the other way round.
#[must_use]
pub fn alias(name: &str) -> Option<String> {
    match name.rsplit_once(':') {
        Some((base, DEFAULT_TAG)) => Some(base.to_owned()),
        Some(_) => None,
        None => Some(format!("{name}:{DEFAULT_TAG}")),
    }
}

/// Turns any text into a valid name, for default names: bytes that are not allowed become `-`.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || "-_.+@".contains(character);
    let mapped: String = text
        .chars()
        .map(|character| if allowed(character) { character } else { '-' })
        .take(NAME_BYTES_MAX)
        .collect();
    let trimmed = mapped.trim_matches(['-', '.']);
    if trimmed.is_empty() {
        "model".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// The known name most like `name`, when one is like it at all: by edit distance without case, or because one
/// contains the other.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > 2 * NAME_BYTES_MAX {
        return None;
    }
    let wanted = name.to_lowercase();
    let tolerance = (wanted.chars().count() / 3).max(1);
    known
        .filter_map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = edit_distance(&wanted, &lower);
            let related = wanted.len() >= 3
                && (lower.contains(&wanted) || (lower.len() >= 3 && wanted.contains(&lower)));
            (distance <= tolerance || related).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Insertions, deletions and replacements between two texts.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, character) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(character != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_tags_are_allowed_and_traversal_is_not() {
        for name in ["minilm", "a/b:Q4_K_M", "o/r/f-1.2_x+y@z", "a:latest", "7b"] {
            assert!(validate(name).is_ok(), "{name}");
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in [
            "", "..", "../x", "a/../b", "a//b", "/a", "a/", ":a", "a:", "a:b:c", "a:b/c", "a b",
            "a\\b", "ä", ".hidden", "a/.b", "a\0", &long,
        ] {
            assert!(validate(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn file_names_are_flat_and_unique() {
        assert_eq!(file_name("a/b:c"), "a%2Fb%3Ac.json");
        assert_ne!(file_name("a/b"), file_name("a:b"));
        let worst = "a/".repeat(NAME_BYTES_MAX / 2 - 1) + "aa";
        assert!(validate(&worst).is_ok());
        assert!(file_name(&worst).len() <= 255);
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        let known = ["fornax-nano", "minilm", "org/Llama-3.2-1B:Q4_K_M"];
        let find = |name: &str| nearest(name, known.into_iter());
        assert_eq!(find("fornax-nan").as_deref(), Some("fornax-nano"));
        assert_eq!(find("MiniLM-").as_deref(), Some("minilm"));
        assert_eq!(
            find("llama-3.2-1b").as_deref(),
            Some("org/Llama-3.2-1B:Q4_K_M")
        );
        assert_eq!(find("gpt-4o"), None);
        assert_eq!(find(&"x".repeat(5000)), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn any_text_becomes_a_valid_name() {
        for text in ["Model Q4.gguf", "..", "", "ä/ö", "a:b", &"y".repeat(999)] {
            let name = sanitize(text);
            assert!(validate(&name).is_ok(), "{name:?}");
        }
    }
}
