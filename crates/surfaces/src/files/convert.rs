//! Forms to uploads, and files to their wire shape.

use std::time::Duration;

use service::Error;
use service::files::{FilePurpose, NewFile, StoredFile};

use super::types::FileReply;

/// The fields of an upload's form beside the file.
#[derive(Debug, Default)]
pub struct Form {
    filename: Option<String>,
    purpose: Option<FilePurpose>,
    anchor: Option<String>,
    seconds: Option<u64>,
}

impl Form {
    /// Takes a field. Fields that this server does not know change nothing.
    ///
    /// # Errors
    /// Its value is none, or it was there before.
    pub fn field(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match name {
            "purpose" => set(&mut self.purpose, name, purpose(value)?),
            "expires_after[anchor]" => {
                if value != "created_at" {
                    let message = "`expires_after.anchor` must be `created_at`";
                    return Err(Error::invalid("expires_after.anchor", message));
                }
                set(&mut self.anchor, name, value.to_owned())
            }
            "expires_after[seconds]" => {
                let seconds = value.parse().map_err(|_| {
                    let message = "`expires_after.seconds` must be a whole number";
                    Error::invalid("expires_after.seconds", message)
                })?;
                set(&mut self.seconds, name, seconds)
            }
            "expires_after" => Err(Error::invalid(
                name,
                "write the fields `expires_after[anchor]` and `expires_after[seconds]`",
            )),
            _ => Ok(()),
        }
    }

    /// Notes that the file's part has begun.
    ///
    /// # Errors
    /// There was one before, or it has no name.
    pub fn file(&mut self, filename: Option<String>) -> Result<(), Error> {
        let name = filename
            .ok_or_else(|| Error::invalid("file", "`file` must be a file with a file name"))?;
        set(&mut self.filename, "file", name)
    }

    /// The upload that the whole form asks for.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<NewFile, Error> {
        let filename = self.filename.ok_or_else(|| missing("file"))?;
        let purpose = self.purpose.ok_or_else(|| missing("purpose"))?;
        let expires_after = match (self.anchor, self.seconds) {
            (None, None) => None,
            (Some(_), Some(seconds)) => Some(Duration::from_secs(seconds)),
            (None, Some(_)) => return Err(missing("expires_after.anchor")),
            (Some(_), None) => return Err(missing("expires_after.seconds")),
        };
        Ok(NewFile {
            filename,
            purpose,
            expires_after,
        })
    }
}

fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Error> {
    if place.is_some() {
        return Err(Error::invalid(name, format!("`{name}` was given twice")));
    }
    *place = Some(value);
    Ok(())
}

fn missing(name: &str) -> Error {
    Error::invalid(name, format!("`{name}` is required")).with_code("missing_required_parameter")
}

/// A purpose by name.
pub fn purpose(name: &str) -> Result<FilePurpose, Error> {
    FilePurpose::parse(name).ok_or_else(|| {
        let all: Vec<&str> = FilePurpose::ALL
            .into_iter()
            .map(FilePurpose::name)
            .collect();
        Error::invalid(
            "purpose",
            format!("`purpose` must be one of {}", all.join(", ")),
        )
    })
}

pub fn file_reply(file: StoredFile) -> FileReply {
    FileReply {
        id: file.id,
        object: "file",
        bytes: file.bytes,
        created_at: file.created_ms.div_euclid(1_000),
        expires_at: file.expires_unix,
        filename: file.filename,
        purpose: file.purpose.name(),
        status: "processed",
        status_details: None,
    }
}
