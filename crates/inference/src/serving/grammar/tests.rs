use super::*;

/// One token per byte, some longer words, two control tokens and the end.
fn vocabulary() -> Vocabulary {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    for word in [
        "{\"", "\":", "true", "false", "null", "name", "Ann", " is", "12", "é",
    ] {
        words.push(word.as_bytes().to_vec());
    }
    words.push(b"\xff<tool_call>".to_vec());
    words.push(b"\xff[TOOL_CALLS]".to_vec());
    words.push(b"\xff<|end|>".to_vec());
    let end = words.len() as Token - 1;
    Vocabulary::new(words, vec![end])
}

fn end() -> Token {
    vocabulary().control_token("<|end|>").unwrap()
}

fn compile(constraint: Constraint) -> Result<Grammar, EngineError> {
    GrammarCompiler::new(vocabulary()).compile(&constraint)
}

/// Whether the grammar accepts a text, byte by byte, and may end after it. At every byte `check` and `mask` must
/// agree over the whole vocabulary.
fn accepts(constraint: &Constraint, text: &str) -> bool {
    let mut grammar = compile(constraint.clone()).unwrap();
    for byte in text.bytes() {
        let token = Token::from(byte);
        let checked: Vec<bool> = (0..=end()).map(|token| grammar.check(token)).collect();
        let mask = grammar.mask().unwrap();
        for (token, checked) in (0..).zip(checked) {
            assert_eq!(
                mask.allows(token),
                checked,
                "token {token} before {byte} of {text:?}"
            );
        }
        if !grammar.check(token) || grammar.is_finished() {
            return false;
        }
        grammar.accept(token).unwrap();
    }
    assert_eq!(grammar.may_end(), grammar.check(end()), "{text:?}");
    grammar.may_end()
}

#[test]
fn a_schema_decides() {
    let schema = Constraint::JsonSchema(
        r#"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0}},
            "required":["name"],"additionalProperties":false}"#
            .into(),
    );
    assert!(accepts(&schema, r#"{"name":"Ann"}"#));
    assert!(accepts(&schema, r#"{"name": "é", "age": 12}"#));
    assert!(!accepts(&schema, r#"{"name":"Ann""#));
    assert!(!accepts(&schema, r#"{"age":12}"#));
    assert!(!accepts(&schema, r#"{"name":"Ann","age":-1}"#));
    assert!(!accepts(&schema, r#"{"name":"Ann","other":1}"#));
    assert!(!accepts(&schema, "true"));
}

#[test]
fn any_object_is_an_object() {
    assert!(accepts(&Constraint::JsonObject, r#"{"a":[1,{"b":null}]}"#));
    assert!(accepts(&Constraint::JsonObject, "{}"));
    assert!(!accepts(&Constraint::JsonObject, "[1]"));
}

#[test]
fn expressions_match_as_a_whole() {
    let expression = Constraint::Regex("[0-9]{2,3}|yes".into());
    for (text, accepted) in [
        ("12", true),
        ("123", true),
        ("1", false),
        ("yes", true),
        ("1234", false),
    ] {
        assert_eq!(accepts(&expression, text), accepted, "{text}");
    }
}

#[test]
fn a_finished_grammar_allows_the_end_and_nothing_else() {
    let mut grammar = compile(Constraint::Regex("ab".into())).unwrap();
    assert!(!grammar.may_end() && !grammar.is_finished());
    for byte in *b"ab" {
        grammar.accept(Token::from(byte)).unwrap();
    }
    assert!(grammar.may_end() && grammar.is_finished());
    assert!(grammar.check(end()) && !grammar.check(Token::from(b'a')));
    let mask = grammar.mask().unwrap().clone();
    assert_eq!(
        (0..=end())
            .filter(|&token| mask.allows(token))
            .collect::<Vec<_>>(),
        [end()]
    );
    grammar.accept(end()).unwrap();
    assert!(grammar.is_finished());
}

#[test]
fn longer_tokens_are_allowed_where_their_bytes_are() {
    let mut grammar = compile(Constraint::JsonObject).unwrap();
    let word = |text: &str| {
        let vocabulary = vocabulary();
        let position = vocabulary
            .words()
            .iter()
            .position(|word| word == text.as_bytes());
        position.unwrap() as Token
    };
    assert!(grammar.check(word("{\"")) && !grammar.check(word("true")));
    for text in ["{\"", "name", "\":", "12"] {
        assert!(grammar.check(word(text)), "{text}");
        grammar.accept(word(text)).unwrap();
    }
    assert!(!grammar.may_end());
    grammar.accept(Token::from(b'}')).unwrap();
    assert!(grammar.may_end());
}

#[test]
fn control_tokens_come_only_where_a_grammar_names_them() {
    let call = vocabulary().control_token("<tool_call>").unwrap();
    let calls = vocabulary().control_token("[TOOL_CALLS]").unwrap();
    let mut text = compile(Constraint::Regex("(?s).*".into())).unwrap();
    assert!(!text.check(call) && !text.check(calls));
    assert!(text.check(Token::from(b'<')));
    let grammar = r#"start: <tool_call> "x" <[TOOL_CALLS]> <think>"#;
    let mut grammar = compile(Constraint::Lark(grammar.into())).unwrap();
    assert!(
        !grammar.check(Token::from(b'<')),
        "the marker is a token here, not its text"
    );
    for token in [call, Token::from(b'x'), calls] {
        assert!(grammar.check(token), "{token}");
        grammar.accept(token).unwrap();
    }
    for byte in *b"<think>" {
        assert!(grammar.check(Token::from(byte)));
        grammar.accept(Token::from(byte)).unwrap();
    }
    assert!(grammar.may_end());
}

#[test]
fn clones_go_their_own_ways() {
    let mut one = compile(Constraint::Regex("a(b|c)d".into())).unwrap();
    one.accept(Token::from(b'a')).unwrap();
    let mut two = one.clone();
    one.accept(Token::from(b'b')).unwrap();
    assert!(two.check(Token::from(b'c')) && !one.check(Token::from(b'c')));
    two.accept(Token::from(b'c')).unwrap();
    assert!(one.check(Token::from(b'd')) && two.check(Token::from(b'd')));
}

#[test]
fn a_refused_token_is_an_error_and_not_a_panic() {
    let mut grammar = compile(Constraint::Regex("a".into())).unwrap();
    assert!(!grammar.check(Token::MAX));
    let mut grammar = grammar.clone();
    assert!(grammar.accept(Token::from(b'z')).is_err());
    assert!(!grammar.is_finished() && !grammar.may_end());
    assert!(grammar.mask().is_err());
}

#[test]
fn constraints_that_are_wrong_are_refused_with_the_reason() {
    let check = |constraint: Constraint, word: &str| match compile(constraint) {
        Err(EngineError::Invalid { what }) => assert!(what.contains(word), "{what}"),
        other => panic!("{word}: {other:?}"),
    };
    check(Constraint::JsonSchema("{".into()), "EOF");
    check(
        Constraint::JsonSchema(r#"{"type":"banana"}"#.into()),
        "banana",
    );
    check(Constraint::JsonSchema("[]".into()), "");
    check(
        Constraint::JsonSchema(r##"{"$ref":"#/$defs/none"}"##.into()),
        "none",
    );
    check(
        Constraint::JsonSchema(r#"{"$ref":"http://example.com/other.json"}"#.into()),
        "",
    );
    check(Constraint::Regex("(".into()), "");
    check(Constraint::Lark("start: missing".into()), "missing");
    check(Constraint::Lark(String::new()), "");
}

#[test]
fn hostile_constraints_are_bounded() {
    let refused = |constraint: Constraint| {
        let result = compile(constraint);
        assert!(
            matches!(result, Err(EngineError::Invalid { .. })),
            "{result:?}"
        );
    };
    refused(Constraint::JsonSchema(" ".repeat(CONSTRAINT_BYTES_MAX + 1)));
    refused(Constraint::JsonSchema(format!(
        "{}{}",
        "[".repeat(5000),
        "]".repeat(5000)
    )));
    refused(Constraint::Regex("(".repeat(5000) + &")".repeat(5000)));
    refused(Constraint::Lark(format!(
        "start: {}\"a\"{}",
        "(".repeat(5000),
        ")".repeat(5000)
    )));
    let nested = |levels: usize| {
        let open = r#"{"type":"array","items":"#.repeat(levels);
        Constraint::JsonSchema(format!("{open}true{}", "}".repeat(levels)))
    };
    refused(nested(200));
    assert!(compile(nested(CONSTRAINT_DEPTH_MAX - 1)).is_ok());
    // Counted repetition of counted repetition: a million states if it were unrolled.
    let started = std::time::Instant::now();
    drop(compile(Constraint::Regex("((a{1000}){1000}){1000}".into())));
    drop(compile(Constraint::Regex(
        "(a|b|ab)*c{0,5000}(x?){5000}".into(),
    )));
    let long: Vec<String> = (0..2000)
        .map(|index| format!("\"p{index}\":{{\"type\":\"string\"}}"))
        .collect();
    let wide = format!(
        "{{\"type\":\"object\",\"properties\":{{{}}}}}",
        long.join(",")
    );
    drop(compile(Constraint::JsonSchema(wide)));
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn a_schema_that_refers_to_itself_is_followed() {
    let tree = Constraint::JsonSchema(
        r##"{"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}},
            "additionalProperties":false}},"$ref":"#/$defs/node"}"##
            .into(),
    );
    assert!(accepts(&tree, r#"{"next":{"next":{}}}"#));
    assert!(!accepts(&tree, r#"{"next":1}"#));
    // A reference that only leads to itself has no value.
    let circle = Constraint::JsonSchema(
        r##"{"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##.into(),
    );
    drop(compile(circle));
}

#[test]
fn a_vocabulary_without_an_end_can_be_constrained() {
    let words = (0..=255u8).map(|byte| vec![byte]).collect();
    let compiler = GrammarCompiler::new(Vocabulary::new(words, vec![900]));
    let mut grammar = compiler.compile(&Constraint::Regex("a".into())).unwrap();
    grammar.accept(Token::from(b'a')).unwrap();
    assert!(grammar.is_finished());
    let mut row = vec![1.0; 256];
    grammar.mask().unwrap().forbid(&mut row);
    assert!(row.iter().all(|logit| *logit == f32::NEG_INFINITY));
}
