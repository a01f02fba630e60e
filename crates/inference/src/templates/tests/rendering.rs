//! The environment that templates meet: Python's methods and filters, bounds, and errors with lines.

use serde_json::json;

use super::*;
use crate::templates::{ChatTemplate, TemplateError, TemplateSource};

fn check(source: &str, expected: &str) {
    let mut conversation = conversation(vec![turn("user", "Grüße <b>&")]);
    conversation.variables.insert(
        "value".into(),
        json!({"b": [1, 2.5, null], "a": "é\"<", "empty": {}}),
    );
    let text = ChatTemplate::compile(source, "", "")
        .and_then(|template| template.render(&conversation, 1_721_995_265))
        .map_or_else(|error| format!("error: {error}"), |rendered| rendered.text);
    assert_eq!(text, expected, "{source}");
}

#[test]
fn json_is_written_as_python_writes_it() {
    check(
        "{{ value | tojson }}",
        r#"{"b": [1, 2.5, null], "a": "é\"<", "empty": {}}"#,
    );
    check(
        "{{ value | tojson(indent=2) }}",
        "{\n  \"b\": [\n    1,\n    2.5,\n    null\n  ],\n  \"a\": \"é\\\"<\",\n  \"empty\": {}\n}",
    );
    check(
        "{{ value | tojson(ensure_ascii=True, sort_keys=True) }}",
        r#"{"a": "\u00e9\"<", "b": [1, 2.5, null], "empty": {}}"#,
    );
}

#[test]
fn nothing_is_escaped() {
    check("{{ messages[0].content }}", "Grüße <b>&");
}

#[test]
fn python_methods_and_loop_controls_work() {
    check("{{ ' a,b '.strip().split(',')[1].upper() }}", "B");
    check(
        "{% for n in [1, 2, 3] %}{% if n == 2 %}{% continue %}{% endif %}{% if n == 3 %}{% break %}{% endif %}{{ n }}{% endfor %}",
        "1",
    );
    check(
        "{{ value.items() | list | length }}{{ value.get('zz', 'none') }}",
        "3none",
    );
    check("{% if x is defined %}y{% else %}n{% endif %}", "n");
}

#[test]
fn blocks_take_their_lines_with_them() {
    check("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc");
}

#[test]
fn time_is_told_in_pythons_directives() {
    check(
        "{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %j %-d %I%p %y %%') }}",
        "2024-07-26 12:01:05 July Jul Friday Fri 208 26 12PM 24 %",
    );
    check(
        "{{ strftime_now('%Q') }}",
        "error: chat template failed at line 1: invalid operation: strftime_now does not know %Q",
    );
}

#[test]
fn generation_marks_are_passed_over() {
    check("a{% generation %}b{%- endgeneration -%} c", "abc");
}

#[test]
fn standard_variables_cannot_be_replaced() {
    let mut conversation = conversation(vec![turn("user", "real")]);
    conversation.variables.insert("messages".into(), json!([]));
    let template = ChatTemplate::compile("{{ messages[0].content }}", "", "").expect("template");
    assert_eq!(
        template.render(&conversation, 0).expect("render").text,
        "real"
    );
}

#[test]
fn errors_name_the_line() {
    let error = ChatTemplate::compile("a\nb\n{% if %}", "", "").err();
    assert!(
        matches!(error, Some(TemplateError::Failed { line: Some(3), .. })),
        "{error:?}"
    );
    check(
        "a\n{{ none.thing.other }}",
        "error: chat template failed at line 2: undefined value: `(...).thing` is undefined",
    );
}

#[test]
fn a_hostile_template_is_stopped() {
    let unbounded = |source: &str| {
        let template = ChatTemplate::compile(source, "", "").expect("template");
        let error = template
            .render(&conversation(vec![turn("user", "x")]), 0)
            .expect_err("stopped");
        assert!(!matches!(error, TemplateError::Refused { .. }), "{error}");
        error
    };
    let loops = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}";
    assert!(matches!(unbounded(loops), TemplateError::Unbounded { .. }));
    let text = "{% set x = 'y' * 50000000 %}{{ x }}{{ x }}";
    assert!(matches!(unbounded(text), TemplateError::Unbounded { .. }));
    unbounded("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    unbounded("{{ 'y' * 500000000 }}");
    assert!(ChatTemplate::compile(&"x".repeat(600_000), "", "").is_err());
}

#[test]
fn a_model_without_a_template_gets_a_layout() {
    let talk = conversation(vec![
        turn("developer", "Be brief."),
        turn("user", "Hi"),
        turn("assistant", "Hello!"),
        turn("user", "Bye"),
    ]);
    let chatml = ChatTemplate::fallback(true, "", "").expect("template");
    assert_eq!(chatml.origin(), TemplateSource::ChatMl);
    assert_eq!(
        chatml.render(&talk, 0).expect("render").text,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n\
         <|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    );
    let plain = ChatTemplate::fallback(false, "", "").expect("template");
    let rendered = plain.render(&talk, 0).expect("render");
    assert_eq!(
        rendered.text,
        "Be brief.\n\nUser: Hi\n\nAssistant: Hello!\n\nUser: Bye\n\nAssistant:"
    );
    assert_eq!(rendered.stop, ["\nUser:", "\nAssistant:"]);
}

#[test]
fn a_written_begin_is_noticed() {
    let talk = conversation(vec![turn("user", "Hi")]);
    for (source, writes) in [("{{ bos_token }}x", true), ("x", false)] {
        let template = ChatTemplate::compile(source, "<s>", "").expect("template");
        assert_eq!(
            template.render(&talk, 0).expect("render").writes_begin,
            writes
        );
    }
}

#[test]
fn templates_that_concatenate_arguments_get_text() {
    let source = "{% for m in messages %}{% for c in m.tool_calls %}{{ '```' + c.function.arguments + '```' }}{% endfor %}{% endfor %}{{ tools | length }}<tool_call>";
    let template = ChatTemplate::compile(source, "", "").expect("template");
    let text = template
        .render(&called_conversation(), 0)
        .expect("render")
        .text;
    assert_eq!(text, "```{\"city\": \"Oslo\"}```1<tool_call>");
}
