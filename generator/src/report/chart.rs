//! Line charts over rounds, as SVG with axes, ticks and labels beside the lines.

use std::fmt::Write;

use super::{markup::Markup, numbers};

/// What a chart shows.
pub(super) struct Chart<'a> {
    pub title: String,
    /// The chart in words, for those who do not see it.
    pub description: String,
    pub series: Vec<Series<'a>>,
    pub levels: Vec<Level<'a>>,
    /// Whether values lie between 0 and 1.
    pub share: bool,
}

/// A line through a value per round; undefined values break it.
pub(super) struct Series<'a> {
    pub name: &'a str,
    /// Names colour and dash in the style sheet.
    pub class: &'a str,
    pub points: Vec<(u32, Option<f64>)>,
}

/// A horizontal line, with a band where it stands for several models.
pub(super) struct Level<'a> {
    pub name: &'a str,
    /// Names colour and dash in the style sheet.
    pub class: &'a str,
    pub value: f64,
    pub range: Option<(f64, f64)>,
}

const WIDTH: f64 = 500.0;
const HEIGHT: f64 = 248.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 366.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 208.0;
/// Distance of label lines.
const LABEL_STEP: f64 = 15.0;
/// Lines of more points are drawn without a dot on each.
const MOST_DOTS: usize = 40;

/// Draws the chart.
pub(super) fn draw(chart: &Chart<'_>, page: &mut Markup) {
    let Some(axes) = Axes::around(chart) else {
        page.leaf(
            "p",
            &[("class", &"empty")],
            format!("{}: {} in every round.", chart.title, numbers::UNDEFINED),
        );
        return;
    };
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    page.element(
        "svg",
        &[("viewBox", &view), ("role", &"img"), ("class", &"chart")],
        |svg| {
            svg.leaf("title", &[], &chart.title);
            svg.leaf("desc", &[], &chart.description);
            axes.draw(svg);
            for level in &chart.levels {
                draw_level(level, &axes, svg);
            }
            for series in &chart.series {
                draw_series(series, &axes, svg);
            }
            draw_labels(chart, &axes, svg);
        },
    );
}

fn draw_level(level: &Level<'_>, axes: &Axes, svg: &mut Markup) {
    let y = px(axes.y(level.value));
    if let Some((low, high)) = level.range {
        let (top, bottom) = (axes.y(high), axes.y(low));
        let band = format!("band {}", level.class);
        svg.void(
            "rect",
            &[
                ("class", &band),
                ("x", &px(LEFT)),
                ("y", &px(top)),
                ("width", &px(RIGHT - LEFT)),
                ("height", &px((bottom - top).max(0.5))),
            ],
        );
    }
    let class = format!("line {}", level.class);
    svg.void(
        "line",
        &[
            ("class", &class),
            ("x1", &px(LEFT)),
            ("x2", &px(RIGHT)),
            ("y1", &y),
            ("y2", &y),
        ],
    );
}

fn draw_series(series: &Series<'_>, axes: &Axes, svg: &mut Markup) {
    let mut path = String::new();
    let mut broken = true;
    for (round, value) in &series.points {
        let Some(value) = value else {
            broken = true;
            continue;
        };
        let command = if broken { 'M' } else { 'L' };
        broken = false;
        write!(path, "{command}{} {}", px(axes.x(*round)), px(axes.y(*value)))
            .expect("writing to a String cannot fail");
    }
    let class = format!("line {}", series.class);
    svg.void("path", &[("class", &class), ("d", &path)]);
    if series.points.len() > MOST_DOTS {
        return;
    }
    for (round, value) in &series.points {
        let Some(value) = value else { continue };
        let class = format!("dot {}", series.class);
        let place: [(_, &dyn std::fmt::Display); 4] = [
            ("class", &class),
            ("cx", &px(axes.x(*round))),
            ("cy", &px(axes.y(*value))),
            ("r", &"3.2"),
        ];
        svg.element("circle", &place, |dot| {
            dot.leaf(
                "title",
                &[],
                format!("{}, round {round}: {}", series.name, numbers::metric(*value)),
            );
        });
    }
}

/// Writes each line's name and value to its right, moved apart where lines meet.
fn draw_labels(chart: &Chart<'_>, axes: &Axes, svg: &mut Markup) {
    let mut labels: Vec<(f64, &str, &str, f64)> = Vec::new();
    for series in &chart.series {
        if let Some(value) = series.points.iter().rev().find_map(|(_, value)| *value) {
            labels.push((axes.y(value), series.name, series.class, value));
        }
    }
    labels.extend(
        chart
            .levels
            .iter()
            .map(|level| (axes.y(level.value), level.name, level.class, level.value)),
    );
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
    for (y, (at, name, class, value)) in apart(&wanted).into_iter().zip(labels) {
        let class_of_lead = format!("lead {class}");
        let lead = format!("M{} {}L{} {}", px(RIGHT + 2.0), px(at), px(RIGHT + 10.0), px(y));
        svg.void("path", &[("class", &class_of_lead), ("d", &lead)]);
        let class = format!("label {class}");
        svg.element(
            "text",
            &[("class", &class), ("x", &px(RIGHT + 13.0)), ("y", &px(y + 4.0))],
            |text| {
                text.leaf("tspan", &[("class", &"value")], numbers::metric(value));
                text.text(format!(" {name}"));
            },
        );
    }
}

/// Moves ascending positions so that neighbours keep [`LABEL_STEP`] and all stay within the plot.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::with_capacity(wanted.len());
    for y in wanted {
        let least = placed.last().map_or(TOP, |above| above + LABEL_STEP);
        placed.push(y.max(least));
    }
    let mut most = BOTTOM;
    for y in placed.iter_mut().rev() {
        *y = y.min(most);
        most = *y - LABEL_STEP;
    }
    placed
}

/// Scales from rounds and values to pixels.
struct Axes {
    rounds: (u32, u32),
    values: (f64, f64),
    ticks: Vec<f64>,
}

impl Axes {
    /// Axes that hold every line; `None` when no series has a value.
    fn around(chart: &Chart<'_>) -> Option<Self> {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        points().find(|(_, value)| value.is_some())?;
        let first = points().map(|(round, _)| *round).min()?;
        let last = points().map(|(round, _)| *round).max()?;
        let levels = chart.levels.iter().flat_map(|level| {
            let (low, high) = level.range.unwrap_or((level.value, level.value));
            [level.value, low, high]
        });
        let values: Vec<f64> = points().filter_map(|(_, value)| *value).chain(levels).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ticks = ticks(low, high, chart.share);
        let values = (*ticks.first()?, *ticks.last()?);
        Some(Self {
            rounds: (first, last),
            values,
            ticks,
        })
    }

    fn x(&self, round: u32) -> f64 {
        let (first, last) = self.rounds;
        if first == last {
            return (LEFT + RIGHT) / 2.0;
        }
        let share = f64::from(round - first) / f64::from(last - first);
        LEFT + 8.0 + share * (RIGHT - LEFT - 16.0)
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)
    }

    fn draw(&self, svg: &mut Markup) {
        let step = self.ticks.get(1).map_or(1.0, |second| second - self.ticks[0]);
        let decimals = if step < 0.0095 {
            3
        } else if step < 0.095 {
            2
        } else {
            1
        };
        for tick in &self.ticks {
            let y = self.y(*tick);
            svg.void(
                "line",
                &[
                    ("class", &"grid"),
                    ("x1", &px(LEFT)),
                    ("x2", &px(RIGHT)),
                    ("y1", &px(y)),
                    ("y2", &px(y)),
                ],
            );
            let place: [(_, &dyn std::fmt::Display); 3] = [
                ("class", &"tick end"),
                ("x", &px(LEFT - 6.0)),
                ("y", &px(y + 4.0)),
            ];
            svg.leaf("text", &place, format!("{tick:.decimals$}"));
        }
        svg.void(
            "line",
            &[
                ("class", &"axis"),
                ("x1", &px(LEFT)),
                ("x2", &px(RIGHT)),
                ("y1", &px(BOTTOM)),
                ("y2", &px(BOTTOM)),
            ],
        );
        for round in self.round_ticks() {
            let x = self.x(round);
            svg.void(
                "line",
                &[
                    ("class", &"axis"),
                    ("x1", &px(x)),
                    ("x2", &px(x)),
                    ("y1", &px(BOTTOM)),
                    ("y2", &px(BOTTOM + 4.0)),
                ],
            );
            svg.leaf(
                "text",
                &[
                    ("class", &"tick middle"),
                    ("x", &px(x)),
                    ("y", &px(BOTTOM + 17.0)),
                ],
                round,
            );
        }
        let middle = (LEFT + RIGHT) / 2.0;
        svg.leaf(
            "text",
            &[
                ("class", &"tick middle"),
                ("x", &px(middle)),
                ("y", &px(HEIGHT - 6.0)),
            ],
            "round",
        );
    }

    fn round_ticks(&self) -> Vec<u32> {
        let (first, last) = self.rounds;
        let step = nice_step(f64::from(last - first) / 8.0).max(1.0).round() as u32;
        (first..=last)
            .filter(|round| round.is_multiple_of(step))
            .collect()
    }
}

/// Four to eight round numbers around `low..high`; within 0..1 for shares.
fn ticks(low: f64, high: f64, share: bool) -> Vec<f64> {
    let room = (high - low).max(if share { 0.02 } else { high.abs() * 0.02 + 1e-6 });
    let (mut low, mut high) = (low - room * 0.05, high + room * 0.05);
    if share {
        (low, high) = (low.max(0.0), high.min(1.0));
    }
    let step = nice_step((high - low) / 5.0);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    // A step too small to tell `low` from its neighbours would give one tick.
    let last = last.max(first + 1);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice_step(step: f64) -> f64 {
    if step <= 0.0 || !step.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A coordinate with one decimal, enough for a screen and short in the file.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chart(points: Vec<(u32, Option<f64>)>) -> String {
        let mut page = Markup::default();
        let series = vec![Series {
            name: "federated",
            class: "fed",
            points,
        }];
        let chart = Chart {
            title: "AUROC".into(),
            description: "d".into(),
            series,
            levels: vec![],
            share: true,
        };
        draw(&chart, &mut page);
        page.finish()
    }

    #[test]
    fn an_undefined_value_breaks_the_line() {
        let svg = chart(vec![(0, Some(0.5)), (1, None), (2, Some(0.7)), (3, Some(0.8))]);
        let path = svg.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(
            (path.matches('M').count(), path.matches('L').count()),
            (2, 1),
            "{path}"
        );
    }

    #[test]
    fn a_chart_without_values_says_so() {
        assert_eq!(
            chart(vec![(1, None)]),
            "<p class=\"empty\">AUROC: undefined in every round.</p>\n"
        );
    }

    #[test]
    fn one_round_and_one_value_still_have_axes() {
        assert!(!chart(vec![(1, Some(1.0))]).contains("NaN"));
        assert!(!chart(vec![(1, Some(0.0))]).contains("inf"));
    }

    proptest! {
        #[test]
        fn ticks_hold_the_values_and_are_few(low in -10.0f64..10.0, room in 0.0f64..100.0) {
            let high = low + room;
            let ticks = ticks(low, high, false);
            prop_assert!(ticks[0] <= low && *ticks.last().unwrap() >= high, "{ticks:?}");
            prop_assert!((2..=9).contains(&ticks.len()), "{ticks:?}");
        }

        #[test]
        fn labels_keep_their_distance(mut wanted in proptest::collection::vec(TOP..BOTTOM, 0..6)) {
            wanted.sort_by(f64::total_cmp);
            let placed = apart(&wanted);
            prop_assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= LABEL_STEP - 1e-9));
            prop_assert!(placed.iter().all(|y| *y <= BOTTOM));
        }
    }
}
