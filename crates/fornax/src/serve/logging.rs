//! From the configuration to the signals of this process.

use platform::Secret;
use telemetry::{LogFormat, Telemetry, TelemetryOptions, TraceOptions};

use crate::cli::Context;
use crate::config::layers::Origin;
use crate::config::values::LogFormat as Configured;
use crate::exit::{Ended, Exit};

/// Level of commands that answer on the terminal, unless the user chose one: their own messages are enough.
const COMMAND_LEVEL: &str = "error";

/// Sets up everything the configuration asks for.
///
/// # Errors
/// A part of it is not valid.
pub fn for_server(context: &Context) -> anyhow::Result<Telemetry> {
    let telemetry = telemetry::init(&options(context)?)?;
    metrics::gauge!("fornax_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(telemetry)
}

/// Only the log, and quiet.
///
/// # Errors
/// The level is not valid.
pub fn for_command(context: &Context) -> anyhow::Result<Telemetry> {
    let mut options = options(context)?;
    options.traces = None;
    if context
        .loaded
        .values
        .get("log.level")
        .is_some_and(|(_, origin)| *origin == Origin::Default)
    {
        options.log_filter = COMMAND_LEVEL.to_owned();
    }
    Ok(telemetry::init(&options)?)
}

fn options(context: &Context) -> anyhow::Result<TelemetryOptions> {
    let settings = &context.loaded.settings;
    let endpoint = &settings.telemetry.otlp_endpoint;
    let traces = if endpoint.is_empty() {
        None
    } else {
        Some(TraceOptions {
            endpoint: endpoint.clone(),
            headers: headers(settings.telemetry.otlp_headers.expose())?,
            sample_ratio: settings.telemetry.sample_ratio,
        })
    };
    Ok(TelemetryOptions {
        service_name: settings.telemetry.service_name.clone(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        log_filter: settings.log.level.clone(),
        log_format: match settings.log.format {
            Configured::Pretty => LogFormat::Pretty,
            Configured::Json => LogFormat::Json,
        },
        ansi: context.colors,
        traces,
        vllm_aliases: settings.metrics.vllm_names,
    })
}

/// Reads `name=value, name=value`. The value may hold `=`, as tokens do.
fn headers(text: &str) -> anyhow::Result<Vec<(String, Secret)>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                Ended::error(
                    Exit::Configuration,
                    "telemetry.otlp_headers must be \"name=value, name=value\"",
                )
            })?;
            Ok((name.trim().to_owned(), Secret::from(value.trim())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_headers_are_read() {
        let read = headers("authorization=Bearer a=b, x-team = lab").expect("valid");
        let shown: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(shown, [("authorization", "Bearer a=b"), ("x-team", "lab")]);
        assert!(headers("").expect("valid").is_empty());
        let refused = headers("hunter2").expect_err("no sign");
        assert!(!refused.to_string().contains("hunter2"));
    }
}
