//! Runs a loader on its own thread, so that a parser that panics ends its input and nothing else.

use std::any::Any;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::error::{Error, ErrorKind};
use crate::kind::{FIRST_BYTES, Kind};
use crate::loaders;
use crate::output::{Flow, Item, Output, Summary};
use crate::source::{LoadOptions, Source};

/// Items between the loader and its reader: enough to overlap the two, few enough to hold.
const ITEMS_MAX: usize = 4;
/// Stack of a loader. Recursion of parsers is bounded by checks of depth, and the deepest, PDF forms inside forms,
/// takes a few kilobytes a level. The pages are only used when they are touched.
const STACK_BYTES: usize = 32 << 20;

/// Reads `source` and hands every item to `take`, on the calling thread and in order.
///
/// # Errors
/// What makes the whole input unreadable; everything handed out before it counts. `Stopped` when `take` said so.
pub fn load(
    source: &Source,
    options: &LoadOptions,
    take: &mut dyn FnMut(Item) -> Flow,
) -> Result<Summary, Error> {
    let (sender, items) = sync_channel(ITEMS_MAX);
    thread::scope(|scope| {
        let loader = thread::Builder::new()
            .name("document".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, move || {
                let mut output = Output::new(&options.limits, sender);
                let caught = catch_unwind(AssertUnwindSafe(|| run(source, options, &mut output)));
                let outcome = caught.unwrap_or_else(|panic| Err(crashed(panic.as_ref())));
                outcome.map(|()| output.summary())
            })
            .map_err(Error::unreadable)?;
        for item in &items {
            if take(item) == Flow::Stop {
                break;
            }
        }
        // A loader that still wants to send learns that nobody listens.
        drop(items);
        loader
            .join()
            .unwrap_or_else(|panic| Err(crashed(panic.as_ref())))
    })
}

/// What a panic left behind, as an error.
pub(crate) fn crashed(panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    let said = said.unwrap_or_else(|| "it said nothing".to_owned());
    Error::new(
        ErrorKind::Crashed,
        format!("the parser failed on this input: {said}"),
    )
}

fn run(source: &Source, options: &LoadOptions, output: &mut Output<'_>) -> Result<(), Error> {
    let (path, name) = match source {
        Source::Postgres { url, table } => {
            return loaders::postgres::load(url, table, &options.records, output);
        }
        Source::File { path, name } => (path, name),
    };
    let mut file = File::open(path).map_err(Error::unreadable)?;
    let facts = file.metadata().map_err(Error::unreadable)?;
    if !facts.is_file() {
        return Err(Error::new(ErrorKind::Unsupported, "is not a regular file"));
    }
    if facts.len() > options.limits.file_bytes_max {
        return Err(Error::too_large("bytes", options.limits.file_bytes_max));
    }
    let kind = match options.kind {
        Some(kind) => kind,
        None => {
            let mut first = Vec::with_capacity(FIRST_BYTES);
            Read::by_ref(&mut file)
                .take(FIRST_BYTES as u64)
                .read_to_end(&mut first)
                .map_err(Error::unreadable)?;
            Kind::detect(name, &first)?
        }
    };
    loaders::run(kind, path, name, options, output)
}
