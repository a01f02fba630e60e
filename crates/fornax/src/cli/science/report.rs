//! The report of `science load`: one HTML file that needs nothing else.

use super::chart::{Curve, Labels, svg};
use super::load::Run;

/// Points of a latency curve: enough for its shape, few enough for a small file.
const CURVE_POINTS: usize = 200;

/// The report of a workload.
///
/// # Errors
/// A run without tasks.
pub fn html(tasks: usize, unique: usize, workers: u32, runs: &[Run]) -> anyhow::Result<String> {
    let curves: Vec<Curve> = runs
        .iter()
        .map(|run| Curve {
            name: run.name.to_owned(),
            points: (1..=CURVE_POINTS)
                .map(|step| step as f64 / CURVE_POINTS as f64)
                .map(|share| {
                    (
                        100.0 * share,
                        (1e3 * run.percentile(share)).max(1e-6).log10(),
                    )
                })
                .collect(),
            dashed: false,
        })
        .collect();
    let latencies = Labels {
        title: "Latency",
        horizontal: "share of the tasks, percent",
        vertical: "log10 of milliseconds",
    };
    let chart = svg(&latencies, &curves)?;
    let rows: String = runs
        .iter()
        .map(|run| {
            format!(
                "<tr><th>{}</th><td>{:.1}%</td><td>{:.1}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td></tr>\n",
                run.name,
                100.0 * run.hit_rate(),
                run.throughput(),
                run.seconds,
                1e3 * run.mean(),
                1e3 * run.percentile(0.50),
                1e3 * run.percentile(0.95),
                1e3 * run.percentile(0.99),
            )
        })
        .collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>fornax science load</title>\n\
         <style>body{{font:16px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse}}th,td{{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:right}}\
         th:first-child{{text-align:left}}svg{{max-width:100%;height:auto}}</style>\n\
         <h1>fornax science load</h1>\n\
         <p>{tasks} unified inferences, of which {unique} are unique, by {workers} workers; the same tasks in the same order in \
         every run. A task is a hit when its answer was computed for an equal task, also one that was still running.</p>\n\
         <table><tr><th>run</th><th>hits</th><th>tasks/s</th><th>seconds</th><th>mean ms</th><th>p50 ms</th><th>p95 ms</th>\
         <th>p99 ms</th></tr>\n{rows}</table>\n{chart}\n</html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_every_run_and_draws_it() {
        let run = |name| Run {
            name,
            latencies: vec![0.001, 0.002, 0.003],
            hits: 1,
            seconds: 0.01,
        };
        let text = html(3, 2, 4, &[run("without cache"), run("with cache")]).expect("report");
        assert!(text.contains("<th>with cache</th><td>33.3%</td><td>300.0</td>"));
        assert!(text.contains("<svg"));
    }
}
