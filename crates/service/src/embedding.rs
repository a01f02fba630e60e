//! Texts to vectors: batches for the runner, bytes to numbers, cutting and scaling.

use inference::runner::protocol::{
    self, EmbedInput, EmbedReply, TokenIds, embed_input::Input as Wire,
};

use crate::error::{Error, Result};
use crate::failures;
use crate::types::{EmbedRequest, Prompt};

/// Inputs in one call of the runner: keeps messages far below gRPC's 4 MB and lets other work in between.
const INPUTS_PER_CALL: usize = 128;

/// The runner's requests for `request`, in order.
pub(crate) fn calls(id: &str, request: &EmbedRequest) -> Vec<protocol::EmbedRequest> {
    request
        .inputs
        .chunks(INPUTS_PER_CALL)
        .map(|inputs| protocol::EmbedRequest {
            request_id: id.to_owned(),
            inputs: inputs
                .iter()
                .map(|input| EmbedInput {
                    input: Some(match input {
                        Prompt::Text(text) => Wire::Text(text.clone()),
                        Prompt::Tokens(ids) => Wire::Tokens(TokenIds { ids: ids.clone() }),
                    }),
                })
                .collect(),
            // Scaling comes after cutting, here.
            normalize: false,
            truncate: request.truncate,
        })
        .collect()
}

/// How vectors are finished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    /// Cut to this many dimensions.
    pub(crate) dimensions: Option<u32>,
    /// Scale to length 1; a cut vector always is.
    pub(crate) normalize: bool,
}

impl Finish {
    /// Appends the finished vectors of `reply` to `vectors`; gives their dimensions.
    pub(crate) fn append(
        self,
        reply: &EmbedReply,
        inputs: usize,
        vectors: &mut Vec<f32>,
    ) -> Result<u32> {
        let width = reply.dimensions as usize;
        if width == 0 || reply.vectors.len() != inputs * width * size_of::<f32>() {
            return Err(failures::internal(
                "a runner answered with vectors of another shape than was asked",
            ));
        }
        let kept = match self.dimensions {
            Some(wanted) if wanted > reply.dimensions => {
                return Err(Error::invalid(
                    "dimensions",
                    format!(
                        "This model makes vectors of {width} dimensions; {wanted} were asked for."
                    ),
                ));
            }
            Some(wanted) => wanted,
            None => reply.dimensions,
        };
        let scale = self.normalize || kept < reply.dimensions;
        for row in reply.vectors.chunks_exact(width * size_of::<f32>()) {
            let from = vectors.len();
            vectors.extend(
                row.as_chunks::<4>()
                    .0
                    .iter()
                    .take(kept as usize)
                    .map(|bytes| f32::from_le_bytes(*bytes)),
            );
            if scale {
                normalize(&mut vectors[from..]);
            }
            if vectors[from..].iter().any(|value| !value.is_finite()) {
                return Err(failures::internal(
                    "a model made a vector that is not finite",
                ));
            }
        }
        Ok(kept)
    }
}

/// Scales to length 1, summing in double precision; a zero vector stays.
fn normalize(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|value| f64::from(*value) * f64::from(*value))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(rows: &[&[f32]]) -> EmbedReply {
        EmbedReply {
            dimensions: rows[0].len() as u32,
            vectors: rows
                .iter()
                .flat_map(|row| row.iter().flat_map(|value| value.to_le_bytes()))
                .collect(),
            tokens: vec![1; rows.len()],
        }
    }

    #[test]
    fn cut_vectors_are_scaled_again() {
        let finish = Finish {
            dimensions: Some(2),
            normalize: false,
        };
        let mut vectors = Vec::new();
        let kept = finish.append(
            &reply(&[&[3.0, 4.0, 12.0], &[0.0, 0.0, 1.0]]),
            2,
            &mut vectors,
        );
        assert_eq!(kept, Ok(2));
        assert_eq!(vectors, [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn whole_vectors_are_scaled_only_when_the_model_says_so() {
        for (normalize, expected) in [(false, [3.0, 4.0]), (true, [0.6, 0.8])] {
            let finish = Finish {
                dimensions: None,
                normalize,
            };
            let mut vectors = Vec::new();
            finish
                .append(&reply(&[&[3.0, 4.0]]), 1, &mut vectors)
                .expect("finish");
            assert_eq!(vectors, expected);
        }
    }

    #[test]
    fn more_dimensions_than_there_are_is_the_callers_error() {
        let finish = Finish {
            dimensions: Some(3),
            normalize: true,
        };
        let error = finish
            .append(&reply(&[&[3.0, 4.0]]), 1, &mut Vec::new())
            .expect_err("refused");
        assert_eq!(error.field.as_deref(), Some("dimensions"));
    }

    #[test]
    fn a_reply_of_another_shape_is_ours() {
        let finish = Finish {
            dimensions: None,
            normalize: true,
        };
        let error = finish
            .append(&reply(&[&[3.0, 4.0]]), 2, &mut Vec::new())
            .expect_err("refused");
        assert_eq!(error.kind, crate::ErrorKind::Internal);
    }
}
