//! Arguments of `science`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// Commands about science models.
#[derive(Debug, Subcommand)]
pub enum ScienceCommand {
    /// Train a model, made first if there is none of this name; Ctrl-C ends early and keeps what was learnt
    Train(TrainArguments),
    /// Evaluate a model at points; prints JSON
    Infer {
        /// Its name
        model: String,
        /// Columns by name, as JSON; columns of one value hold for every point, missing ones are 0
        #[arg(long, value_name = "JSON")]
        inputs: String,
        /// Compute in double precision (waves only)
        #[arg(long)]
        double: bool,
    },
    /// Print a spectrum of the string
    Spectrum(SpectrumArguments),
    /// Train fresh models of every kind on the same data, and compare
    Benchmark(BenchmarkArguments),
    /// Draw a field, a spectrum, a fit or the losses of a training as SVG
    Plot {
        /// What to draw
        #[command(subcommand)]
        what: PlotCommand,
    },
    /// Run a workload with and without the result cache, and report both
    Load(LoadArguments),
}

/// Arguments of `science train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// Its name
    pub model: String,
    /// What to make it from, as JSON, when it does not exist
    #[arg(long, value_name = "JSON", default_value = r#"{"type":"ensemble"}"#)]
    pub from: String,
    /// glitchy-chirp, travelling-chirp, travelling-packet-4d or travelling-packet-6d
    #[arg(long, value_name = "NAME", default_value = "travelling-chirp")]
    pub data: String,
    /// Passes over the data (default: 100; with --thorough 4000)
    #[arg(long, value_name = "COUNT")]
    pub epochs: Option<usize>,
    /// Size of a step (default: 0.01; with --thorough 0.05)
    #[arg(long, value_name = "NUMBER")]
    pub learning_rate: Option<f64>,
    /// Rows per step (default: all)
    #[arg(long, value_name = "COUNT")]
    pub batch_rows: Option<usize>,
    /// Seed of the model and the training
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// Sixteen starting points, a falling rate and clipping
    #[arg(long)]
    pub thorough: bool,
}

/// Which spectrum.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SpectrumKind {
    /// n / 2L: the one that DREDGE computes
    Linear,
    /// Levels of the open bosonic string
    Open,
    /// States of the closed bosonic string with one dimension on a circle
    Closed,
}

/// Arguments of `science spectrum`.
#[derive(Debug, Args)]
pub struct SpectrumArguments {
    /// Which one
    #[arg(long, value_enum, default_value = "linear")]
    pub kind: SpectrumKind,
    /// Modes or levels; for the closed string the highest level
    #[arg(long, value_name = "COUNT")]
    pub modes: Option<usize>,
    /// Dimensions (default: 10 for the linear one, else 26)
    #[arg(long, value_name = "COUNT")]
    pub dimensions: Option<usize>,
    /// Radius of the circle
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    pub radius: f64,
    /// The slope alpha'
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    pub slope: f64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `science benchmark`.
#[derive(Debug, Args)]
pub struct BenchmarkArguments {
    /// As for `train`
    #[arg(long, value_name = "NAME", default_value = "travelling-chirp")]
    pub data: String,
    /// Passes over the data
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub epochs: usize,
    /// Seed of models and trainings
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What to draw, and where to.
#[derive(Debug, Subcommand)]
pub enum PlotCommand {
    /// The field of the string's modes
    Field {
        /// Modes, separated by commas
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
        modes: Vec<i64>,
        /// Points
        #[arg(long, default_value_t = 400)]
        points: usize,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
    /// The linear spectrum
    Spectrum {
        /// Modes
        #[arg(long, default_value_t = 10)]
        modes: usize,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
    /// A model of one spatial dimension and the data that it was trained on, at one time
    Fit {
        /// Its name
        model: String,
        /// The data (default: those of its last training)
        #[arg(long, value_name = "NAME")]
        data: Option<String>,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
    /// The losses of a model's last training
    Losses {
        /// Its name
        model: String,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
}

/// Arguments of `science load`.
#[derive(Debug, Args)]
pub struct LoadArguments {
    /// Unified inferences to run
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tasks: u32,
    /// How many run at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: u32,
    /// Only without the cache
    #[arg(long)]
    pub no_cache: bool,
    /// The report to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "science-load.html")]
    pub report: PathBuf,
}
