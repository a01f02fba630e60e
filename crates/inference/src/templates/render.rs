//! Compiles a template once and renders it under bounds, the way Hugging Face's Python renderer does.
//!
//! Bounds: the number of instructions ([`FUEL_BASE`]), the length of the output ([`OUTPUT_BYTES_MAX`]) and the depth
//! of recursion. Intermediate strings of one expression are bounded by the template library at 100 MB for repetition
//! only, so a template is trusted as far as the model file that carries it; it never reaches anything but its inputs.

use std::fmt::Write as _;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use thiserror::Error as ThisError;
use time::OffsetDateTime;

use super::conversation::{Conversation, Shape, ToolDefinition};
use super::fallback;
use super::syntax::{ReasoningMarks, ToolFormat};

/// Longest template source, in bytes. The longest known is about 20 kB.
const SOURCE_BYTES_MAX: usize = 512 * 1024;
/// Instructions a render may take whatever it renders: some tens of milliseconds.
const FUEL_BASE: u64 = 1_000_000;
/// Instructions more for every turn and tool; real templates take 50 to 300 a turn.
const FUEL_PER_TURN: u64 = 20_000;
/// Longest rendered prompt, in bytes: more than any context holds.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nested calls and blocks.
const RECURSION_MAX: usize = 100;

/// Why a template could not be used.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum TemplateError {
    /// The template itself refused the conversation, in its own words.
    #[error("{message}")]
    Refused {
        /// What the template said.
        message: String,
    },
    /// The source is no template, or needs something that is not there.
    #[error("chat template failed{}: {reason}", line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Failed {
        /// One-based line of the source, when known.
        line: Option<usize>,
        /// What went wrong.
        reason: String,
    },
    /// It took too many steps or wrote too much.
    #[error("chat template is unreasonable: {reason}")]
    Unbounded {
        /// Which bound it broke.
        reason: String,
    },
}

/// Where a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateSource {
    /// The model's own.
    Model,
    /// ChatML, because the vocabulary has its marks.
    ChatMl,
    /// Named speakers in plain text.
    Plain,
}

/// A compiled chat template.
pub struct ChatTemplate {
    environment: Environment<'static>,
    origin: TemplateSource,
    format: ToolFormat,
    reasoning: Option<ReasoningMarks>,
    knows_developer: bool,
    begin: String,
    end: String,
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt, special tokens written out.
    pub text: String,
    /// The prompt ends inside reasoning: the model goes on with it.
    pub reasoning_open: bool,
    /// The prompt ends with reasoning already closed: none will follow.
    pub reasoning_closed: bool,
    /// Stop strings that this layout needs.
    pub stop: Vec<String>,
    /// The prompt carries its own begin-of-sequence text.
    pub writes_begin: bool,
}

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Compiles a model's own template. `begin` and `end` are the texts of its begin and end tokens ("" when none).
    ///
    /// # Errors
    /// [`TemplateError::Failed`] with the line when the source is not valid.
    pub fn compile(source: &str, begin: &str, end: &str) -> Result<Self, TemplateError> {
        Self::build(source, TemplateSource::Model, begin, end)
    }

    /// The layout for a model without a template: ChatML when its vocabulary has `<|im_start|>` and `<|im_end|>` as
    /// tokens, else named speakers in plain text.
    ///
    /// # Errors
    /// None in practice: the layouts are ours.
    pub fn fallback(
        has_chatml_tokens: bool,
        begin: &str,
        end: &str,
    ) -> Result<Self, TemplateError> {
        if has_chatml_tokens {
            Self::build(fallback::CHATML, TemplateSource::ChatMl, begin, end)
        } else {
            Self::build(fallback::PLAIN, TemplateSource::Plain, begin, end)
        }
    }

    fn build(
        source: &str,
        origin: TemplateSource,
        begin: &str,
        end: &str,
    ) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::Unbounded {
                reason: format!("its source is longer than {SOURCE_BYTES_MAX} bytes"),
            });
        }
        let mut environment = environment().map_err(describe)?;
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(describe)?;
        let variables = environment
            .get_template(NAME)
            .map_err(describe)?
            .undeclared_variables(false);
        let sees_tools = variables.contains("tools");
        Ok(ChatTemplate {
            format: ToolFormat::detect(source, sees_tools),
            reasoning: ReasoningMarks::detect(source),
            // The built-in layouts write any role they are given, so there is nothing to tell from their source.
            knows_developer: source.contains("developer"),
            environment,
            origin,
            begin: begin.to_owned(),
            end: end.to_owned(),
        })
    }

    /// Where it comes from.
    pub fn origin(&self) -> TemplateSource {
        self.origin
    }

    /// How this model writes tool calls.
    pub fn tool_format(&self) -> ToolFormat {
        self.format
    }

    /// How this model marks its reasoning, if it reasons.
    pub fn reasoning(&self) -> Option<ReasoningMarks> {
        self.reasoning
    }

    /// Renders a conversation. `now_unix` is the time that `strftime_now` tells, in seconds since 1970 (UTC).
    ///
    /// Rewritten, where the template cannot take it: `developer` becomes `system`; for [`ToolFormat::Generic`] tools
    /// are described in the system message, and calls and results become text.
    ///
    /// # Errors
    /// [`TemplateError::Refused`] with the template's words when it does not accept the conversation.
    pub fn render(
        &self,
        conversation: &Conversation,
        now_unix: u64,
    ) -> Result<Rendered, TemplateError> {
        let mut conversation = conversation.clone();
        if !self.knows_developer {
            fallback::without_developer(&mut conversation);
        }
        if self.format == ToolFormat::Generic {
            fallback::without_tools(&mut conversation);
        }
        let mut first_error = None;
        for shape in [Shape::Native, Shape::TextArguments, Shape::TextOnly] {
            match self.render_shape(&conversation, shape, now_unix) {
                Ok(text) => return Ok(self.rendered(text)),
                Err(error @ (TemplateError::Refused { .. } | TemplateError::Unbounded { .. })) => {
                    return Err(first_error.unwrap_or(error));
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
            // The shapes differ only in how calls are written.
            if conversation
                .messages
                .iter()
                .all(|turn| turn.tool_calls.is_empty())
            {
                break;
            }
        }
        Err(first_error.unwrap_or(TemplateError::Failed {
            line: None,
            reason: "nothing was rendered".to_owned(),
        }))
    }

    fn rendered(&self, text: String) -> Rendered {
        let tail = text.trim_end();
        let (reasoning_open, reasoning_closed) = self.reasoning.map_or((false, false), |marks| {
            (tail.ends_with(marks.open), tail.ends_with(marks.close))
        });
        let stop = match self.origin {
            TemplateSource::Plain => fallback::PLAIN_STOPS.map(str::to_owned).to_vec(),
            TemplateSource::Model | TemplateSource::ChatMl => Vec::new(),
        };
        Rendered {
            writes_begin: !self.begin.is_empty() && text.starts_with(&self.begin),
            reasoning_open,
            reasoning_closed,
            stop,
            text,
        }
    }

    fn render_shape(
        &self,
        conversation: &Conversation,
        shape: Shape,
        now_unix: u64,
    ) -> Result<String, TemplateError> {
        let turns = conversation.messages.len() + conversation.tools.len();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(FUEL_BASE + FUEL_PER_TURN * turns as u64));

        let messages: Vec<_> = conversation
            .messages
            .iter()
            .map(|turn| turn.to_value(shape))
            .collect();
        let tools: Vec<_> = conversation
            .tools
            .iter()
            .map(ToolDefinition::to_value)
            .collect();
        let mut variables: Vec<(String, Value)> = conversation
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(Serde(value))))
            .collect();
        let tools = if tools.is_empty() {
            Value::from(())
        } else {
            Value::from(Serde(&tools))
        };
        variables.extend([
            ("messages".to_owned(), Value::from(Serde(&messages))),
            ("tools".to_owned(), tools),
            ("documents".to_owned(), Value::from(())),
            (
                "add_generation_prompt".to_owned(),
                Value::from(conversation.add_generation_prompt),
            ),
            ("bos_token".to_owned(), Value::from(self.begin.as_str())),
            ("eos_token".to_owned(), Value::from(self.end.as_str())),
            (
                "strftime_now".to_owned(),
                Value::from_function(move |format: String| strftime(&format, now_unix)),
            ),
        ]);
        let context = Value::from_pairs(variables);

        let mut output = Bounded(Vec::new());
        environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(context, &mut output).map(drop))
            .map_err(describe)?;
        String::from_utf8(output.0).map_err(|_| TemplateError::Failed {
            line: None,
            reason: "its output is not UTF-8".to_owned(),
        })
    }
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Raised(message)))
        },
    );
    environment.add_filter("tojson", tojson);
    Ok(environment)
}

/// What `raise_exception` was told.
#[derive(Debug, ThisError)]
#[error("{0}")]
struct Raised(String);

fn describe(error: Error) -> TemplateError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = source {
        if let Some(Raised(message)) = current.downcast_ref() {
            return TemplateError::Refused {
                message: message.clone(),
            };
        }
        source = current.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::Unbounded {
            reason: "it takes too many steps".to_owned(),
        },
        ErrorKind::WriteFailure => TemplateError::Unbounded {
            reason: format!("its output is longer than {OUTPUT_BYTES_MAX} bytes"),
        },
        kind => TemplateError::Failed {
            line: error.line(),
            reason: match error.detail() {
                Some(detail) => format!("{kind}: {detail}"),
                None => kind.to_string(),
            },
        },
    }
}

/// Collects output up to the bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("output is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `{% generation %}` only marks spans for training in Python; here it must not matter.
fn without_generation_marks(source: &str) -> String {
    if !source.contains("generation") {
        return source.to_owned();
    }
    let mut text = source.to_owned();
    for (mark, instead) in [("generation", "if true"), ("endgeneration", "endif")] {
        for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
            text = text.replace(
                &format!("{open} {mark} {close}"),
                &format!("{open} {instead} {close}"),
            );
        }
    }
    text
}

/// Hugging Face's `tojson`: Python's `json.dumps` without HTML escapes.
fn tojson(value: &Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let sorted: Option<bool> = arguments.get("sort_keys")?;
    let ascii: Option<bool> = arguments.get("ensure_ascii")?;
    let _separators: Option<Value> = arguments.get("separators")?;
    arguments.assert_all_used()?;
    let mut writer = JsonWriter {
        output: String::new(),
        indent: indent.map(|width| width.min(16)),
        sorted: sorted.unwrap_or(false),
        ascii: ascii.unwrap_or(false),
    };
    let json = serde_json::to_value(value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "value has no JSON form").with_source(error)
    })?;
    if matches!(value.kind(), ValueKind::Undefined) {
        return Err(Error::new(
            ErrorKind::BadSerialization,
            "an undefined value has no JSON form",
        ));
    }
    writer.value(&json, 0);
    Ok(Value::from(writer.output))
}

/// JSON as Python writes it by default: `{"a": 1, "b": [2, 3]}`.
pub(super) fn python_json(value: &serde_json::Value) -> String {
    let mut writer = JsonWriter {
        output: String::new(),
        indent: None,
        sorted: false,
        ascii: false,
    };
    writer.value(value, 0);
    writer.output
}

struct JsonWriter {
    output: String,
    indent: Option<usize>,
    sorted: bool,
    ascii: bool,
}

impl JsonWriter {
    fn value(&mut self, value: &serde_json::Value, depth: usize) {
        match value {
            serde_json::Value::String(text) => self.string(text),
            serde_json::Value::Array(items) if items.is_empty() => self.output.push_str("[]"),
            serde_json::Value::Array(items) => {
                self.output.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index, depth + 1);
                    self.value(item, depth + 1);
                }
                self.line(depth);
                self.output.push(']');
            }
            serde_json::Value::Object(members) if members.is_empty() => {
                self.output.push_str("{}");
            }
            serde_json::Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if self.sorted {
                    members.sort_by_key(|(name, _)| *name);
                }
                self.output.push('{');
                for (index, (name, member)) in members.into_iter().enumerate() {
                    self.separate(index, depth + 1);
                    self.string(name);
                    self.output.push_str(": ");
                    self.value(member, depth + 1);
                }
                self.line(depth);
                self.output.push('}');
            }
            plain => self.output.push_str(&plain.to_string()),
        }
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.output.push(',');
            if self.indent.is_none() {
                self.output.push(' ');
            }
        }
        self.line(depth);
    }

    fn line(&mut self, depth: usize) {
        if let Some(width) = self.indent {
            self.output.push('\n');
            self.output.extend(std::iter::repeat_n(' ', width * depth));
        }
    }

    fn string(&mut self, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        if !self.ascii {
            self.output.push_str(&quoted);
            return;
        }
        for character in quoted.chars() {
            if character.is_ascii() {
                self.output.push(character);
            } else {
                let mut units = [0u16; 2];
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = write!(self.output, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// The directives of Python's `strftime` that templates use.
fn strftime(format: &str, now_unix: u64) -> Result<Value, Error> {
    let now = i64::try_from(now_unix)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "time is out of range"))?;
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let mut directive = characters.next().unwrap_or('%');
        let padded = directive != '-';
        if !padded {
            directive = characters.next().unwrap_or('-');
        }
        let number = |value: u16, width: usize| {
            if padded {
                format!("{value:0width$}")
            } else {
                value.to_string()
            }
        };
        let hour12 = match now.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        let month = now.month().to_string();
        let weekday = now.weekday().to_string();
        text.push_str(&match directive {
            'Y' => now.year().to_string(),
            'y' => number((now.year() % 100) as u16, 2),
            'm' => number(u8::from(now.month()).into(), 2),
            'd' => number(now.day().into(), 2),
            'j' => number(now.ordinal(), 3),
            'H' => number(now.hour().into(), 2),
            'I' => number(hour12.into(), 2),
            'M' => number(now.minute().into(), 2),
            'S' => number(now.second().into(), 2),
            'p' => if now.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'B' => month,
            'b' | 'h' => month.chars().take(3).collect(),
            'A' => weekday,
            'a' => weekday.chars().take(3).collect(),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            'F' => now.date().to_string(),
            'T' => format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()),
            '%' => "%".to_owned(),
            other => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now does not know %{other}"),
                ));
            }
        });
    }
    Ok(Value::from(text))
}
