//! The reader: any cut of a text gives the same events, and what is no call stays text.

use proptest::prelude::*;

use crate::templates::{OutputEvent, OutputParser, ParserOptions, ReasoningMarks, ToolFormat};

fn options(format: Option<ToolFormat>, reasoning: bool, open: bool) -> ParserOptions {
    ParserOptions {
        tools: format,
        names: vec!["f".into(), "get_weather".into()],
        reasoning: reasoning.then(|| ReasoningMarks::detect("</think>").expect("marks")),
        reasoning_open: open,
    }
}

/// Reads pieces and joins neighbours of one kind: `text`, `r(reasoning)`, `[index name arguments]`.
fn read(options: ParserOptions, pieces: &[&str]) -> String {
    let mut parser = OutputParser::new(options);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.push(piece));
    }
    events.extend(parser.finish());
    let whole: String = pieces.concat();
    let mut text = String::new();
    let mut kind = ' ';
    for event in events {
        let (next, opening, body) = match event {
            OutputEvent::Content { text, span } => {
                assert_eq!(whole[span], text, "the span names the text");
                ('c', String::new(), text)
            }
            OutputEvent::Reasoning(text) => ('r', "r(".into(), text),
            OutputEvent::CallStarted { index, name } => {
                ('s', format!("[{index} {name} "), String::new())
            }
            OutputEvent::CallArguments { fragment, .. } => ('s', String::new(), fragment),
        };
        if next != kind || opening.starts_with('[') {
            text.push_str(match kind {
                'r' => ")",
                's' => "]",
                _ => "",
            });
            text.push_str(&opening);
        }
        text.push_str(&body);
        kind = next;
    }
    text.push_str(match kind {
        'r' => ")",
        's' => "]",
        _ => "",
    });
    text
}

fn check(format: ToolFormat, text: &str, expected: &str) {
    check_with(options(Some(format), false, false), text, expected);
}

fn check_with(options: ParserOptions, text: &str, expected: &str) {
    assert_eq!(read(options.clone(), &[text]), expected, "whole");
    let mut buffer = [0; 4];
    let mut parser_pieces = Vec::new();
    for character in text.chars() {
        parser_pieces.push(character.encode_utf8(&mut buffer).to_owned());
    }
    let pieces: Vec<&str> = parser_pieces.iter().map(String::as_str).collect();
    assert_eq!(read(options, &pieces), expected, "one character at a time");
}

#[test]
fn hermes() {
    use ToolFormat::Hermes;
    check(Hermes, "Hello.", "Hello.");
    check(
        Hermes,
        "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}{\\\"\", \"b\": [1]}}\n</tool_call>",
        "Let me see.[0 f {\"a\": \"}{\\\"\", \"b\": [1]}]",
    );
    check(
        Hermes,
        "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"x\":1}}\n</tool_call>\n",
        "[0 f {}][1 get_weather {\"x\":1}]",
    );
    // Cut short by the token limit.
    check(
        Hermes,
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1",
        "[0 f {\"a\": 1]",
    );
    // Marks that are none.
    check(Hermes, "use <tool_call> tags", "use <tool_call> tags");
    check(
        Hermes,
        "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
        "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
    );
    check(Hermes, "a <tool_", "a <tool_");
    check(Hermes, "a <tool_call>\n{\"na", "a <tool_call>\n{\"na");
    check(
        Hermes,
        "<tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        "<tool_call>[0 f {}]",
    );
    check(
        Hermes,
        "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>",
    );
    // Text after a call is text; white space alone is not.
    check(
        Hermes,
        "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> done ",
        "[0 f {}]done ",
    );
    check(Hermes, "trailing space \n", "trailing space \n");
}

#[test]
fn llama() {
    use ToolFormat::LlamaJson;
    check(
        LlamaJson,
        "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
        "[0 f {\"a\": 1}]",
    );
    check(
        LlamaJson,
        "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}",
        "[0 f {}]",
    );
    check(
        LlamaJson,
        "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {}}",
        "[0 f {}][1 get_weather {}]",
    );
    check(LlamaJson, "{\"answer\": 42}", "{\"answer\": 42}");
    check(
        LlamaJson,
        "see {\"name\": \"f\", \"parameters\": {}}",
        "see {\"name\": \"f\", \"parameters\": {}}",
    );
    check(
        LlamaJson,
        "<|python_tag|>print(1)",
        "<|python_tag|>print(1)",
    );
    check(LlamaJson, "  ", "  ");
}

#[test]
fn mistral() {
    use ToolFormat::{MistralArguments, MistralList};
    check(
        MistralList,
        "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"get_weather\", \"arguments\": {}}]",
        "[0 f {\"a\": 1}][1 get_weather {}]",
    );
    check(MistralList, "so [TOOL_CALLS] what", "so [TOOL_CALLS] what");
    check(
        MistralArguments,
        "ok[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]get_weather[ARGS]{}",
        "ok[0 f {\"a\": 1}][1 get_weather {}]",
    );
    check(
        MistralArguments,
        "[TOOL_CALLS]g[ARGS]{}",
        "[TOOL_CALLS]g[ARGS]{}",
    );
}

#[test]
fn reasoning() {
    let closed = options(None, true, false);
    check_with(
        closed.clone(),
        "<think>\nhm, <b>\n</think>\n\nYes.",
        "r(hm, <b>)Yes.",
    );
    check_with(closed.clone(), "No thought.", "No thought.");
    check_with(closed.clone(), " <thin", " <thin");
    check_with(closed.clone(), "a <think>b</think>", "a <think>b</think>");
    check_with(closed, "<think>cut sho", "r(cut sho)");
    check_with(options(None, true, true), "hm\n</think>\nYes.", "r(hm)Yes.");
    check_with(options(None, true, true), "</think>Yes.", "Yes.");
    let both = options(Some(ToolFormat::Hermes), true, true);
    check_with(
        both.clone(),
        "I call f.\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
        "r(I call f.)[0 f {}]",
    );
    // A call closes reasoning that was never closed; a mention of one does not.
    check_with(
        both.clone(),
        "now <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        "r(now)[0 f {}]",
    );
    check_with(
        both,
        "about <tool_call> tags</think>x",
        "r(about <tool_call> tags)x",
    );
    let llama = options(Some(ToolFormat::LlamaJson), true, false);
    check_with(
        llama,
        "<think>{\"name\": \"f\"</think>{\"name\": \"f\", \"parameters\": {}}",
        "r({\"name\": \"f\")[0 f {}]",
    );
}

#[test]
fn text_without_marks_is_given_at_once() {
    let mut parser = OutputParser::new(options(Some(ToolFormat::Hermes), false, false));
    let given = parser.push("Hello <b");
    assert!(
        matches!(given.as_slice(), [OutputEvent::Content { text, .. }] if text == "Hello <b"),
        "{given:?}"
    );
}

/// Texts made of what matters: marks, halves of marks, JSON, space and letters.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<tool_call>",
        "</tool_call>",
        "<tool_",
        "call>",
        "{\"name\": \"f\", \"arguments\": ",
        "{\"a\": 1}",
        "{\"name\": \"f\", \"parameters\": ",
        "{\"name\": \"zz\", \"arguments\": {}}",
        "}",
        "{",
        "[TOOL_CALLS]",
        " [",
        "]",
        "[ARGS]",
        "f",
        ", ",
        ";",
        "\n",
        " ",
        "<think>",
        "</think>",
        "</thi",
        "<|python_tag|>",
        "é",
        "\"",
        "\\",
        "text",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_cut_gives_the_same_events(
        text in texts(),
        cuts in prop::collection::vec(0usize..200, 0..12),
        format in prop::sample::select(vec![
            None, Some(ToolFormat::Hermes), Some(ToolFormat::LlamaJson), Some(ToolFormat::MistralList),
            Some(ToolFormat::MistralArguments), Some(ToolFormat::Generic),
        ]),
        reasoning: bool,
        open: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut) && *cut <= text.len()).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let options = options(format, reasoning, open);
        prop_assert_eq!(read(options.clone(), &pieces), read(options, &[&text]));
    }

    #[test]
    fn without_marks_everything_is_given_back(text in "[a-z \n{}\"<>]{0,60}") {
        prop_assert_eq!(read(options(Some(ToolFormat::MistralList), false, false), &[&text]), text);
    }
}
