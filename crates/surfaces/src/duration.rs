//! Durations as clients write them.

use std::time::Duration;

use serde_json::Value;
use service::Error;

/// Seconds, or a number with a unit (`90s`, `5m`, `1h30m`); below zero: for ever.
pub fn keep_alive(value: &Value) -> Result<Duration, Error> {
    let error = || {
        Error::invalid(
            "keep_alive",
            "`keep_alive` is a number of seconds or a duration such as `5m`; below 0: for ever",
        )
    };
    let seconds = match value {
        Value::Number(number) => number.as_f64().ok_or_else(error)?,
        Value::String(text) => duration_seconds(text).ok_or_else(error)?,
        _ => return Err(error()),
    };
    if seconds < 0.0 {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// Go's duration notation, which Ollama's clients use, or bare seconds.
fn duration_seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if let Ok(seconds) = rest.parse::<f64>() {
        return seconds.is_finite().then_some(sign * seconds);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        total += amount
            * match &rest[..letters] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_seconds_or_numbers_with_units() {
        let check = |value: Value, milliseconds: u64| {
            assert_eq!(
                keep_alive(&value),
                Ok(Duration::from_millis(milliseconds)),
                "{value}"
            );
        };
        check(json!(300), 300_000);
        check(json!(0), 0);
        check(json!("90"), 90_000);
        check(json!("5m"), 300_000);
        check(json!("1h30m"), 5_400_000);
        check(json!("250ms"), 250);
        assert_eq!(keep_alive(&json!(-1)), Ok(Duration::MAX));
        assert_eq!(keep_alive(&json!("-1m")), Ok(Duration::MAX));
        for bad in [
            json!("soon"),
            json!("5 m"),
            json!("m"),
            json!(true),
            json!("1e999h"),
            json!("5d"),
            json!(""),
        ] {
            assert!(keep_alive(&bad).is_err(), "{bad}");
        }
    }
}
