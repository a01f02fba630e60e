//! Curves as SVG.

use anyhow::Context as _;
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, IntoFont, LineSeries, RGBColor, SVGBackend, WHITE,
};
use plotters::series::DashedLineSeries;
use plotters::style::Color;

/// Width and height in pixels.
const SIZE: (u32, u32) = (860, 420);
/// One colour per curve; further curves begin again. Distinct for the colour-blind (Okabe and Ito).
const COLORS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// One curve.
pub struct Curve {
    /// What the caption calls it.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Drawn with gaps, to be seen over another.
    pub dashed: bool,
}

/// What a chart says beside its curves.
pub struct Labels<'a> {
    /// Above.
    pub title: &'a str,
    /// Below.
    pub horizontal: &'a str,
    /// At the left.
    pub vertical: &'a str,
}

/// The chart of `curves` as the text of an SVG file.
///
/// # Errors
/// No point can be drawn.
pub fn svg(labels: &Labels<'_>, curves: &[Curve]) -> anyhow::Result<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let span = |value: fn(&(f64, f64)) -> f64| {
        let (low, high) = points()
            .map(value)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        // Room above and below, and a range even for a constant.
        let room = ((high - low) * 0.05).max(f64::MIN_POSITIVE.max(high.abs() * 1e-6));
        (low - room)..(high + room)
    };
    let (across, up) = (span(|point| point.0), span(|point| point.1));
    anyhow::ensure!(
        across.start.is_finite() && up.start.is_finite() && points().next().is_some(),
        "there is nothing to draw"
    );
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    let caption = format!("{}: {}", labels.title, names.join(", "));
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).context("could not draw the background")?;
        let mut chart = ChartBuilder::on(&area)
            .caption(caption, ("sans-serif", 18).into_font())
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(across, up)
            .context("could not draw the axes")?;
        chart
            .configure_mesh()
            .x_desc(labels.horizontal)
            .y_desc(labels.vertical)
            .draw()
            .context("could not draw the grid")?;
        for (index, curve) in curves.iter().enumerate() {
            let style = COLORS[index % COLORS.len()].stroke_width(2);
            let points = curve.points.iter().copied();
            if curve.dashed {
                chart.draw_series(DashedLineSeries::new(points, 6, 4, style))
            } else {
                chart.draw_series(LineSeries::new(points, style))
            }
            .context("could not draw a curve")?;
        }
        area.present().context("could not finish the drawing")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_holds_its_words_and_a_line_per_curve() {
        let labels = Labels {
            title: "Field",
            horizontal: "x",
            vertical: "amplitude",
        };
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            points: vec![(0.0, 0.0), (1.0, 2.0)],
            dashed: false,
        };
        let text = svg(&labels, &[curve("first"), curve("second")]).expect("drawn");
        assert!(text.starts_with("<svg") && text.contains("Field: first, second"));
        assert!(text.contains("#0072B2") && text.contains("#D55E00"));
        assert!(svg(&labels, &[]).is_err());
    }
}
