//! The protocol's methods. Each finds out who asks, asks the service, and writes the answer; nothing is decided here.

#![expect(
    deprecated,
    reason = "logging and resource subscriptions by method are deprecated by the 2026-07-28 revision, and the older ones \
              still have them"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    CompleteRequestParams, CompleteResult, CustomRequest, CustomResult, DetailedTask,
    DiscoverResult, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse, GetTaskParams,
    GetTaskResult, JsonObject, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, LoggingLevel, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    TASKS_EXTENSION_ID, Tool as Definition, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use service::{Error, ErrorKind};
use tracing::{Instrument, Span};

use super::changes::{Looks, Watch};
use super::convert::{self, caller, caller_of};
use super::declaration::{Call, Outcome};
use super::fixtures::Fixtures;
use super::pages::page;
use super::reporter::Reporter;
use super::subscriptions::Watched;
use super::tasks::{PATIENCE, Running, Tasks};
use super::{completions, prompts, resources, subscriptions, tools};
use crate::options::SurfaceOptions;
use crate::state::App;

/// How long a client may believe a list that only a new version of this server changes, in milliseconds.
const FIXED_TTL_MS: u64 = 3_600_000;
/// How long a client may believe what it read of the models, in milliseconds; a pull or a removal shows this much later.
const MODELS_TTL_MS: u64 = 5_000;

/// What all handlers share.
pub struct Parts {
    tasks: Tasks,
    looks: Arc<Looks>,
    fixtures: Option<Fixtures>,
}

impl Parts {
    /// No tasks yet; fixtures only when the options say so.
    pub fn new(options: &SurfaceOptions) -> Self {
        Parts {
            tasks: Tasks::default(),
            looks: Arc::default(),
            fixtures: options.mcp_fixtures.then(Fixtures::default),
        }
    }
}

/// Answers the protocol's methods: one per session in the older revisions, one per request in the new one.
pub struct Handler {
    parts: Arc<Parts>,
    /// Least level of log messages that this session's client asked for.
    level: Mutex<LoggingLevel>,
    /// What this session's client wants to be told of.
    watched: Watched,
}

impl Handler {
    /// A handler of a new session or of one request.
    pub fn new(parts: Arc<Parts>) -> Self {
        Handler {
            parts,
            level: Mutex::new(LoggingLevel::Info),
            watched: Watched::default(),
        }
    }

    fn level(&self) -> LoggingLevel {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn capabilities(&self) -> ServerCapabilities {
        let extensions = BTreeMap::from([(TASKS_EXTENSION_ID.to_owned(), JsonObject::new())]);
        let mut capabilities = ServerCapabilities::builder()
            .enable_extensions_with(extensions)
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_tools()
            .build();
        // Tools and prompts change with the version of the server only; the suite's can be told to change.
        if self.parts.fixtures.is_some() {
            capabilities.tools.get_or_insert_default().list_changed = Some(true);
            capabilities.prompts.get_or_insert_default().list_changed = Some(true);
        }
        capabilities
    }

    /// Waits for `running`, or makes a task of it when it takes long and the client knows tasks.
    async fn wait(
        &self,
        mut running: Running,
        reporter: &Reporter,
        may_become_task: bool,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (_, identity) = caller(context)?;
        if may_become_task {
            tokio::select! {
                result = &mut running => return Ok(result.into()),
                () = context.ct.cancelled() => return Err(cancelled()),
                () = tokio::time::sleep(PATIENCE) => {}
            }
            running = match self.parts.tasks.begin(&identity, reporter, running) {
                Ok(task) => return Ok(task.into()),
                Err(running) => running,
            };
        }
        tokio::select! {
            result = running => Ok(result.into()),
            () = context.ct.cancelled() => Err(cancelled()),
        }
    }
}

/// Nobody reads this: whoever cancels does not wait.
fn cancelled() -> ErrorData {
    ErrorData::internal_error("the request was cancelled", None)
}

/// `outcome` as the protocol's result; a panic in a tool ends that call only.
async fn guarded(name: &'static str, outcome: Outcome) -> CallToolResult {
    let outcome = AssertUnwindSafe(outcome).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_panic| {
        let text = "an internal error occurred; please report it with the request id";
        Err(Error::new(ErrorKind::Internal, text))
    });
    let label = match &outcome {
        Ok(_) => "ok",
        Err(error) => error.kind.name(),
    };
    metrics::counter!("fornax_mcp_calls_total", "tool" => name, "outcome" => label).increment(1);
    convert::tool_result(outcome)
}

/// The span of one call of a tool, within its request's: `rmcp` answers in tasks of its own, which know no span. A caller
/// that sends its trace in the message rather than in headers has the call in that trace.
fn span_of(name: &str, app: &App, context: &RequestContext<RoleServer>) -> Span {
    let parts = context.extensions.get::<http::request::Parts>();
    let request = parts
        .and_then(|parts| parts.extensions.get::<Span>())
        .cloned()
        .unwrap_or_else(Span::none);
    let span = tracing::info_span!(
        parent: &request,
        "execute_tool",
        otel.name = format_args!("execute_tool {name}"),
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name,
    );
    let sent = convert::trace_headers(&context.meta);
    if let Some(trace) = app.options.trace.as_ref().filter(|_| !sent.is_empty()) {
        trace.adopt(&span, &sent);
    }
    span
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        convert::about(self.capabilities())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(convert::VERSIONS)
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let mut result =
            DiscoverResult::from_server_info(convert::VERSIONS.to_vec(), self.get_info());
        result.ttl_ms = FIXED_TTL_MS;
        result.cache_scope = CacheScope::Public;
        Ok(result)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (app, identity) = caller(&context)?;
        let mut definitions: Vec<Definition> = tools::allowed(&app, &identity)
            .into_iter()
            .map(|tool| tool.definition.clone())
            .collect();
        if let Some(fixtures) = &self.parts.fixtures {
            definitions.extend(fixtures.tools());
        }
        let (definitions, next) = page(definitions, request.as_ref())?;
        // Private: what is listed depends on the key.
        let mut result = ListToolsResult::with_all_items(definitions)
            .with_ttl_ms(FIXED_TTL_MS)
            .with_cache_scope(CacheScope::Private);
        result.next_cursor = next;
        Ok(result)
    }

    // `rmcp` reads here which arguments a client must repeat in headers.
    fn get_tool(&self, name: &str) -> Option<Definition> {
        let own = tools::find(name).map(|tool| tool.definition.clone());
        own.or_else(|| self.parts.fixtures.as_ref()?.tool(name))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (app, identity) = caller(&context)?;
        let reporter = Reporter::of(&context, self.level());
        if let Some(fixtures) = &self.parts.fixtures
            && let Some(answer) = fixtures
                .call(&request, &context, &reporter, &self.parts.tasks)
                .await
        {
            return answer;
        }
        let Some(tool) = tools::find(&request.name) else {
            let text = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(text, None));
        };
        app.service
            .authorize(Some(&identity), tool.action)
            .map_err(convert::protocol_error)?;
        let span = span_of(tool.name(), &app, &context);
        let call = Call {
            app,
            identity,
            reporter: reporter.clone(),
            fresh: convert::wants_fresh(&context),
        };
        let outcome = tool.call(call, request.arguments.unwrap_or_default());
        let running: Running = Box::pin(guarded(tool.name(), outcome).instrument(span));
        let knows_tasks = context
            .client_capabilities()
            .is_some_and(|capabilities| capabilities.supports_tasks());
        let may_become_task = tool.long && knows_tasks && convert::is_modern(&context);
        self.wait(running, &reporter, may_become_task, &context)
            .await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (app, identity) = caller(&context)?;
        let mut listed = resources::list(&app, &identity).await?;
        if let Some(fixtures) = &self.parts.fixtures {
            listed.extend(fixtures.resources());
        }
        let (listed, next) = page(listed, request.as_ref())?;
        let mut result = ListResourcesResult::with_all_items(listed)
            .with_ttl_ms(MODELS_TTL_MS)
            .with_cache_scope(CacheScope::Private);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut templates = resources::templates();
        if let Some(fixtures) = &self.parts.fixtures {
            templates.extend(fixtures.templates());
        }
        let (templates, next) = page(templates, request.as_ref())?;
        let mut result = ListResourceTemplatesResult::with_all_items(templates)
            .with_ttl_ms(FIXED_TTL_MS)
            .with_cache_scope(CacheScope::Public);
        result.next_cursor = next;
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let (app, identity) = caller(&context)?;
        let fixture = self
            .parts
            .fixtures
            .as_ref()
            .and_then(|fixtures| fixtures.read(&request.uri));
        let contents = match fixture {
            Some(contents) => contents,
            None => resources::read(&app, &identity, &request.uri).await?,
        };
        let result = ReadResourceResult::new(contents)
            .with_ttl_ms(MODELS_TTL_MS)
            .with_cache_scope(CacheScope::Private);
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut listed = prompts::list();
        if let Some(fixtures) = &self.parts.fixtures {
            listed.extend(fixtures.prompts());
        }
        let (listed, next) = page(listed, request.as_ref())?;
        let mut result = ListPromptsResult::with_all_items(listed)
            .with_ttl_ms(FIXED_TTL_MS)
            .with_cache_scope(CacheScope::Public);
        result.next_cursor = next;
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if let Some(fixtures) = &self.parts.fixtures
            && let Some(answer) = fixtures.prompt(&request)
        {
            return answer;
        }
        let template = prompts::find(&request.name).ok_or_else(|| {
            ErrorData::invalid_params(format!("there is no prompt `{}`", request.name), None)
        })?;
        let result = template.fill(&request.arguments.unwrap_or_default())?;
        Ok(result.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let (app, identity) = caller(&context)?;
        if let Some(fixtures) = &self.parts.fixtures
            && let Some(completion) = fixtures.complete(&request)
        {
            return Ok(CompleteResult::new(completion));
        }
        let completion = completions::complete(&app, &identity, &request).await?;
        Ok(CompleteResult::new(completion))
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if convert::is_modern(&context) {
            // Gone in the new revision: each request says its level.
            let text = "logging/setLevel";
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, text, None));
        }
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = request.level;
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let Ok((app, identity)) = caller_of(&context.extensions) else {
            return;
        };
        let (watched, looks) = (self.watched.clone(), Arc::clone(&self.parts.looks));
        // Ends with the session: it looks whether the session's transport is still there.
        tokio::spawn(async move {
            let models = Watch::begin(app, identity, looks).await;
            watched.tell(context.peer, models).await;
        });
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.add(request.uri)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // `rmcp` takes away what the capabilities do not promise.
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        // Taken first: the client knows already that it is listened to.
        let fixtures = self.parts.fixtures.as_ref().map(Fixtures::changed);
        let (app, identity) = caller(subscription.request_context())?;
        let models = Watch::begin(app, identity, Arc::clone(&self.parts.looks)).await;
        subscriptions::serve(&subscription, models, fixtures).await;
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let (_, identity) = caller(&context)?;
        let task: DetailedTask = self.parts.tasks.get(&identity, &request.task_id)?;
        Ok(GetTaskResult::new(task))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (_, identity) = caller(&context)?;
        self.parts
            .tasks
            .update(&identity, &request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (_, identity) = caller(&context)?;
        self.parts.tasks.cancel(&identity, &request.task_id)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // `rmcp` passes on what it could not read as a request that it knows: an unknown method, or wrong parameters.
        let gone = convert::is_modern(&context) && OLDER.contains(&request.method.as_str());
        if !gone && KNOWN.contains(&request.method.as_str()) {
            let text = format!("the parameters of `{}` are not valid", request.method);
            return Err(ErrorData::invalid_params(text, None));
        }
        let text = format!("there is no method `{}`", request.method);
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, text, None))
    }
}

/// Methods that the 2026-07-28 revision has given up.
const OLDER: &[&str] = &[
    "initialize",
    "logging/setLevel",
    "ping",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// Methods that are answered, so that wrong parameters are not taken for an unknown method.
const KNOWN: &[&str] = &[
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
    "tools/call",
    "tools/list",
];
