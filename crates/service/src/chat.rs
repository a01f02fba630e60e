//! Chat: the conversation through the model's template, tools and schemas through a grammar.

use std::sync::Arc;

use inference::runner::protocol::{
    Constraint, constraint::Grammar, generate_request::Prompt as Wire,
};
use inference::templates::{
    Answer, CallRule, ChatTemplate, Conversation, ConversationMessage, GrammarRequest,
    ParserOptions, ReasoningMarks, ReasoningPrefix, Rendered, ToolDefinition, ToolInvocation,
    output_grammar,
};

use crate::catalog::ModelProfile;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::prepare;
use crate::runtime::ModelLease;
use crate::types::{ChatRequest, Message, OutputFormat, Role, Tool, ToolChoice};

/// What a conversation becomes for the runner.
pub(crate) struct Prepared {
    pub(crate) prompt: Wire,
    pub(crate) add_special: bool,
    pub(crate) stop: Vec<String>,
    pub(crate) constraint: Option<Constraint>,
    pub(crate) emit_special: bool,
    pub(crate) parser: Option<ParserOptions>,
    pub(crate) short_call_ids: bool,
}

pub(crate) async fn prepare(
    request: &ChatRequest,
    system: Option<&str>,
    now_unix: u64,
    profile: &ModelProfile,
    lease: &dyn ModelLease,
) -> Result<Prepared> {
    let rule = CallRules::of(request);
    let template = profile.template(rule.shown, lease).await?;
    let conversation = conversation(request, system, rule.shown);
    let rendered = render(template.clone(), conversation, now_unix).await?;

    let format = template.tool_format();
    let reasoning = template.reasoning().filter(|_| !rendered.reasoning_closed);
    let mut marks: Vec<&'static str> = Vec::new();
    if rule.calls != CallRule::Never {
        marks.extend(format.markers());
    }
    if let Some(reasoning) = reasoning {
        marks.extend([reasoning.open, reasoning.close]);
    }
    let control = profile.control_tokens(&marks, lease).await?;
    let control_token = |text: &str| control.get(text).copied();
    let constraint = constraint(
        request,
        &rule,
        prefix(reasoning, &rendered),
        &template,
        &control_token,
    )?;
    let calls = rule.calls != CallRule::Never;
    let parser = (calls || reasoning.is_some()).then(|| ParserOptions {
        tools: calls.then_some(format),
        names: rule.allowed.iter().map(|tool| tool.name.clone()).collect(),
        reasoning,
        reasoning_open: rendered.reasoning_open,
    });
    Ok(Prepared {
        add_special: !rendered.writes_begin,
        stop: rendered.stop,
        prompt: Wire::Text(rendered.text),
        constraint,
        emit_special: !control.is_empty(),
        parser,
        short_call_ids: format.wants_short_ids(),
    })
}

/// Rendering takes milliseconds for long conversations, so it runs where blocking is allowed.
async fn render(
    template: Arc<ChatTemplate>,
    conversation: Conversation,
    now_unix: u64,
) -> Result<Rendered> {
    tokio::task::spawn_blocking(move || template.render(&conversation, now_unix))
        .await
        .map_err(failures::internal)?
        .map_err(failures::from_template)
}

/// Which tools are shown and which may be called.
struct CallRules {
    calls: CallRule,
    allowed: Vec<ToolDefinition>,
    shown: bool,
}

impl CallRules {
    fn of(request: &ChatRequest) -> Self {
        let all = || request.tools.iter().map(definition).collect::<Vec<_>>();
        let named = |names: &[String]| {
            let mut tools = all();
            tools.retain(|tool| names.contains(&tool.name));
            tools
        };
        let (calls, allowed) = match &request.tool_choice {
            _ if request.tools.is_empty() => (CallRule::Never, Vec::new()),
            ToolChoice::None => (CallRule::Never, Vec::new()),
            ToolChoice::Auto => (CallRule::Auto, all()),
            ToolChoice::Required => (CallRule::Required, all()),
            ToolChoice::Named(name) => (CallRule::Required, named(std::slice::from_ref(name))),
            ToolChoice::Allowed { names, required } => match (named(names), required) {
                (tools, _) if tools.is_empty() => (CallRule::Never, tools),
                (tools, true) => (CallRule::Required, tools),
                (tools, false) => (CallRule::Auto, tools),
            },
        };
        CallRules {
            // Tools that cannot be called are not shown: a model that sees them writes calls as text.
            shown: calls != CallRule::Never,
            calls,
            allowed,
        }
    }
}

fn prefix(reasoning: Option<ReasoningMarks>, rendered: &Rendered) -> ReasoningPrefix {
    match reasoning {
        Some(marks) if rendered.reasoning_open => ReasoningPrefix::Open(marks),
        Some(marks) => ReasoningPrefix::Optional(marks),
        None => ReasoningPrefix::None,
    }
}

fn constraint(
    request: &ChatRequest,
    rule: &CallRules,
    reasoning: ReasoningPrefix,
    template: &ChatTemplate,
    control_token: &dyn Fn(&str) -> Option<u32>,
) -> Result<Option<Constraint>> {
    if rule.calls == CallRule::Never && reasoning == ReasoningPrefix::None {
        return Ok(prepare::constraint(&request.output));
    }
    let answer = match &request.output {
        OutputFormat::Text => Answer::Text,
        OutputFormat::JsonObject => Answer::JsonObject,
        OutputFormat::JsonSchema(schema) => Answer::JsonSchema(schema),
        OutputFormat::Regex(_) | OutputFormat::Lark(_) if rule.calls != CallRule::Never => {
            return Err(Error::new(
                ErrorKind::NotSupported,
                "Tools cannot be combined with a regular expression or grammar; use a JSON schema.",
            )
            .at("response_format"));
        }
        // The caller's grammar rules the whole answer, reasoning included.
        OutputFormat::Regex(_) | OutputFormat::Lark(_) => {
            return Ok(prepare::constraint(&request.output));
        }
    };
    let tools: Vec<&ToolDefinition> = rule.allowed.iter().collect();
    let named = matches!(request.tool_choice, ToolChoice::Named(_));
    let grammar = output_grammar(&GrammarRequest {
        tools: &tools,
        rule: rule.calls,
        // A named tool is called once, as OpenAI does it.
        parallel: request.parallel_tool_calls && !named,
        format: template.tool_format(),
        answer,
        reasoning,
        control_token,
    });
    Ok(grammar.map(|text| Constraint {
        grammar: Some(Grammar::Lark(text)),
    }))
}

fn conversation(request: &ChatRequest, system: Option<&str>, shown: bool) -> Conversation {
    let instructed = request
        .messages
        .iter()
        .any(|message| matches!(message.role, Role::System | Role::Developer));
    let default = system
        .filter(|_| !instructed)
        .map(|text| ConversationMessage {
            role: "system".to_owned(),
            content: text.to_owned(),
            ..ConversationMessage::default()
        });
    Conversation {
        messages: default
            .into_iter()
            .chain(request.messages.iter().map(turn))
            .collect(),
        tools: if shown {
            request.tools.iter().map(definition).collect()
        } else {
            Vec::new()
        },
        variables: request.template_variables.clone(),
        add_generation_prompt: true,
    }
}

fn definition(tool: &Tool) -> ToolDefinition {
    ToolDefinition {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: if tool.parameters.is_null() {
            serde_json::json!({ "type": "object", "properties": {} })
        } else {
            tool.parameters.clone()
        },
        strict: tool.strict,
    }
}

fn turn(message: &Message) -> ConversationMessage {
    ConversationMessage {
        role: match message.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
        .to_owned(),
        content: message.content.clone(),
        name: message.name.clone(),
        reasoning: message.reasoning.clone(),
        tool_calls: message
            .tool_calls
            .iter()
            .map(|call| ToolInvocation {
                id: call.id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            })
            .collect(),
        tool_call_id: message.tool_call_id.clone(),
    }
}
