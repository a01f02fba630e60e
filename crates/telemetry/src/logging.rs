//! Log lines: one subscriber layer for people, one for machines.

use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use crate::LogFormat;

/// The layer that writes lines of `format` to `writer`.
pub(crate) fn layer<S, W>(
    format: LogFormat,
    ansi: bool,
    writer: W,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => layer.compact().with_ansi(ansi).boxed(),
        // Fields at the top level and the spans as a list: what log stores index without configuration.
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use platform::Secret;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(format, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, act);
        let bytes = lines.0.lock().expect("lock").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("fx-hunter2");
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let text = logged(format, || {
                let span = tracing::info_span!("request", key = %secret, debug = ?secret);
                let _inside = span.enter();
                tracing::info!(token = ?Some(&secret), "signed in with {secret} {secret:?}");
            });
            assert!(text.contains("signed in with [secret]"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn json_lines_carry_fields_and_spans() {
        let text = logged(LogFormat::Json, || {
            let _inside =
                tracing::info_span!("request", request_id = "r1", tenant = "lab").entered();
            tracing::warn!(model = "m", "slow");
        });
        for part in [
            r#""message":"slow""#,
            r#""level":"WARN""#,
            r#""model":"m""#,
            r#""request_id":"r1""#,
            r#""tenant":"lab""#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.lines().count(), 1);
    }
}
