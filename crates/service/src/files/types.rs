//! What files are, and how they are asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::records::PageRequest;

/// Shortest life that an upload may be given, in seconds: one hour, as OpenAI's API has it.
pub const EXPIRY_SECONDS_MIN: u64 = 3_600;
/// Longest life that an upload may be given, in seconds: 30 days.
pub const EXPIRY_SECONDS_MAX: u64 = 2_592_000;
/// Most files in one page of a list.
pub const FILES_PAGE_MAX: u32 = 10_000;
/// Longest name of a file, in characters; file systems take no more either.
const FILENAME_CHARACTERS_MAX: usize = 255;

/// Where files are kept, and their bounds.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Directory of the bytes.
    pub directory: PathBuf,
    /// Largest file, in bytes.
    pub bytes_max: u64,
    /// Most bytes of all files of one tenant.
    pub tenant_bytes_max: u64,
    /// Most files of one tenant.
    pub tenant_files_max: u64,
    /// Uploads under way at once; more are told to come back. Each holds [`UPLOAD_BUFFER_BYTES`](super::upload) and a file.
    pub uploads_max: usize,
}

impl FileOptions {
    /// The product's defaults: files of 512 MiB, which is OpenAI's bound; 64 GiB and 100,000 files for a tenant; 32 uploads.
    pub fn new(directory: PathBuf) -> Self {
        FileOptions {
            directory,
            bytes_max: 512 << 20,
            tenant_bytes_max: 64 << 30,
            tenant_files_max: 100_000,
            uploads_max: 32,
        }
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePurpose {
    /// To be searched.
    Assistants,
    /// Made by an assistant.
    AssistantsOutput,
    /// Requests of a batch.
    Batch,
    /// Answers of a batch.
    BatchOutput,
    /// Training data.
    FineTune,
    /// What a training reports.
    FineTuneResults,
    /// Images.
    Vision,
    /// Anything.
    UserData,
    /// Evaluation data.
    Evals,
}

impl FilePurpose {
    /// Every purpose.
    pub const ALL: [FilePurpose; 9] = [
        FilePurpose::Assistants,
        FilePurpose::AssistantsOutput,
        FilePurpose::Batch,
        FilePurpose::BatchOutput,
        FilePurpose::FineTune,
        FilePurpose::FineTuneResults,
        FilePurpose::Vision,
        FilePurpose::UserData,
        FilePurpose::Evals,
    ];

    /// Stable name, OpenAI's.
    pub fn name(self) -> &'static str {
        match self {
            FilePurpose::Assistants => "assistants",
            FilePurpose::AssistantsOutput => "assistants_output",
            FilePurpose::Batch => "batch",
            FilePurpose::BatchOutput => "batch_output",
            FilePurpose::FineTune => "fine-tune",
            FilePurpose::FineTuneResults => "fine-tune-results",
            FilePurpose::Vision => "vision",
            FilePurpose::UserData => "user_data",
            FilePurpose::Evals => "evals",
        }
    }

    /// The purpose of this name.
    pub fn parse(name: &str) -> Option<Self> {
        FilePurpose::ALL
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }

    /// Whether callers upload files for it; the others are made by the server.
    pub fn is_uploaded(self) -> bool {
        !matches!(
            self,
            FilePurpose::AssistantsOutput | FilePurpose::BatchOutput | FilePurpose::FineTuneResults
        )
    }

    /// How long a file of it lives when its upload says nothing; `None`: until it is deleted.
    pub fn usual_life(self) -> Option<Duration> {
        match self {
            FilePurpose::Batch | FilePurpose::BatchOutput => {
                Some(Duration::from_secs(EXPIRY_SECONDS_MAX))
            }
            _ => None,
        }
    }
}

/// What an upload says beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name. Directories before it are cut off.
    pub filename: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// Its life from now on, [`EXPIRY_SECONDS_MIN`] to [`EXPIRY_SECONDS_MAX`]; `None`: as is usual for its purpose.
    pub expires_after: Option<Duration>,
}

/// A file that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// `file-` and 24 letters and digits.
    pub id: String,
    /// Its name, without directories.
    pub filename: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
    /// When it was stored, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ceases to exist, in seconds since 1970.
    pub expires_unix: Option<i64>,
}

/// Which files of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesPage {
    /// Where in the list.
    pub page: PageRequest,
    /// Only files for this.
    pub purpose: Option<FilePurpose>,
}

/// The last part of a name that may be a path, when it can name a file.
pub(super) fn checked_name(given: &str) -> Result<String> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let problem = if name.is_empty() || name == "." || name == ".." {
        "is empty"
    } else if name.chars().count() > FILENAME_CHARACTERS_MAX {
        "is longer than 255 characters"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(name.to_owned());
    };
    Err(Error::invalid(
        "file",
        format!("The name of the file {problem}."),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_directories_and_must_be_names() {
        let long = "x".repeat(256);
        for (given, kept) in [
            ("a.txt", Some("a.txt")),
            ("/etc/passwd", Some("passwd")),
            ("..\\..\\b c.md", Some("b c.md")),
            ("übung.pdf", Some("übung.pdf")),
            ("", None),
            ("a/..", None),
            ("dir/", None),
            ("a\nb", None),
            (&long, None),
        ] {
            assert_eq!(checked_name(given).ok().as_deref(), kept, "{given:?}");
        }
    }

    #[test]
    fn purposes_read_back() {
        for purpose in FilePurpose::ALL {
            assert_eq!(FilePurpose::parse(purpose.name()), Some(purpose));
        }
        assert_eq!(FilePurpose::parse("anything"), None);
    }
}
