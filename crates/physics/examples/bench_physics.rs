//! Times the science models, for `bench/physics/bench.py`, and trains the rows of its comparison table.
//!
//! Usage: `bench_physics speed THREADS` or `bench_physics training`; one JSON object on standard output.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use physics::device::Compute;
use physics::network::{Perceptron, StringNetworkOptions};
use physics::strings::Vibration;
use physics::training::{Data, DataSet, Restarts, Silent, Trainable, TrainingOptions, train};
use physics::waves::{Coordinates, Ensemble, Wave, single};
use physics::{ModelConfig, Processor, ScienceModel};
use serde_json::{Map, Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCHES: [usize; 5] = [1, 16, 256, 4_096, 65_536];
const MODES: [usize; 4] = [10, 100, 1_000, 65_536];
const STEP_ROWS: [usize; 2] = [256, 4_096];
/// Rows whose outputs are compared with the peer's before anything is timed.
const CHECKED: usize = 64;
/// Each figure is the median of what fits into this time, at least [`RUNS_MIN`] runs.
const TIME: Duration = Duration::from_millis(150);
const RUNS_MIN: usize = 7;
const SEED: u64 = 7;

/// The median time of one run, microseconds, after a fifth of the time to warm up.
fn time(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    while start.elapsed() < TIME / 5 {
        run();
    }
    let start = Instant::now();
    let mut runs = Vec::new();
    while start.elapsed() < TIME || runs.len() < RUNS_MIN {
        let one = Instant::now();
        run();
        runs.push(one.elapsed().as_secs_f64() * 1e6);
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// The same inputs as the peer makes: `sin(0.37 i)`, times 3.
fn inputs(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i as f64 * 0.37).sin() * 3.0) as f32)
        .collect()
}

/// Columns of the inputs, one per coordinate.
fn columns(count: usize, rows: usize) -> Vec<Vec<f32>> {
    let all = inputs(count * rows);
    all.chunks_exact(rows).map(<[f32]>::to_vec).collect()
}

fn figures(times: impl IntoIterator<Item = (usize, f64)>) -> Value {
    let rows = times
        .into_iter()
        .map(|(load, time)| (load.to_string(), json!({"p50_us": time})));
    Value::Object(rows.collect())
}

/// Times of waves at every batch, and what the peer needs to make the same ones.
fn waves(name: &str, processor: Processor, ensemble: &Ensemble) -> Outcome<(Value, Value)> {
    let width = ensemble.layout().dimensions() + 1;
    let mut times = Vec::new();
    for rows in BATCHES {
        let columns = columns(width, rows);
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let points = Coordinates::new(ensemble.layout(), columns)?;
        ensemble.evaluate_single(processor, &points)?;
        times.push((
            rows,
            time(|| {
                black_box(ensemble.evaluate_single(processor, black_box(&points)).ok());
            }),
        ));
    }
    let columns = columns(width, CHECKED);
    let columns = columns.iter().map(Vec::as_slice).collect();
    let checked =
        ensemble.evaluate_single(processor, &Coordinates::new(ensemble.layout(), columns)?)?;
    let model = json!({"name": name, "dimensions": width - 1, "waves": ensemble.waves(),
        "parameters": ensemble.parameters(), "outputs": checked});
    Ok((figures(times), model))
}

fn wave(processor: Processor) -> Outcome<(Value, Value)> {
    let wave = Wave::seeded(1, SEED)?;
    let mut times = Vec::new();
    let mut checked = Vec::new();
    for rows in [CHECKED].into_iter().chain(BATCHES) {
        let columns = columns(2, rows);
        let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        let points = Coordinates::new(wave.layout(), columns)?;
        let values = wave.evaluate_single(processor, &points)?;
        if rows == CHECKED {
            checked = values;
            continue;
        }
        times.push((
            rows,
            time(|| {
                black_box(wave.evaluate_single(processor, black_box(&points)).ok());
            }),
        ));
    }
    let parameters = [wave.parameters(), &[1.0, 0.0]].concat();
    let model = json!({"name": "wave 1D", "dimensions": 1, "waves": 1, "parameters": parameters, "outputs": checked});
    Ok((figures(times), model))
}

fn network(
    name: &str,
    processor: Processor,
    options: &StringNetworkOptions,
) -> Outcome<(Value, Value)> {
    let network = Perceptron::seeded(options.shape(), SEED)?;
    let width = options.dimensions;
    let mut times = Vec::new();
    for rows in BATCHES {
        let rows_in = inputs(rows * width);
        network.evaluate(processor, &rows_in)?;
        times.push((
            rows,
            time(|| {
                black_box(network.evaluate(processor, black_box(&rows_in)).ok());
            }),
        ));
    }
    let model = json!({"name": name, "dimensions": width, "hidden": options.hidden, "layers": options.layers,
        "batch_norm": options.batch_norm, "parameters": network.parameters(),
        "outputs": network.evaluate(processor, &inputs(CHECKED * width))?});
    Ok((figures(times), model))
}

/// The time of one step of Adam on all rows, at two sizes.
fn steps<M: Trainable>(processor: Processor, model: &mut M, width: usize) -> Outcome<Value> {
    let mut times = Vec::new();
    let cancelled = AtomicBool::new(false);
    for rows in STEP_ROWS {
        let data = Data::new(columns(width, rows), inputs(rows))?;
        let epochs = 200;
        let options = TrainingOptions {
            epochs,
            learning_rate: 1e-3,
            ..TrainingOptions::default()
        };
        let again = |_| Err(physics::PhysicsError::Empty { field: "model" });
        let start = Instant::now();
        train(
            model,
            &data,
            &options,
            &again,
            (processor, &cancelled, &mut Silent),
            None,
        )?;
        times.push((rows, start.elapsed().as_secs_f64() * 1e6 / epochs as f64));
    }
    Ok(figures(times))
}

fn speed(threads: usize) -> Outcome<Value> {
    let processor = Processor::new(threads);
    let mut results = Map::new();
    let mut models = Vec::new();
    let mut keep = |name: &str, (times, model): (Value, Value)| {
        results.insert(name.to_owned(), times);
        models.push(model);
    };
    keep("wave 1D", wave(processor)?);
    for (name, dimensions, count) in [
        ("ensemble 1D, 16 waves", 1, 16),
        ("ensemble 6D, 6 waves", 5, 6),
    ] {
        let ensemble = Ensemble::seeded(dimensions, count, SEED)?;
        keep(name, waves(name, processor, &ensemble)?);
    }
    let plain = StringNetworkOptions::default();
    keep(
        "network 10-64-64-1",
        network("network 10-64-64-1", processor, &plain)?,
    );
    let deep = StringNetworkOptions {
        hidden: 128,
        layers: 5,
        batch_norm: true,
        ..plain.clone()
    };
    keep(
        "network 10-5x128-1, normalised",
        network("network 10-5x128-1, normalised", processor, &deep)?,
    );
    let fused = BATCHES.map(|rows| {
        let x = inputs(rows);
        (
            rows,
            time(|| {
                black_box(single::fused(processor, 0.5, black_box(&x)).ok());
            }),
        )
    });
    results.insert("fused sine".to_owned(), figures(fused));
    let string = Vibration::default();
    let spectrum = MODES.map(|modes| {
        (
            modes,
            time(|| {
                black_box(string.spectrum(black_box(modes)).ok());
            }),
        )
    });
    results.insert("spectrum, by modes".to_owned(), figures(spectrum));
    let mut ensemble = Ensemble::seeded(1, 8, SEED)?;
    results.insert(
        "training step, ensemble of 8".to_owned(),
        steps(processor, &mut ensemble, 2)?,
    );
    let mut network = Perceptron::seeded(plain.shape(), SEED)?;
    results.insert(
        "training step, network 10-64-64-1".to_owned(),
        steps(processor, &mut network, 10)?,
    );
    Ok(json!({"results": results, "models": models}))
}

/// Every model of the comparison on the travelling chirp, by the same trainer: the best of three learning rates each.
fn training() -> Outcome<Value> {
    let data = DataSet::TravellingChirp.generate();
    let compute = Compute::on_processor(Processor::all());
    let mut table = Map::new();
    for (name, config, restarts) in [
        (
            "ensemble, 8 waves",
            r#"{"type":"ensemble","n_waves":8}"#,
            true,
        ),
        (
            "interference basis, 8 fields",
            r#"{"type":"interference"}"#,
            false,
        ),
        ("SIREN 2-6-6-1", r#"{"type":"siren","hidden_size":6}"#, true),
        (
            "random Fourier features, 36",
            r#"{"type":"fourier_features","features":36}"#,
            true,
        ),
        (
            "SIREN 2-64-64-1",
            r#"{"type":"siren","hidden_size":64}"#,
            false,
        ),
        (
            "random Fourier features, 256",
            r#"{"type":"fourier_features"}"#,
            false,
        ),
    ] {
        let config: ModelConfig = serde_json::from_str(config)?;
        let thorough = TrainingOptions::thorough();
        let mut best: Option<(f64, Value)> = None;
        for learning_rate in [1e-3, 1e-2, 5e-2] {
            let options = TrainingOptions {
                learning_rate,
                // Models that cost more per epoch start once; the table says so.
                restarts: thorough.restarts.filter(|_| restarts),
                ..thorough.clone()
            };
            let mut model = ScienceModel::create(config.clone(), 1)?;
            let start = Instant::now();
            let cancelled = AtomicBool::new(false);
            let trained = model.train(&compute, &data, &options, &cancelled, &mut Silent, None);
            let Ok((report, _)) = trained else { continue };
            let row = json!({"parameters": model.parameter_count(), "final_loss": report.final_loss,
                "learning_rate": learning_rate, "starts": options.restarts.map_or(1, |one: Restarts| one.count),
                "epochs": report.epochs, "seconds": start.elapsed().as_secs_f64()});
            if best
                .as_ref()
                .is_none_or(|(loss, _)| report.final_loss < *loss)
            {
                best = Some((report.final_loss, row));
            }
        }
        if let Some((_, row)) = best {
            table.insert(name.to_owned(), row);
        }
    }
    Ok(Value::Object(table))
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["speed", threads] => speed(threads.parse()?)?,
        ["training"] => training()?,
        _ => return Err("usage: bench_physics speed THREADS | training".into()),
    };
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}
