//! Lays llama.cpp's libraries beside the executable and makes the executable look for them there, so that
//! `target/<profile>/fornax` starts as it is, and so does a copy of it with `*.so*` and `backends/` beside it, or
//! with both in `../lib/fornax/` as `make install` has it.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Both are absent without the feature `llama`.
    let (Some(libraries), Some(backends), Some(out)) = (
        variable("DEP_FORNAX_INFERENCE_LIBRARIES_DIR"),
        variable("DEP_FORNAX_INFERENCE_BACKENDS_DIR"),
        variable("OUT_DIR"),
    ) else {
        return Ok(());
    };
    println!("cargo:rerun-if-changed={libraries}");
    println!("cargo:rerun-if-changed={backends}");
    // <target>/<profile>/build/fornax-<hash>/out
    let Some(beside) = Path::new(&out).ancestors().nth(3) else {
        return Ok(());
    };
    lay_out(Path::new(&libraries), beside)?;
    let modules = beside.join("backends");
    std::fs::create_dir_all(&modules)?;
    lay_out(Path::new(&backends), &modules)?;
    let origin = if variable("CARGO_CFG_TARGET_OS").as_deref() == Some("macos") {
        "@executable_path"
    } else {
        // The old kind of run path, because the new one does not hold for what the libraries need themselves.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
        "$ORIGIN"
    };
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{origin}");
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{origin}/../lib/fornax");
    // Cargo puts test executables one directory deeper.
    println!("cargo:rustc-link-arg-tests=-Wl,-rpath,{origin}/..");
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells build scripts everything through the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Links (or copies, on another file system) every shared library of a directory under the name that programs ask
/// for: `libllama.so.0`, `libggml-cpu-zen4.so`, `libllama.0.dylib`. Longer versions of the same are left out.
fn lay_out(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let version = text.split_once(".so").map_or("", |(_, version)| version);
        let is_library = text.contains(".so") || text.ends_with(".dylib");
        if !is_library || version.matches('.').count() > 1 {
            continue;
        }
        let source = std::fs::canonicalize(entry.path())?;
        let target = to.join(&name);
        match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
