//! Ids of points: whole numbers from 0 on, or UUIDs in any of their spellings.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use service::collections::PointId;

/// An id on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireId(pub PointId);

impl WireId {
    /// The id of a path's last part.
    pub fn parse(text: &str) -> Option<WireId> {
        match text.parse::<u64>() {
            Ok(number) => Some(WireId(PointId::Number(number))),
            Err(_) => uuid(text).map(|value| WireId(PointId::Uuid(value))),
        }
    }
}

/// The value of a UUID: 32 hexadecimal digits, with hyphens at their places or without any, in braces or after `urn:uuid:`.
pub fn uuid(text: &str) -> Option<u128> {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut value: u128 = 0;
    let mut digits = 0;
    for (place, byte) in text.bytes().enumerate() {
        if byte == b'-' {
            if text.len() != 36 || ![8, 13, 18, 23].contains(&place) {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        value = value.checked_shl(4)? | u128::from(digit);
        digits += 1;
        if digits > 32 {
            return None;
        }
    }
    (digits == 32 && [32, 36].contains(&text.len())).then_some(value)
}

impl<'de> Deserialize<'de> for WireId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = WireId;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a point id: an unsigned integer or a UUID")
            }

            fn visit_u64<E>(self, number: u64) -> Result<WireId, E> {
                Ok(WireId(PointId::Number(number)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WireId, E> {
                uuid(text)
                    .map(|value| WireId(PointId::Uuid(value)))
                    .ok_or_else(|| {
                        let shown: String = text.chars().take(64).collect();
                        E::custom(format!(
                            "value {shown} is not a valid point ID, valid values are either an unsigned integer or a UUID"
                        ))
                    })
            }
        }

        deserializer
            .deserialize_any(IdVisitor)
            .map_err(D::Error::custom)
    }
}

impl Serialize for WireId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            PointId::Number(number) => serializer.serialize_u64(number),
            id @ PointId::Uuid(_) => serializer.collect_str(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_or_uuids_in_any_spelling() {
        let read = |text: &str| serde_json::from_str::<WireId>(text).ok().map(|id| id.0);
        assert_eq!(read("0"), Some(PointId::Number(0)));
        assert_eq!(
            read("18446744073709551615"),
            Some(PointId::Number(u64::MAX))
        );
        let value = 0x550e_8400_e29b_41d4_a716_4466_5544_0000;
        for spelling in [
            "550e8400-e29b-41d4-a716-446655440000",
            "550E8400E29B41D4A716446655440000",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
        ] {
            assert_eq!(
                read(&format!("\"{spelling}\"")),
                Some(PointId::Uuid(value)),
                "{spelling}"
            );
        }
        for wrong in [
            "-1",
            "1.5",
            "\"7\"",
            "null",
            "[1]",
            "18446744073709551616",
            "\"550e8400-e29b-41d4-a716-44665544000\"",
            "\"550e840-0e29b-41d4-a716-446655440000\"",
            "\"550e8400-e29b-41d4-a716-4466554400zz\"",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let shown = serde_json::to_string(&WireId(PointId::Uuid(value))).expect("JSON");
        assert_eq!(shown, "\"550e8400-e29b-41d4-a716-446655440000\"");
    }
}
