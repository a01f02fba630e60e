//! Grammars against llguidance itself, with a vocabulary of single bytes and a few control tokens.

use serde_json::json;

use super::{tool, weather};
use crate::serving::grammar::{Constraint, GrammarCompiler, Vocabulary};
use crate::templates::{
    Answer, CallRule, GrammarRequest, ReasoningMarks, ReasoningPrefix, ToolDefinition, ToolFormat,
    output_grammar,
};

/// Control tokens of the test's vocabulary, behind the 256 bytes and the end token.
const CONTROL: [&str; 4] = ["[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "</think>"];

fn compiler() -> GrammarCompiler {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    words[255].clear();
    words.push(b"\xff<|end|>".to_vec());
    words.extend(
        CONTROL
            .iter()
            .map(|name| [b"\xff", name.as_bytes()].concat()),
    );
    GrammarCompiler::new(Vocabulary::new(words, vec![256]))
}

/// Bytes of `text`, with `‹name›` as the control token of that name.
fn tokens(text: &str) -> Vec<u32> {
    let mut rest = text;
    let mut ids = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('‹') {
            let (name, after) = after.split_once('›').expect("closed");
            let index = CONTROL
                .iter()
                .position(|known| *known == name)
                .expect("known");
            ids.push(257 + index as u32);
            rest = after;
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            ids.extend(
                rest.as_bytes()[..length]
                    .iter()
                    .map(|byte| u32::from(*byte)),
            );
            rest = &rest[length..];
        }
    }
    ids
}

struct Case<'a> {
    format: ToolFormat,
    rule: CallRule,
    parallel: bool,
    answer: Answer<'a>,
    reasoning: ReasoningPrefix,
    tools: Vec<ToolDefinition>,
    control: bool,
}

fn case(format: ToolFormat, rule: CallRule) -> Case<'static> {
    Case {
        format,
        rule,
        parallel: true,
        answer: Answer::Text,
        reasoning: ReasoningPrefix::None,
        tools: vec![weather(), tool("now", json!({}))],
        control: false,
    }
}

impl Case<'_> {
    fn check(&self, accepted: &[&str], refused: &[&str]) {
        let tools: Vec<&ToolDefinition> = self.tools.iter().collect();
        let control_token = |text: &str| {
            let index = CONTROL.iter().position(|name| *name == text)?;
            self.control.then_some(257 + index as u32)
        };
        let lark = output_grammar(&GrammarRequest {
            tools: &tools,
            rule: self.rule,
            parallel: self.parallel,
            format: self.format,
            answer: self.answer,
            reasoning: self.reasoning,
            control_token: &control_token,
        })
        .expect("constrained");
        let compiler = compiler();
        for (texts, expected) in [(accepted, true), (refused, false)] {
            for text in texts {
                let mut grammar = compiler
                    .compile(&Constraint::Lark(lark.clone()))
                    .unwrap_or_else(|error| panic!("{error}\n{lark}"));
                let mut ids = tokens(text);
                ids.push(256);
                let taken = ids
                    .iter()
                    .all(|id| grammar.check(*id) && grammar.accept(*id).is_ok());
                assert_eq!(taken, expected, "{text:?} under\n{lark}");
            }
        }
    }
}

const CALL: &str =
    "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
const NOW: &str = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

#[test]
fn hermes_auto_allows_text_and_well_formed_calls_only() {
    case(ToolFormat::Hermes, CallRule::Auto).check(
        &[
            "",
            "Hello <b> é.",
            CALL,
            &format!("Let me see.\n{CALL}"),
            &format!("{CALL}\n{NOW}"),
            &format!("{CALL}{NOW}"),
        ],
        &[
            "see <tool_call> here",
            "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"town\": 1}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}",
            &format!("{CALL} and text"),
        ],
    );
}

#[test]
fn required_needs_a_call_and_single_allows_one() {
    let mut required = case(ToolFormat::Hermes, CallRule::Required);
    required.check(
        &[CALL, &format!("{CALL}\n{NOW}")],
        &["", "Hello", &format!("Hello {CALL}")],
    );
    required.parallel = false;
    required.check(&[CALL], &[&format!("{CALL}\n{NOW}")]);
}

#[test]
fn llama_calls_are_bare_objects() {
    let call = "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\"}}";
    let mut auto = case(ToolFormat::LlamaJson, CallRule::Auto);
    auto.check(
        &[
            "",
            "Hello {",
            call,
            &format!("{call};{call}"),
            &format!("{call}; {call}"),
        ],
        &["{\"answer\": 1}", &format!("{call} text")],
    );
    auto.control = true;
    auto.check(
        &[&format!("‹<|python_tag|>›{call}"), call, "Hi"],
        &["‹<|python_tag|>›print(1)"],
    );
    case(ToolFormat::LlamaJson, CallRule::Required).check(&[call], &["", "Hello"]);
}

#[test]
fn mistral_marks_are_control_tokens_or_text() {
    for control in [false, true] {
        let mark = |name: &str| {
            if control {
                format!("‹{name}›")
            } else {
                name.to_owned()
            }
        };
        let open = mark("[TOOL_CALLS]");
        let mut list = case(ToolFormat::MistralList, CallRule::Auto);
        list.control = control;
        let one = "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}";
        list.check(
            &[
                "Hello",
                &format!("{open} [{one}]"),
                &format!("{open}[{one}, {{\"name\": \"now\", \"arguments\": {{}}}}]"),
                &format!("Hm {open} [{one}]"),
            ],
            &[
                &format!("{open} []"),
                &format!("{open} text"),
                &format!("{open} [{one}"),
            ],
        );
        let mut named = case(ToolFormat::MistralArguments, CallRule::Auto);
        named.control = control;
        let arguments = mark("[ARGS]");
        let one = format!("{open}get_weather{arguments}{{\"city\": \"Oslo\"}}");
        named.check(
            &["Hello", &one, &format!("Hm{one}{open}now{arguments}{{}}")],
            &[
                &format!("{open}other{arguments}{{}}"),
                &format!("{open}now"),
            ],
        );
    }
}

#[test]
fn a_schema_and_tools_together_give_one_or_the_other() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let mut both = case(ToolFormat::Hermes, CallRule::Auto);
    both.answer = Answer::JsonSchema(&schema);
    both.check(
        &[CALL, "{\"n\": 3}"],
        &["Hello", "{\"m\": 3}", &format!("{{\"n\": 3}}{CALL}")],
    );
    both.rule = CallRule::Required;
    both.check(&[CALL], &["{\"n\": 3}"]);
    both.rule = CallRule::Auto;
    both.answer = Answer::JsonObject;
    both.check(&["{\"m\": [1]}"], &["[1]"]);
}

#[test]
fn reasoning_may_come_before_what_is_constrained() {
    let marks = ReasoningMarks::detect("</think>").expect("marks");
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    for control in [false, true] {
        let close = if control {
            "‹</think>›"
        } else {
            "</think>"
        };
        let mut open = case(ToolFormat::Hermes, CallRule::Never);
        open.control = control;
        open.answer = Answer::JsonSchema(&schema);
        open.reasoning = ReasoningPrefix::Open(marks);
        open.check(
            &[
                &format!("hm, {{\"x\"}} is it\n{close}\n\n{{\"n\": 3}}"),
                &format!("{close}{{\"n\": 3}}"),
            ],
            &["{\"n\": 3}", &format!("hm{close}Hello")],
        );
        open.reasoning = ReasoningPrefix::Optional(marks);
        open.check(
            &[
                &format!("<think>\nhm\n{close}\n\n{{\"n\": 3}}"),
                "{\"n\": 3}",
            ],
            &["hm", "<think>hm"],
        );
        let mut required = case(ToolFormat::Hermes, CallRule::Required);
        required.control = control;
        required.reasoning = ReasoningPrefix::Open(marks);
        required.check(
            &[&format!("so\n{close}\n\n{CALL}")],
            &[&format!("so{close}text")],
        );
    }
}

#[test]
fn references_inside_a_tools_schema_stay_its_own() {
    let mut with_definitions = case(ToolFormat::Hermes, CallRule::Required);
    with_definitions.tools = vec![tool(
        "now",
        json!({"type": "object", "properties": {"zone": {"$ref": "#/$defs/zone"}}, "required": ["zone"],
               "additionalProperties": false, "$defs": {"zone": {"enum": ["UTC", "CET"]}}}),
    )];
    let call = |zone: &str| {
        format!(
            "<tool_call>{{\"name\": \"now\", \"arguments\": {{\"zone\": \"{zone}\"}}}}</tool_call>"
        )
    };
    with_definitions.check(&[&call("CET")], &[&call("XYZ")]);
}

#[test]
fn keywords_that_cannot_be_enforced_are_errors_only_when_strict() {
    let odd = json!({"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "base64", "not": {"const": "x"}}}});
    for strict in [true, false] {
        let definition = ToolDefinition {
            strict,
            ..tool("now", odd.clone())
        };
        let lark = output_grammar(&GrammarRequest {
            tools: &[&definition],
            rule: CallRule::Required,
            parallel: false,
            format: ToolFormat::Hermes,
            answer: Answer::Text,
            reasoning: ReasoningPrefix::None,
            control_token: &|_| None,
        })
        .expect("constrained");
        assert_eq!(compiler().compile(&Constraint::Lark(lark)).is_err(), strict);
    }
}

#[test]
fn nothing_asked_is_no_grammar() {
    let request = GrammarRequest {
        tools: &[],
        rule: CallRule::Auto,
        parallel: true,
        format: ToolFormat::Hermes,
        answer: Answer::Text,
        reasoning: ReasoningPrefix::None,
        control_token: &|_| None,
    };
    assert_eq!(output_grammar(&request), None);
}
