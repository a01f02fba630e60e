//! Minimal templates of our own wording for the families that matter; each writes the family's wire text, and each
//! leans on the parts of Jinja and Python that the real ones use.

use super::*;
use crate::templates::{ChatTemplate, ReasoningMarks, TemplateError, ToolFormat};

pub(super) const QWEN: &str = r##"{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
    {{- "# Tools\n<tools>" }}
    {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\n</tools>\nAnswer with <tool_call>\n{\"name\": ..., \"arguments\": ...}\n</tool_call><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last_user=0) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == 'user' and not message.content.startswith('<tool_response>') and ns.last_user == 0 %}
        {%- set ns.last_user = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content if message.content is string else '' %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.last_user and reasoning %}{{- '<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' }}{%- endif %}
        {{- content }}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or not loop.first %}{{- '\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"##;

pub(super) const LLAMA: &str = r##"{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}{{- "Environment: ipython\n" }}{%- endif %}
{{- "Today: " + date_string + "\n\n" + system_message }}
{%- if tools is not none %}
    {{- 'Call as {"name": function name, "parameters": dictionary}.\n' }}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\n" }}{%- endfor %}
{%- endif %}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"##;

pub(super) const MISTRAL: &str = r##"{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}{%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}{{- tool | tojson }}{%- if not loop.last %}{{- ", " }}{%- endif %}{%- endfor %}
            {{- "][/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{%- endif %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] + ', "id": "' + tool_call.id + '"}' }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}{{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}{{- raise_exception("Only user and assistant roles are supported!") }}{%- endif %}
{%- endfor %}"##;

pub(super) const GEMMA: &str = r##"{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"##;

pub(super) const DEEPSEEK: &str = r##"{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + eos_token}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}{{'<|Assistant|><think>\n'}}{% endif %}"##;

fn compile(source: &str) -> ChatTemplate {
    ChatTemplate::compile(source, "<s>", "</s>").expect("template")
}

fn rendered(source: &str, conversation: &Conversation) -> String {
    // 2024-07-26, noon.
    match compile(source).render(conversation, 1_721_995_200) {
        Ok(rendered) => rendered.text,
        Err(error) => format!("{error}"),
    }
}

fn plain() -> Conversation {
    conversation(vec![
        turn("system", "Be brief."),
        turn("user", "Hi"),
        turn("assistant", "Hello!"),
        turn("user", "Who are you?"),
    ])
}

const TOOL_JSON: &str = r##"{"type": "function", "function": {"name": "get_weather", "description": "Weather now", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}}}"##;

#[test]
fn qwen_plain() {
    assert_eq!(
        rendered(QWEN, &plain()),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n\
         <|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn qwen_tools() {
    assert_eq!(
        rendered(QWEN, &called_conversation()),
        format!(
            "<|im_start|>system\n# Tools\n<tools>\n{TOOL_JSON}\n</tools>\nAnswer with <tool_call>\n{{\"name\": ..., \"arguments\": ...}}\n</tool_call><|im_end|>\n\
             <|im_start|>user\nWeather in Oslo?<|im_end|>\n\
             <|im_start|>assistant\n<tool_call>\n{{\"name\": \"get_weather\", \"arguments\": {{\"city\": \"Oslo\"}}}}\n</tool_call><|im_end|>\n\
             <|im_start|>user\n<tool_response>\n{{\"degrees\": -3}}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
        )
    );
}

#[test]
fn qwen_without_thinking_says_that_reasoning_is_over() {
    let template = compile(QWEN);
    let mut conversation = conversation(vec![turn("user", "Hi")]);
    let open = template.render(&conversation, 0).expect("render");
    assert!(!open.reasoning_closed && !open.reasoning_open);
    conversation
        .variables
        .insert("enable_thinking".into(), false.into());
    let closed = template.render(&conversation, 0).expect("render");
    assert!(closed.text.ends_with("<think>\n\n</think>\n\n"));
    assert!(closed.reasoning_closed);
}

#[test]
fn llama_plain_and_tools() {
    assert_eq!(
        rendered(LLAMA, &plain()),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nWho are you?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    let text = rendered(LLAMA, &called_conversation());
    assert!(text.contains("Environment: ipython\n"), "{text}");
    assert!(text.contains("{\n    \"type\": \"function\",\n    \"function\": {\n        \"name\": \"get_weather\","), "{text}");
    assert!(
        text.ends_with(
            "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\"}}<|eot_id|>\
             <|start_header_id|>ipython<|end_header_id|>\n\n{\"degrees\": -3}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        "{text}"
    );
}

#[test]
fn llama_refuses_two_calls_in_its_own_words() {
    let mut conversation = called_conversation();
    let call = conversation.messages[1].tool_calls[0].clone();
    conversation.messages[1].tool_calls.push(call);
    let error = compile(LLAMA)
        .render(&conversation, 0)
        .expect_err("refused");
    assert_eq!(
        error,
        TemplateError::Refused {
            message: "This model only supports single tool-calls at once!".into()
        }
    );
}

#[test]
fn mistral_plain_and_tools() {
    assert_eq!(
        rendered(MISTRAL, &plain()),
        "<s>[INST] Hi[/INST] Hello!</s>[INST] Be brief.\n\nWho are you?[/INST]"
    );
    assert_eq!(
        rendered(MISTRAL, &called_conversation()),
        format!(
            "<s>[AVAILABLE_TOOLS] [{TOOL_JSON}][/AVAILABLE_TOOLS][INST] Weather in Oslo?[/INST]\
             [TOOL_CALLS] [{{\"name\": \"get_weather\", \"arguments\": {{\"city\": \"Oslo\"}}, \"id\": \"abc123DEF\"}}]</s>\
             [TOOL_RESULTS] {{\"content\": {{\"degrees\": -3}}, \"call_id\": \"abc123DEF\"}}[/TOOL_RESULTS]"
        )
    );
    let twice = conversation(vec![turn("user", "a"), turn("user", "b")]);
    assert!(rendered(MISTRAL, &twice).starts_with("After the optional system message"));
}

#[test]
fn gemma_plain_and_its_refusal() {
    let mut talk = plain();
    talk.messages.remove(0);
    assert_eq!(
        rendered(GEMMA, &talk),
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n\
         <start_of_turn>user\nWho are you?<end_of_turn>\n<start_of_turn>model\n"
    );
    assert_eq!(rendered(GEMMA, &plain()), "System role not supported");
}

#[test]
fn gemma_hears_of_tools_in_text() {
    // Its template knows neither tools nor a system role, so the description is refused like any system message.
    assert_eq!(
        rendered(GEMMA, &called_conversation()),
        "System role not supported"
    );
}

#[test]
fn deepseek_opens_reasoning_and_hears_of_tools_in_text() {
    let template = compile(DEEPSEEK);
    let rendered = template.render(&called_conversation(), 0).expect("render");
    assert!(rendered.reasoning_open);
    assert!(
        rendered.text.starts_with("<s>You can call functions."),
        "{}",
        rendered.text
    );
    assert!(rendered.text.contains(TOOL_JSON));
    assert!(rendered.text.ends_with(
        "<|User|>Weather in Oslo?<|Assistant|><tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call></s>\
         <|User|><tool_response>\n{\"degrees\": -3}\n</tool_response><|Assistant|><think>\n"
    ), "{}", rendered.text);
}

#[test]
fn formats_are_told_from_sources() {
    let facts = |source| {
        let template = compile(source);
        (
            template.tool_format(),
            template.reasoning().map(|marks| marks.open),
        )
    };
    assert_eq!(facts(QWEN), (ToolFormat::Hermes, Some("<think>")));
    assert_eq!(facts(LLAMA), (ToolFormat::LlamaJson, None));
    assert_eq!(facts(MISTRAL), (ToolFormat::MistralList, None));
    assert_eq!(facts(GEMMA), (ToolFormat::Generic, None));
    assert_eq!(facts(DEEPSEEK), (ToolFormat::Generic, Some("<think>")));
    assert_eq!(
        facts("{% if tools %}[TOOL_CALLS]f[ARGS]{% endif %}").0,
        ToolFormat::MistralArguments
    );
    assert_eq!(
        ReasoningMarks::detect("[THINK]x[/THINK]").map(|marks| marks.close),
        Some("[/THINK]")
    );
}
