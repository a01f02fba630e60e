//! Writes one ONNX file per kind of model, with inputs and outputs beside it as JSON, for `testdata/check_onnx.py`.
//!
//! Usage: `export_onnx DIRECTORY`

use std::path::Path;

use physics::device::Compute;
use physics::model::{Inputs, Precision};
use physics::{ModelConfig, Processor, ScienceModel};

const CONFIGS: [&str; 7] = [
    r#"{"type":"wave"}"#,
    r#"{"type":"wave","dimensions":5}"#,
    r#"{"type":"ensemble","dimensions":3,"n_waves":8}"#,
    r#"{"type":"interference","dimensions":2,"num_fields":8,"out_features":3}"#,
    r#"{"type":"string_network","num_layers":4,"use_batch_norm":true}"#,
    r#"{"type":"siren"}"#,
    r#"{"type":"fourier_features"}"#,
];
const ROWS: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("a directory is needed")?;
    let compute = Compute::on_processor(Processor::single());
    for (index, config) in CONFIGS.iter().enumerate() {
        let config: ModelConfig = serde_json::from_str(config)?;
        let mut model = ScienceModel::create(config, 11)?;
        // Statistics that are not 0 and 1, so that the normalisation has something to do.
        for parameter in model.parameters() {
            if !parameter.trained && parameter.name.contains("running") {
                let moved: Vec<f64> = (0..parameter.values.len())
                    .map(|index| 0.5 + 0.01 * index as f64)
                    .collect();
                model = model.with_parameter(&parameter.name, &moved)?;
            }
        }
        let rows: Vec<f64> = (0..ROWS * model.inputs())
            .map(|index| f64::from((index as f32 * 0.61).sin()))
            .collect();
        let precision = Precision::Single;
        let output = model.evaluate(&compute, precision, Inputs::Rows(&rows))?;
        let name = format!("{index}-{}", model.config().kind());
        let path = Path::new(&directory).join(&name);
        platform::files::write_atomic(&path.with_extension("onnx"), &model.to_onnx(), 0o644)?;
        let text =
            serde_json::json!({"width": model.inputs(), "inputs": rows, "output": output.values});
        platform::files::write_atomic(
            &path.with_extension("json"),
            text.to_string().as_bytes(),
            0o644,
        )?;
    }
    Ok(())
}
