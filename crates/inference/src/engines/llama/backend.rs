//! Start of the library, once per process: finds the modules that compute and loads the best one for this machine.
//!
//! llama.cpp is built with one CPU module per instruction set (`libggml-cpu-haswell.so`, `-zen4.so`, ...); the
//! library asks each for a score on this processor and takes the best. The modules lie beside the executable,
//! in `backends/` beside it, in `../lib/fornax/` as installed, or where the build left them.
#![expect(unsafe_code, reason = "calls llama.cpp")]

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use llama_cpp_sys_2 as sys;

use super::log::{self, Capture};
use crate::engine::EngineError;

/// Where the build of this crate left the modules.
const BUILD_DIRECTORY: Option<&str> = option_env!("FORNAX_LLAMA_BACKENDS_DIR");

/// What was started.
#[derive(Debug, Clone)]
struct Started {
    /// File name of the CPU module in use.
    cpu_module: String,
    /// Name and description of every device, the CPU too.
    devices: Vec<String>,
}

static STARTED: OnceLock<Result<Started, String>> = OnceLock::new();

/// Starts the library if it is not yet running.
///
/// # Errors
/// [`EngineError::Load`] when no module fits this machine, with the places that were searched.
pub(super) fn start() -> Result<(), EngineError> {
    started().map(|_| ())
}

fn started() -> Result<&'static Started, EngineError> {
    STARTED
        .get_or_init(initialize)
        .as_ref()
        .map_err(|reason| EngineError::Load {
            reason: reason.clone(),
        })
}

/// The module and devices in use and the instruction sets that they were compiled for, in one line.
///
/// # Errors
/// As [`start`].
pub fn system_info() -> Result<String, EngineError> {
    let started = started()?;
    // SAFETY: returns a pointer to a static string that ends with a zero; the library is started.
    let features = unsafe { CStr::from_ptr(sys::llama_print_system_info()) };
    let features = features.to_string_lossy();
    Ok(format!(
        "{}; {}; {}",
        started.cpu_module,
        started.devices.join(", "),
        features.trim().trim_end_matches('|').trim()
    ))
}

fn initialize() -> Result<Started, String> {
    // SAFETY: the callback is a plain function that lives forever and takes no user data.
    unsafe { sys::llama_log_set(Some(log::receive), std::ptr::null_mut()) };
    let candidates = candidates();
    let directory = candidates
        .iter()
        .find(|directory| has_cpu_module(directory))
        .ok_or_else(|| {
            let searched: Vec<_> = candidates
                .iter()
                .map(|directory| directory.display().to_string())
                .collect();
            format!(
                "no compute module (libggml-cpu-*) lies in any of: {}",
                searched.join(", ")
            )
        })?;
    let path = CString::new(directory.as_os_str().as_encoded_bytes())
        .map_err(|_| "the path of the compute modules contains a zero byte".to_owned())?;
    Capture::begin();
    // SAFETY: `path` ends with a zero and outlives the call, which is made once, before any model is loaded.
    unsafe {
        sys::ggml_backend_load_all_from_path(path.as_ptr());
        sys::llama_backend_init();
    }
    let capture = Capture::end();
    // SAFETY: only reads the registry that was just filled.
    let cpu = unsafe { sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU) };
    if cpu.is_null() {
        return Err(format!(
            "no compute module in {} runs on this processor: {}",
            directory.display(),
            capture.reason("none scored")
        ));
    }
    Ok(Started {
        cpu_module: capture.cpu_module.unwrap_or_else(|| "cpu".to_owned()),
        devices: devices(),
    })
}

/// Name and description of every registered device.
fn devices() -> Vec<String> {
    // SAFETY: the registry does not change after `initialize`; indexes are below the count; both strings are
    // owned by the device and end with a zero.
    unsafe {
        (0..sys::ggml_backend_dev_count())
            .map(|index| {
                let device = sys::ggml_backend_dev_get(index);
                let name = CStr::from_ptr(sys::ggml_backend_dev_name(device));
                let description = CStr::from_ptr(sys::ggml_backend_dev_description(device));
                format!(
                    "{} ({})",
                    name.to_string_lossy(),
                    description.to_string_lossy().trim()
                )
            })
            .collect()
    }
}

/// Directories that may hold the modules, best first.
fn candidates() -> Vec<PathBuf> {
    let executable = std::env::current_exe().and_then(std::fs::canonicalize);
    let beside = executable
        .ok()
        .and_then(|executable| executable.parent().map(Path::to_path_buf));
    let mut candidates = Vec::new();
    if let Some(beside) = beside {
        candidates.push(beside.join("backends"));
        candidates.push(beside.join("../lib/fornax"));
        candidates.push(beside);
    }
    candidates.extend(BUILD_DIRECTORY.map(PathBuf::from));
    candidates
}

fn has_cpu_module(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.trim_start_matches("lib").starts_with("ggml-cpu")
    })
}
