//! Our quantiser writes the bytes that llama.cpp's own writes (invariant 1 of `files::quantize`).

#![expect(unsafe_code, reason = "the test calls ggml's quantiser")]

use inference::files::quantize::{WeightType, quantize};
use llama_cpp_sys_2 as ggml;
use proptest::prelude::*;

const ROW: usize = 64;

fn by_ggml(values: &[f32], kind: WeightType) -> Vec<u8> {
    let mut output = vec![0_u8; values.len() / kind.block_elements() * kind.block_bytes()];
    // SAFETY: `values` holds whole rows of ROW elements and `output` has exactly the bytes of that many blocks.
    let written = unsafe {
        ggml::ggml_quantize_chunk(
            kind.tensor_type().number() as ggml::ggml_type,
            values.as_ptr(),
            output.as_mut_ptr().cast(),
            0,
            (values.len() / ROW) as i64,
            ROW as i64,
            std::ptr::null(),
        )
    };
    assert_eq!(written, output.len());
    output
}

fn assert_same(values: &[f32]) {
    for kind in WeightType::ALL {
        let mut ours = Vec::new();
        // What the type cannot hold is refused by us and stored as infinity by ggml: nothing to compare.
        if quantize(values, kind, &mut ours).is_ok() {
            assert_eq!(ours, by_ggml(values, kind), "{kind:?} of {values:?}");
        }
    }
}

#[test]
fn edge_cases() {
    let ramp: Vec<f32> = (0..ROW).map(|index| index as f32 - 31.5).collect();
    let scaled = |factor: f32| {
        ramp.iter()
            .map(|value| value * factor)
            .collect::<Vec<f32>>()
    };
    assert_same(&[0.0; ROW]);
    assert_same(&[-0.0; ROW]);
    assert_same(&[1.0; ROW]);
    assert_same(&[-1.0; ROW]);
    // From below the smallest denormal of f16 to the largest scale it holds.
    for exponent in -126..=21 {
        assert_same(&scaled(2.0_f32.powi(exponent)));
        assert_same(&scaled(-2.0_f32.powi(exponent)));
    }
    // Denormal scales, and scales whose inverse overflows.
    for exponent in -149..=-126 {
        let tiny = f32::from_bits(1_u32.checked_shl((149 + exponent) as u32).unwrap());
        assert_same(&scaled(tiny));
        assert_same(&[tiny; ROW]);
    }
    // Equal magnitudes of both signs: the first decides the sign of Q4_0's scale.
    let alternating: Vec<f32> = (0..ROW)
        .map(|index| if index % 2 == 0 { 3.0 } else { -3.0 })
        .collect();
    assert_same(&alternating);
    assert_same(&alternating.iter().map(|value| -value).collect::<Vec<f32>>());
    // Every tie of Q8_0's rounding, with a scale of exactly one.
    let ties: Vec<f32> = (0..ROW)
        .map(|index| {
            if index % 32 == 0 {
                127.0
            } else {
                index as f32 - 32.5
            }
        })
        .collect();
    assert_same(&ties);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn weights_of_usual_size(values in prop::collection::vec(-2.0_f32..2.0, ROW * 2)) {
        assert_same(&values);
    }

    #[test]
    fn any_finite_bits(bits in prop::collection::vec(any::<u32>(), ROW), exponent in 0_u32..144) {
        // One exponent range per row, so that rows are not all dominated by one huge value.
        let values: Vec<f32> = bits
            .iter()
            .map(|bits| f32::from_bits((bits & 0x807f_ffff) | ((exponent + (bits >> 23 & 7)) << 23)))
            .collect();
        assert_same(&values);
    }
}
