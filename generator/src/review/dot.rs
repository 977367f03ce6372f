//! A graph in Graphviz' language.

use std::fmt::Write;

use super::graph::{Fold, Graph, Node};

/// The graph as DOT.
pub fn dot(graph: &Graph) -> String {
    let mut text = format!(
        "digraph {} {{\n  label = {};\n  rankdir = TB;\n  node [shape = box, fontname = \"sans-serif\"];\n",
        quoted(&graph.experiment),
        quoted(&title(graph))
    );
    let mut datasets: Vec<&str> = Vec::new();
    for node in &graph.nodes {
        if !datasets.contains(&node.dataset.as_str()) {
            datasets.push(&node.dataset);
        }
    }
    for (place, dataset) in datasets.into_iter().enumerate() {
        writeln!(
            text,
            "  subgraph cluster_{place} {{\n    label = {};",
            quoted(dataset)
        )
        .expect(STRING);
        for node in graph.nodes.iter().filter(|node| node.dataset == dataset) {
            let words = [words(node), detail(node)].join("\n");
            writeln!(text, "    {} [label = {}];", quoted(&node.id), quoted(&words)).expect(STRING);
        }
        text.push_str("  }\n");
    }
    for edge in &graph.edges {
        let style = match edge.to_next_round {
            true => " [style = dashed, constraint = false, label = \"next round\"]",
            false => "",
        };
        let (from, to) = (&graph.nodes[edge.from].id, &graph.nodes[edge.to].id);
        writeln!(text, "  {} -> {}{style};", quoted(from), quoted(to)).expect(STRING);
    }
    text.push_str("}\n");
    text
}

const STRING: &str = "writing to a string cannot fail";

/// A quoted text in which nothing means anything to Graphviz.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{text}\"")
}

/// What a picture of the graph is called.
pub(super) fn title(graph: &Graph) -> String {
    let folded = match graph.fold {
        Fold::None => "each box a job",
        Fold::Clients => "each box the jobs of a kind in a round",
        Fold::Rounds => "each box the jobs of a kind, of all rounds where it stands in them",
    };
    format!(
        "{}: {} jobs, {} rounds; {folded}",
        graph.experiment, graph.jobs, graph.rounds
    )
}

/// What a node is: `train × 500`, `train round 3 × 10`, `evaluate`.
pub(super) fn words(node: &Node) -> String {
    let mut words = node.kind.to_owned();
    if node.id.starts_with("cross-") {
        words.push_str(" across");
    }
    if let Some(round) = node.round {
        write!(words, " round {round}").expect(STRING);
    }
    if node.jobs > 1 {
        write!(words, " × {}", node.jobs).expect(STRING);
    }
    words
}

/// Which job it is, or where they run.
pub(super) fn detail(node: &Node) -> String {
    match (node.jobs, node.on_submit_host) {
        (1, _) => node.id.clone(),
        (jobs, here) if jobs == here => "on the submit host".to_owned(),
        (_, 0) => "on machines of the pool".to_owned(),
        (_, here) => format!("{here} on the submit host"),
    }
}
