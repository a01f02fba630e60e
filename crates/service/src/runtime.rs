//! The seam between the use cases and whatever runs models: the supervisor's runner processes in the product, a
//! scripted one in this crate's tests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use inference::runner::protocol::{
    EmbedReply, EmbedRequest, GenerateEvent, GenerateRequest, ModelFacts, RerankReply,
    RerankRequest, TokenizeRequest,
};
use inference::runner::{LoadOptions, ModelSource, RunnerError};

use crate::administration::ResidentModel;

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RunnerError>> + Send + 'a>>;
pub(crate) type EventStream =
    Pin<Box<dyn Stream<Item = Result<GenerateEvent, RunnerError>> + Send>>;

/// What runs models.
pub(crate) trait ModelRuntime: Send + Sync {
    /// A loaded model, loading it first when it is not. The lease keeps it loaded.
    fn acquire(
        &self,
        model: ModelSource,
        options: LoadOptions,
        keep_alive: Option<Duration>,
    ) -> Answer<'_, Arc<dyn ModelLease>>;
    /// What is loaded.
    fn residents(&self) -> Vec<ResidentModel>;
    /// Ends a model's runner; false when there was none.
    fn unload<'a>(&'a self, name: &'a str) -> Answer<'a, bool>;
    /// Keeps a model loaded whatever happens, or no longer.
    fn pin(&self, name: &str, pinned: bool);
}

/// A loaded model that stays loaded while this lives.
pub(crate) trait ModelLease: Send + Sync {
    /// What the loaded model is.
    fn facts(&self) -> &ModelFacts;
    /// Starts a generation; dropping the stream ends it.
    fn generate(&self, request: GenerateRequest) -> Answer<'_, EventStream>;
    /// Embeds.
    fn embed(&self, request: EmbedRequest) -> Answer<'_, EmbedReply>;
    /// Scores documents against a query.
    fn rerank(&self, request: RerankRequest) -> Answer<'_, RerankReply>;
    /// Token ids of a text.
    fn tokenize(&self, request: TokenizeRequest) -> Answer<'_, Vec<u32>>;
    /// Bytes of tokens.
    fn detokenize(&self, ids: Vec<u32>, special: bool) -> Answer<'_, Vec<u8>>;
}
