//! Seconds by jobs, both by powers of ten, as SVG.

use std::fmt::Write;

use super::{Measured, Step};

const STRING: &str = "writing to a string cannot fail";
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;

/// Colours that differ for most eyes, and marks that differ without colour.
const LOOKS: [(&str, &str); 7] = [
    ("#0072b2", ""),
    ("#d55e00", "6 3"),
    ("#009e73", "2 3"),
    ("#cc79a7", "8 3 2 3"),
    ("#000000", ""),
    ("#e69f00", "6 3"),
    ("#56b4e9", "2 3"),
];

/// Powers of ten that hold all values.
struct Axis {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let low = logs.iter().copied().fold(f64::INFINITY, f64::min).floor() as i32;
        let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() as i32;
        Self {
            low,
            high: high.max(low + 1),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10_f64.powi(power))
    }
}

pub fn svg(measured: &[Measured]) -> String {
    let jobs = |found: &Measured| f64::from(found.clients) * f64::from(found.rounds);
    let x = Axis::of(measured.iter().map(jobs), LEFT, WIDTH - RIGHT);
    let y = Axis::of(measured.iter().map(|found| found.seconds), HEIGHT - BOTTOM, TOP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Seconds by number of training jobs</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    grid(&mut text, &x, &y);
    for (place, (step, look)) in Step::ALL.into_iter().zip(LOOKS).enumerate() {
        let mut points: Vec<(f64, f64)> = measured
            .iter()
            .filter(|found| found.step == step && found.seconds > 0.0)
            .map(|found| (x.at(jobs(found)), y.at(found.seconds)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        if !points.is_empty() {
            series(&mut text, step, place, look, &points);
        }
    }
    text.push_str("</svg>\n");
    text
}

fn grid(text: &mut String, x: &Axis, y: &Axis) {
    for power in x.powers() {
        let at = x.at(power);
        writeln!(
            text,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{power}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        )
        .expect(STRING);
    }
    for power in y.powers() {
        let at = y.at(power);
        writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{power}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        )
        .expect(STRING);
    }
    writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">clients x rounds</text>\
         <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">seconds</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 12.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    )
    .expect(STRING);
}

fn series(
    text: &mut String,
    step: Step,
    place: usize,
    (colour, dashes): (&str, &str),
    points: &[(f64, f64)],
) {
    let line: Vec<String> = means(points).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dashes}\"/>",
        line.join(" ")
    )
    .expect(STRING);
    for (x, y) in points {
        writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        )
        .expect(STRING);
    }
    let (x, y) = (WIDTH - RIGHT + 12.0, TOP + 14.0 + 20.0 * place as f64);
    writeln!(
        text,
        "<path d=\"M{x} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dashes}\"/>\
         <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
        y - 4.0,
        x + 30.0,
        step.name()
    )
    .expect(STRING);
}

/// Of points at one place the mean, which is geometric in seconds.
fn means(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.chunk_by(|a, b| (a.0 - b.0).abs() < 1e-6).map(|at_one| {
        let sum: f64 = at_one.iter().map(|(_, y)| y).sum();
        (at_one[0].0, sum / at_one.len() as f64)
    })
}
