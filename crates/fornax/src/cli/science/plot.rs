//! `science plot`.

use std::path::Path;

use anyhow::Context as _;
use platform::files::{MODE_SHARED, write_atomic};
use service::science::{
    InferRequest, Points, Precision, Spectrum, SpectrumRequest, UnifiedRequest,
};

use super::args::PlotCommand;
use super::chart::{Curve, Labels, svg};
use super::{Session, data_set};
use crate::cli::output::print;
use crate::exit::{Ended, Exit};

/// `fornax science plot`.
pub async fn plot(session: Session, what: PlotCommand) -> anyhow::Result<()> {
    match what {
        PlotCommand::Field { modes, points, out } => field(session, modes, points, &out).await,
        PlotCommand::Spectrum { modes, out } => spectrum(session, modes, &out).await,
        PlotCommand::Fit { model, data, out } => fit(session, model, data, &out).await,
        PlotCommand::Losses { model, out } => losses(session, &model, &out).await,
    }
}

fn write(path: &Path, labels: &Labels<'_>, curves: &[Curve]) -> anyhow::Result<()> {
    let text = svg(labels, curves)?;
    write_atomic(path, text.as_bytes(), MODE_SHARED)
        .with_context(|| format!("could not write {}", path.display()))?;
    print(&format!("{}\n", path.display()))
}

async fn field(session: Session, modes: Vec<i64>, points: usize, out: &Path) -> anyhow::Result<()> {
    let request = UnifiedRequest {
        modes: modes.clone(),
        points,
        fresh: true,
        ..UnifiedRequest::default()
    };
    let unified = session
        .service
        .science_unified(&session.identity, request)
        .await?;
    let field = unified
        .requested_field
        .ok_or_else(|| Ended::error(Exit::Usage, "--modes: every mode must be 1 or more"))?;
    let curve = Curve {
        name: format!("modes {modes:?}"),
        points: field
            .x_coordinates
            .into_iter()
            .zip(field.field_amplitudes)
            .collect(),
        dashed: false,
    };
    let labels = Labels {
        title: "Field of the string",
        horizontal: "position",
        vertical: "amplitude",
    };
    write(out, &labels, &[curve])
}

async fn spectrum(session: Session, modes: usize, out: &Path) -> anyhow::Result<()> {
    let request = SpectrumRequest::Linear {
        modes,
        dimensions: 10,
        length: 1.0,
    };
    let found = session
        .service
        .science_spectrum(&session.identity, request, true)
        .await?;
    let Spectrum::Linear(energies) = found.0 else {
        anyhow::bail!("the service answered with another spectrum");
    };
    let numbered = energies.into_iter().zip(1u32..);
    let curve = Curve {
        name: "n / 2L".to_owned(),
        points: numbered
            .map(|(energy, mode)| (f64::from(mode), energy))
            .collect(),
        dashed: false,
    };
    let labels = Labels {
        title: "Spectrum of the string",
        horizontal: "mode",
        vertical: "energy",
    };
    write(out, &labels, &[curve])
}

/// The data of the first moment and the model at the same points.
async fn fit(
    session: Session,
    model: String,
    data: Option<String>,
    out: &Path,
) -> anyhow::Result<()> {
    let (service, identity) = (&session.service, &session.identity);
    let record = service.science_model(identity, &model).await?;
    if record.inputs != ["x", "t"] {
        return Err(Ended::error(
            Exit::NotSupported,
            "only models of one spatial dimension are drawn beside their data",
        ));
    }
    let name = data
        .or_else(|| record.training.map(|one| one.data))
        .ok_or_else(|| Ended::error(Exit::Usage, "this model was not trained; give --data"))?;
    let data = data_set(&name)?.generate();
    let [positions, times] = data.columns() else {
        return Err(Ended::error(
            Exit::Usage,
            format!("the data {name} have another number of dimensions than the model"),
        ));
    };
    let first = times.first().copied().unwrap_or(0.0);
    let rows = positions.iter().zip(times).zip(data.targets());
    let (xs, targets): (Vec<f64>, Vec<f64>) = rows
        .filter(|((_, time), _)| **time == first)
        .map(|((x, _), target)| (f64::from(*x), f64::from(*target)))
        .unzip();
    let request = InferRequest {
        model: model.clone(),
        points: Points::Columns(vec![
            ("x".to_owned(), xs.clone()),
            ("t".to_owned(), vec![f64::from(first)]),
        ]),
        precision: Precision::Single,
        fresh: true,
    };
    let values = service.science_infer(identity, request).await?.values;
    let curve = |name: String, values: Vec<f64>, dashed| Curve {
        name,
        points: xs.iter().copied().zip(values).collect(),
        dashed,
    };
    let labels = Labels {
        title: "Fit",
        horizontal: "x",
        vertical: "value",
    };
    let curves = [curve(name, targets, false), curve(model, values, true)];
    write(out, &labels, &curves)
}

async fn losses(session: Session, model: &str, out: &Path) -> anyhow::Result<()> {
    let record = session
        .service
        .science_model(&session.identity, model)
        .await?;
    let training = record
        .training
        .filter(|training| !training.losses.is_empty())
        .ok_or_else(|| Ended::error(Exit::Usage, format!("{model} was not trained")))?;
    let last = training.losses.len().saturating_sub(1).max(1) as f64;
    let spaced = training.losses.iter().zip(0u32..).map(|(loss, index)| {
        let epoch = f64::from(index) / last * training.epochs as f64;
        (epoch, loss.max(f64::MIN_POSITIVE).log10())
    });
    let curve = Curve {
        name: model.to_owned(),
        points: spaced.collect(),
        dashed: false,
    };
    let labels = Labels {
        title: "Losses",
        horizontal: "epoch",
        vertical: "log10 of the mean squared error",
    };
    write(out, &labels, &[curve])
}
