use std::sync::atomic::AtomicBool;

use super::*;
use crate::device::{Compute, Device};
use crate::processor::Processor;
use crate::training::{DataSet, Ending, Silent, TrainingOptions};

fn config(text: &str) -> ModelConfig {
    serde_json::from_str(text).expect("configuration")
}

fn compute() -> Compute {
    Compute::on_processor(Processor::single())
}

/// One small model of every kind.
fn models() -> Vec<ScienceModel> {
    [
        r#"{"type":"wave"}"#,
        r#"{"type":"wave","dimensions":5}"#,
        r#"{"type":"ensemble","dimensions":3,"n_waves":4}"#,
        r#"{"type":"interference","dimensions":2,"num_fields":3,"out_features":2}"#,
        r#"{"type":"string_network","hidden_size":8,"num_layers":3,"use_batch_norm":true}"#,
        r#"{"type":"siren","hidden_size":8}"#,
        r#"{"type":"fourier_features","features":6}"#,
    ]
    .map(|text| ScienceModel::create(config(text), 7).expect("model"))
    .into()
}

#[test]
fn defaults_are_the_published_sizes() {
    let count = |text: &str| {
        ScienceModel::create(config(text), 1)
            .expect("model")
            .parameter_count()
    };
    assert_eq!(count(r#"{"type":"wave"}"#), 8);
    assert_eq!(count(r#"{"type":"ensemble"}"#), 145);
    assert_eq!(count(r#"{"type":"interference"}"#), 66);
    assert_eq!(count(r#"{"type":"string_network"}"#), 4_929);
    let wrong = r#"{"type":"ensemble","waves":3}"#;
    assert!(serde_json::from_str::<ModelConfig>(wrong).is_err());
    assert!(ScienceModel::create(config(r#"{"type":"ensemble","n_waves":0}"#), 1).is_err());
}

#[test]
fn compatible_names_make_the_models_they_mean() {
    let compatible = |name: &str, config: &str| {
        let config = serde_json::from_str(config).expect("object");
        ModelConfig::compatible(name, &config)
    };
    let count = |name: &str, config: &str| {
        ScienceModel::create(compatible(name, config).expect("configuration"), 1)
            .expect("model")
            .parameter_count()
    };
    assert_eq!(count("quasimoto_1d", "{}"), 8);
    assert_eq!(count("quasimoto_4d", "{}"), 14);
    assert_eq!(count("quasimoto_6d", "{}"), 20);
    assert_eq!(count("quasimoto_ensemble", r#"{"n_waves":8}"#), 73);
    let deep = r#"{"hidden_size":128,"num_layers":5,"use_batch_norm":true}"#;
    assert_eq!(count("string_theory", deep), 68_865);
    assert_eq!(count("string_theory", r#"{"num_layers":15}"#), 38_209);
    assert!(compatible("quasimoto_2d", "{}").is_err());
    assert!(compatible("quasimoto_ensemble", r#"{"n_waves":-1}"#).is_err());
}

#[test]
fn stored_models_come_back_the_same() {
    for model in models() {
        let bytes = model.to_bytes();
        let back = ScienceModel::from_bytes(&bytes).expect("model");
        assert_eq!(back, model);
        assert_eq!(back.digest(), model.digest());
        assert_eq!(bytes, back.to_bytes());
        let other = ScienceModel::create(model.config().clone(), 8).expect("model");
        assert_ne!(other.digest(), model.digest());
    }
}

#[test]
fn damaged_files_are_refused() {
    for model in models() {
        let bytes = model.to_bytes();
        for length in [0, 7, 8, 40, bytes.len() - 1] {
            assert!(ScienceModel::from_bytes(&bytes[..length]).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(ScienceModel::from_bytes(&longer).is_err());
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(ScienceModel::from_bytes(&huge).is_err());
        let mut not_a_number = bytes.clone();
        let end = not_a_number.len();
        not_a_number[end - 8..].fill(0xff);
        assert!(ScienceModel::from_bytes(&not_a_number).is_err());
        // Every changed byte of the header is refused or gives another valid model; none panics.
        for index in 8..bytes.len().min(1_200) {
            let mut changed = bytes.clone();
            changed[index] ^= 0x15;
            let _ = ScienceModel::from_bytes(&changed);
        }
    }
    let model = &models()[0];
    let text = String::from_utf8_lossy(&model.to_bytes()).into_owned();
    assert!(text.contains("data_offsets") && text.contains("lmbda"));
}

#[test]
fn columns_rows_and_precisions_agree() {
    let compute = &compute();
    for model in models() {
        let names = model.input_names();
        assert_eq!(names.len(), model.inputs());
        let columns: Vec<Vec<f64>> = (0..names.len())
            .map(|column| {
                (0..5)
                    .map(|row| f64::from(((column * 5 + row) as f32 * 0.7).sin()))
                    .collect()
            })
            .collect();
        let named: Vec<(&str, &[f64])> = names
            .iter()
            .map(String::as_str)
            .zip(columns.iter().map(Vec::as_slice))
            .collect();
        let rows: Vec<f64> = (0..5)
            .flat_map(|row| columns.iter().map(move |c| c[row]))
            .collect();
        let narrow: Vec<f32> = rows.iter().map(|one| *one as f32).collect();
        let run = |inputs| {
            model
                .evaluate(compute, Precision::Single, inputs)
                .expect("output")
        };
        let output = run(Inputs::Columns(&named));
        assert_eq!(output.shape[0], 5);
        assert_eq!(output.values.len(), output.shape.iter().product::<usize>());
        assert_eq!(output, run(Inputs::Rows(&rows)));
        assert_eq!(output, run(Inputs::RowsSingle(&narrow)));
        match model.evaluate(compute, Precision::Double, Inputs::Rows(&rows)) {
            Ok(double) => {
                for (one, other) in double.values.iter().zip(&output.values) {
                    assert!((one - other).abs() < 1e-5);
                }
            }
            Err(error) => assert!(matches!(error, PhysicsError::NotSupported { .. })),
        }
        let refused = |inputs| model.evaluate(compute, Precision::Single, inputs).is_err();
        assert!(refused(Inputs::Rows(&rows[1..])));
        assert!(refused(Inputs::Rows(&[])));
        assert!(refused(Inputs::Columns(&[("nobody", &[0.0])])));
        let twice = [named[0], named[0]];
        assert!(refused(Inputs::Columns(&twice)));
    }
}

#[test]
fn parameters_are_listed_and_set_by_name() {
    let model = models().remove(0);
    let names: Vec<String> = model.parameters().into_iter().map(|one| one.name).collect();
    assert_eq!(
        names,
        [
            "A",
            "k",
            "omega",
            "v",
            "log_sigma",
            "phi",
            "epsilon",
            "lmbda"
        ]
    );
    let mut golden = model;
    for (name, value) in [
        ("A", 1.2),
        ("k", 2.0),
        ("omega", 0.5),
        ("v", 0.3),
        ("log_sigma", 0.25),
        ("phi", 0.2),
        ("epsilon", 0.1),
        ("lmbda", 1.5),
    ] {
        golden = golden.with_parameter(name, &[value]).expect("set");
    }
    let golden = ScienceModel::from_bytes(&golden.to_bytes()).expect("model");
    let inputs = Inputs::Columns(&[("x", &[0.7]), ("t", &[0.4])]);
    let output = golden
        .evaluate(&compute(), Precision::Double, inputs)
        .expect("output");
    assert!((output.values[0] - 0.097_052_351_877_960_4).abs() < 1e-12);
    assert_eq!(output.shape, [1]);
    assert!(golden.clone().with_parameter("B", &[1.0]).is_err());
    assert!(golden.clone().with_parameter("A", &[1.0, 2.0]).is_err());
    assert!(golden.with_parameter("A", &[f64::NAN]).is_err());
    let network = &models()[4];
    let fixed: Vec<String> = network
        .parameters()
        .into_iter()
        .filter(|one| !one.trained)
        .map(|one| one.name)
        .collect();
    assert_eq!(fixed[0], "layers.0.norm.running_mean");
    assert_eq!(fixed.len(), 6);
}

#[test]
fn any_model_of_one_output_trains_and_is_stored_trained() {
    let data = DataSet::TravellingChirp.generate();
    let options = TrainingOptions {
        epochs: 25,
        ..TrainingOptions::default()
    };
    for text in [
        r#"{"type":"wave"}"#,
        r#"{"type":"ensemble","n_waves":4}"#,
        r#"{"type":"interference","num_fields":2}"#,
        r#"{"type":"string_network","dimensions":2,"use_batch_norm":true}"#,
        r#"{"type":"siren","hidden_size":8}"#,
        r#"{"type":"fourier_features","features":8,"scale":2.0}"#,
    ] {
        let mut model = ScienceModel::create(config(text), 3).expect("model");
        let before = model.digest();
        let cancelled = AtomicBool::new(false);
        let (report, device) = model
            .train(&compute(), &data, &options, &cancelled, &mut Silent, None)
            .expect("trained");
        assert_eq!(device, Device::Cpu);
        assert!(report.final_loss <= report.initial_loss && report.ending == Ending::Finished);
        assert_ne!(model.digest(), before);
        let back = ScienceModel::from_bytes(&model.to_bytes()).expect("model");
        assert_eq!(back, model);
    }
    let mut several = models().remove(3);
    let cancelled = AtomicBool::new(false);
    let refused = several.train(&compute(), &data, &options, &cancelled, &mut Silent, None);
    assert!(matches!(refused, Err(PhysicsError::NotSupported { .. })));
    let mut wrong = models().remove(1);
    let refused = wrong.train(&compute(), &data, &options, &cancelled, &mut Silent, None);
    assert!(matches!(refused, Err(PhysicsError::Shape { .. })));
}

#[cfg(feature = "accelerator")]
#[test]
fn a_placed_model_computes_and_trains_there_and_says_so() {
    // The framework's own processor device, under the name of another, stands for a graphics processor: what is checked is
    // that the path is taken and agrees.
    let accelerator = crate::accelerator::Accelerator::open(Device::Cpu).expect("device");
    let placed = Compute {
        accelerator: Some((Device::Cuda, accelerator)),
        ..compute()
    };
    let rows: Vec<f64> = (0..60).map(|index| f64::from(index) * 0.1 - 3.0).collect();
    for model in models() {
        let rows = Inputs::Rows(&rows[..60 - 60 % model.inputs()]);
        let there = model
            .evaluate(&placed, Precision::Single, rows)
            .expect("output");
        let here = model
            .evaluate(&compute(), Precision::Single, rows)
            .expect("output");
        let interference = model.config().kind() == "interference";
        assert_eq!(there.device == Device::Cpu, interference);
        assert_eq!(there.shape, here.shape);
        for (one, other) in there.values.iter().zip(&here.values) {
            assert!((one - other).abs() < 1e-5);
        }
    }
    let text = r#"{"type":"string_network","dimensions":2,"use_batch_norm":true}"#;
    let mut model = ScienceModel::create(config(text), 3).expect("model");
    let data = DataSet::TravellingChirp.generate();
    let options = TrainingOptions {
        epochs: 20,
        ..TrainingOptions::default()
    };
    let cancelled = AtomicBool::new(false);
    let (report, device) = model
        .train(&placed, &data, &options, &cancelled, &mut Silent, None)
        .expect("trained");
    assert_eq!(device, Device::Cuda);
    assert!(report.final_loss < report.initial_loss);
}
