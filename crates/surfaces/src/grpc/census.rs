//! Counts what is in a message before it is decoded: two bytes on the wire can become a struct of two hundred.
//!
//! The walk follows the descriptors, so numbers of vectors, which are most of the bytes, are stepped over in one go.
//! It refuses only what is too much; bytes that make no sense are left for the decoder to name.

use service::{Error, ErrorKind};

use super::descriptors::{DESCRIPTORS, Descriptors, Holds};

/// Most messages and texts in one message. Twice the values of a JSON body, since an entry of a payload is two here.
const PARTS_MAX: usize = 2 << 20;

/// How deep messages may be nested; the decoder's own limit.
const DEPTH_MAX: usize = 100;

/// Refuses `bytes` of a message of the type `name` when there is too much in it.
///
/// # Errors
/// [`ErrorKind::TooLarge`].
pub fn check(name: &str, bytes: &[u8]) -> Result<(), Error> {
    // Every part takes two bytes at least.
    if bytes.len() / 2 <= PARTS_MAX {
        return Ok(());
    }
    let Some(message) = DESCRIPTORS.message(name) else {
        return Ok(());
    };
    let mut parts = 0;
    if count(&DESCRIPTORS, message, bytes, &mut parts, 0).is_none() || parts <= PARTS_MAX {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("the message holds more than {PARTS_MAX} messages and texts"),
    ))
}

/// Adds the parts of a message to `parts`, until there are too many. `None`: the bytes make no sense.
fn count(
    descriptors: &Descriptors,
    message: usize,
    mut bytes: &[u8],
    parts: &mut usize,
    depth: usize,
) -> Option<()> {
    while !bytes.is_empty() && *parts <= PARTS_MAX {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            5 => bytes = bytes.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inside, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                match descriptors.holds(message, u32::try_from(key >> 3).ok()?) {
                    Some(Holds::Message(inner)) => {
                        *parts += 1;
                        if depth == DEPTH_MAX {
                            return None;
                        }
                        count(descriptors, inner, inside, parts, depth + 1)?;
                    }
                    Some(Holds::Text) => *parts += 1,
                    None => {}
                }
            }
            // Groups, which proto3 does not have.
            _ => return None,
        }
    }
    Some(())
}

/// Seven bits a byte, least first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};

    use super::super::protocol::qdrant::{GetPoints, ListValue, PointId, Value, value::Kind};
    use super::*;

    fn parts<M: Message + Name>(message: &M) -> usize {
        let number = DESCRIPTORS.message(&M::full_name()).expect("known");
        let mut parts = 0;
        count(
            &DESCRIPTORS,
            number,
            &message.encode_to_vec(),
            &mut parts,
            0,
        )
        .expect("sense");
        parts
    }

    #[test]
    fn messages_and_texts_are_counted_at_every_depth() {
        let leaf = |text: &str| Value {
            kind: Some(Kind::StringValue(text.to_owned())),
        };
        let list = ListValue {
            values: vec![leaf("a"), leaf("b"), Value::default()],
        };
        // Three values, two texts, and no list around them: it is the message itself.
        assert_eq!(parts(&list), 5);
        let outer = Value {
            kind: Some(Kind::ListValue(list)),
        };
        assert_eq!(parts(&outer), 6);
    }

    #[test]
    fn a_message_of_millions_of_empty_parts_is_refused() {
        let request = |count: usize| {
            GetPoints {
                ids: vec![PointId::default(); count],
                ..GetPoints::default()
            }
            .encode_to_vec()
        };
        let name = GetPoints::full_name();
        assert!(check(&name, &request(PARTS_MAX)).is_ok());
        let error = check(&name, &request(PARTS_MAX + 1)).expect_err("too many");
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }

    #[test]
    fn bytes_without_sense_are_left_to_the_decoder() {
        let number = DESCRIPTORS.message("qdrant.GetPoints").expect("known");
        for bytes in [&[0x12][..], &[0x12, 9, 0], &[0xff; 12], &[0x0b]] {
            assert!(
                count(&DESCRIPTORS, number, bytes, &mut 0, 0).is_none(),
                "{bytes:?}"
            );
        }
    }
}
