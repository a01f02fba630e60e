//! What the service knows, as answers.

use service::vector_stores::{
    Attachment, FileBatch, FileCounts, StoreFileContent, StoreHit, VectorStore,
};

use super::types::{
    BatchReply, ChunkingStrategy, ExpiresAfter, FileCountsReply, HitReply, LastError, StaticSizes,
    StoreFileReply, StoreReply, TextReply, TokenPage,
};

fn seconds(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1_000)
}

pub fn store(store: VectorStore) -> StoreReply {
    StoreReply {
        status: if store.expired {
            "expired"
        } else if store.counts.in_progress > 0 {
            "in_progress"
        } else {
            "completed"
        },
        id: store.id,
        object: "vector_store",
        created_at: seconds(store.created_ms),
        name: store.name,
        description: store.description,
        usage_bytes: store.counts.usage_bytes,
        file_counts: counts(store.counts),
        expires_after: store.expires_after_days.map(|days| ExpiresAfter {
            anchor: "last_active_at".to_owned(),
            days,
        }),
        expires_at: store.expires_unix,
        last_active_at: store.last_active_unix,
        metadata: store.metadata,
    }
}

fn counts(counts: FileCounts) -> FileCountsReply {
    FileCountsReply {
        in_progress: counts.in_progress,
        completed: counts.completed,
        failed: counts.failed,
        cancelled: counts.cancelled,
        total: counts.total(),
    }
}

pub fn store_file(store_id: &str, file: Attachment) -> StoreFileReply {
    StoreFileReply {
        id: file.file_id,
        object: "vector_store.file",
        usage_bytes: file.usage_bytes,
        created_at: seconds(file.created_ms),
        vector_store_id: store_id.to_owned(),
        status: file.state.name(),
        last_error: file
            .error
            .map(|(code, message)| LastError { code, message }),
        chunking_strategy: ChunkingStrategy::Static {
            sizes: StaticSizes {
                max_chunk_size_tokens: file.chunk_tokens,
                chunk_overlap_tokens: file.overlap_tokens,
            },
        },
        attributes: file.attributes,
    }
}

pub fn batch(store_id: &str, batch: FileBatch) -> BatchReply {
    BatchReply {
        status: batch.state().name(),
        id: batch.id,
        object: "vector_store.files_batch",
        created_at: seconds(batch.created_ms),
        vector_store_id: store_id.to_owned(),
        file_counts: counts(batch.counts),
    }
}

fn text(text: String) -> TextReply {
    TextReply { kind: "text", text }
}

pub fn content(content: StoreFileContent) -> TokenPage<TextReply> {
    TokenPage {
        object: "vector_store.file_content.page",
        search_query: None,
        data: content.texts.into_iter().map(text).collect(),
        has_more: content.next.is_some(),
        next_page: content.next.map(|next| next.to_string()),
    }
}

/// All results are on one page.
pub fn results(queries: Vec<String>, hits: Vec<StoreHit>) -> TokenPage<HitReply> {
    let reply = |hit: StoreHit| HitReply {
        file_id: hit.file_id,
        filename: hit.filename,
        score: hit.score,
        attributes: hit.attributes,
        content: [text(hit.text)],
    };
    TokenPage {
        object: "vector_store.search_results.page",
        search_query: Some(queries),
        data: hits.into_iter().map(reply).collect(),
        has_more: false,
        next_page: None,
    }
}
