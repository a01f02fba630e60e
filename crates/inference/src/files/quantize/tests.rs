use half::f16;
use proptest::prelude::*;

use super::*;

const ROW: usize = 64;

fn bytes_of(values: &[f32], kind: WeightType) -> Vec<u8> {
    let mut output = Vec::new();
    quantize(values, kind, &mut output).unwrap();
    output
}

#[test]
fn names_parse_and_unknown_ones_do_not() {
    for kind in WeightType::ALL {
        assert_eq!(WeightType::parse(kind.as_str()), Some(kind));
        assert_eq!(WeightType::parse(&kind.as_str().to_lowercase()), Some(kind));
        let (elements, bytes) = (kind.block_elements(), kind.block_bytes());
        assert_eq!(
            kind.tensor_type().bytes_of(elements as u64),
            Some(bytes as u64)
        );
    }
    assert_eq!(WeightType::parse("q4_k_m"), None);
}

#[test]
fn blocks_have_the_documented_layout() {
    let mut values = [0.0_f32; BLOCK_ELEMENTS];
    values[0] = -127.0;
    values[1] = 64.0;
    values[31] = 63.5;
    let bytes = bytes_of(&values, WeightType::Q8_0);
    assert_eq!(&bytes[..2], &f16::from_f32(1.0).to_le_bytes());
    assert_eq!(&bytes[2..4], &[129, 64]);
    assert_eq!(bytes[33], 64, "ties go away from zero");

    values[0] = -8.0;
    values[1] = 7.0;
    values[16] = 3.0;
    values[31] = 0.0;
    let bytes = bytes_of(&values, WeightType::Q4_0);
    assert_eq!(&bytes[..2], &f16::from_f32(1.0).to_le_bytes());
    assert_eq!(bytes[2], 0xb0, "element 0 low, element 16 high");
    assert_eq!(bytes[3], 0x8f);
    assert_eq!(bytes[17], 0x88);
}

#[test]
fn what_cannot_be_held_is_refused_and_leaves_the_output_alone() {
    let refused = |value: f32, kind: WeightType| {
        let mut values = vec![0.5; ROW];
        values[40] = value;
        let mut output = vec![7];
        let error = quantize(&values, kind, &mut output).unwrap_err();
        assert_eq!(output, [7]);
        error
    };
    for kind in WeightType::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(refused(value, kind), QuantizeError::NotFinite { index: 40 });
        }
    }
    let large = |index, kind| QuantizeError::TooLarge { index, kind };
    assert_eq!(
        refused(65520.0, WeightType::F16),
        large(40, WeightType::F16)
    );
    assert_eq!(
        refused(f32::MAX, WeightType::Q8_0),
        large(32, WeightType::Q8_0)
    );
    assert_eq!(
        refused(f32::MIN, WeightType::Q4_0),
        large(32, WeightType::Q4_0)
    );
    let mut output = Vec::new();
    assert_eq!(
        quantize(&[0.0; 33], WeightType::Q8_0, &mut output),
        Err(QuantizeError::Length {
            count: 33,
            block: 32
        })
    );
    assert_eq!(dequantize(&[0; 35], WeightType::Q8_0), None);
}

proptest! {
    /// The error of every element is at most half a step (Q4_0: a whole one, on the side without the extreme), and the
    /// rounding of the scale to 11 bits.
    #[test]
    fn a_round_trip_stays_within_the_step(
        values in prop::collection::vec(-100.0_f32..100.0, ROW),
    ) {
        for (kind, steps) in [(WeightType::F32, None), (WeightType::F16, None), (WeightType::Q8_0, Some((127.0, 0.5))), (WeightType::Q4_0, Some((8.0, 1.0)))] {
            let back = dequantize(&bytes_of(&values, kind), kind).unwrap();
            prop_assert_eq!(back.len(), values.len());
            for (before, after) in values.chunks(BLOCK_ELEMENTS).zip(back.chunks(BLOCK_ELEMENTS)) {
                let largest = before.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let bound = match (kind, steps) {
                    (_, Some((levels, share))) => largest / levels * share * 1.01 + largest / 1024.0,
                    (WeightType::F32, _) => 0.0,
                    _ => largest / 2048.0,
                };
                for (value, restored) in before.iter().zip(after) {
                    prop_assert!((value - restored).abs() <= bound, "{kind:?}: {value} became {restored}, bound {bound}");
                }
            }
        }
    }
}
