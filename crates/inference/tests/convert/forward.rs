//! A plain forward pass of a decoder, straight from the checkpoint's tensors and written after the published
//! definition of the architecture: what the converted file must compute in the engine.

use crate::checkpoint::{Checkpoint, Decoder, LAYERS};

const EPSILON: f32 = 1e-5;
const ROPE_BASE: f32 = 10_000.0;

/// Logits after the last of `tokens`.
pub fn logits(checkpoint: &Checkpoint, shape: Decoder, tokens: &[usize]) -> Vec<f32> {
    let model = Model { checkpoint, shape };
    let table = model.values("model.embed_tokens.weight");
    let row = |token: usize| table[token * shape.width..(token + 1) * shape.width].to_vec();
    let mut states: Vec<Vec<f32>> = tokens.iter().map(|&token| row(token)).collect();
    for layer in 0..LAYERS {
        let prefix = format!("model.layers.{layer}");
        let normed: Vec<_> = states
            .iter()
            .map(|state| model.norm(&format!("{prefix}.input_layernorm"), state))
            .collect();
        let attended = model.attention(&prefix, &normed);
        for (state, change) in states.iter_mut().zip(attended) {
            add(state, &change);
            let inputs = model.norm(&format!("{prefix}.post_attention_layernorm"), state);
            let gate = model.linear(&format!("{prefix}.mlp.gate_proj"), &inputs);
            let up = model.linear(&format!("{prefix}.mlp.up_proj"), &inputs);
            let inner: Vec<f32> = gate
                .iter()
                .zip(&up)
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect();
            add(
                state,
                &model.linear(&format!("{prefix}.mlp.down_proj"), &inner),
            );
        }
    }
    let last = model.norm("model.norm", states.last().unwrap());
    model.linear(
        if shape.tied {
            "model.embed_tokens"
        } else {
            "lm_head"
        },
        &last,
    )
}

struct Model<'a> {
    checkpoint: &'a Checkpoint,
    shape: Decoder,
}

impl Model<'_> {
    fn values(&self, name: &str) -> &[f32] {
        &self.checkpoint.tensors[name].1
    }

    fn norm(&self, name: &str, state: &[f32]) -> Vec<f32> {
        let gain = self.values(&format!("{name}.weight"));
        let mean = state.iter().map(|value| value * value).sum::<f32>() / state.len() as f32;
        let scale = 1.0 / (mean + EPSILON).sqrt();
        state
            .iter()
            .zip(gain)
            .map(|(value, gain)| value * scale * gain)
            .collect()
    }

    fn linear(&self, name: &str, input: &[f32]) -> Vec<f32> {
        let weight = self.values(&format!("{name}.weight"));
        let mut output: Vec<f32> = weight
            .chunks(input.len())
            .map(|row| dot(row, input))
            .collect();
        if let Some((_, bias)) = self.checkpoint.tensors.get(&format!("{name}.bias")) {
            add(&mut output, bias);
        }
        output
    }

    fn attention(&self, prefix: &str, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let width = self.shape.width / self.shape.heads;
        let project =
            |name: &str, input: &[f32]| self.linear(&format!("{prefix}.self_attn.{name}"), input);
        let rotated = |name: &str| -> Vec<Vec<f32>> {
            let rotate_all = |(position, input): (usize, &Vec<f32>)| {
                project(name, input)
                    .chunks(width)
                    .flat_map(|head| rotate(head, position))
                    .collect()
            };
            inputs.iter().enumerate().map(rotate_all).collect()
        };
        let (queries, keys) = (rotated("q_proj"), rotated("k_proj"));
        let values: Vec<Vec<f32>> = inputs
            .iter()
            .map(|input| project("v_proj", input))
            .collect();
        let group = self.shape.heads / self.shape.kv_heads;
        let attend = |position: usize| {
            let mut mixed = vec![0.0; self.shape.width];
            for head in 0..self.shape.heads {
                let own = head * width..(head + 1) * width;
                let shared = head / group * width..(head / group + 1) * width;
                let scores: Vec<f32> = (0..=position)
                    .map(|other| {
                        dot(
                            &queries[position][own.clone()],
                            &keys[other][shared.clone()],
                        ) / (width as f32).sqrt()
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f32::MIN, f32::max);
                let weights: Vec<f32> =
                    scores.iter().map(|score| (score - largest).exp()).collect();
                let total: f32 = weights.iter().sum();
                for (weight, value) in weights.iter().zip(&values) {
                    for (sum, part) in mixed[own.clone()].iter_mut().zip(&value[shared.clone()]) {
                        *sum += weight / total * part;
                    }
                }
            }
            project("o_proj", &mixed)
        };
        (0..inputs.len()).map(attend).collect()
    }
}

/// Rotates element `i` with element `i + width / 2`, as checkpoints have it.
fn rotate(head: &[f32], position: usize) -> Vec<f32> {
    let half = head.len() / 2;
    let mut rotated = head.to_vec();
    for index in 0..half {
        let angle = position as f32 * ROPE_BASE.powf(-((2 * index) as f32) / head.len() as f32);
        let (sine, cosine) = angle.sin_cos();
        rotated[index] = head[index] * cosine - head[index + half] * sine;
        rotated[index + half] = head[index + half] * cosine + head[index] * sine;
    }
    rotated
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

fn add(state: &mut [f32], change: &[f32]) {
    for (value, change) in state.iter_mut().zip(change) {
        *value += change;
    }
}
