//! `convert`: safetensors to GGUF.

use anyhow::Context as _;
use inference::files::convert::{ConvertOptions, convert as write};
use inference::files::quantize::WeightType;

use super::Context;
use super::args::ConvertArguments;
use super::output::{bytes, error_line, parameters, print, printable};
use super::pull::byte_bar;
use crate::exit::{Ended, Exit};

/// `fornax convert`. Uses no data directory: it goes from files to a file.
pub fn convert(_context: &Context, arguments: &ConvertArguments) -> anyhow::Result<()> {
    let weight_type = WeightType::parse(&arguments.quantization).ok_or_else(|| {
        let known: Vec<String> = WeightType::ALL
            .iter()
            .map(|kind| kind.as_str().to_lowercase())
            .collect();
        Ended::error(
            Exit::Usage,
            format!(
                "--quantization {}: use one of {}",
                arguments.quantization,
                known.join(", ")
            ),
        )
    })?;
    let options = ConvertOptions {
        source: arguments.source.clone(),
        output: arguments.target.clone(),
        weight_type,
        name: arguments.name.clone(),
        pooling: None,
    };
    let bar = byte_bar();
    bar.set_message("converting");
    let summary = write(&options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let summary =
        summary.with_context(|| format!("could not convert {}", arguments.source.display()))?;
    for note in &summary.notes {
        error_line(&format!("note: {}", printable(note)));
    }
    print(&format!(
        "{}: {} ({}), {} parameters in {} tensors, {}, {}\n",
        arguments.target.display(),
        printable(&summary.name),
        summary.architecture,
        parameters(summary.parameters),
        summary.tensors,
        summary.weight_type.as_str(),
        bytes(summary.file_bytes)
    ))
}
