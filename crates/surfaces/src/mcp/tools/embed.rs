//! Texts to vectors.

use service::{Action, Error};

use crate::mcp::convert;
use crate::mcp::declaration::{Call, Facts, Tool};
use crate::mcp::types::{EmbedAnswer, EmbedArguments};

/// `embed`
pub fn tool() -> Tool {
    let facts = Facts {
        name: "embed",
        title: "Embed texts",
        description: "Turns texts into vectors whose closeness is closeness of meaning. Takes a model of the kind `embed`.",
        action: Action::Embed,
        read_only: true,
        long: true,
    };
    Tool::new(facts, |call: Call, arguments: EmbedArguments| async move {
        let mut request = convert::embed_request(arguments)?;
        request.fresh = call.fresh;
        let embeddings = call.app.service.embed(&call.identity, request).await?;
        Ok::<EmbedAnswer, Error>(convert::embed_answer(embeddings))
    })
}
