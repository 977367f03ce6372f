//! A plan as a workload: its jobs, and what a layout and a workflow system put around them.
//!
//! In: a [`Plan`], what its jobs move and compute on, a [`Layout`], a [`Target`] and a [`Pool`]. Out: [`Workload`]. Start at
//! [`predict`].

use std::collections::HashMap;

use contract::{
    args::TrainClientsArgs,
    argv::JobArgs,
    ids::{DatasetName, Round},
};

use super::{Demand, Place, Pool, Prediction, Work, Workload, WorkloadError};
use crate::{
    check::Layout,
    emit::units::{RoundUnit, Unit, Units},
    estimate::{Sizes, Target},
    plan::{self, Plan, PlannedJob},
};

/// What is predicted for `plan`, laid out by `layout` for `target`, on `pool`.
///
/// # Errors
/// As [`from_plan`].
pub fn predict(
    plan: &Plan,
    layout: Layout,
    target: Target,
    sizes: &Sizes,
    pool: &Pool,
) -> Result<Prediction, WorkloadError> {
    let mut work = |planned: &PlannedJob| Work::of(planned, sizes, target);
    let workload = from_plan(plan, layout, target, pool, &mut work)?;
    Ok(Prediction::of(&workload))
}

/// The workload of `plan` laid out by `layout` for `target`, whose jobs do what `work` says.
///
/// # Errors
/// [`WorkloadError`] when no slot of the pool can take a job, or the pool does not know how long one takes.
pub fn from_plan<'p>(
    plan: &Plan,
    layout: Layout,
    target: Target,
    pool: &'p Pool,
    work: &mut dyn FnMut(&PlannedJob) -> Work,
) -> Result<Workload<'p>, WorkloadError> {
    let (units, unit_of) = Units::split(plan, layout);
    let mut workload = Workload::new(pool);
    let root = match target {
        Target::Pegasus => {
            let planned = workload.planning(pool.pegasus.workflow, []);
            workload.pause(pool.dagman.dag + pool.pegasus.before, [planned])
        }
        Target::Dagman => workload.pause(pool.dagman.dag, []),
    };
    let numbers = Numbers::of(plan, &units, target, workload.len() as u32);
    let mut lowering = Lowering {
        plan,
        target,
        units: &units,
        unit_of: &unit_of,
        numbers,
        root,
        work,
        has_child_inside: vec![false; plan.jobs.len()],
        rounds: HashMap::new(),
        workload,
    };
    lowering.mark_children();
    for (index, unit) in units.units.iter().enumerate() {
        match unit {
            Unit::Job(job) => lowering.job(*job, lowering.after_units(index))?,
            Unit::Round(round) => lowering.round(index, round)?,
        }
    }
    Ok(lowering.workload)
}

/// The tasks' numbers, known before they are made: a job may wait for one that is made later.
struct Numbers {
    /// By job of the plan.
    of_job: Vec<u32>,
    /// By unit: the task that ends last.
    end: Vec<u32>,
}

impl Numbers {
    fn of(plan: &Plan, units: &Units, target: Target, first: u32) -> Self {
        let (mut next, mut of_job) = (first, vec![0; plan.jobs.len()]);
        let mut end = Vec::with_capacity(units.units.len());
        for unit in &units.units {
            match unit {
                Unit::Job(job) => {
                    of_job[*job] = next;
                    next += 1;
                }
                Unit::Round(round) => {
                    next += begins(target);
                    for job in &round.jobs {
                        of_job[*job] = next;
                        next += 1;
                    }
                    // Its end.
                    next += 1;
                }
            }
            end.push(next - 1);
        }
        Self { of_job, end }
    }
}

/// Tasks before the first job of a sub-workflow.
const fn begins(target: Target) -> u32 {
    match target {
        Target::Pegasus => 2,
        Target::Dagman => 1,
    }
}

struct Lowering<'a, 'p> {
    plan: &'a Plan,
    target: Target,
    units: &'a Units,
    unit_of: &'a [u32],
    numbers: Numbers,
    /// The task that everything waits for.
    root: u32,
    work: &'a mut dyn FnMut(&PlannedJob) -> Work,
    /// Whether another job of the same unit waits for it.
    has_child_inside: Vec<bool>,
    rounds: HashMap<(&'a DatasetName, Round), u32>,
    workload: Workload<'p>,
}

impl<'a> Lowering<'a, '_> {
    fn mark_children(&mut self) {
        for job in 0..self.plan.jobs.len() {
            for &parent in self.plan.edges().after(job) {
                if self.unit_of[parent as usize] == self.unit_of[job] {
                    self.has_child_inside[parent as usize] = true;
                }
            }
        }
    }

    /// The tasks that unit `index` waits for.
    fn after_units(&self, index: usize) -> Vec<u32> {
        let after = &self.units.after[index];
        match after.is_empty() {
            true => vec![self.root],
            false => after
                .iter()
                .map(|unit| self.numbers.end[*unit as usize])
                .collect(),
        }
    }

    fn round(&mut self, index: usize, round: &RoundUnit) -> Result<(), WorkloadError> {
        let pool = self.workload.pool;
        let after = self.after_units(index);
        let begin = match self.target {
            Target::Pegasus => {
                let planned = self.workload.planning(pool.pegasus.sub_workflow, after);
                self.workload
                    .pause(pool.dagman.dag + pool.pegasus.before, [planned])
            }
            Target::Dagman => self.workload.pause(pool.dagman.dag, after),
        };
        for &job in &round.jobs {
            // The sub-workflow starts when all else that its jobs wait for is there.
            let inside = self.plan.edges().after(job).iter().map(|parent| *parent as usize);
            let mut after: Vec<u32> = inside
                .filter(|parent| self.unit_of[*parent] as usize == index)
                .map(|parent| self.numbers.of_job[parent])
                .collect();
            if after.is_empty() {
                after.push(begin);
            }
            self.job(job, after)?;
        }
        let last = round.jobs.iter().filter(|job| !self.has_child_inside[**job]);
        let last: Vec<u32> = last.map(|job| self.numbers.of_job[*job]).collect();
        let seconds = match self.target {
            Target::Pegasus => pool.pegasus.after,
            Target::Dagman => 0.0,
        };
        self.workload.pause(seconds, last);
        Ok(())
    }

    fn job(&mut self, index: usize, after: Vec<u32>) -> Result<(), WorkloadError> {
        let plan = self.plan;
        let planned = &plan.jobs[index];
        let Work {
            received,
            sent,
            read,
            samples,
        } = (self.work)(planned);
        let demand = Demand {
            id: &planned.id.0,
            kind: kind(planned),
            place: match &planned.place {
                plan::Place::SubmitHost => Place::SubmitHost,
                plan::Place::Anywhere => Place::Anywhere,
                plan::Place::Site(site) => Place::Site(site.name.as_str()),
            },
            request: planned.request,
            received,
            sent,
            read,
            samples,
            priority: match self.target {
                // Its own priorities are of levels within one workflow.
                Target::Pegasus => 0,
                Target::Dagman => self.plan.priority(planned),
            },
            round: self.round_number(planned),
        };
        let number = self.workload.job(&demand, after)?;
        debug_assert_eq!(number, self.numbers.of_job[index]);
        Ok(())
    }

    /// A number for the round of a dataset.
    fn round_number(&mut self, planned: &'a PlannedJob) -> Option<u32> {
        let round = planned.stage.round.filter(|round| round.0 > 0)?;
        let next = self.rounds.len() as u32;
        Some(*self.rounds.entry((&planned.stage.dataset, round)).or_insert(next))
    }
}

/// For each job, whether a DAG begins with it, and then the jobs that this DAG waits for: none for the main one.
pub fn begins_of_dags(plan: &Plan, layout: Layout) -> Vec<Option<Vec<u32>>> {
    let (units, unit_of) = Units::split(plan, layout);
    // The jobs of each unit, of which those that sub-workflows wait for are asked for.
    let mut jobs_of: Vec<Vec<u32>> = vec![Vec::new(); units.units.len()];
    for (job, unit) in (0..).zip(&unit_of) {
        jobs_of[*unit as usize].push(job);
    }
    let begins = |(job, unit): (usize, &u32)| {
        let after = plan.edges().after(job);
        let outside = || {
            let before = units.after[*unit as usize].iter();
            before
                .flat_map(|unit| &jobs_of[*unit as usize])
                .copied()
                .collect()
        };
        let begins = match units.units[*unit as usize] {
            Unit::Job(_) => after.is_empty(),
            Unit::Round(_) => after.iter().all(|parent| unit_of[*parent as usize] != *unit),
        };
        begins.then(outside)
    };
    unit_of.iter().enumerate().map(begins).collect()
}

/// The kind whose time a job takes: one that trains several clients takes as long as their jobs, begun once.
pub fn kind(planned: &PlannedJob) -> &'static str {
    match planned.job.name() {
        TrainClientsArgs::NAME => "train",
        other => other,
    }
}
