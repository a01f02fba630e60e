//! Grammars (in llguidance's Lark dialect) for answers that may or must call tools, follow a schema, or both.
//!
//! In `Auto`, free text is allowed until a call's mark appears; from there on only a well-formed call of an allowed
//! tool can be written, so a streamed call is never malformed. A marker that is a control token of the vocabulary is
//! named by id (`<[123]>`), because its text is not part of what other tokens can spell.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::conversation::ToolDefinition;
use super::render::python_json;
use super::syntax::{
    HERMES_CLOSE, HERMES_OPEN, LLAMA_OPEN, MISTRAL_ARGUMENTS, MISTRAL_OPEN, ReasoningMarks,
    ToolFormat,
};

/// Whether calls may or must be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallRule {
    /// No calls.
    Never,
    /// The model decides.
    Auto,
    /// At least one.
    Required,
}

/// The shape of an answer that is no call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer<'a> {
    /// Anything.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON valid under this schema.
    JsonSchema(&'a Value),
}

/// Whether reasoning may come before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningPrefix {
    /// None follows.
    None,
    /// The model may open it.
    Optional(ReasoningMarks),
    /// The prompt opened it.
    Open(ReasoningMarks),
}

/// What the answer must look like.
pub struct GrammarRequest<'a> {
    /// Tools that may be called.
    pub tools: &'a [&'a ToolDefinition],
    /// Whether they may or must be.
    pub rule: CallRule,
    /// More than one call in the answer.
    pub parallel: bool,
    /// How this model writes calls.
    pub format: ToolFormat,
    /// The shape of anything else.
    pub answer: Answer<'a>,
    /// What may come before.
    pub reasoning: ReasoningPrefix,
    /// The id of a marker that is a control token; `None`: it is ordinary text.
    pub control_token: &'a dyn Fn(&str) -> Option<u32>,
}

/// The grammar of an answer, or `None` when anything goes.
pub fn output_grammar(request: &GrammarRequest<'_>) -> Option<String> {
    let calls = request.rule != CallRule::Never && !request.tools.is_empty();
    if !calls && request.answer == Answer::Text {
        return None;
    }
    let mut grammar = Grammar {
        request,
        rules: String::new(),
    };
    let free = calls && request.rule == CallRule::Auto && request.answer == Answer::Text;
    let mut alternatives = Vec::new();
    if calls {
        alternatives.push(grammar.calls(free));
    }
    if free {
        alternatives.push(grammar.text());
    } else if !calls || request.rule == CallRule::Auto {
        alternatives.push(grammar.answer());
    }
    let prefix = grammar.prefix(free);
    let body = alternatives.join(" | ");
    let rules = grammar.rules;
    Some(format!(
        "start: {prefix}body\nbody: {body}\n{rules}TEXT: /(.|\\n)*/\n"
    ))
}

struct Grammar<'a> {
    request: &'a GrammarRequest<'a>,
    rules: String,
}

impl Grammar<'_> {
    fn rule(&mut self, name: &str, body: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.rules, "{name}: {body}");
    }

    /// A marker as the grammar names it.
    fn mark(&self, text: &str) -> String {
        match (self.request.control_token)(text) {
            Some(id) => format!("<[{id}]>"),
            None => literal(text),
        }
    }

    /// Adds a rule for free text that ends with `mark`, and gives its name.
    fn text_until(&mut self, name: &str, mark: &str) -> String {
        match (self.request.control_token)(mark) {
            Some(id) => self.rule(name, &format!("TEXT <[{id}]>")),
            // Lazy: the mark ends the text where it first appears, and then a call is the only way on.
            None => self.rule(&format!("{name}[lazy]"), &format!("TEXT {}", literal(mark))),
        }
        name.to_owned()
    }

    /// Text with no call in it.
    fn text(&mut self) -> String {
        if self.request.format == ToolFormat::LlamaJson {
            // An answer that begins with a brace is a call in this family; anything else is text.
            self.rule("text", "/[^{](.|\\n)*/ | \"\"");
            "text".to_owned()
        } else {
            "TEXT".to_owned()
        }
    }

    fn answer(&mut self) -> String {
        match self.request.answer {
            Answer::Text => self.text(),
            Answer::JsonObject => {
                let schema = bounded_whitespace(json!({ "type": "object" }));
                self.rule("answer", &format!("%json {schema}"));
                "answer".to_owned()
            }
            Answer::JsonSchema(schema) => {
                let schema = bounded_whitespace((*schema).clone());
                self.rule("answer", &format!("%json {schema}"));
                "answer".to_owned()
            }
        }
    }

    /// Reasoning before the body. In free text an unopened one needs no rule: it is text.
    fn prefix(&mut self, free: bool) -> String {
        match self.request.reasoning {
            ReasoningPrefix::None => String::new(),
            ReasoningPrefix::Optional(_) if free => String::new(),
            ReasoningPrefix::Optional(marks) => {
                let open = self.mark(marks.open);
                self.text_until("reasoning", marks.close);
                self.rule("gap", "(\"\\n\\n\" | \"\\n\")?");
                format!("({open} reasoning gap)? ")
            }
            ReasoningPrefix::Open(marks) => {
                self.text_until("reasoning", marks.close);
                self.rule("gap", "(\"\\n\\n\" | \"\\n\")?");
                "reasoning gap ".to_owned()
            }
        }
    }

    /// Rules for one or more calls; `free`: text may come before the first.
    fn calls(&mut self, free: bool) -> String {
        let more = self.request.parallel;
        match self.request.format {
            ToolFormat::Hermes | ToolFormat::Generic => {
                let call = self.any_object("arguments");
                let open = self.opening(HERMES_OPEN, free);
                let again = self.mark(HERMES_OPEN);
                let close = self.mark(HERMES_CLOSE);
                let rest = if more {
                    format!(" (\"\\n\"? {again} {call} {close})*")
                } else {
                    String::new()
                };
                self.rule("calls", &format!("{open} {call} {close}{rest}"));
            }
            ToolFormat::LlamaJson => {
                let call = self.any_object("parameters");
                let tag = match (self.request.control_token)(LLAMA_OPEN) {
                    Some(id) => format!("<[{id}]>? "),
                    None => String::new(),
                };
                let rest = if more {
                    format!(" (\";\" {call})*")
                } else {
                    String::new()
                };
                self.rule("calls", &format!("{tag}{call}{rest}"));
            }
            ToolFormat::MistralList => {
                let call = self.any_object("arguments");
                let open = self.opening(MISTRAL_OPEN, free);
                let rest = if more {
                    format!(" (\",\" {call})*")
                } else {
                    String::new()
                };
                self.rule("calls", &format!("{open} / ?\\[/ {call}{rest} \"]\""));
            }
            ToolFormat::MistralArguments => {
                let call = self.any_named();
                let open = self.opening(MISTRAL_OPEN, free);
                let again = self.mark(MISTRAL_OPEN);
                let rest = if more {
                    format!(" ({again} {call})*")
                } else {
                    String::new()
                };
                self.rule("calls", &format!("{open} {call}{rest}"));
            }
        }
        "calls".to_owned()
    }

    fn opening(&mut self, mark: &str, free: bool) -> String {
        if free {
            self.text_until("lead", mark)
        } else {
            self.mark(mark)
        }
    }

    /// `{"name": "f", KEY: ARGUMENTS}` for every tool.
    fn any_object(&mut self, key: &str) -> String {
        let mut names = Vec::new();
        for (index, tool) in self.request.tools.iter().enumerate() {
            let name = &tool.name;
            self.rule(&format!("arguments_{index}"), &json_rule(tool));
            self.rule(
                &format!("call_{index}"),
                &format!(
                    "/[ \\n]?\\{{[ \\n]?\"name\":[ \\n]?\"{name}\",[ \\n]?\"{key}\":[ \\n]?/ \
                     arguments_{index} /[ \\n]?\\}}[ \\n]?/"
                ),
            );
            names.push(format!("call_{index}"));
        }
        self.rule("call", &names.join(" | "));
        "call".to_owned()
    }

    /// `f[ARGS]ARGUMENTS` for every tool.
    fn any_named(&mut self) -> String {
        let arguments = self.mark(MISTRAL_ARGUMENTS);
        let mut names = Vec::new();
        for (index, tool) in self.request.tools.iter().enumerate() {
            self.rule(&format!("arguments_{index}"), &json_rule(tool));
            self.rule(
                &format!("call_{index}"),
                &format!("{} {arguments} arguments_{index}", literal(&tool.name)),
            );
            names.push(format!("call_{index}"));
        }
        self.rule("call", &names.join(" | "));
        "call".to_owned()
    }
}

/// A string of the Lark dialect, which has JSON's syntax.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// The schema of a tool's arguments as a grammar.
fn json_rule(tool: &ToolDefinition) -> String {
    let schema = bounded_whitespace(arguments_schema(tool));
    format!("%json {}", python_json(&schema))
}

/// White space that JSON may have between its tokens: a space, or a line break and its indentation. Without a bound, a
/// weak model that begins with spaces goes on with spaces until its tokens are used up.
const WHITESPACE: &str = r"[ ]|\r?\n[ \t]{0,32}";

/// `schema` with that bound, unless it brings a rule of its own.
pub(crate) fn bounded_whitespace(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members
            .entry("x-guidance")
            .or_insert_with(|| json!({ "whitespace_pattern": WHITESPACE }));
    }
    schema
}

/// Always an object, and forgiving about keywords that cannot be enforced unless the tool is strict.
fn arguments_schema(tool: &ToolDefinition) -> Value {
    let mut schema = match &tool.parameters {
        Value::Object(members) if !members.is_empty() => members.clone(),
        _ => {
            return json!({ "type": "object", "properties": {}, "additionalProperties": false });
        }
    };
    let composed = ["type", "$ref", "anyOf", "oneOf", "allOf"];
    if !composed.iter().any(|keyword| schema.contains_key(*keyword)) {
        schema.insert("type".to_owned(), "object".into());
    }
    if !tool.strict && !schema.contains_key("x-guidance") {
        schema.insert("x-guidance".to_owned(), json!({ "lenient": true }));
    }
    Value::Object(schema)
}
