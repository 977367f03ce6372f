//! A graph as a self-contained picture: boxes in layers, edges between them; readable without colour and by screen readers.

use std::fmt::Display;

use super::{
    dot::{detail, title, words},
    graph::{Edge, Graph, Node},
    layers::{layers, reduced},
};
use crate::report::Markup;

/// Sizes in pixels.
const BOX: (f64, f64) = (190.0, 46.0);
const GAP: (f64, f64) = (26.0, 54.0);
const MARGIN: f64 = 24.0;
/// Room for the title, and for the legend.
const HEAD: f64 = 44.0;
const FOOT: f64 = 34.0;

/// Characters of a line of text in a box.
const MOST_CHARACTERS: usize = 30;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1b1f24}.title{font-size:14px;font-weight:600}.detail{font-size:10px;fill:#57606a}\
.box{stroke:#57606a;fill:#f6f8fa}.data{fill:#fff4d6}.train{fill:#dcebff}.server{fill:#e2f6e6}.test{fill:#f3e6fb}.here{stroke-width:2.5}\
.edge{fill:none;stroke:#8c959f}.back{fill:none;stroke:#0b5cad;stroke-dasharray:5 4}.paper{fill:#fff}";

/// The graph as SVG.
pub fn svg(graph: &Graph) -> String {
    let graph = &reduced(graph);
    let layers = layers(graph);
    let widest = layers.iter().map(Vec::len).max().unwrap_or(0).max(2) as f64;
    let width = 2.0 * MARGIN + widest * (BOX.0 + GAP.0) - GAP.0;
    let height = HEAD + FOOT + MARGIN + layers.len() as f64 * (BOX.1 + GAP.1) - GAP.1;
    let mut places = vec![(0.0, 0.0); graph.nodes.len()];
    for (row, layer) in layers.iter().enumerate() {
        let left = (width - layer.len() as f64 * (BOX.0 + GAP.0) + GAP.0) / 2.0;
        for (column, &node) in layer.iter().enumerate() {
            let x = left + column as f64 * (BOX.0 + GAP.0);
            places[node] = (x, HEAD + row as f64 * (BOX.1 + GAP.1));
        }
    }
    let mut picture = Markup::default();
    let view = format!("0 0 {width:.0} {height:.0}");
    picture.element(
        "svg",
        &[
            ("xmlns", &"http://www.w3.org/2000/svg"),
            ("role", &"img"),
            ("aria-labelledby", &"title description"),
            ("viewBox", &view),
            ("width", &format!("{width:.0}")),
            ("height", &format!("{height:.0}")),
            ("style", &"max-width:100%;height:auto"),
        ],
        |svg| {
            svg.leaf("title", &[("id", &"title")], title(graph));
            svg.leaf("desc", &[("id", &"description")], description(graph));
            svg.element("style", &[], |style| style.constant(STYLE));
            svg.void(
                "rect",
                &[("class", &"paper"), ("width", &"100%"), ("height", &"100%")],
            );
            text(svg, "title", (MARGIN, 24.0), &title(graph));
            for edge in &graph.edges {
                draw_edge(svg, edge, &places, width);
            }
            for (node, &place) in graph.nodes.iter().zip(&places) {
                draw_node(svg, node, place);
            }
            legend(svg, height);
        },
    );
    picture.finish() + "\n"
}

/// The graph in words.
fn description(graph: &Graph) -> String {
    let mut sentences: Vec<String> = Vec::new();
    for (to, node) in graph.nodes.iter().enumerate() {
        let reads = graph.edges.iter().filter(|edge| edge.to == to);
        let reads: Vec<String> = reads
            .map(|edge| {
                let from = &graph.nodes[edge.from];
                let round = if edge.to_next_round {
                    " of the round before"
                } else {
                    ""
                };
                format!("{} of {}{round}", words(from), from.dataset)
            })
            .collect();
        let after = match reads.is_empty() {
            true => String::new(),
            false => format!(" after {}", reads.join(", ")),
        };
        sentences.push(format!("{} of {}{after}.", words(node), node.dataset));
    }
    sentences.join(" ")
}

fn text(svg: &mut Markup, class: &str, (x, y): (f64, f64), words: &dyn Display) {
    svg.leaf(
        "text",
        &[
            ("class", &class),
            ("x", &format!("{x:.1}")),
            ("y", &format!("{y:.1}")),
        ],
        words,
    );
}

fn draw_node(svg: &mut Markup, node: &Node, (x, y): (f64, f64)) {
    let kind = match node.kind {
        "prepare" | "stats" => "data",
        "train" | "train-clients" | "baseline" => "train",
        "evaluate" => "test",
        _ => "server",
    };
    let here = if node.on_submit_host == node.jobs {
        " here"
    } else {
        ""
    };
    svg.element("g", &[], |group| {
        group.leaf(
            "title",
            &[],
            format!("{} of {}: {}", words(node), node.dataset, detail(node)),
        );
        group.void(
            "rect",
            &[
                ("class", &format!("box {kind}{here}")),
                ("x", &format!("{x:.1}")),
                ("y", &format!("{y:.1}")),
                ("width", &BOX.0),
                ("height", &BOX.1),
                ("rx", &"5"),
            ],
        );
        let main = format!("{}: {}", node.dataset, words(node));
        text(group, "main", (x + 8.0, y + 19.0), &cut(&main));
        text(group, "detail", (x + 8.0, y + 36.0), &cut(&detail(node)));
    });
}

/// A text that fits a box; the whole is in the box's title.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn draw_edge(svg: &mut Markup, edge: &Edge, places: &[(f64, f64)], width: f64) {
    let (from, to) = (places[edge.from], places[edge.to]);
    let middle = BOX.0 / 2.0;
    let (class, path) = if edge.to_next_round {
        // Around the outside, on the side that is nearer.
        let right = from.0 + middle > width / 2.0;
        let out = if right { BOX.0 + GAP.0 } else { -GAP.0 };
        let side = if right { BOX.0 } else { 0.0 };
        let (start, end) = (
            (from.0 + side, from.1 + BOX.1 / 2.0),
            (to.0 + side, to.1 + BOX.1 / 2.0),
        );
        let x = if right { from.0.max(to.0) } else { from.0.min(to.0) } + out;
        let path = format!(
            "M{:.1} {:.1}C{x:.1} {:.1} {x:.1} {:.1} {:.1} {:.1}",
            start.0, start.1, start.1, end.1, end.0, end.1
        );
        ("back", path)
    } else {
        let (start, end) = ((from.0 + middle, from.1 + BOX.1), (to.0 + middle, to.1));
        let bend = (end.1 - start.1) / 2.0;
        let path = format!(
            "M{:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
            start.0,
            start.1,
            start.0,
            start.1 + bend,
            end.0,
            end.1 - bend,
            end.0,
            end.1
        );
        ("edge", path)
    };
    svg.void("path", &[("class", &class), ("d", &path)]);
}

fn legend(svg: &mut Markup, height: f64) {
    let words = "thick border: on the submit host; dashed: handed to the next round; yellow: data, blue: training, green: server, violet: tests; lines that follow from others are left out";
    text(svg, "detail", (MARGIN, height - 14.0), &words);
}
