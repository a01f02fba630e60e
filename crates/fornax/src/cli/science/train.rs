//! `science train`.

use indicatif::{ProgressBar, ProgressStyle};
use service::ErrorKind;
use service::science::{
    ModelConfig, NewScienceModel, TrainRequest, Training, TrainingOptions, TrainingRows,
    TrainingState,
};

use super::args::TrainArguments;
use super::{Session, data_set, json};
use crate::cli::output::{error_line, facts, print};
use crate::exit::{Ended, Exit};

/// `fornax science train`.
pub async fn train(session: Session, arguments: TrainArguments) -> anyhow::Result<()> {
    let data = data_set(&arguments.data)?;
    make_if_missing(&session, &arguments).await?;
    let request = TrainRequest {
        model: arguments.model.clone(),
        data: TrainingRows::Named(data),
        options: options(&arguments),
    };
    let (service, identity) = (&session.service, &session.identity);
    let mut training = service.science_train(identity, request).await?;
    let bar = epoch_bar();
    let mut asked = false;
    while !training.state.is_over() {
        tokio::select! {
            next = service.science_training_change(identity, &training) => {
                training = next?;
                show(&bar, &training);
            }
            _ = tokio::signal::ctrl_c(), if !asked => {
                asked = true;
                drop(service.science_cancel(identity, &training.id).await);
            }
        }
    }
    bar.finish_and_clear();
    match training.state {
        TrainingState::Done(report) => {
            let record = service.science_model(identity, &arguments.model).await?;
            print(&facts(&[
                ("model", record.name),
                ("parameters", record.parameter_count.to_string()),
                ("initial loss", format!("{:.3e}", report.initial_loss)),
                ("final loss", format!("{:.3e}", report.final_loss)),
                ("epochs", report.epochs.to_string()),
                (
                    "device",
                    record
                        .training
                        .map_or("-", |one| one.device.name())
                        .to_owned(),
                ),
                ("seed", record.seed.to_string()),
                ("digest", record.digest),
            ]))?;
            if asked {
                return Err(Ended::error(Exit::Interrupted, "stopped"));
            }
            Ok(())
        }
        TrainingState::Failed(error) => Err(error.into()),
        _ => Err(Ended::error(Exit::Interrupted, "stopped")),
    }
}

async fn make_if_missing(session: &Session, arguments: &TrainArguments) -> anyhow::Result<()> {
    let (service, identity) = (&session.service, &session.identity);
    match service.science_model(identity, &arguments.model).await {
        Err(error) if error.kind == ErrorKind::NotFound => {}
        found => return Ok(found.map(drop)?),
    }
    let config: ModelConfig = json("--from", &arguments.from)?;
    let new = NewScienceModel {
        name: arguments.model.clone(),
        config,
        seed: Some(arguments.seed),
    };
    let made = service.science_create(identity, new).await?;
    error_line(&format!(
        "made {}: {}, {} parameters",
        made.name,
        made.config.kind(),
        made.parameter_count
    ));
    Ok(())
}

fn options(arguments: &TrainArguments) -> TrainingOptions {
    let usual = if arguments.thorough {
        TrainingOptions::thorough()
    } else {
        TrainingOptions::default()
    };
    TrainingOptions {
        epochs: arguments.epochs.unwrap_or(usual.epochs),
        learning_rate: arguments.learning_rate.unwrap_or(usual.learning_rate),
        batch_rows: arguments.batch_rows.or(usual.batch_rows),
        seed: arguments.seed,
        ..usual
    }
}

fn show(bar: &ProgressBar, training: &Training) {
    if let TrainingState::Running(Some(progress)) = &training.state {
        bar.set_length(progress.epochs as u64);
        bar.set_position(progress.epochs_done as u64);
        bar.set_message(format!("loss {:.3e}", progress.loss));
    }
}

/// A bar for epochs on standard error; invisible when that is no terminal.
fn epoch_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {pos} of {len} epochs  {msg}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}
