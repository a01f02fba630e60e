//! The thin safe layer over llama.cpp: a model, a context and a batch that free themselves and check what the
//! library would abort on. No policy here.
//!
//! What the library demands, and who sees to it:
//!  1. A batch holds 1 to `n_batch` tokens, sequence ids below `n_seq_max`: [`Context::decode`] asserts it.
//!  2. Rows of logits are read only where they were asked for: [`Context::logits`] asserts it.
//!  3. A context is used by one thread at a time: [`Context`] is `Send` and not `Sync`.
//!  4. A model outlives its contexts: each holds an [`Arc`] of it.
//!  5. The flag that the abort callback reads outlives the context: it holds an [`Arc`] of it.
#![expect(unsafe_code, reason = "calls llama.cpp")]

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llama_cpp_sys_2 as sys;

use crate::engine::{BatchEntry, Interrupt, SequenceId, Token};

/// Whether loading goes on, given its progress from 0 to 1.
type Progress<'a> = &'a mut dyn FnMut(f32) -> bool;

/// Loaded weights and vocabulary.
pub(super) struct Model {
    pointer: NonNull<sys::llama_model>,
    vocabulary: *const sys::llama_vocab,
    vocabulary_tokens: u32,
}

// SAFETY: after loading, everything this type calls takes the model as const and only reads it.
unsafe impl Send for Model {}
// SAFETY: as above. Contexts are made while no other thread makes one of the same model (`Context::new` is called
// by the engine only, which has one owner).
unsafe impl Sync for Model {}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `llama_model_load_from_file`, and every context is gone (they hold an Arc).
        unsafe { sys::llama_model_free(self.pointer.as_ptr()) };
    }
}

impl Model {
    /// Loads a file. `None` when it cannot be loaded or `progress` said no; the reason is in the log.
    pub fn load(path: &Path, gpu_layers: i32, progress: Progress<'_>) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let mut progress = progress;
        // SAFETY: a plain function that returns a struct by value.
        let mut parameters = unsafe { sys::llama_model_default_params() };
        parameters.n_gpu_layers = gpu_layers;
        parameters.progress_callback = Some(report_progress);
        parameters.progress_callback_user_data =
            std::ptr::from_mut::<Progress<'_>>(&mut progress).cast();
        // SAFETY: `path` ends with a zero; `progress` is what the callback expects, and both outlive the call,
        // after which the library does not use them again.
        let pointer = unsafe { sys::llama_model_load_from_file(path.as_ptr(), parameters) };
        let pointer = NonNull::new(pointer)?;
        // SAFETY: the model is loaded; its vocabulary lives as long as it does.
        let vocabulary = unsafe { sys::llama_model_get_vocab(pointer.as_ptr()) };
        // SAFETY: as above.
        let count = unsafe { sys::llama_vocab_n_tokens(vocabulary) };
        Some(Self {
            pointer,
            vocabulary,
            vocabulary_tokens: u32::try_from(count).unwrap_or(0),
        })
    }

    /// Whether this build and machine can compute layers elsewhere than on the processor.
    pub fn can_offload() -> bool {
        // SAFETY: a plain function that asks the registry of loaded backends.
        unsafe { sys::llama_supports_gpu_offload() }
    }

    pub fn vocabulary_tokens(&self) -> u32 {
        self.vocabulary_tokens
    }

    pub fn weights_bytes(&self) -> u64 {
        // SAFETY: reads a number of a loaded model.
        unsafe { sys::llama_model_size(self.pointer.as_ptr()) }
    }

    pub fn embedding_dimensions(&self) -> u32 {
        // SAFETY: reads a number of a loaded model.
        let dimensions = unsafe { sys::llama_model_n_embd_out(self.pointer.as_ptr()) };
        u32::try_from(dimensions).unwrap_or(0)
    }

    /// Outputs of the ranking head.
    pub fn rank_outputs(&self) -> u32 {
        // SAFETY: reads a number of a loaded model.
        unsafe { sys::llama_model_n_cls_out(self.pointer.as_ptr()) }
    }

    /// An encoder whose output a decoder of the same model reads (T5).
    pub fn is_encoder_decoder(&self) -> bool {
        let model = self.pointer.as_ptr();
        // SAFETY: reads facts of a loaded model.
        unsafe { sys::llama_model_has_encoder(model) && sys::llama_model_has_decoder(model) }
    }

    pub fn is_diffusion(&self) -> bool {
        // SAFETY: reads a fact of a loaded model.
        unsafe { sys::llama_model_is_diffusion(self.pointer.as_ptr()) }
    }

    /// Whether sequences carry a running state that cannot be cut at a position.
    pub fn is_recurrent(&self) -> bool {
        let model = self.pointer.as_ptr();
        // SAFETY: reads facts of a loaded model.
        unsafe { sys::llama_model_is_recurrent(model) || sys::llama_model_is_hybrid(model) }
    }

    /// The begin and end tokens, where the vocabulary has them.
    pub fn begin_and_end(&self) -> (Option<Token>, Option<Token>) {
        // SAFETY: reads numbers of a loaded vocabulary; -1 stands for none.
        let (begin, end) = unsafe {
            (
                sys::llama_vocab_bos(self.vocabulary),
                sys::llama_vocab_eos(self.vocabulary),
            )
        };
        (Token::try_from(begin).ok(), Token::try_from(end).ok())
    }

    /// Every token that ends generation.
    pub fn end_of_generation(&self) -> Vec<Token> {
        (0..self.vocabulary_tokens)
            // SAFETY: the token is inside of the vocabulary.
            .filter(|&token| unsafe { sys::llama_vocab_is_eog(self.vocabulary, token as i32) })
            .collect()
    }

    /// Tokens of a text of at most `i32::MAX` bytes; `None` when there would be more tokens than that.
    pub fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Option<Vec<Token>> {
        let length = i32::try_from(text.len()).ok()?;
        // No tokenizer makes more tokens than bytes, plus begin, end and a prefix; short of that the library
        // answers the number it needs and is asked again.
        let mut tokens: Vec<sys::llama_token> = vec![0; text.len() + 4];
        for _ in 0..2 {
            let capacity = i32::try_from(tokens.len()).ok()?;
            // SAFETY: the text is given with its length (zeros inside of it are text), and the library writes at
            // most `capacity` tokens.
            let count = unsafe {
                sys::llama_tokenize(
                    self.vocabulary,
                    text.as_ptr().cast::<c_char>(),
                    length,
                    tokens.as_mut_ptr(),
                    capacity,
                    add_special,
                    parse_special,
                )
            };
            if count >= 0 {
                tokens.truncate(usize::try_from(count).ok()?);
                return tokens
                    .into_iter()
                    .map(|token| Token::try_from(token).ok())
                    .collect();
            }
            let needed = usize::try_from(count.checked_neg()?).ok()?;
            tokens.resize(needed, 0);
        }
        None
    }

    /// Appends the bytes of a token; nothing for one outside of the vocabulary.
    pub fn token_bytes(&self, token: Token, special: bool, out: &mut Vec<u8>) {
        if token >= self.vocabulary_tokens {
            return;
        }
        let mut buffer = [0u8; 128];
        let mut large = Vec::new();
        let mut room: &mut [u8] = &mut buffer;
        for _ in 0..2 {
            // SAFETY: the library writes at most `room.len()` bytes, and the token is inside of the vocabulary.
            let count = unsafe {
                sys::llama_token_to_piece(
                    self.vocabulary,
                    token as i32,
                    room.as_mut_ptr().cast::<c_char>(),
                    room.len() as i32,
                    0,
                    special,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                out.extend_from_slice(room.get(..count).unwrap_or(&[]));
                return;
            }
            large.resize(count.unsigned_abs() as usize, 0);
            room = &mut large;
        }
    }

    /// The text of tokens as the tokenizer puts it together (a leading space that it added is taken off again).
    pub fn detokenize(&self, tokens: &[Token], special: bool) -> Option<Vec<u8>> {
        let inside = tokens.iter().all(|&token| token < self.vocabulary_tokens);
        let count = i32::try_from(tokens.len()).ok()?;
        if !inside {
            return None;
        }
        let tokens: Vec<sys::llama_token> = tokens.iter().map(|&token| token as i32).collect();
        let mut text = vec![0u8; tokens.len().saturating_mul(8).max(64)];
        for _ in 0..2 {
            let capacity = i32::try_from(text.len()).ok()?;
            // SAFETY: `count` tokens are readable, and the library writes at most `capacity` bytes.
            let written = unsafe {
                sys::llama_detokenize(
                    self.vocabulary,
                    tokens.as_ptr(),
                    count,
                    text.as_mut_ptr().cast::<c_char>(),
                    capacity,
                    false,
                    special,
                )
            };
            if let Ok(written) = usize::try_from(written) {
                text.truncate(written);
                return Some(text);
            }
            text.resize(usize::try_from(written.checked_neg()?).ok()?, 0);
        }
        None
    }
}

/// Calls the closure behind `data`. A panic in it stops the load instead of unwinding into C++.
unsafe extern "C" fn report_progress(progress: f32, data: *mut c_void) -> bool {
    // SAFETY: `data` is the reference that `Model::load` passed, alive and not used elsewhere during the load.
    let report = unsafe { &mut *data.cast::<Progress<'_>>() };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| report(progress))).unwrap_or(false)
}

/// Says whether the computation must stop.
unsafe extern "C" fn must_stop(data: *mut c_void) -> bool {
    // SAFETY: `data` points to the flag whose Arc the context holds.
    unsafe { &*data.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

/// Sizes and choices of a context, as the library counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ContextOptions {
    pub cache_tokens: u32,
    pub batch_tokens_max: u32,
    /// Tokens computed at once; embeddings need the whole batch.
    pub compute_tokens_max: u32,
    pub sequences_max: u32,
    pub threads: u32,
    /// For a batch of one token.
    pub token_threads: u32,
    /// The pooling when the context is for embeddings.
    pub pooling: Option<sys::llama_pooling_type>,
    pub flash_attention: sys::llama_flash_attn_type,
    pub cache_type: sys::ggml_type,
}

/// Key/value cache and compute buffers of a model.
pub(super) struct Context {
    pointer: NonNull<sys::llama_context>,
    model: Arc<Model>,
    /// Only held: `must_stop` has its address.
    _interrupt: Interrupt,
    sequences_max: u32,
    batch_tokens_max: u32,
    pooled: bool,
    batch: Batch,
    /// Whether the entry of the last batch has logits.
    rows: Vec<bool>,
}

// SAFETY: the library keeps no thread-local state for a context; it must only not be used by two threads at once,
// which `&mut self` and the missing `Sync` guarantee. The raw pointers in `batch` point into itself.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `llama_init_from_model` and is not used again.
        unsafe { sys::llama_free(self.pointer.as_ptr()) };
    }
}

impl Context {
    /// Makes a context. `None` when the library refuses; the reason is in the log.
    pub fn new(model: &Arc<Model>, interrupt: &Interrupt, options: ContextOptions) -> Option<Self> {
        // SAFETY: a plain function that returns a struct by value.
        let mut parameters = unsafe { sys::llama_context_default_params() };
        parameters.n_ctx = options.cache_tokens;
        parameters.n_batch = options.batch_tokens_max;
        parameters.n_ubatch = options.compute_tokens_max;
        parameters.n_seq_max = options.sequences_max;
        parameters.n_threads = options.token_threads as i32;
        parameters.n_threads_batch = options.threads as i32;
        parameters.flash_attn_type = options.flash_attention;
        parameters.type_k = options.cache_type;
        parameters.type_v = options.cache_type;
        parameters.embeddings = options.pooling.is_some();
        parameters.pooling_type = options.pooling.unwrap_or(sys::LLAMA_POOLING_TYPE_NONE);
        parameters.kv_unified = true;
        // A sliding window would forget the beginnings that the prefix index shares.
        parameters.swa_full = true;
        parameters.no_perf = true;
        parameters.abort_callback = Some(must_stop);
        parameters.abort_callback_data = Arc::as_ptr(interrupt).cast_mut().cast();
        // SAFETY: the model is loaded, the flag lives as long as the context (it holds the Arc).
        let pointer = unsafe { sys::llama_init_from_model(model.pointer.as_ptr(), parameters) };
        let pointer = NonNull::new(pointer)?;
        // SAFETY: reads a number of a live context. The library may have lowered what it was asked for.
        let batch_tokens_max = unsafe { sys::llama_n_batch(pointer.as_ptr()) };
        Some(Self {
            pointer,
            model: Arc::clone(model),
            _interrupt: Arc::clone(interrupt),
            sequences_max: options.sequences_max,
            batch_tokens_max: batch_tokens_max.min(options.batch_tokens_max),
            pooled: options.pooling.is_some(),
            batch: Batch::default(),
            rows: Vec::new(),
        })
    }

    pub fn batch_tokens_max(&self) -> u32 {
        self.batch_tokens_max
    }

    /// Cells of the cache, which the library may have rounded up.
    pub fn cache_tokens(&self) -> u32 {
        // SAFETY: reads a number of a live context.
        unsafe { sys::llama_n_ctx(self.pointer.as_ptr()) }
    }

    /// The key/value cache; `None` for encoders, which have none.
    fn memory(&self) -> Option<sys::llama_memory_t> {
        // SAFETY: reads a pointer of a live context; it lives as long as the context.
        let memory = unsafe { sys::llama_get_memory(self.pointer.as_ptr()) };
        (!memory.is_null()).then_some(memory)
    }

    pub fn has_cache(&self) -> bool {
        self.memory().is_some()
    }

    /// Computes a batch and returns the library's code: 0 is success, 1 no room in the cache, 2 interrupted, -1 a
    /// batch that it does not accept, anything else a failure.
    ///
    /// # Panics
    /// When the batch is empty or larger than the context allows, or a sequence is out of range: the caller's bug,
    /// on which the library would abort.
    pub fn decode(&mut self, entries: &[BatchEntry]) -> i32 {
        assert!(
            !entries.is_empty() && entries.len() <= self.batch_tokens_max as usize,
            "a batch of {} tokens, of 1 to {}",
            entries.len(),
            self.batch_tokens_max
        );
        assert!(
            entries
                .iter()
                .all(|entry| entry.sequence < self.sequences_max),
            "sequence ids must be below {}",
            self.sequences_max
        );
        self.rows.clear();
        let batch = self.batch.fill(entries);
        // SAFETY: every array of the batch has `n_tokens` elements and lives in `self.batch` during the call; the
        // library copies what it keeps.
        let code = unsafe {
            if sys::llama_get_memory(self.pointer.as_ptr()).is_null() {
                sys::llama_encode(self.pointer.as_ptr(), batch)
            } else {
                sys::llama_decode(self.pointer.as_ptr(), batch)
            }
        };
        if code == 0 {
            self.rows
                .extend(entries.iter().map(|entry| entry.wants_logits));
        }
        code
    }

    /// Logits of an entry of the last batch.
    ///
    /// # Panics
    /// When the entry did not ask for logits, or the last batch failed: the caller's bug.
    pub fn logits(&self, index: usize) -> &[f32] {
        assert!(
            self.rows.get(index) == Some(&true),
            "entry {index} of the last batch has no logits"
        );
        let length = self.model.vocabulary_tokens as usize;
        // SAFETY: the row was asked for and computed (asserted above), so the library returns a row of
        // `length` floats that stays where it is until the next batch, which needs `&mut self`.
        unsafe {
            let row = sys::llama_get_logits_ith(self.pointer.as_ptr(), index as i32);
            assert!(!row.is_null(), "the library lost row {index}");
            std::slice::from_raw_parts(row, length)
        }
    }

    /// The pooled output of a sequence of the last batch, `length` floats; `None` when there is none.
    pub fn pooled(&self, sequence: SequenceId, length: u32) -> Option<&[f32]> {
        if !self.pooled || self.rows.is_empty() || sequence >= self.sequences_max {
            return None;
        }
        // SAFETY: pooled contexts keep one vector per sequence of the last batch, of the model's output width (or
        // its ranking outputs), until the next batch, which needs `&mut self`; null when the sequence was not in it.
        unsafe {
            let row =
                sys::llama_get_embeddings_seq(self.pointer.as_ptr(), sequence as sys::llama_seq_id);
            (!row.is_null()).then(|| std::slice::from_raw_parts(row, length as usize))
        }
    }

    /// Shares positions `[0, end)` of one sequence with another.
    pub fn share(&mut self, from: SequenceId, to: SequenceId, end: u32) {
        assert!(from < self.sequences_max && to < self.sequences_max);
        if let Some(memory) = self.memory() {
            // SAFETY: both ids are below the context's number of sequences.
            unsafe {
                sys::llama_memory_seq_cp(memory, from as i32, to as i32, 0, position(end));
            }
        }
    }

    /// Removes positions `[start, ∞)` of a sequence; false when the cache cannot.
    pub fn truncate(&mut self, sequence: SequenceId, start: u32) -> bool {
        assert!(sequence < self.sequences_max);
        let Some(memory) = self.memory() else {
            return true;
        };
        // SAFETY: the id is below the context's number of sequences; -1 means to the end.
        unsafe { sys::llama_memory_seq_rm(memory, sequence as i32, position(start), -1) }
    }

    /// The computed state of a sequence; `None` when there is none.
    pub fn save(&mut self, sequence: SequenceId) -> Option<Vec<u8>> {
        assert!(sequence < self.sequences_max);
        self.memory()?;
        // SAFETY: the id is below the context's number of sequences.
        let size = unsafe { sys::llama_state_seq_get_size(self.pointer.as_ptr(), sequence as i32) };
        let mut state = vec![0_u8; size];
        // SAFETY: the buffer has the size that was just asked for, and nothing was computed since.
        let written = unsafe {
            sys::llama_state_seq_get_data(
                self.pointer.as_ptr(),
                state.as_mut_ptr(),
                state.len(),
                sequence as i32,
            )
        };
        (written == size && size > 0).then_some(state)
    }

    /// Fills an empty sequence with a state that `save` gave; false when there was no room.
    pub fn restore(&mut self, sequence: SequenceId, state: &[u8]) -> bool {
        assert!(sequence < self.sequences_max);
        if self.memory().is_none() {
            return false;
        }
        // SAFETY: the bytes are those of `save` of this very context (states never leave the process), and the id is
        // below the context's number of sequences.
        let read = unsafe {
            sys::llama_state_seq_set_data(
                self.pointer.as_ptr(),
                state.as_ptr(),
                state.len(),
                sequence as i32,
            )
        };
        if read != state.len() {
            self.truncate(sequence, 0);
            return false;
        }
        true
    }

    /// Empties the cache. The data is left: no cell refers to it any more.
    pub fn clear(&mut self) {
        if let Some(memory) = self.memory() {
            // SAFETY: the cache of a live context.
            unsafe { sys::llama_memory_clear(memory, false) };
        }
    }
}

/// Positions are far below `i32::MAX`; one that is not would mean "to the end", so it is cut to the largest.
fn position(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// The arrays of one batch, kept from call to call.
#[derive(Default)]
struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    sequence_counts: Vec<i32>,
    sequences: Vec<sys::llama_seq_id>,
    sequence_pointers: Vec<*mut sys::llama_seq_id>,
    outputs: Vec<i8>,
}

impl Batch {
    /// Fills the arrays and returns pointers into them, valid until the next call or move of `self`.
    fn fill(&mut self, entries: &[BatchEntry]) -> sys::llama_batch {
        self.tokens.clear();
        self.positions.clear();
        self.sequence_counts.clear();
        self.sequences.clear();
        self.sequence_pointers.clear();
        self.outputs.clear();
        for entry in entries {
            self.tokens.push(position(entry.token));
            self.positions.push(position(entry.position));
            self.sequence_counts.push(1);
            self.sequences.push(position(entry.sequence));
            self.outputs.push(i8::from(entry.wants_logits));
        }
        // Only now, when `sequences` does not grow any more, its elements have their place.
        for sequence in &mut self.sequences {
            self.sequence_pointers.push(sequence);
        }
        sys::llama_batch {
            n_tokens: entries.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.sequence_counts.as_mut_ptr(),
            seq_id: self.sequence_pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
