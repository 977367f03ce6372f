//! A plan's graph, folded until a page holds it: single jobs, then a round's jobs of a kind, then all rounds' jobs of a kind.
//!
//! In: a [`Plan`]. Out: a [`Graph`] without cycles: what one round hands to the next is an edge marked so, and leads back.

use std::collections::{BTreeMap, HashMap};

use crate::plan::{Place, Plan, PlannedJob};

/// Most nodes of a graph that is drawn less folded.
const MOST_NODES: usize = 48;

/// How far a graph is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Not at all: a node is a job.
    None,
    /// A node is the jobs of a kind in a dataset's round.
    Clients,
    /// A node is the jobs of a kind of all of a dataset's rounds.
    Rounds,
}

/// A graph to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The experiment.
    pub experiment: String,
    /// How far it is folded.
    pub fold: Fold,
    /// Jobs of the plan.
    pub jobs: u64,
    /// Rounds of the plan.
    pub rounds: u32,
    /// The nodes, each after those it depends on but for edges that lead back.
    pub nodes: Vec<Node>,
    /// The edges, by the nodes' places.
    pub edges: Vec<Edge>,
}

/// A job, or jobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The first job's name.
    pub id: String,
    /// The kind of job.
    pub kind: &'static str,
    /// The dataset.
    pub dataset: String,
    /// The round; none where it stands in none, or for all of them.
    pub round: Option<u32>,
    /// Whether it stands for a job of a round, or jobs of several.
    pub in_rounds: bool,
    /// How many jobs it stands for.
    pub jobs: u64,
    /// Of those, how many run on the submit host.
    pub on_submit_host: u64,
}

/// What goes from a node's jobs to another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The node that is read from.
    pub from: usize,
    /// The node that reads.
    pub to: usize,
    /// How many jobs read from how many: pairs.
    pub pairs: u64,
    /// Whether it is handed to a later round, of a graph in which rounds are folded.
    pub to_next_round: bool,
}

/// What a node is told from others by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key<'a> {
    Job(usize),
    Of(&'a str, Phase, &'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Outside,
    Round(u32),
    Rounds,
}

impl Graph {
    /// Folds `plan` as little as a page allows.
    pub fn of(plan: &Plan) -> Self {
        let folded = |fold| (fold, keys(plan, fold));
        let small = |(_, keys): &(Fold, Vec<Key<'_>>)| {
            keys.iter().collect::<std::collections::HashSet<_>>().len() <= MOST_NODES
        };
        let (fold, keys) = Some(folded(Fold::None))
            .filter(|_| plan.jobs.len() <= MOST_NODES)
            .or_else(|| Some(folded(Fold::Clients)).filter(small))
            .unwrap_or_else(|| folded(Fold::Rounds));
        Self::with(plan, fold, &keys)
    }

    fn with(plan: &Plan, fold: Fold, keys: &[Key<'_>]) -> Self {
        let mut places: HashMap<&Key<'_>, usize> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::new();
        let mut node_of = Vec::with_capacity(plan.jobs.len());
        for (planned, key) in plan.jobs.iter().zip(keys) {
            let place = *places.entry(key).or_insert(nodes.len());
            if place == nodes.len() {
                nodes.push(node(planned, fold));
            }
            nodes[place].jobs += 1;
            nodes[place].on_submit_host += u64::from(planned.place == Place::SubmitHost);
            node_of.push(place);
        }
        let mut edges: BTreeMap<(usize, usize, bool), u64> = BTreeMap::new();
        for (job, &to) in node_of.iter().enumerate() {
            for &parent in plan.edges().after(job) {
                let from = node_of[parent as usize];
                let later = round(&plan.jobs[job]) > round(&plan.jobs[parent as usize]);
                let inside = nodes[from].in_rounds && nodes[to].in_rounds;
                let back = fold == Fold::Rounds && inside && later;
                // A sum of sums, or what a client keeps for its next round: within the node.
                if from != to {
                    *edges.entry((from, to, back)).or_default() += 1;
                }
            }
        }
        let edges = edges.into_iter();
        Self {
            experiment: plan.experiment.to_string(),
            fold,
            jobs: plan.jobs.len() as u64,
            rounds: plan.rounds,
            nodes,
            edges: edges
                .map(|((from, to, to_next_round), pairs)| Edge {
                    from,
                    to,
                    pairs,
                    to_next_round,
                })
                .collect(),
        }
    }
}

/// The round of a job; the model of round 0 stands in none.
fn round(planned: &PlannedJob) -> Option<u32> {
    planned
        .stage
        .round
        .map(|round| round.0)
        .filter(|round| *round > 0)
}

fn keys(plan: &Plan, fold: Fold) -> Vec<Key<'_>> {
    let jobs = plan.jobs.iter().enumerate();
    jobs.map(|(index, planned)| {
        let phase = match (fold, round(planned)) {
            (Fold::None, _) => return Key::Job(index),
            (_, None) => Phase::Outside,
            (Fold::Clients, Some(round)) => Phase::Round(round),
            (Fold::Rounds, Some(_)) => Phase::Rounds,
        };
        // The test of the first model and those across datasets are of one kind and not of one step.
        let step = match planned.id.0.starts_with("cross-") {
            true => "cross",
            false => planned.job.name(),
        };
        Key::Of(planned.stage.dataset.as_str(), phase, step)
    })
    .collect()
}

fn node(planned: &PlannedJob, fold: Fold) -> Node {
    let round = round(planned);
    Node {
        id: planned.id.to_string(),
        kind: planned.job.name(),
        dataset: planned.stage.dataset.to_string(),
        round: round.filter(|_| fold != Fold::Rounds),
        in_rounds: round.is_some(),
        jobs: 0,
        on_submit_host: 0,
    }
}
