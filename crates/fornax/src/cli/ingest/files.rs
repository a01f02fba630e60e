//! What the paths of the command line stand for.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use documents::{Flow, Item, Kind, LoadOptions, Source};
use platform::Secret;
use serde_json::Value;

use crate::exit::{Ended, Exit};

/// Most files of one command.
const FILES_MAX: usize = 1_000_000;
/// Deepest directory below one that was named.
const DEPTH_MAX: usize = 64;
/// First bytes, from which a kind is told.
const FIRST_BYTES: u64 = 4096;

/// A file to be sent.
#[derive(Debug)]
pub struct Input {
    /// Where its bytes are.
    pub path: PathBuf,
    /// What the collection calls it.
    pub source: String,
    /// What it is, when its bytes were made here.
    pub kind: Option<&'static str>,
    /// The column of its records that holds their vector, when it was made here.
    pub vector_column: Option<String>,
    /// Keeps bytes that were made here.
    _made: Option<tempfile::NamedTempFile>,
}

/// All files, in the order of their names within each path.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The files.
    pub files: Vec<Input>,
    /// What was passed over, and why.
    pub skipped: Vec<String>,
    /// Directories that were named: sources below them may be pruned.
    directories: Vec<String>,
}

impl Inputs {
    /// Whether a source of this name would come from one of the directories.
    pub fn covers(&self, source: &str) -> bool {
        self.directories.iter().any(|directory| {
            directory.is_empty()
                || source
                    .strip_prefix(directory.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// Finds the files.
///
/// # Errors
/// A path that is not there or cannot be read, or too many files.
pub fn collect(paths: &[String]) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::default();
    for given in paths {
        if given.starts_with("postgres://") || given.starts_with("postgresql://") {
            inputs.files.push(table(given)?);
            continue;
        }
        let path = Path::new(given);
        let facts = fs::metadata(path).map_err(|error| {
            Ended::error(Exit::NotFound, format!("could not read {given}: {error}"))
        })?;
        let name = source_name(path);
        if facts.is_dir() {
            inputs.directories.push(name.clone());
            walk(path, &name, 0, &mut inputs)?;
        } else {
            inputs.files.push(file(path.to_owned(), name));
        }
    }
    Ok(inputs)
}

fn file(path: PathBuf, source: String) -> Input {
    Input {
        path,
        source,
        kind: None,
        vector_column: None,
        _made: None,
    }
}

/// A path as a source's name: its parts with `/` between, without `.` and `..`, so that the same file has one name.
fn source_name(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

/// Adds the files below a directory. Hidden ones, links and what is no document are passed over.
fn walk(directory: &Path, name: &str, depth: usize, inputs: &mut Inputs) -> anyhow::Result<()> {
    if depth > DEPTH_MAX {
        inputs.skipped.push(format!("{name}: nested too deep"));
        return Ok(());
    }
    let reading = || format!("could not read {}", directory.display());
    let mut entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(reading)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let own = entry.file_name().to_string_lossy().into_owned();
        if own.starts_with('.') {
            continue;
        }
        let source = if name.is_empty() {
            own
        } else {
            format!("{name}/{own}")
        };
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() {
            walk(&entry.path(), &source, depth + 1, inputs)?;
        } else if kind.is_file() {
            match known(&entry.path(), &source) {
                Ok(()) => inputs.files.push(file(entry.path(), source)),
                Err(reason) => inputs.skipped.push(format!("{source}: {reason}")),
            }
        }
        if inputs.files.len() > FILES_MAX {
            return Err(Ended::error(
                Exit::Usage,
                format!("more than {FILES_MAX} files; name fewer at once"),
            ));
        }
    }
    Ok(())
}

/// Whether a file in a directory is a document. One that is named like one and is none is sent, and reported.
fn known(path: &Path, source: &str) -> Result<(), String> {
    let mut first = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FIRST_BYTES).read_to_end(&mut first))
        .map_err(|error| error.to_string())?;
    match Kind::detect(source, &first) {
        Err(error) if Kind::of_name(source).is_none() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// A table, read here and written as JSON Lines: the server connects to no database that a caller names.
fn table(address: &str) -> anyhow::Result<Input> {
    let usage = || {
        Ended::error(
            Exit::Usage,
            "name the table: postgres://user:password@host/database?table=NAME",
        )
    };
    let (url, table) = address.split_once("?table=").ok_or_else(usage)?;
    if table.is_empty() || table.contains('&') {
        return Err(usage());
    }
    let database = url.rsplit('/').next().unwrap_or_default();
    let source = Source::Postgres {
        url: Secret::new(url),
        table: table.to_owned(),
    };
    let mut made = tempfile::NamedTempFile::new()?;
    let mut vector = false;
    let mut failed: Option<anyhow::Error> = None;
    let mut writer = std::io::BufWriter::new(made.as_file_mut());
    let loaded = documents::load(&source, &LoadOptions::default(), &mut |item| {
        let line = match item {
            Item::Fault(error) => Err(anyhow::anyhow!("{error}")),
            Item::Piece(piece) => {
                let mut fields = piece.fields.unwrap_or_default();
                if let Some(values) = piece.vector {
                    vector = true;
                    fields.insert(VECTOR.to_owned(), Value::from(values));
                }
                serde_json::to_writer(&mut writer, &fields)
                    .map_err(anyhow::Error::from)
                    .and_then(|()| writer.write_all(b"\n").map_err(anyhow::Error::from))
            }
        };
        match line {
            Ok(()) => Flow::Continue,
            Err(error) => {
                failed = Some(error);
                Flow::Stop
            }
        }
    });
    if let Some(error) = failed {
        return Err(error.context(format!("could not read the table {table}")));
    }
    loaded.map_err(|error| {
        Ended::error(
            Exit::Failure,
            format!("could not read the table {table}: {error}"),
        )
    })?;
    writer.flush()?;
    drop(writer);
    Ok(Input {
        path: made.path().to_owned(),
        source: format!("postgres/{database}/{table}"),
        kind: Some("jsonl"),
        vector_column: vector.then(|| VECTOR.to_owned()),
        _made: Some(made),
    })
}

/// Column of a table's vectors on their way.
const VECTOR: &str = "__vector";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_give_documents_in_order_and_pass_over_the_rest() {
        let home = tempfile::tempdir().expect("directory");
        let put = |name: &str, bytes: &[u8]| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("made");
            fs::File::create(path)
                .and_then(|mut file| file.write_all(bytes))
                .expect("written");
        };
        put("b.md", b"# B");
        put("a/c.txt", b"text");
        put("a/image.png", b"\x89PNG\r\n\x1a\n\0\0\0");
        put("a/broken.pdf", b"no pdf");
        put(".hidden/x.md", b"x");
        let given = home.path().to_string_lossy().into_owned();
        let inputs = collect(std::slice::from_ref(&given)).expect("inputs");
        let name = source_name(home.path());
        let sources: Vec<String> = inputs
            .files
            .iter()
            .map(|input| input.source.replace(&format!("{name}/"), ""))
            .collect();
        assert_eq!(sources, ["a/broken.pdf", "a/c.txt", "b.md"]);
        assert_eq!(inputs.skipped.len(), 1);
        assert!(inputs.covers(&format!("{name}/gone.md")));
        assert!(!inputs.covers("elsewhere/gone.md"));
        assert!(collect(&["/nowhere/at/all".to_owned()]).is_err());
        assert!(collect(&["postgres://localhost/db".to_owned()]).is_err());
    }
}
