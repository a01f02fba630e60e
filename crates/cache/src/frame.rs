//! How an entry is written outside this process: on disk and in Redis.
//!
//! ```text
//!  0  4  magic "FXC1"
//!  4  4  CRC-32C of everything behind it
//!  8  8  expires, milliseconds since 1970 (u64)
//! 16  4  length of the key's text (u32)
//! 20  4  length of the value before compression (u32)
//! 24  1  1 when the value is compressed with zstd, else 0
//! 25  7  zero
//! 32  …  key's text, then the value
//! ```
//! Numbers are little-endian.

use crate::Value;

const MAGIC: &[u8; 4] = b"FXC1";
pub(crate) const HEADER_BYTES: usize = 32;
/// zstd's own default level: more costs time on every store for a few percent.
const COMPRESSION_LEVEL: i32 = 3;
/// Compression must save at least a tenth, or every later read pays for nothing.
const GAIN_MIN_TENTHS: usize = 1;

/// The entry as bytes. Values from `compress_from_bytes` on are compressed when that gains.
pub(crate) fn encode(
    key: &str,
    value: &[u8],
    expires_ms: u64,
    compress_from_bytes: usize,
) -> Vec<u8> {
    let smaller = (value.len() >= compress_from_bytes)
        .then(|| zstd::bulk::compress(value, COMPRESSION_LEVEL).ok())
        .flatten()
        .filter(|smaller| smaller.len() * 10 <= value.len() * (10 - GAIN_MIN_TENTHS));
    let body = smaller.as_deref().unwrap_or(value);
    let mut frame = Vec::with_capacity(HEADER_BYTES + key.len() + body.len());
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&expires_ms.to_le_bytes());
    frame.extend_from_slice(&(key.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(value.len() as u32).to_le_bytes());
    frame.push(u8::from(smaller.is_some()));
    frame.extend_from_slice(&[0; 7]);
    frame.extend_from_slice(key.as_bytes());
    frame.extend_from_slice(body);
    let check = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&check.to_le_bytes());
    frame
}

/// The value and when it expires, when `frame` is an undamaged entry of `key` no larger than `value_bytes_max`.
pub(crate) fn decode(frame: &[u8], key: &str, value_bytes_max: usize) -> Option<(Value, u64)> {
    let (text, body, header) = parts(frame)?;
    if text != key || header.value_bytes > value_bytes_max {
        return None;
    }
    let check = u32::from_le_bytes(frame[4..8].try_into().ok()?);
    if crc32c::crc32c(&frame[8..]) != check {
        return None;
    }
    let value: Value = if header.compressed {
        zstd::bulk::decompress(body, header.value_bytes)
            .ok()?
            .into()
    } else {
        body.into()
    };
    (value.len() == header.value_bytes).then_some((value, header.expires_ms))
}

/// The key's text inside a frame, unchecked: good enough to decide about deleting it.
pub(crate) fn key_text(frame: &[u8]) -> Option<&str> {
    parts(frame).map(|(text, _, _)| text)
}

struct Header {
    expires_ms: u64,
    value_bytes: usize,
    compressed: bool,
}

fn parts(frame: &[u8]) -> Option<(&str, &[u8], Header)> {
    if frame.len() < HEADER_BYTES || &frame[..4] != MAGIC {
        return None;
    }
    let number =
        |from: usize| u32::from_le_bytes(frame[from..from + 4].try_into().unwrap_or([0; 4]));
    let key_bytes = number(16) as usize;
    let (text, body) = frame[HEADER_BYTES..].split_at_checked(key_bytes)?;
    let header = Header {
        expires_ms: u64::from_le_bytes(frame[8..16].try_into().ok()?),
        value_bytes: number(20) as usize,
        compressed: frame[24] == 1,
    };
    Some((std::str::from_utf8(text).ok()?, body, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_an_entry_is_noticed() {
        let value: Vec<u8> = (0..300_u32).map(|index| (index % 7) as u8).collect();
        for compress_from in [64, usize::MAX] {
            let frame = encode("t/embed:1", &value, 77, compress_from);
            assert_eq!(frame[24] == 1, compress_from == 64);
            let (found, expires) = decode(&frame, "t/embed:1", 1 << 20).expect("as written");
            assert_eq!((&*found, expires), (&value[..], 77));
            assert!(
                decode(&frame, "t/embed:2", 1 << 20).is_none(),
                "another key"
            );
            assert!(
                decode(&frame, "t/embed:1", 299).is_none(),
                "larger than allowed"
            );
            for bit in 0..frame.len() * 8 {
                let mut damaged = frame.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    decode(&damaged, "t/embed:1", 1 << 20).is_none(),
                    "bit {bit}"
                );
            }
            for length in 0..frame.len() {
                assert!(decode(&frame[..length], "t/embed:1", 1 << 20).is_none());
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let noise: Vec<u8> = (0..4_096_u32)
            .map(|index| blake3::hash(&index.to_le_bytes()).as_bytes()[0])
            .collect();
        assert_eq!(encode("k", &noise, 0, 64)[24], 0);
    }
}
