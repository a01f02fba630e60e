//! How model families write tool calls and reasoning, told from their templates.

use super::pattern::Part;

/// How a model family writes a call of a tool.
///
/// ```text
/// Hermes, Generic   <tool_call>\n{"name": "f", "arguments": {..}}\n</tool_call>
/// LlamaJson         {"name": "f", "parameters": {..}}            (whole answer, maybe after <|python_tag|>)
/// MistralList       [TOOL_CALLS] [{"name": "f", "arguments": {..}}, ..]
/// MistralArguments  [TOOL_CALLS]f[ARGS]{..}[TOOL_CALLS]g[ARGS]{..}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFormat {
    /// Hermes and Qwen: JSON between `<tool_call>` tags, taught by the template.
    Hermes,
    /// Llama 3.1 and later: the answer is one JSON object.
    LlamaJson,
    /// Mistral: a JSON list after one marker.
    MistralList,
    /// Mistral, newer tokenizers: name and arguments, a marker each.
    MistralArguments,
    /// The template teaches none that we know: tools are described in a system message, in the Hermes writing.
    Generic,
}

/// Texts around a model's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasoningMarks {
    /// Opens it.
    pub open: &'static str,
    /// Closes it.
    pub close: &'static str,
}

const REASONING: [ReasoningMarks; 3] = [
    ReasoningMarks {
        open: "<think>",
        close: "</think>",
    },
    ReasoningMarks {
        open: "[THINK]",
        close: "[/THINK]",
    },
    ReasoningMarks {
        open: "<seed:think>",
        close: "</seed:think>",
    },
];

impl ReasoningMarks {
    /// The marks that a template's source mentions.
    pub fn detect(source: &str) -> Option<Self> {
        REASONING
            .into_iter()
            .find(|marks| source.contains(marks.close))
    }
}

pub(super) const HERMES_OPEN: &str = "<tool_call>";
pub(super) const HERMES_CLOSE: &str = "</tool_call>";
pub(super) const LLAMA_OPEN: &str = "<|python_tag|>";
pub(super) const MISTRAL_OPEN: &str = "[TOOL_CALLS]";
pub(super) const MISTRAL_ARGUMENTS: &str = "[ARGS]";

impl ToolFormat {
    /// The format that a template's source teaches. `sees_tools`: the template reads the variable `tools`.
    pub fn detect(source: &str, sees_tools: bool) -> Self {
        if !sees_tools {
            ToolFormat::Generic
        } else if source.contains(MISTRAL_OPEN) {
            if source.contains(MISTRAL_ARGUMENTS) {
                ToolFormat::MistralArguments
            } else {
                ToolFormat::MistralList
            }
        } else if source.contains(HERMES_OPEN) {
            ToolFormat::Hermes
        } else if source.contains(LLAMA_OPEN)
            || (source.contains("<|start_header_id|>") && source.contains("ipython"))
        {
            ToolFormat::LlamaJson
        } else {
            ToolFormat::Generic
        }
    }

    /// Marker texts that may be single control tokens of the vocabulary: the grammar must name those by id, and
    /// their text must be asked for (`emit_special`).
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            ToolFormat::Hermes | ToolFormat::Generic => &[HERMES_OPEN, HERMES_CLOSE],
            ToolFormat::LlamaJson => &[LLAMA_OPEN],
            ToolFormat::MistralList => &[MISTRAL_OPEN],
            ToolFormat::MistralArguments => &[MISTRAL_OPEN, MISTRAL_ARGUMENTS],
        }
    }

    /// Whether the templates of this family insist on ids of nine letters and digits.
    pub fn wants_short_ids(self) -> bool {
        matches!(self, ToolFormat::MistralList | ToolFormat::MistralArguments)
    }

    /// What can begin a call: a text to search for, and what must follow from there up to the arguments.
    pub(super) fn openers(self) -> &'static [Opener] {
        match self {
            ToolFormat::Hermes | ToolFormat::Generic => &HERMES_OPENERS,
            ToolFormat::LlamaJson => &LLAMA_OPENERS,
            ToolFormat::MistralList => &MISTRAL_LIST_OPENERS,
            ToolFormat::MistralArguments => &MISTRAL_ARGUMENTS_OPENERS,
        }
    }

    /// What must follow the arguments.
    pub(super) fn closing(self) -> &'static [Part] {
        match self {
            ToolFormat::Hermes | ToolFormat::Generic => &[
                Part::Space,
                Part::Text("}"),
                Part::Space,
                Part::Text(HERMES_CLOSE),
            ],
            ToolFormat::LlamaJson | ToolFormat::MistralList => &[Part::Space, Part::Text("}")],
            ToolFormat::MistralArguments => &[],
        }
    }

    /// What leads from one call to the next.
    pub(super) fn next(self) -> &'static [Part] {
        match self {
            ToolFormat::Hermes | ToolFormat::Generic => &HERMES_NEXT,
            ToolFormat::LlamaJson => &LLAMA_NEXT,
            ToolFormat::MistralList => &MISTRAL_LIST_NEXT,
            ToolFormat::MistralArguments => &MISTRAL_ARGUMENTS_NEXT,
        }
    }

    /// What ends a list of calls; empty when nothing does.
    pub(super) fn ending(self) -> &'static [Part] {
        match self {
            ToolFormat::MistralList => &[Part::Space, Part::Text("]")],
            _ => &[],
        }
    }

    /// Calls may only begin where the answer begins.
    pub(super) fn only_at_start(self) -> bool {
        self == ToolFormat::LlamaJson
    }
}

/// One way a call can begin.
pub(super) struct Opener {
    /// The text that makes a call possible here.
    pub(super) mark: &'static str,
    /// What must be there, the mark included, up to the arguments.
    pub(super) parts: &'static [Part],
}

/// `LEAD { "name" : "NAME" , "KEY" :` and then a JSON object.
macro_rules! call_object {
    ($key:literal; $($lead:expr),*) => {
        [
            $($lead,)*
            Part::Text("{"), Part::Space,
            Part::Text("\"name\""), Part::Space, Part::Text(":"), Part::Space,
            Part::Text("\""), Part::Name, Part::Text("\""), Part::Space, Part::Text(","), Part::Space,
            Part::Text($key), Part::Space, Part::Text(":"), Part::Space,
            Part::Ahead('{'),
        ]
    };
}

static HERMES_FIRST: [Part; 19] =
    call_object!("\"arguments\""; Part::Text(HERMES_OPEN), Part::Space);
static HERMES_NEXT: [Part; 20] =
    call_object!("\"arguments\""; Part::Space, Part::Text(HERMES_OPEN), Part::Space);
static HERMES_OPENERS: [Opener; 1] = [Opener {
    mark: HERMES_OPEN,
    parts: &HERMES_FIRST,
}];

static LLAMA_TAGGED: [Part; 19] =
    call_object!("\"parameters\""; Part::Text(LLAMA_OPEN), Part::Space);
static LLAMA_BARE: [Part; 17] = call_object!("\"parameters\"";);
static LLAMA_NEXT: [Part; 20] =
    call_object!("\"parameters\""; Part::Space, Part::Text(";"), Part::Space);
static LLAMA_OPENERS: [Opener; 2] = [
    Opener {
        mark: LLAMA_OPEN,
        parts: &LLAMA_TAGGED,
    },
    Opener {
        mark: "{",
        parts: &LLAMA_BARE,
    },
];

static MISTRAL_LIST_FIRST: [Part; 21] = call_object!("\"arguments\"";
    Part::Text(MISTRAL_OPEN), Part::Space, Part::Text("["), Part::Space);
static MISTRAL_LIST_NEXT: [Part; 20] =
    call_object!("\"arguments\""; Part::Space, Part::Text(","), Part::Space);
static MISTRAL_LIST_OPENERS: [Opener; 1] = [Opener {
    mark: MISTRAL_OPEN,
    parts: &MISTRAL_LIST_FIRST,
}];

static MISTRAL_ARGUMENTS_FIRST: [Part; 5] = [
    Part::Text(MISTRAL_OPEN),
    Part::Name,
    Part::Text(MISTRAL_ARGUMENTS),
    Part::Space,
    Part::Ahead('{'),
];
static MISTRAL_ARGUMENTS_NEXT: [Part; 6] = [
    Part::Space,
    Part::Text(MISTRAL_OPEN),
    Part::Name,
    Part::Text(MISTRAL_ARGUMENTS),
    Part::Space,
    Part::Ahead('{'),
];
static MISTRAL_ARGUMENTS_OPENERS: [Opener; 1] = [Opener {
    mark: MISTRAL_OPEN,
    parts: &MISTRAL_ARGUMENTS_FIRST,
}];
