//! What llama.cpp says while it works: passed on to `tracing`, and kept for errors.
//!
//! The library reports the reason of a failure only through its log callback, and the sizes of its buffers only
//! as log lines. Both are collected per thread, between [`Capture::begin`] and [`Capture::end`], because the
//! library logs on the thread that called it.
#![expect(unsafe_code, reason = "the callback receives a C string")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};

use llama_cpp_sys_2 as sys;

/// Error lines kept for one operation; more would repeat each other.
const ERROR_LINES_MAX: usize = 8;
/// Longest line that is put together from pieces, in bytes.
const LINE_BYTES_MAX: usize = 4096;

thread_local! {
    static CAPTURE: RefCell<Capture> = RefCell::new(Capture::default());
}

/// What the library said on this thread since [`Capture::begin`].
#[derive(Debug, Clone, Default)]
pub(super) struct Capture {
    errors: Vec<String>,
    /// Bytes of weights, key/value cache and compute buffers that were allocated.
    pub weights_bytes: u64,
    pub cache_bytes: u64,
    pub compute_bytes: u64,
    /// The CPU module that was loaded, by its file name.
    pub cpu_module: Option<String>,
    /// The line under construction and its level.
    line: String,
    level: sys::ggml_log_level,
}

impl Capture {
    /// Forgets what this thread has captured so far.
    pub fn begin() {
        CAPTURE.with_borrow_mut(|capture| *capture = Self::default());
    }

    /// Takes what this thread has captured.
    pub fn end() -> Self {
        CAPTURE.with_borrow_mut(std::mem::take)
    }

    /// The errors as one phrase, or `otherwise` when nothing was said.
    pub fn reason(&self, otherwise: &str) -> String {
        if self.errors.is_empty() {
            otherwise.to_owned()
        } else {
            self.errors.join("; ")
        }
    }

    fn push(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.finish_line();
            self.level = level;
        }
        for piece in text.split_inclusive('\n') {
            if self.line.len() + piece.len() <= LINE_BYTES_MAX {
                self.line.push_str(piece);
            }
            if piece.ends_with('\n') {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        // Lines of dots are a progress bar.
        if line.is_empty() || line.bytes().all(|byte| byte == b'.') {
            return;
        }
        match self.level {
            sys::GGML_LOG_LEVEL_ERROR => {
                tracing::warn!(target: "llama", "{line}");
                if self.errors.len() < ERROR_LINES_MAX {
                    self.errors.push(without_function(line).to_owned());
                }
            }
            // The library warns of what it then reports by its return code (a full cache, say).
            sys::GGML_LOG_LEVEL_WARN | sys::GGML_LOG_LEVEL_INFO => {
                tracing::debug!(target: "llama", "{line}");
            }
            _ => tracing::trace!(target: "llama", "{line}"),
        }
        self.read_facts(line);
    }

    /// Reads `NAME model buffer size = 12.34 MiB` and `loaded CPU backend from PATH`.
    fn read_facts(&mut self, line: &str) {
        if let Some((kind, size)) = line.split_once("buffer size =") {
            let mebibytes = size
                .split_whitespace()
                .next()
                .and_then(|number| number.parse::<f64>().ok())
                .unwrap_or(0.0);
            let bytes = (mebibytes * f64::from(1 << 20)) as u64;
            match kind.split_whitespace().last() {
                Some("model") => self.weights_bytes += bytes,
                Some("KV" | "RS" | "state") => self.cache_bytes += bytes,
                _ => self.compute_bytes += bytes,
            }
        } else if let Some((_, path)) = line.split_once("loaded CPU backend from ") {
            let name = std::path::Path::new(path).file_stem();
            self.cpu_module = name.map(|name| name.to_string_lossy().into_owned());
        }
    }
}

/// `llama_model_load: error loading model: REASON` without the name of the C function.
fn without_function(line: &str) -> &str {
    match line.split_once(": ") {
        Some((function, rest)) if !function.contains(char::is_whitespace) => rest,
        _ => line,
    }
}

/// The callback given to the library.
pub(super) unsafe extern "C" fn receive(
    level: sys::ggml_log_level,
    text: *const c_char,
    _: *mut c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: the library passes a string that ends with a zero and lives for the length of this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A panic must not unwind into C++; it can come only from a tracing subscriber, and costs one line.
    let _ = std::panic::catch_unwind(|| {
        // A subscriber that calls the library again on this thread would find the capture borrowed.
        CAPTURE.with(|capture| {
            if let Ok(mut capture) = capture.try_borrow_mut() {
                capture.push(level, &text);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_read() {
        let mut capture = Capture::default();
        capture.push(
            sys::GGML_LOG_LEVEL_INFO,
            "load_tensors:   CPU_Mapped model buffer",
        );
        capture.push(sys::GGML_LOG_LEVEL_CONT, " size =   1.50 MiB\n");
        capture.push(
            sys::GGML_LOG_LEVEL_INFO,
            "load_tensors: CPU_REPACK model buffer size = 0.50 MiB\n",
        );
        capture.push(
            sys::GGML_LOG_LEVEL_INFO,
            "llama_kv_cache:        CPU KV buffer size =     2.00 MiB\n",
        );
        capture.push(
            sys::GGML_LOG_LEVEL_INFO,
            "x:  CPU compute buffer size = 1.00 MiB\n....\n",
        );
        capture.push(
            sys::GGML_LOG_LEVEL_ERROR,
            "gguf_init: bad magic\nllama_model_load: error loading model: no\n",
        );
        assert_eq!(capture.weights_bytes, 2 << 20);
        assert_eq!(capture.cache_bytes, 2 << 20);
        assert_eq!(capture.compute_bytes, 1 << 20);
        assert_eq!(capture.reason(""), "bad magic; error loading model: no");
        assert_eq!(Capture::default().reason("unknown"), "unknown");
    }
}
