//! What a user may name as the source of a model, and the name that the model gets by default.

use std::path::PathBuf;

use reqwest::Url;

use crate::files::error::quotable;
use crate::store::error::StoreError;
use crate::store::name;

/// Bytes of a source's text.
const SOURCE_BYTES_MAX: usize = 4096;
/// The revision of a repository when none is given.
pub(super) const REVISION_DEFAULT: &str = "main";

/// Where a model is to be taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `hf:owner/repository[@revision][:file or quantization]`: a repository of a model hub.
    Hub {
        /// `owner/repository`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// A file of the repository, or a quantization such as `Q4_K_M`; `None` leaves the choice to us.
        pick: Option<String>,
    },
    /// `https://…`: one file.
    Url(Url),
    /// `file:PATH` or a path: a file of this machine.
    File(PathBuf),
}

impl Source {
    /// Reads the text of a source.
    ///
    /// # Errors
    /// [`StoreError::InvalidSource`] with the reason.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::InvalidSource {
                source_text: quotable(text),
                reason: reason.to_owned(),
            })
        };
        if text.is_empty() || text.len() > SOURCE_BYTES_MAX || text.contains('\0') {
            return refuse("it must have 1 to 4096 bytes");
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return Self::parse_hub(rest).or_else(refuse);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return match Url::parse(text) {
                Ok(url) if url.host_str().is_some() => Ok(Self::Url(url)),
                _ => refuse("the address cannot be read"),
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            // Both file:PATH and file:///PATH are in use.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => refuse("the path is missing"),
                path => Ok(Self::File(path.into())),
            };
        }
        match text.split_once("://") {
            Some(_) => refuse("only hf:, https:// and file: are known"),
            None => Ok(Self::File(text.into())),
        }
    }

    /// The part after `hf:`.
    fn parse_hub(text: &str) -> Result<Self, &'static str> {
        let (place, pick) = match text.split_once(':') {
            Some((place, pick)) => (place, Some(pick)),
            None => (text, None),
        };
        let (repository, revision) = place.split_once('@').unwrap_or((place, REVISION_DEFAULT));
        let plain = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=96).contains(&part.len()) && part.bytes().all(allowed) && !part.starts_with('.')
        };
        match repository.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => {}
            _ => return Err("hf:owner/repository is expected"),
        }
        if !revision.split('/').all(plain) {
            return Err("the revision after @ is no branch, tag or commit");
        }
        if let Some(pick) = pick
            && (pick.is_empty()
                || pick.chars().any(char::is_control)
                || pick.split('/').any(|part| part.is_empty() || part == ".."))
        {
            return Err("the file or quantization after : is empty or leaves the repository");
        }
        Ok(Self::Hub {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            pick: pick.map(str::to_owned),
        })
    }

    /// The name that a model of this source gets when its user chose none.
    #[must_use]
    pub fn default_name(&self) -> String {
        let stem = |file: &str| {
            let file = file.rsplit('/').next().unwrap_or(file);
            let stem = file
                .rsplit_once('.')
                .filter(|(_, end)| end.eq_ignore_ascii_case("gguf"));
            name::sanitize(stem.map_or(file, |(stem, _)| stem))
        };
        match self {
            Self::Hub {
                repository, pick, ..
            } => {
                let full = match pick {
                    Some(pick) => format!("{repository}:{}", stem(pick)),
                    None => repository.clone(),
                };
                if name::validate(&full).is_ok() {
                    full
                } else {
                    stem(repository)
                }
            }
            Self::Url(url) => stem(url.path()),
            Self::File(path) => stem(&path.file_name().unwrap_or_default().to_string_lossy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repository: &str, revision: &str, pick: Option<&str>) -> Source {
        Source::Hub {
            repository: repository.into(),
            revision: revision.into(),
            pick: pick.map(Into::into),
        }
    }

    #[test]
    fn every_kind_of_source_is_read() {
        let check = |text: &str, expected: Source, name: &str| {
            let source = Source::parse(text).expect(text);
            assert_eq!(source, expected);
            assert_eq!(source.default_name(), name);
        };
        check("hf:o/r", hub("o/r", "main", None), "o/r");
        check(
            "hf:o/r:Q4_K_M",
            hub("o/r", "main", Some("Q4_K_M")),
            "o/r:Q4_K_M",
        );
        check(
            "hf:o/r@v1.0:sub/m.Q8_0.gguf",
            hub("o/r", "v1.0", Some("sub/m.Q8_0.gguf")),
            "o/r:m.Q8_0",
        );
        let url = "https://example.org/a/Model%20X.gguf?x=1";
        check(url, Source::Url(Url::parse(url).expect("url")), "Model-20X");
        check("file:/a/b.gguf", Source::File("/a/b.gguf".into()), "b");
        check("file:///a/b.gguf", Source::File("/a/b.gguf".into()), "b");
        check("./b.gguf", Source::File("./b.gguf".into()), "b");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            "hf:",
            "hf:owner",
            "hf:a/b/c",
            "hf:../b",
            "hf:a/b@",
            "hf:a/b:",
            "hf:a/b:../x",
            "hf:a/b@..",
            "ftp://a/b",
            "file:",
            "https://",
            "a\0b",
        ] {
            let error = Source::parse(text).expect_err(text);
            assert!(
                matches!(error, StoreError::InvalidSource { .. }),
                "{text}: {error}"
            );
        }
    }
}
