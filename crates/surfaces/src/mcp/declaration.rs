//! What a tool is. One [`Tool`] holds everything about one: adding a tool is adding one declaration to a list.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use service::{Action, Error, ErrorKind, Identity};

use super::reporter::Reporter;
use crate::body::read;
use crate::state::App;

/// One call of a tool: who calls, and how to tell the caller how far it is.
pub struct Call {
    /// What the handler works with.
    pub app: App,
    /// Who calls.
    pub identity: Identity,
    /// Progress and log messages to the caller.
    pub reporter: Reporter,
    /// The caller asked for a result that is computed now (`Cache-Control: no-store`).
    pub fresh: bool,
}

/// What a tool gives: the JSON of its output type, or why not.
pub type Outcome = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

type Handler = Box<dyn Fn(Call, Value) -> Outcome + Send + Sync>;

/// One tool.
pub struct Tool {
    name: &'static str,
    /// Name, texts, schemas and hints as they go over the wire.
    pub definition: Definition,
    /// What a key must be allowed to do to see and call it.
    pub action: Action,
    /// A call may take long: clients of the tasks extension get a task when it does.
    pub long: bool,
    handler: Handler,
}

/// The texts and rules of a tool; its types come with the handler.
pub struct Facts {
    /// Name: letters, digits, `_`, `.`, `-`; at most 128.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For models: what it does and when to use it.
    pub description: &'static str,
    /// What a key must be allowed to do.
    pub action: Action,
    /// It changes nothing, so that clients need not ask their user first.
    pub read_only: bool,
    /// A call may take long.
    pub long: bool,
}

impl Tool {
    /// The tool of `facts` whose calls `handler` answers. Its schemas are those of the handler's types.
    pub fn new<Arguments, Answer, Function, Running>(facts: Facts, handler: Function) -> Self
    where
        Arguments: DeserializeOwned + JsonSchema + Send + 'static,
        Answer: Serialize + JsonSchema + 'static,
        Function: Fn(Call, Arguments) -> Running + Send + Sync + Clone + 'static,
        Running: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let annotations = ToolAnnotations::with_title(facts.title)
            .read_only(facts.read_only)
            .destructive(false)
            .idempotent(facts.read_only)
            .open_world(false);
        let definition = Definition::new(facts.name, facts.description, schema_of::<Arguments>())
            .with_title(facts.title)
            .with_raw_output_schema(schema_of::<Answer>())
            .with_annotations(annotations);
        Tool {
            name: facts.name,
            definition,
            action: facts.action,
            long: facts.long,
            handler: Box::new(move |call, arguments| {
                let handler = handler.clone();
                Box::pin(async move {
                    let arguments = read::<Arguments>(&arguments)?;
                    let answer = handler(call, arguments).await?;
                    serde_json::to_value(answer)
                        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
                })
            }),
        }
    }

    /// The same tool, marked as one that can take away what was there.
    pub fn destructive(mut self) -> Self {
        if let Some(annotations) = &mut self.definition.annotations {
            annotations.destructive_hint = Some(true);
        }
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Begins a call. Dropping the outcome cancels it.
    pub fn call(&self, call: Call, arguments: JsonObject) -> Outcome {
        (self.handler)(call, Value::Object(arguments))
    }
}

/// The JSON Schema (2020-12) of `T`, without references, so that every client can read it.
fn schema_of<T: JsonSchema>() -> Arc<JsonObject> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut object = match schema.to_value() {
        Value::Object(object) => object,
        // A schema of a struct is an object; `true` could only come from a type that takes anything.
        _ => JsonObject::new(),
    };
    // The name of the Rust type tells a client nothing.
    object.shift_remove("title");
    object
        .entry("type")
        .or_insert_with(|| Value::String("object".to_owned()));
    Arc::new(object)
}
