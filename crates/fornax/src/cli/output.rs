//! What commands print: tables, sizes, times, JSON.

use std::io::{self, Write};

use serde_json::Value;
use time::OffsetDateTime;

/// Writes `text` to standard output. A reader that has gone (`| head`) is not an error.
///
/// # Errors
/// What the system said, other than a closed pipe.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a line to standard error; there is nobody to tell when that fails.
pub fn error_line(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&format!("{value:#}\n"))
}

/// Rows under headings, each column as wide as its widest cell; the last is not padded.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([headings[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    let heading_row: Vec<String> = headings
        .iter()
        .map(|heading| heading.to_uppercase())
        .collect();
    for row in std::iter::once(&heading_row).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{:width$}  ", printable(cell)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values in two columns.
pub fn facts(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {}\n", printable(value)))
        .collect()
}

/// Text of a file or a server without what would steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// `3.6 MB`: decimal, as disks and downloads are sold.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 10.0 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1.1B` parameters.
pub fn parameters(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.0}K", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}B", count as f64 / 1e9),
    }
}

/// `2026-11-21 09:38 UTC`.
pub fn moment(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds).map_or_else(
        |_| unix_seconds.to_string(),
        |when| {
            let (date, clock) = (when.date(), when.time());
            format!("{date} {:02}:{:02} UTC", clock.hour(), clock.minute())
        },
    )
}

/// `3 minutes ago`, `in 5 minutes`.
pub fn relative(unix_seconds: i64, now_unix: i64) -> String {
    let seconds = unix_seconds.saturating_sub(now_unix);
    let count = seconds.unsigned_abs();
    let (count, unit) = match count {
        0..60 => (count, "second"),
        60..3_600 => (count / 60, "minute"),
        3_600..172_800 => (count / 3_600, "hour"),
        _ => (count / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 {
        format!("in {count} {unit}{plural}")
    } else {
        format!("{count} {unit}{plural} ago")
    }
}

/// Seconds since 1970, now.
pub fn now_unix() -> i64 {
    platform::clock::WallClock::unix_seconds(&platform::clock::SystemClock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_carry_no_control_characters() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long\u{1b}[31m".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            table(&["name", "n"], &rows),
            "NAME       N\na          1\nlong\u{fffd}[31m  2\n"
        );
    }

    #[test]
    fn numbers_read_well() {
        for (count, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (3_762_240, "3.8 MB"),
            (91_000_000, "91 MB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        for (count, expected) in [
            (12, "12"),
            (925_000, "925K"),
            (22_700_000, "22.7M"),
            (1_100_000_000, "1.1B"),
        ] {
            assert_eq!(parameters(count), expected);
        }
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(relative(100, 280), "3 minutes ago");
        assert_eq!(relative(400, 100), "in 5 minutes");
        assert_eq!(relative(100, 100), "0 seconds ago");
    }
}
