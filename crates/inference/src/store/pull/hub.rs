//! Repositories of a model hub: which files there are, and which one is meant.

use reqwest::Url;
use serde::Deserialize;

use super::client::Client;
use super::source::REVISION_DEFAULT;
use crate::files::error::quotable;
use crate::store::error::StoreError;

/// Bytes of a repository's description.
const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// File names that an error repeats.
const FILES_NAMED_MAX: usize = 20;
/// Which quantization is taken when the user names none: the usual compromise first, then by quality per byte.
const PREFERENCE: &[&str] = &[
    "Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q5_K_S", "IQ4_XS", "Q8_0", "Q6_K", "F16", "BF16", "F32",
];

/// The file of a repository that is to be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubFile {
    pub url: Url,
    /// Path inside the repository.
    pub file: String,
    /// The commit, or the revision asked for when the hub told none.
    pub revision: String,
    pub bytes: Option<u64>,
    /// Digest that the hub promises, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// `GET /api/models/{repository}?blobs=true`, as far as we read it.
#[derive(Debug, Deserialize)]
struct Repository {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Asks the hub for the files of a repository and picks one.
pub(super) async fn find(
    client: &Client,
    repository: &str,
    revision: &str,
    pick: Option<&str>,
) -> Result<HubFile, StoreError> {
    let mut segments: Vec<&str> = vec!["api", "models"];
    segments.extend(repository.split('/'));
    if revision != REVISION_DEFAULT {
        segments.push("revision");
        segments.push(revision);
    }
    let mut url = client.hub_address(&segments);
    url.set_query(Some("blobs=true"));
    let body = client.small_body(url.clone(), LISTING_BYTES_MAX).await?;
    let listing: Repository =
        serde_json::from_slice(&body).map_err(|error| StoreError::Network {
            url: url.to_string(),
            reason: format!("the answer is no description of a repository: {error}"),
        })?;
    let refuse = |reason: String| StoreError::NoSuchFile {
        repository: repository.to_owned(),
        reason,
    };
    let names: Vec<&str> = listing
        .siblings
        .iter()
        .map(|sibling| sibling.rfilename.as_str())
        .collect();
    let index = choose(&names, pick).map_err(refuse)?;
    let sibling = &listing.siblings[index];
    // Pinned to the commit, so that a push between two attempts cannot mix two versions of the file.
    let revision = listing
        .sha
        .filter(|sha| !sha.is_empty() && sha.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .unwrap_or_else(|| revision.to_owned());
    let mut segments: Vec<&str> = repository.split('/').collect();
    segments.extend(["resolve", revision.as_str()]);
    segments.extend(sibling.rfilename.split('/'));
    let lfs = sibling.lfs.as_ref();
    Ok(HubFile {
        url: client.hub_address(&segments),
        file: sibling.rfilename.clone(),
        bytes: lfs.and_then(|lfs| lfs.size).or(sibling.size),
        sha256: lfs.and_then(|lfs| lfs.sha256.as_deref()).and_then(digest),
        revision,
    })
}

/// 64 hexadecimal digits in lower case, when `text` is that.
pub(super) fn digest(text: &str) -> Option<String> {
    let hex = text.trim().trim_matches('"').to_ascii_lowercase();
    let hex = hex.strip_prefix("sha256:").unwrap_or(&hex);
    let whole = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| hex.to_owned())
}

/// Index of the file that `pick` means: an exact path, else a quantization in the name, else our preference.
fn choose(names: &[&str], pick: Option<&str>) -> Result<usize, String> {
    let is_gguf = |name: &str| name.to_ascii_lowercase().ends_with(".gguf");
    if let Some(pick) = pick.filter(|pick| is_gguf(pick)) {
        let base = |name: &str| name.rsplit('/').next() == Some(pick);
        let exact = names.iter().position(|name| *name == pick);
        return match exact.or_else(|| names.iter().position(|name| base(name))) {
            Some(index) if is_part(names[index]) => Err(split_message(names[index])),
            Some(index) => Ok(index),
            None => Err(format!(
                "no file \"{}\"; there are: {}",
                quotable(pick),
                listed(names)
            )),
        };
    }
    let mut candidates: Vec<usize> = (0..names.len())
        .filter(|&index| is_gguf(names[index]) && !names[index].to_lowercase().contains("mmproj"))
        .collect();
    // Of several files with one quantization the plainest name is the model itself.
    candidates.sort_by_key(|&index| (is_part(names[index]), names[index].len(), names[index]));
    let with_tag = |tag: &str| {
        candidates
            .iter()
            .copied()
            .find(|&index| has_tag(names[index], tag))
    };
    let chosen = match pick {
        Some(tag) => with_tag(tag),
        None => PREFERENCE
            .iter()
            .find_map(|tag| with_tag(tag))
            .or_else(|| candidates.first().copied()),
    };
    match (chosen, pick) {
        (Some(index), _) if is_part(names[index]) => Err(split_message(names[index])),
        (Some(index), _) => Ok(index),
        (None, Some(tag)) => Err(format!(
            "no GGUF file of \"{}\"; there are: {}",
            quotable(tag),
            listed(names)
        )),
        (None, None) => Err(format!("no GGUF file at all; there are: {}", listed(names))),
    }
}

/// Whether `tag` stands in the file name as a word of its own: `Q4_K` is not in `Q4_K_M`.
fn has_tag(name: &str, tag: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let tag = tag.to_ascii_lowercase();
    let part_of_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    file.match_indices(&tag).any(|(start, found)| {
        let before = file[..start].chars().next_back();
        let after = file[start + found.len()..].chars().next();
        !before.is_some_and(|character| character.is_ascii_alphanumeric())
            && !after.is_some_and(part_of_word)
    })
}

/// Whether a name is one part of a split model: `…-00001-of-00003.gguf`.
fn is_part(name: &str) -> bool {
    let stem = name
        .len()
        .checked_sub(5)
        .and_then(|end| name.get(..end))
        .unwrap_or(name);
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.rsplit_once("-of-").is_some_and(|(start, count)| {
        digits(count)
            && start
                .rsplit_once('-')
                .is_some_and(|(_, number)| digits(number))
    })
}

fn split_message(name: &str) -> String {
    format!(
        "\"{}\" is one part of a model split into several files, which is not supported",
        quotable(name)
    )
}

fn listed(names: &[&str]) -> String {
    let mut models: Vec<String> = names
        .iter()
        .filter(|name| name.to_ascii_lowercase().ends_with(".gguf"))
        .map(|name| quotable(name))
        .collect();
    if models.is_empty() {
        return "none that end in .gguf".to_owned();
    }
    let more = models.len().saturating_sub(FILES_NAMED_MAX);
    models.truncate(FILES_NAMED_MAX);
    let suffix = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    models.join(", ") + &suffix
}

/// The 32 bytes of 64 hexadecimal digits.
pub(super) fn digest_bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[&str] = &[
        "README.md",
        "mmproj-F16.gguf",
        "Model-Q8_0.gguf",
        "Model-Q4_K_M.gguf",
        "Model-Q4_K_S.gguf",
        "big/Model-F32-00001-of-00002.gguf",
        "model.iq4_xs.gguf",
    ];

    #[test]
    fn a_file_is_found_by_path_by_quantization_or_by_preference() {
        let check = |pick: Option<&str>, expected: &str| {
            assert_eq!(FILES[choose(FILES, pick).expect("chosen")], expected);
        };
        check(None, "Model-Q4_K_M.gguf");
        check(Some("q8_0"), "Model-Q8_0.gguf");
        check(Some("IQ4_XS"), "model.iq4_xs.gguf");
        check(Some("Model-Q4_K_S.gguf"), "Model-Q4_K_S.gguf");
        check(Some("mmproj-F16.gguf"), "mmproj-F16.gguf");
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let message = choose(FILES, Some("Q4_K")).expect_err("a part of a word");
        assert!(message.contains("Model-Q4_K_M.gguf"), "{message}");
        let message = choose(FILES, Some("F32")).expect_err("split");
        assert!(message.contains("split into several files"), "{message}");
        assert!(
            choose(&["a.safetensors"], None)
                .expect_err("none")
                .contains("no GGUF file at all")
        );
        assert!(choose(&[], Some("é.gguf")).is_err());
        assert!(choose(&["é"], None).is_err());
    }

    #[test]
    fn digests_are_recognised() {
        let hex = "ab".repeat(32);
        assert_eq!(
            digest(&format!("\"{}\"", hex.to_uppercase())),
            Some(hex.clone())
        );
        assert_eq!(
            digest_bytes(&hex)
                .map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Some(hex.clone())
        );
        assert_eq!(digest(&format!("sha256:{hex}")), Some(hex));
        assert_eq!(digest("abc"), None);
    }
}
