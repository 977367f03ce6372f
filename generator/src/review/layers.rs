//! Places nodes of a graph in layers, so that edges lead down: longest paths, then a few sweeps of barycentres.

use super::graph::{Edge, Graph};

/// Sweeps over the layers, down and up in turn; the order of a small graph has settled by then.
const SWEEPS: usize = 8;

/// The graph without edges that follow from others: what is read late and was there early needs no line of its own.
pub(super) fn reduced(graph: &Graph) -> Graph {
    let mut after = vec![Vec::new(); graph.nodes.len()];
    for edge in graph.edges.iter().filter(|edge| !edge.to_next_round) {
        after[edge.from].push(edge.to);
    }
    let follows = |edge: &Edge| {
        let mut seen = vec![false; graph.nodes.len()];
        let others = after[edge.from].iter().filter(|&&node| node != edge.to);
        let mut open: Vec<usize> = others.copied().collect();
        while let Some(node) = open.pop() {
            if node == edge.to {
                return true;
            }
            if !std::mem::replace(&mut seen[node], true) {
                open.extend(&after[node]);
            }
        }
        false
    };
    let edges = graph
        .edges
        .iter()
        .filter(|edge| edge.to_next_round || !follows(edge));
    Graph {
        edges: edges.copied().collect(),
        ..graph.clone()
    }
}

/// The nodes of each layer, from left to right.
pub(super) fn layers(graph: &Graph) -> Vec<Vec<usize>> {
    let down = |edge: &&Edge| !edge.to_next_round;
    let mut layer = vec![0_usize; graph.nodes.len()];
    // Nodes stand after those they depend on but where steps are folded together; then a longer path takes more passes.
    for _ in 0..graph.nodes.len() {
        let mut moved = false;
        for edge in graph.edges.iter().filter(down) {
            let least = (layer[edge.from] + 1).min(graph.nodes.len());
            if layer[edge.to] < least {
                layer[edge.to] = least;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut used: Vec<usize> = layer.clone();
    used.sort_unstable();
    used.dedup();
    let mut layers = vec![Vec::new(); used.len()];
    for (node, layer) in layer.iter().enumerate() {
        let place = used.binary_search(layer).unwrap_or(0);
        layers[place].push(node);
    }
    // Datasets side by side from the start: their branches meet only at the end.
    for layer in &mut layers {
        layer.sort_by(|a, b| {
            graph.nodes[*a]
                .dataset
                .cmp(&graph.nodes[*b].dataset)
                .then(a.cmp(b))
        });
    }
    order(graph, &mut layers);
    layers
}

/// Moves each node towards the middle of its neighbours in the layers before, then after, in turn.
fn order(graph: &Graph, layers: &mut [Vec<usize>]) {
    let mut place = vec![0.0; graph.nodes.len()];
    settle(layers, &mut place);
    for sweep in 0..SWEEPS {
        let downwards = sweep % 2 == 0;
        for index in 0..layers.len() {
            let layer = if downwards {
                index
            } else {
                layers.len() - 1 - index
            };
            let wish = |node: usize| {
                let neighbours = graph.edges.iter().filter_map(|edge| match downwards {
                    true if edge.to == node => Some(place[edge.from]),
                    false if edge.from == node => Some(place[edge.to]),
                    _ => None,
                });
                let (sum, count) =
                    neighbours.fold((0.0, 0.0), |(sum, count), place| (sum + place, count + 1.0));
                if count > 0.0 { sum / count } else { place[node] }
            };
            let mut wishes: Vec<(f64, usize)> =
                layers[layer].iter().map(|&node| (wish(node), node)).collect();
            // A tie keeps the order of the plan.
            wishes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            layers[layer] = wishes.into_iter().map(|(_, node)| node).collect();
            settle(&layers[layer..=layer], &mut place);
        }
    }
}

/// A node's place between 0 and 1 in its layer.
fn settle(layers: &[Vec<usize>], place: &mut [f64]) {
    for layer in layers {
        for (index, &node) in layer.iter().enumerate() {
            place[node] = (index as f64 + 0.5) / layer.len() as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::{Fold, Node};

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let node = |place: usize| Node {
            id: format!("n{place}"),
            kind: "train",
            dataset: "nih".to_owned(),
            round: None,
            in_rounds: false,
            jobs: 1,
            on_submit_host: 0,
        };
        let edge = |&(from, to): &(usize, usize)| Edge {
            from,
            to,
            pairs: 1,
            to_next_round: false,
        };
        Graph {
            experiment: "e1".to_owned(),
            fold: Fold::None,
            jobs: nodes as u64,
            rounds: 1,
            nodes: (0..nodes).map(node).collect(),
            edges: edges.iter().map(edge).collect(),
        }
    }

    #[test]
    fn edges_lead_down_and_those_that_follow_are_left_out() {
        let graph = graph(4, &[(0, 1), (1, 2), (0, 2), (0, 3), (3, 2)]);
        let reduced = reduced(&graph);
        let pairs: Vec<_> = reduced.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(pairs, [(0, 1), (1, 2), (0, 3), (3, 2)]);
        assert_eq!(layers(&reduced), [vec![0], vec![1, 3], vec![2]]);
    }

    #[test]
    fn a_graph_with_a_cycle_is_placed_too() {
        let nodes: usize = layers(&graph(3, &[(0, 1), (1, 2), (2, 0)]))
            .iter()
            .map(Vec::len)
            .sum();
        assert_eq!(nodes, 3);
    }
}
