//! What stands in which workflow: the jobs of the main workflow, and one sub-workflow per dataset and round or rounds.

use std::collections::{BTreeSet, HashMap};

use contract::{
    argv::Role,
    ids::{DatasetName, Round},
};

use crate::{check::Layout, plan::Plan};

/// What one job entry of the main workflow stands for.
#[derive(Debug)]
pub enum Unit {
    /// A job of the plan, by index.
    Job(usize),
    /// A sub-workflow.
    Round(RoundUnit),
}

/// A dataset's round as a sub-workflow, or several in a row.
#[derive(Debug)]
pub struct RoundUnit {
    pub dataset: DatasetName,
    /// Its first round.
    pub round: Round,
    /// Its last round; the same in the layout of rounds.
    pub last: Round,
    /// Indices of its jobs, ascending.
    pub jobs: Vec<usize>,
    /// Files it reads and does not write.
    pub inputs: Vec<String>,
    /// Files it writes and others read.
    pub outputs: Vec<String>,
}

impl RoundUnit {
    /// The name of its job in the main workflow.
    pub fn id(&self) -> String {
        format!("round-{}-{}", self.dataset, self.rounds())
    }

    /// Its rounds as they stand in names: `r0003`, or `r0011-r0020` of several.
    pub fn rounds(&self) -> String {
        let (first, last) = (self.round.0, self.last.0);
        match first == last {
            true => format!("r{first:04}"),
            false => format!("r{first:04}-r{last:04}"),
        }
    }

    /// Its workflow file's logical name, unique among experiments.
    pub fn file(&self, plan: &Plan) -> String {
        format!(
            "{}.{}.{}.workflow.yml",
            plan.experiment,
            self.dataset,
            self.rounds()
        )
    }
}

/// The main workflow's entries, in the plan's order, and which of them read from which.
#[derive(Debug)]
pub struct Units {
    pub units: Vec<Unit>,
    /// For each unit, the units it reads from.
    pub after: Vec<Vec<u32>>,
}

impl Units {
    /// Splits `plan` by its layout, and says which files cross the borders of sub-workflows.
    pub fn of(plan: &Plan) -> Self {
        let (mut this, unit_of) = Self::split(plan, plan.layout);
        declare_files(plan, &unit_of, &mut this.units);
        this
    }

    /// Splits `plan` by `layout`, and says for each job which unit it is of. Sub-workflows name no files.
    pub fn split(plan: &Plan, layout: Layout) -> (Self, Vec<u32>) {
        let mut units = Vec::new();
        let mut rounds = HashMap::new();
        let mut unit_of = Vec::with_capacity(plan.jobs.len());
        for (index, job) in plan.jobs.iter().enumerate() {
            let round = job.stage.round.filter(|round| round.0 > 0);
            let Some((round, last)) = round.and_then(|round| layout.together(round, plan.rounds)) else {
                unit_of.push(units.len() as u32);
                units.push(Unit::Job(index));
                continue;
            };
            let unit = *rounds
                .entry((job.stage.dataset.clone(), round))
                .or_insert(units.len());
            if unit == units.len() {
                units.push(Unit::Round(RoundUnit {
                    dataset: job.stage.dataset.clone(),
                    round,
                    last,
                    jobs: Vec::new(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                }));
            }
            if let Unit::Round(round) = &mut units[unit] {
                round.jobs.push(index);
            }
            unit_of.push(unit as u32);
        }
        let after = edges_between(plan, &unit_of, units.len());
        (Self { units, after }, unit_of)
    }
}

fn edges_between(plan: &Plan, unit_of: &[u32], units: usize) -> Vec<Vec<u32>> {
    let mut after = vec![Vec::new(); units];
    for (job, &unit) in unit_of.iter().enumerate() {
        let parents = plan
            .edges()
            .after(job)
            .iter()
            .map(|&parent| unit_of[parent as usize]);
        after[unit as usize].extend(parents.filter(|&parent| parent != unit));
    }
    for parents in &mut after {
        parents.sort_unstable();
        parents.dedup();
    }
    after
}

/// Fills in what crosses the border of each sub-workflow.
fn declare_files(plan: &Plan, unit_of: &[u32], units: &mut [Unit]) {
    if units.iter().all(|unit| matches!(unit, Unit::Job(_))) {
        return;
    }
    let mut writers: HashMap<&str, u32> = HashMap::new();
    let mut read: BTreeSet<(u32, &str)> = BTreeSet::new();
    let mut written: BTreeSet<&str> = BTreeSet::new();
    for (job, &unit) in plan.jobs.iter().zip(unit_of) {
        job.job.roles(&mut |role| match role {
            // A checkpoint is its own job's alone.
            // What is kept in place crosses no border.
            Role::Setting | Role::Checkpoint(_) | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => {}
            Role::Output(file) => {
                writers.insert(file, unit);
            }
            Role::Input(file) => {
                let writer = writers.get(file).copied();
                if writer == Some(unit) || !read.insert((unit, file)) {
                    return;
                }
                if let Unit::Round(round) = &mut units[unit as usize] {
                    round.inputs.push(file.to_owned());
                }
                if let Some(writer) = writer
                    && let Unit::Round(round) = &mut units[writer as usize]
                    && written.insert(file)
                {
                    round.outputs.push(file.to_owned());
                }
            }
        });
    }
}
