//! The embedding model as the chunker asks it: tokens over the runner's lease, vectors through the kept results.

use std::error::Error as StdError;
use std::sync::Arc;

use documents::TextModel;
use futures::{StreamExt, TryStreamExt, stream};
use inference::runner::protocol::TokenizeRequest;
use security::Identity;
use tokio::runtime::Handle;

use crate::error::Error;
use crate::failures;
use crate::runtime::ModelLease;
use crate::service::Service;
use crate::types::{EmbedRequest, Prompt};

/// Texts whose tokens are counted at the same time.
const COUNTS_AT_ONCE: usize = 16;

/// Asked on a thread that may block.
pub(super) struct BlockingModel {
    pub(super) service: Arc<Service>,
    pub(super) identity: Identity,
    pub(super) name: String,
    pub(super) lease: Arc<dyn ModelLease>,
    pub(super) runtime: Handle,
}

impl TextModel for BlockingModel {
    fn count(&mut self, texts: &[&str]) -> Result<Vec<usize>, Box<dyn StdError + Send + Sync>> {
        let counts = stream::iter(texts)
            .map(|text| {
                self.lease.tokenize(TokenizeRequest {
                    text: (*text).to_owned(),
                    add_special: false,
                    parse_special: false,
                })
            })
            .buffered(COUNTS_AT_ONCE)
            .map_ok(|ids| ids.len())
            .try_collect::<Vec<usize>>();
        let counted = self.runtime.block_on(counts);
        counted.map_err(|error| ModelFailure(failures::from_runner(error)).into())
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        let request = EmbedRequest {
            model: self.name.clone(),
            inputs: texts
                .iter()
                .map(|text| Prompt::Text((*text).to_owned()))
                .collect(),
            dimensions: None,
            truncate: true,
            keep_alive: None,
            fresh: false,
        };
        let made = self
            .runtime
            .block_on(self.service.embed(&self.identity, request))
            .map_err(ModelFailure)?;
        let width = (made.dimensions as usize).max(1);
        Ok(made
            .vectors
            .chunks_exact(width)
            .map(<[f32]>::to_vec)
            .collect())
    }
}

/// A failure of the model on its way through the chunker.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ModelFailure(pub(super) Error);
