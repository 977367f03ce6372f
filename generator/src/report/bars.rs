//! Stacked bars of class counts: who has how many samples of what.

use super::{
    chart::px,
    markup::Markup,
    model::DatasetSummary,
    numbers::{count, counted},
};

/// Bars drawn; the table beside them has more.
const MOST_CLIENTS: usize = 40;
/// Classes with a colour of their own; the rest share grey.
pub(super) const CLASS_COLOURS: usize = 7;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 928.0;
const ROW: f64 = 24.0;
const BAR: f64 = 17.0;

/// Draws one bar per client and one for the test samples, on one scale.
pub(super) fn draw(stats: &DatasetSummary, classes: &[String], page: &mut Markup) {
    let shown = stats.clients.iter().take(MOST_CLIENTS);
    let mut rows: Vec<(String, u64, &[u64])> = shown
        .map(|c| {
            (
                format!("client {}", c.client),
                c.samples,
                c.class_counts.as_slice(),
            )
        })
        .collect();
    rows.push(("test".to_owned(), stats.test.samples, &stats.test.class_counts));
    // With several labels an image there may be more labels than samples.
    let longest = |row: &(String, u64, &[u64])| row.1.max(row.2.iter().sum());
    let most = rows.iter().map(longest).max().unwrap_or(0).max(1);
    let height = rows.len() as f64 * ROW + 14.0;
    let view = format!("0 0 {WIDTH} {height}");
    page.element(
        "svg",
        &[("viewBox", &view), ("role", &"img"), ("class", &"bars")],
        |svg| {
            svg.leaf("title", &[], "Samples per client and class");
            svg.leaf("desc", &[], describe(stats));
            for (i, (name, samples, counts)) in rows.iter().enumerate() {
                // The test bar stands a little apart.
                let gap = if i + 1 == rows.len() { 8.0 } else { 0.0 };
                let y = i as f64 * ROW + 2.0 + gap;
                svg.leaf(
                    "text",
                    &[
                        ("class", &"tick end"),
                        ("x", &px(LEFT - 8.0)),
                        ("y", &px(y + BAR - 4.0)),
                    ],
                    name,
                );
                let end = draw_bar(name, counts, classes, (y, most), svg);
                svg.leaf(
                    "text",
                    &[
                        ("class", &"tick"),
                        ("x", &px(end + 7.0)),
                        ("y", &px(y + BAR - 4.0)),
                    ],
                    count(*samples),
                );
            }
        },
    );
    if stats.clients.len() > MOST_CLIENTS {
        let all = counted(stats.clients.len() as u64, "client", "clients");
        page.leaf(
            "p",
            &[("class", &"note")],
            format!("The first {MOST_CLIENTS} of {all} are drawn."),
        );
    }
}

/// Draws one bar at `(y, largest sample count)` and returns where it ends.
fn draw_bar(name: &str, counts: &[u64], classes: &[String], at: (f64, u64), svg: &mut Markup) -> f64 {
    let (y, most) = at;
    let scale = (RIGHT - LEFT) / most as f64;
    let mut x = LEFT;
    for (class, n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let width = *n as f64 * scale;
        let style = format!("c{}", class.min(CLASS_COLOURS));
        let label = classes.get(class).map_or("unnamed class", String::as_str);
        svg.element(
            "rect",
            &[
                ("class", &style),
                ("x", &px(x)),
                ("y", &px(y)),
                ("width", &px(width)),
                ("height", &px(BAR)),
            ],
            |bar| bar.leaf("title", &[], format!("{name}, {label}: {}", count(*n))),
        );
        x += width;
    }
    x
}

fn describe(stats: &DatasetSummary) -> String {
    let sizes = stats.clients.iter().map(|client| client.samples);
    let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
    format!(
        "{} hold {} to {} samples each; {} are held out for testing. The table beside the chart has every count.",
        counted(stats.clients.len() as u64, "client", "clients"),
        count(least),
        count(most),
        counted(stats.test.samples, "sample", "samples"),
    )
}

/// The classes with their colours.
pub(super) fn legend(classes: &[String], page: &mut Markup) {
    page.element("ul", &[("class", &"legend")], |list| {
        for (i, class) in classes.iter().enumerate().take(CLASS_COLOURS) {
            swatch(&format!("c{i}"), class, list);
        }
        if classes.len() > CLASS_COLOURS {
            let others = (classes.len() - CLASS_COLOURS) as u64;
            swatch(
                &format!("c{CLASS_COLOURS}"),
                &counted(others, "other class", "other classes"),
                list,
            );
        }
    });
}

/// One entry of a legend: a square of the colour `class` and a name.
pub(super) fn swatch(class: &str, name: &str, list: &mut Markup) {
    list.element("li", &[], |item| {
        item.element(
            "svg",
            &[
                ("viewBox", &"0 0 12 12"),
                ("class", &"swatch"),
                ("aria-hidden", &"true"),
            ],
            |svg| {
                svg.void(
                    "rect",
                    &[("class", &class), ("width", &12), ("height", &12), ("rx", &2)],
                );
            },
        );
        item.text(name);
    });
}
