//! Converts a safetensors checkpoint directory to one GGUF file: BERT encoders and Llama-family decoders.
//!
//! Called by `fornax convert` and `make models`. The output appears under its name only when it is complete, and holds
//! every tensor of the checkpoint or the conversion fails: a tensor that is missing, superfluous or of another shape
//! than the configuration says means that the model would not compute what it was trained to.

mod bert;
mod blueprint;
mod byte_pair;
mod decoder;
mod error;
mod source;
mod tokens;
mod wordpiece;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use platform::files::AtomicFile;

use super::gguf::Pooling;
use super::gguf::types::keys;
use super::gguf_writer::{GgufStream, PlannedTensor};
use super::quantize::{WeightType, quantize};
use super::safetensors::TensorView;
use blueprint::{Blueprint, Origin, Part, Precision, RowOrder};
pub use error::ConvertError;
use source::{Checkpoint, Config};

/// Rows are converted in pieces of about this many bytes of f32, so that memory does not grow with the model.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Permission bits of the output; model files hold no secrets.
const OUTPUT_MODE: u32 = 0o644;

/// What to convert, and into what.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The checkpoint's directory: `config.json`, `model.safetensors` (or its index), `tokenizer.json`, ...
    pub source: PathBuf,
    /// The GGUF file to write; an existing one is replaced.
    pub output: PathBuf,
    /// How matrices are stored. Vectors stay F32; rows that are not a multiple of 32 fall back to F16, with a note.
    pub weight_type: WeightType,
    /// `general.name`, instead of the one found.
    pub name: Option<String>,
    /// Pooling of an encoder, instead of the one configured.
    pub pooling: Option<Pooling>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertSummary {
    /// `bert`, `llama`, `qwen2`.
    pub architecture: String,
    /// `general.name`.
    pub name: String,
    /// How most matrices are stored.
    pub weight_type: WeightType,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Number of tensors.
    pub tensors: usize,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Whether embeddings are meant to be scaled to length one.
    pub normalize: bool,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
}

/// Converts a checkpoint. `progress` hears the bytes of tensor data written so far and their total.
///
/// # Errors
/// [`ConvertError`], naming the file and the field or tensor at fault. No output is left behind.
pub fn convert(
    options: &ConvertOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ConvertSummary, ConvertError> {
    let checkpoint = Checkpoint::open(&options.source)?;
    let config = checkpoint.required_json(
        source::CONFIG_FILE,
        "the architecture and dimensions are read from it",
    )?;
    let mut blueprint = draw(&checkpoint, &Config(config), options)?;
    let name = options
        .name
        .clone()
        .or_else(|| checkpoint.directory_name())
        .unwrap_or_else(|| blueprint.architecture.to_owned());
    let mut plan = crate::files::gguf_writer::GgufPlan::new();
    plan.set(keys::ARCHITECTURE, blueprint.architecture);
    plan.set(keys::NAME, name.as_str());
    plan.set(keys::FILE_TYPE, options.weight_type.file_type());
    plan.set(keys::QUANTIZATION_VERSION, 2_u32);
    plan.extend(std::mem::take(&mut blueprint.plan));
    let stored: Vec<WeightType> = blueprint
        .parts
        .iter()
        .map(|part| stored_type(part, options.weight_type, &mut blueprint.notes))
        .collect();
    for (part, kind) in blueprint.parts.iter().zip(&stored) {
        plan.add(PlannedTensor {
            name: part.target.clone(),
            dimensions: part.shape.iter().rev().copied().collect(),
            kind: kind.tensor_type(),
        });
    }
    let parameters = blueprint
        .parts
        .iter()
        .map(|part| part.shape.iter().product::<u64>())
        .sum();
    let failed = |error| ConvertError::Io {
        path: options.output.clone(),
        error,
    };
    let output = AtomicFile::create(&options.output, OUTPUT_MODE).map_err(failed)?;
    let mut stream = plan.start(BufWriter::new(output))?;
    let bytes_of = |(part, kind): (&Part, &WeightType)| {
        let blocks = part.shape.iter().product::<u64>() / kind.block_elements() as u64;
        blocks * kind.block_bytes() as u64
    };
    let total = blueprint.parts.iter().zip(&stored).map(bytes_of).sum();
    let mut written = 0;
    for (part, kind) in blueprint.parts.iter().zip(&stored) {
        write_part(&mut stream, &checkpoint, part, *kind)?;
        written += bytes_of((part, kind));
        progress(written, total);
    }
    let (buffer, file_bytes) = stream.finish()?;
    let output = buffer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    output.commit().map_err(failed)?;
    Ok(ConvertSummary {
        architecture: blueprint.architecture.to_owned(),
        name,
        weight_type: options.weight_type,
        parameters,
        tensors: blueprint.parts.len(),
        file_bytes,
        normalize: blueprint.normalize,
        notes: blueprint.notes,
    })
}

/// The blueprint of the family that `config.json` names.
fn draw(
    checkpoint: &Checkpoint,
    config: &Config,
    options: &ConvertOptions,
) -> Result<Blueprint, ConvertError> {
    let found = config.text("model_type").unwrap_or("unknown");
    let decoder = |architecture| -> Result<Blueprint, ConvertError> {
        let mut blueprint = decoder::blueprint(checkpoint, config, architecture)?;
        byte_pair::add(
            &mut blueprint,
            checkpoint,
            config,
            config.count("vocab_size")?,
        )?;
        Ok(blueprint)
    };
    match found {
        "bert" => {
            let mut blueprint = bert::blueprint(checkpoint, config, options)?;
            wordpiece::add(&mut blueprint, checkpoint, config.count("vocab_size")?)?;
            Ok(blueprint)
        }
        "llama" | "mistral" => decoder("llama"),
        "qwen2" => decoder("qwen2"),
        other => Err(ConvertError::Architecture {
            found: other.to_owned(),
        }),
    }
}

/// How `part` is stored when `asked` is asked for.
fn stored_type(part: &Part, asked: WeightType, notes: &mut Vec<String>) -> WeightType {
    let wanted = match (part.precision, asked) {
        (Precision::Full, _) => return WeightType::F32,
        (Precision::Output, WeightType::Q4_0) => WeightType::Q8_0,
        _ => asked,
    };
    let row = part.shape.last().copied().unwrap_or(1);
    if row.is_multiple_of(wanted.block_elements() as u64) {
        return wanted;
    }
    notes.push(format!(
        "{} is stored as F16: its rows of {row} are not a multiple of {}",
        part.target,
        wanted.block_elements()
    ));
    WeightType::F16
}

fn write_part<W: Write>(
    stream: &mut GgufStream<W>,
    checkpoint: &Checkpoint,
    part: &Part,
    kind: WeightType,
) -> Result<(), ConvertError> {
    match &part.origin {
        Origin::Values(values) => {
            let mut bytes = Vec::new();
            quantize(values, kind, &mut bytes)
                .map_err(|error| ConvertError::quantize(&part.target, &error))?;
            stream.write(&part.target, &bytes)?;
            Ok(())
        }
        Origin::File { name, order } => {
            let view = checkpoint
                .tensor(name)
                .ok_or_else(|| ConvertError::tensor(name, "is missing from the weights"))?;
            write_rows(stream, view, *order, part, kind)
        }
    }
}

fn write_rows<W: Write>(
    stream: &mut GgufStream<W>,
    view: TensorView<'_>,
    order: RowOrder,
    part: &Part,
    kind: WeightType,
) -> Result<(), ConvertError> {
    let name = &view.info().name;
    let unreadable =
        |error: crate::files::error::FileError| ConvertError::tensor(name, error.to_string());
    // A vector's elements are its rows as far as the order of rows is concerned.
    if part.shape.len() == 1 {
        let values = view.to_f32().map_err(unreadable)?;
        let ordered: Vec<f32> = (0..values.len())
            .map(|index| values[order.source_row(index, values.len())])
            .collect();
        let mut bytes = Vec::new();
        quantize(&ordered, kind, &mut bytes)
            .map_err(|error| ConvertError::quantize(name, &error))?;
        stream.write(&part.target, &bytes)?;
        return Ok(());
    }
    let (rows, columns) = (view.rows(), view.columns());
    let rows_per_piece = (PIECE_BYTES / (columns * size_of::<f32>())).max(1);
    let (mut row, mut piece, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 0;
    while next < rows {
        let end = (next + rows_per_piece).min(rows);
        piece.clear();
        bytes.clear();
        for index in next..end {
            view.read_row(order.source_row(index, rows), &mut row)
                .map_err(unreadable)?;
            piece.extend_from_slice(&row);
        }
        quantize(&piece, kind, &mut bytes).map_err(|error| ConvertError::quantize(name, &error))?;
        stream.write(&part.target, &bytes)?;
        next = end;
    }
    Ok(())
}
