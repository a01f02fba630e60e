//! Dates and times in payloads and filters: RFC 3339, and the shorter spellings that people use.
//!
//! Times are microseconds since 1970-01-01T00:00:00Z. A time without an offset is UTC; a date alone is its midnight.
//! Finer fractions are cut off.

/// Microseconds of a second.
const MICROS: i64 = 1_000_000;

/// Parses `2026-11-21T10:20:30.5+01:00` and shorter: the offset, the fraction, the seconds and the time may be missing;
/// a space may stand for the `T` and before the offset, which may be `Z`, ` UTC`, `+01:00`, `+0100` or `+01`.
///
/// An offset needs seconds before it, as `10:20+01:00` would read as several things.
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = Reader(text.trim_start().as_bytes());
    let year = rest.digits(4, 4)?;
    rest.take(b"-")?;
    let month = rest.digits(1, 2)?;
    rest.take(b"-")?;
    let day = rest.digits(1, 2)?;
    let days = days_since_1970(year, month, day)?;
    if rest.0.is_empty() {
        return Some(days * 86_400 * MICROS);
    }
    rest.take(b"Tt ")?;
    let hour = rest.digits(1, 2)?;
    rest.take(b":")?;
    let minute = rest.digits(1, 2)?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let minutes = (days * 24 + hour) * 60 + minute;
    if rest.0.is_empty() {
        return Some(minutes * 60 * MICROS);
    }
    rest.take(b":")?;
    let second = rest.digits(1, 2)?;
    // 60 is a leap second; it counts as the first of the next minute.
    if second > 60 {
        return None;
    }
    let micros = if rest.take(b".").is_some() {
        rest.fraction()?
    } else {
        0
    };
    let offset = rest.offset()?;
    rest.0
        .is_empty()
        .then_some((minutes * 60 + second - offset) * MICROS + micros)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; `None` for a date that isn't one.
///
/// Counts years from March, so that the leap day comes last, in eras of 400 years (146,097 days).
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Reads a text from its front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Takes one byte that is among `wanted`.
    fn take(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        wanted.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    /// Takes a number of `least` to `most` digits, at most 9.
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + i64::from(digit - b'0')),
        )
    }

    /// Takes the digits behind a decimal point as microseconds; those behind the sixth are dropped.
    fn fraction(&mut self) -> Option<i64> {
        let count = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count == 0 {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Some((0..6).fold(0, |number, place| {
            number * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'))
        }))
    }

    /// Takes the rest as an offset in seconds; nothing at all is UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        if self.0 == b" UTC" {
            self.0 = &[];
            return Some(0);
        }
        let _ = self.take(b" ");
        let sign = match self.take(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2, 2)?;
        let colon = self.take(b":").is_some();
        let minutes = if colon || !self.0.is_empty() {
            self.digits(2, 2)?
        } else {
            0
        };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_moment_are_equal() {
        // 2026-11-21T10:20:30Z is 1,795,256,430 seconds after 1970 (date -u -d … +%s).
        let moment = Some(1_795_256_430 * MICROS);
        for text in [
            "2026-11-21T10:20:30Z",
            "2026-11-21t10:20:30z",
            "2026-11-21 10:20:30",
            "  2026-11-21T11:20:30+01:00",
            "2026-11-21 11:20:30.000 +0100",
            "2026-11-21T08:20:30-02",
            "2026-11-21 10:20:30.0 UTC",
        ] {
            assert_eq!(parse(text), moment, "{text}");
        }
        assert_eq!(parse("2026-11-21T10:20"), Some(1_795_256_400 * MICROS));
        assert_eq!(parse("2026-11-21"), Some(1_795_219_200 * MICROS));
        assert_eq!(parse("1970-01-01T00:00:00.1234567Z"), Some(123_456));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(-500_000));
        assert_eq!(parse("2000-02-29"), Some(951_782_400 * MICROS));
        assert_eq!(parse("1900-03-01"), Some(-2_203_891_200 * MICROS));
        assert_eq!(parse("1998-12-31T23:59:60Z"), parse("1999-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "x",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "1900-02-29",
            "2026-00-10",
            "2026-01-00",
            "2026-11-21T",
            "2026-11-21T10",
            "2026-11-21T24:00",
            "2026-11-21T10:60",
            "2026-11-21T10:20:61Z",
            "2026-11-21T10:20:30.Z",
            "2026-11-21T10:20:30+1",
            "2026-11-21T10:20:30+25:00",
            "2026-11-21T10:20:30Z ",
            "2026-11-21T10:20+01:00",
            "12026-11-21",
            "２０２６-11-21",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
