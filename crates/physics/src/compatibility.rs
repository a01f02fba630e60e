//! Cache keys as DREDGE makes them: a prefix and the first 16 hexadecimal digits of the SHA-256 of the parameters as Python's
//! `json.dumps(parameters, sort_keys=True)` writes them.
//!
//! That text has sorted keys, `", "` and `": "` between parts, every character outside ASCII as `\u` and four digits, and numbers as Python's
//! `repr`: shortest digits that read back the same, an exponent from 1e16 on and below 1e-4, and `1` apart from `1.0`.

use serde_json::{Map, Value};

/// The key of a call: `prefix:0123456789abcdef`.
pub fn cache_key(prefix: &str, parameters: &Map<String, Value>) -> String {
    let mut text = String::new();
    write_object(parameters, &mut text);
    let digest = platform::files::sha256_bytes(text.as_bytes());
    format!("{prefix}:{}", &digest[..16])
}

/// A value as Python's `json.dumps(value, sort_keys=True)` writes it.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Nesting is bounded by the parser that made the value (128 levels in serde_json).
fn write(value: &Value, into: &mut String) {
    match value {
        Value::Null => into.push_str("null"),
        Value::Bool(true) => into.push_str("true"),
        Value::Bool(false) => into.push_str("false"),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => into.push_str(&python_float(float)),
            _ => into.push_str(&number.to_string()),
        },
        Value::String(text) => write_text(text, into),
        Value::Array(values) => {
            into.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    into.push_str(", ");
                }
                write(value, into);
            }
            into.push(']');
        }
        Value::Object(entries) => write_object(entries, into),
    }
}

fn write_object(entries: &Map<String, Value>, into: &mut String) {
    // Python compares text by code points, which is the order of UTF-8's bytes too.
    let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    into.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            into.push_str(", ");
        }
        write_text(key, into);
        into.push_str(": ");
        write(value, into);
    }
    into.push('}');
}

fn write_text(text: &str, into: &mut String) {
    into.push('"');
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '\u{8}' => into.push_str("\\b"),
            '\u{c}' => into.push_str("\\f"),
            ' '..='~' => into.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    into.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    into.push('"');
}

/// A float as Python's `repr` writes it.
fn python_float(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0.0"
        } else {
            "0.0"
        }
        .to_owned();
    }
    // Rust's shortest digits are Python's; only the layout differs.
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&power) {
        let plain = value.to_string();
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(prefix: &str, parameters: &str) -> String {
        cache_key(prefix, &serde_json::from_str(parameters).expect("object"))
    }

    #[test]
    fn keys_are_the_golden_ones() {
        assert_eq!(
            key("spectrum", r#"{"max_modes":10,"dimensions":10}"#),
            "spectrum:c619296d87e2793a"
        );
        let unified = r#"{"insight":"Digital memory must be human-reachable",
            "coords":[0.5,0.5,0.5],"modes":[1,2,3]}"#;
        assert_eq!(key("unified", unified), "unified:2fda9b639db8a12d");
        assert_eq!(
            key("inference:quasimoto_1d_0", r#"{"x":[0.5],"t":[0.0]}"#),
            "inference:quasimoto_1d_0:7cbd8a1747bd62df"
        );
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        // Each pair was printed by json.dumps(json.loads(text), sort_keys=True) of Python 3.11.
        for (text, expected) in [
            ("1", "1"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("1e16", "1e+16"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1e-4", "0.0001"),
            ("1.5e-5", "1.5e-05"),
            ("1e22", "1e+22"),
            ("123456.789e3", "123456789.0"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("5e-324", "5e-324"),
            ("0.1", "0.1"),
            (
                r#"{"b":[true,null],"a":"é😀\n\u007f/"}"#,
                r#"{"a": "\u00e9\ud83d\ude00\n\u007f/", "b": [true, null]}"#,
            ),
        ] {
            let value: Value = serde_json::from_str(text).expect("value");
            assert_eq!(canonical_json(&value), expected, "{text}");
        }
    }
}
