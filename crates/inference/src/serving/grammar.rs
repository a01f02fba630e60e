//! Grammars that constrain what a stream may say: JSON Schema, any JSON object, a regular expression, or a
//! grammar in llguidance's Lark dialect.
//!
//! The work is done by `llguidance`: an Earley parser over a lexer of derivatives, driven through a trie of the
//! vocabulary's bytes. [`GrammarCompiler`] holds the trie, built once per model when the first constraint comes;
//! [`Grammar`] is the state of one stream. The sampler checks its free choice with [`Grammar::check`] (a few
//! microseconds) and asks for the whole [`Grammar::mask`] only when that was refused.
//!
//! Constraints come from outside, so every size is bounded: of the text, of its nesting (the compilers recurse),
//! of the grammar, of the lexer's states, and of the work per token. A constraint beyond a bound is refused with
//! the reason; a stream that runs into one ends with an error.
//!
//! Special tokens in Lark are written `<name>`, as in `<tool_call>`, or `<[NAME]>` where the name is not in angle
//! brackets itself, as in `<[TOOL_CALLS]>` for the token `[TOOL_CALLS]`. Where the vocabulary has no such control
//! token, the reference means its text, so that one grammar serves models with and without the token.

mod special;
mod vocabulary;

use std::sync::{Arc, OnceLock};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, SimpleVob};
use llguidance::{Matcher, ParserFactory, panic_utils};

pub use vocabulary::Vocabulary;

use crate::engine::{EngineError, Token};
use crate::templates::bounded_whitespace;

/// Largest text of a constraint, in bytes. A schema of a whole industry standard has about half of it.
pub const CONSTRAINT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of brackets in a constraint. The compilers recurse, and their thread has a bounded stack.
pub const CONSTRAINT_DEPTH_MAX: usize = 64;

/// What the output must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// A value that a JSON Schema accepts (the schema's text).
    JsonSchema(String),
    /// Any JSON object.
    JsonObject,
    /// Text that a regular expression matches as a whole (syntax of the `regex` crate).
    Regex(String),
    /// Text that a grammar in llguidance's Lark dialect derives from `start`.
    Lark(String),
}

/// Compiles constraints for one vocabulary. Cheap to clone, and callable from any thread.
#[derive(Clone)]
pub struct GrammarCompiler {
    shared: Arc<Shared>,
}

struct Shared {
    vocabulary: Vocabulary,
    /// Built when first needed: most runners never see a constraint, and the trie of 150,000 tokens takes
    /// about 0.1 s and 10 MB.
    factory: OnceLock<Result<ParserFactory, String>>,
}

impl std::fmt::Debug for GrammarCompiler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GrammarCompiler")
            .field("built", &self.shared.factory.get().is_some())
            .finish_non_exhaustive()
    }
}

impl GrammarCompiler {
    /// A compiler for the tokens of a model.
    #[must_use]
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self {
            shared: Arc::new(Shared {
                vocabulary,
                factory: OnceLock::new(),
            }),
        }
    }

    /// Compiles a constraint into the state at its beginning.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] saying what is wrong with the constraint, or which bound it exceeds.
    pub fn compile(&self, constraint: &Constraint) -> Result<Grammar, EngineError> {
        let grammar = self.read(constraint)?;
        let factory = self.factory()?;
        let matcher = caught(|| Matcher::new(factory.create_parser(grammar)))?;
        if let Some(reason) = matcher.get_error() {
            return Err(invalid(&reason));
        }
        Ok(Grammar {
            matcher,
            mask: None,
        })
    }

    fn read(&self, constraint: &Constraint) -> Result<TopLevelGrammar, EngineError> {
        Ok(match constraint {
            Constraint::JsonObject => TopLevelGrammar::from_json_schema(bounded_whitespace(
                serde_json::json!({"type": "object"}),
            )),
            Constraint::JsonSchema(text) => {
                bound(text)?;
                let schema =
                    serde_json::from_str(text).map_err(|error| invalid(&error.to_string()))?;
                TopLevelGrammar::from_json_schema(bounded_whitespace(schema))
            }
            Constraint::Regex(text) => {
                bound(text)?;
                caught(|| TopLevelGrammar::from_regex(text))?
            }
            Constraint::Lark(text) => {
                bound(text)?;
                TopLevelGrammar::from_lark(special::resolve(text, &self.shared.vocabulary))
            }
        })
    }

    fn factory(&self) -> Result<&ParserFactory, EngineError> {
        let built = self.shared.factory.get_or_init(|| {
            let environment = self.shared.vocabulary.environment();
            let mut factory = ParserFactory::new(
                &environment,
                InferenceCapabilities::default(),
                &llguidance::earley::SlicedBiasComputer::general_slices(),
            )
            .map_err(|error| error.to_string())?;
            factory.quiet();
            *factory.limits_mut() = limits();
            Ok(factory)
        });
        built.as_ref().map_err(|reason| EngineError::Invalid {
            what: format!("this model's vocabulary cannot be constrained: {reason}"),
        })
    }
}

/// Bounds of one grammar. The library's defaults are made for trusted schemas; a server that compiles whatever
/// comes in allows a quarter of the memory, and errors that do not repeat the whole grammar.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 60_000,
        max_grammar_size: 250_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

fn invalid(reason: &str) -> EngineError {
    let reason = reason.lines().next().unwrap_or_default();
    EngineError::Invalid {
        what: format!("the output constraint is not usable: {reason}"),
    }
}

/// Runs library code that may panic on input nobody has thought of; a panic becomes an error.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, EngineError> {
    panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| Ok(work())))
        .map_err(|error| invalid(&error.to_string()))
}

/// Checks size and nesting of a constraint's text.
fn bound(text: &str) -> Result<(), EngineError> {
    if text.len() > CONSTRAINT_BYTES_MAX {
        return Err(invalid(&format!(
            "it has more than {CONSTRAINT_BYTES_MAX} bytes"
        )));
    }
    // Brackets inside of strings are counted too: that errs on the side of refusing, and only where a string
    // opens 64 brackets that it does not close.
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > CONSTRAINT_DEPTH_MAX {
            return Err(invalid(&format!(
                "it nests deeper than {CONSTRAINT_DEPTH_MAX} levels"
            )));
        }
    }
    Ok(())
}

/// State of one constrained stream. Cloning gives an independent state at the same place (for several choices
/// from one prompt).
#[derive(Clone)]
pub struct Grammar {
    matcher: Matcher,
    mask: Option<TokenMask>,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grammar")
            .field("stopped", &self.matcher.is_stopped())
            .finish_non_exhaustive()
    }
}

impl Grammar {
    /// Whether the output may go on with `token`. End-of-generation tokens are allowed where the grammar may end.
    pub fn check(&mut self, token: Token) -> bool {
        if let Some(mask) = &self.mask {
            return mask.allows(token);
        }
        if self.is_finished() {
            // Only the end is left, and the mask knows the tokens that mean it.
            return self.mask().is_ok_and(|mask| mask.allows(token));
        }
        self.matcher
            .validate_tokens(&[token])
            .is_ok_and(|valid| valid == 1)
    }

    /// All tokens that the output may go on with; only end-of-generation tokens when the grammar is finished.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the grammar has become too large to follow, or allows nothing.
    pub fn mask(&mut self) -> Result<&TokenMask, EngineError> {
        if self.mask.is_none() {
            let bits = self
                .matcher
                .compute_mask_or_eos()
                .map_err(|error| invalid(&error.to_string()))?;
            self.mask = Some(TokenMask { bits });
        }
        self.mask.as_ref().ok_or_else(|| invalid("no mask"))
    }

    /// Advances by a token of the output.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the grammar does not allow the token; the state is unusable then.
    pub fn accept(&mut self, token: Token) -> Result<(), EngineError> {
        self.mask = None;
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(());
        }
        self.matcher
            .consume_token(token)
            .map_err(|error| invalid(&error.to_string()))
    }

    /// Whether the output so far is complete (it may still be able to go on).
    pub fn may_end(&mut self) -> bool {
        self.is_finished() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether the output is complete and cannot go on: the stream ends here without an end-of-generation token.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
    }
}

/// A set of allowed tokens, one bit each.
#[derive(Debug, Clone)]
pub struct TokenMask {
    bits: SimpleVob,
}

impl TokenMask {
    /// Whether a token is in the set.
    #[must_use]
    pub fn allows(&self, token: Token) -> bool {
        (token as usize) < self.bits.len() && self.bits.is_allowed(token)
    }

    /// The bits, lowest token first, 32 to a word.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.bits.as_slice()
    }

    /// Sets the logit of every token that is not in the set to -∞.
    pub fn forbid(&self, row: &mut [f32]) {
        let words = self.words();
        for (index, logits) in row.chunks_mut(32).enumerate() {
            match words.get(index).copied().unwrap_or(0) {
                u32::MAX => {}
                0 => logits.fill(f32::NEG_INFINITY),
                word => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
