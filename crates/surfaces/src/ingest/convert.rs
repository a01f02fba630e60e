//! Wire shapes to and from the service's.

use service::Error;
use service::ingest::{
    ChunkingChoice, DocumentKind, Fault, Found, IngestEvent, IngestOptions, IngestReport,
    RecordOptions, SearchMode, SourceState, Strategy, TextSearch,
};

use super::types::{
    DoneReply, FaultReply, FoundReply, IngestLine, IngestQuery, SearchBody, SearchReply,
};

/// Results of a search that asks for no number.
const LIMIT: usize = 10;

/// The options of an ingest.
///
/// # Errors
/// `InvalidRequest` naming the parameter.
pub fn options(query: &IngestQuery, dry_run: bool) -> Result<IngestOptions, Error> {
    let attributes = match &query.attributes {
        None => serde_json::Map::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| Error::invalid("attributes", "`attributes` must be a JSON object"))?,
    };
    let columns = query.text_columns.as_deref().unwrap_or_default();
    Ok(IngestOptions {
        model: query.model.clone(),
        chunking: ChunkingChoice {
            strategy: query.chunker.as_deref().map(strategy).transpose()?,
            size: number("chunk_size", query.chunk_size.as_deref())?,
            overlap: number("chunk_overlap", query.chunk_overlap.as_deref())?,
        },
        records: RecordOptions {
            text: columns
                .split(',')
                .map(str::trim)
                .filter(|column| !column.is_empty())
                .map(str::to_owned)
                .collect(),
            vector: query.vector_column.clone(),
        },
        kind: query.kind.as_deref().map(kind).transpose()?,
        attributes,
        dry_run,
    })
}

/// `true` or `false`, which is also what nothing means.
///
/// # Errors
/// It is neither.
pub fn flag(field: &'static str, text: Option<&str>) -> Result<bool, Error> {
    match text {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(_) => Err(Error::invalid(
            field,
            format!("`{field}` must be true or false"),
        )),
    }
}

fn number(field: &'static str, text: Option<&str>) -> Result<Option<usize>, Error> {
    text.map(|text| {
        text.parse()
            .map_err(|_| Error::invalid(field, format!("`{field}` must be a number of tokens")))
    })
    .transpose()
}

fn strategy(name: &str) -> Result<Strategy, Error> {
    Strategy::named(name).ok_or_else(|| {
        let names: Vec<&str> = Strategy::ALL.iter().map(|(name, _)| *name).collect();
        Error::invalid(
            "chunker",
            format!("`chunker` must be one of {}", names.join(", ")),
        )
    })
}

fn kind(name: &str) -> Result<DocumentKind, Error> {
    DocumentKind::named(name).ok_or_else(|| {
        let names: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.name()).collect();
        Error::invalid(
            "kind",
            format!("`kind` must be one of {}", names.join(", ")),
        )
    })
}

/// An event as a line.
pub fn line(event: IngestEvent, dry_run: bool) -> IngestLine {
    match event {
        IngestEvent::Progress {
            chunks,
            stored,
            tokens,
        } => IngestLine::Progress {
            chunks,
            stored,
            tokens,
        },
        IngestEvent::Fault(fault) => IngestLine::Fault(fault_reply(fault)),
        IngestEvent::Done(report) => IngestLine::Done(done(report, dry_run)),
    }
}

fn done(report: IngestReport, dry_run: bool) -> DoneReply {
    DoneReply {
        state: match &report {
            IngestReport {
                failure: Some(_), ..
            } => "failed",
            IngestReport {
                unchanged: true, ..
            } => "unchanged",
            _ if dry_run => "dry_run",
            _ => "stored",
        },
        source: report.source,
        model: report.model,
        chunks: report.chunks,
        tokens: report.tokens,
        replaced: report.replaced,
        faults: report.faults,
        failure: report.failure.map(fault_reply),
    }
}

fn fault_reply(fault: Fault) -> FaultReply {
    FaultReply {
        place: fault.place,
        message: fault.message,
    }
}

/// The word for what a collection has of a file.
pub fn state(state: SourceState) -> &'static str {
    match state {
        SourceState::New => "new",
        SourceState::Changed => "changed",
        SourceState::Unchanged => "unchanged",
    }
}

/// A search.
///
/// # Errors
/// `InvalidRequest` for an unknown mode.
pub fn search(body: SearchBody) -> Result<TextSearch, Error> {
    Ok(TextSearch {
        mode: match body.mode.as_deref() {
            None | Some("hybrid") => SearchMode::Hybrid,
            Some("dense") => SearchMode::Dense,
            Some("words" | "bm25") => SearchMode::Words,
            Some(_) => {
                let message = "`mode` must be hybrid, dense or words";
                return Err(Error::invalid("mode", message));
            }
        },
        query: body.query,
        limit: body.limit.unwrap_or(LIMIT),
        model: body.model,
        ..TextSearch::default()
    })
}

/// What was found.
pub fn search_reply(found: Vec<Found>) -> SearchReply {
    let results = found.into_iter().map(|found| FoundReply {
        id: found.id,
        score: found.score,
        payload: found.payload,
    });
    SearchReply {
        results: results.collect(),
    }
}
