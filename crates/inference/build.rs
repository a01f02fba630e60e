//! Generates the runner protocol from `proto/runner.proto`, without a system protoc, and passes on where the build of
//! llama.cpp left its libraries.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto/runner.proto");
    let descriptors = protox::compile(["proto/runner.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    pass_on_llama();
    Ok(())
}

/// The modules that compute are loaded at run time: their directory becomes the last place that the engine looks at
/// (`FORNAX_LLAMA_BACKENDS_DIR`), and both directories go on to `fornax`, which lays the files beside its executable.
fn pass_on_llama() {
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells build scripts what their dependencies left through the environment"
    )]
    let backends = std::env::var("DEP_LLAMA_BACKENDS_DIR");
    let Ok(backends) = backends else {
        return;
    };
    println!("cargo:rustc-env=FORNAX_LLAMA_BACKENDS_DIR={backends}");
    println!("cargo:backends_dir={backends}");
    let libraries = ["lib", "lib64"]
        .iter()
        .filter_map(|name| Some(Path::new(&backends).parent()?.join(name)))
        .find(|directory| directory.is_dir());
    if let Some(libraries) = libraries {
        let libraries = libraries.display();
        println!("cargo:libraries_dir={libraries}");
        // The old kind of run path, because the new one does not hold for what the libraries need themselves.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libraries},--disable-new-dtags");
    }
}
