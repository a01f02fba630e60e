//! How a model is loaded.

use crate::engine::EngineError;

/// Choices made when a GGUF model is loaded; numbers of 0 mean "choose".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlamaOptions {
    /// Positions one sequence may reach; 0: what the model was trained for, bounded by `cache_tokens`.
    pub context_tokens: u32,
    /// Cells of the key/value cache shared by all sequences; 0: some 256 MiB of them, at most
    /// [`CACHE_TOKENS_DEFAULT`] and never fewer than `context_tokens` or what a conversation needs.
    pub cache_tokens: u32,
    /// Sequence ids: live sequences and cached prefixes together; 0: [`SEQUENCES_DEFAULT`].
    pub sequences_max: u32,
    /// Most tokens in one call; 0: [`BATCH_TOKENS_DEFAULT`], or the longest input of an encoder.
    pub batch_tokens_max: u32,
    /// Threads that compute; 0: the physical cores that this process may run on.
    pub threads: u32,
    /// Layers computed by a GPU; negative: all that fit, 0: none.
    pub gpu_layers: i32,
    /// How token embeddings become one embedding.
    pub pooling: Pooling,
    /// Fused attention.
    pub flash_attention: FlashAttention,
    /// Number format of the key/value cache.
    pub cache_type: CacheType,
}

/// Sequence ids when the options name none: 16 live sequences and as many cached prefixes.
pub const SEQUENCES_DEFAULT: u32 = 32;
/// The library's limit of sequence ids (`LLAMA_MAX_SEQ`).
pub const SEQUENCES_LIMIT: u32 = 256;
/// Most cache cells that a model gets unasked: 16 conversations of a thousand tokens.
pub const CACHE_TOKENS_DEFAULT: u32 = 16_384;
/// Tokens per call when the options name none: past this a CPU gains nothing from larger batches.
pub const BATCH_TOKENS_DEFAULT: u32 = 512;
/// Upper bound of every token count in the options: no model today reaches it, and sums stay far from overflow.
pub const TOKENS_LIMIT: u32 = 16 << 20;
/// The library's limit of threads (`GGML_MAX_N_THREADS`).
pub const THREADS_LIMIT: u32 = 512;

impl Default for LlamaOptions {
    /// Everything chosen from the model and the machine; all layers on a GPU when the build has one.
    fn default() -> Self {
        Self {
            context_tokens: 0,
            cache_tokens: 0,
            sequences_max: 0,
            batch_tokens_max: 0,
            threads: 0,
            gpu_layers: -1,
            pooling: Pooling::Model,
            flash_attention: FlashAttention::Auto,
            cache_type: CacheType::F16,
        }
    }
}

impl LlamaOptions {
    /// Checks the numbers against what the library can hold.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] naming the option.
    pub fn validate(&self) -> Result<(), EngineError> {
        let bounds = [
            ("context_tokens", self.context_tokens, TOKENS_LIMIT),
            ("cache_tokens", self.cache_tokens, TOKENS_LIMIT),
            ("batch_tokens_max", self.batch_tokens_max, TOKENS_LIMIT),
            ("sequences_max", self.sequences_max, SEQUENCES_LIMIT),
            ("threads", self.threads, THREADS_LIMIT),
        ];
        for (name, value, limit) in bounds {
            if value > limit {
                return Err(EngineError::Invalid {
                    what: format!("{name} must not exceed {limit}"),
                });
            }
        }
        if self.cache_type == CacheType::Q8_0 && self.flash_attention == FlashAttention::Off {
            return Err(EngineError::Invalid {
                what: "cache_type q8_0 needs flash_attention".into(),
            });
        }
        Ok(())
    }
}

/// How the embeddings of a sequence's tokens become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooling {
    /// As the model file says; mean where it says nothing.
    #[default]
    Model,
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
    /// The model's ranking head.
    Rank,
}

/// Whether attention is computed by the fused kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlashAttention {
    /// Where the device supports it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Number format of the key/value cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheType {
    /// 16-bit floats.
    #[default]
    F16,
    /// 8-bit blocks: about half of the memory, a little less exact; needs flash attention.
    Q8_0,
}

/// Reads an option's name; the empty string is the default.
macro_rules! named {
    ($type:ident, $field:literal, $($name:literal => $variant:ident),+) => {
        impl std::str::FromStr for $type {
            type Err = EngineError;
            fn from_str(name: &str) -> Result<Self, EngineError> {
                match name {
                    "" => Ok(Self::default()),
                    $($name => Ok(Self::$variant),)+
                    _ => Err(EngineError::Invalid {
                        what: format!(concat!($field, " must be one of: ", $($name, " ",)+ "(not {:?})"), name),
                    }),
                }
            }
        }
    };
}
named!(Pooling, "pooling", "mean" => Mean, "cls" => Cls, "last" => Last, "rank" => Rank);
named!(FlashAttention, "flash_attention", "auto" => Auto, "on" => On, "off" => Off);
named!(CacheType, "cache_type", "f16" => F16, "q8_0" => Q8_0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_strangers_refused() {
        assert_eq!("".parse::<Pooling>().unwrap(), Pooling::Model);
        assert_eq!("rank".parse::<Pooling>().unwrap(), Pooling::Rank);
        assert_eq!("q8_0".parse::<CacheType>().unwrap(), CacheType::Q8_0);
        let error = "maybe".parse::<FlashAttention>().unwrap_err().to_string();
        assert!(
            error.contains("flash_attention") && error.contains("auto"),
            "{error}"
        );
    }

    #[test]
    fn numbers_beyond_the_library_are_refused() {
        let options = LlamaOptions {
            sequences_max: SEQUENCES_LIMIT + 1,
            ..LlamaOptions::default()
        };
        assert!(
            options
                .validate()
                .unwrap_err()
                .to_string()
                .contains("sequences_max")
        );
        assert!(LlamaOptions::default().validate().is_ok());
    }
}
