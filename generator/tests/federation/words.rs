//! The words of a test, the plan they become, and its jobs by kind.

use std::path::Path;

use contract::{
    args::{AggregateArgs, EvaluateArgs, Job, KeysArgs, PartialArgs, RevealArgs, TrainArgs},
    recipe::Recipe,
};
use fedwing::{
    check::check,
    diag::Colour,
    plan::{self, Parts, Plan, PlanError},
};

/// What a test says; everything else is fixed.
pub struct Words<'a> {
    pub clients: u32,
    pub rounds: u32,
    /// Entries of `federation`, the algorithm included.
    pub federation: &'a str,
    /// Further top-level keys.
    pub more: &'a str,
}

pub const FOUR: Words<'_> = Words {
    clients: 4,
    rounds: 2,
    federation: "algorithm: fedavg",
    more: "",
};

impl Words<'_> {
    pub fn plan(&self) -> Plan {
        let Words {
            clients,
            rounds,
            federation,
            more,
        } = self;
        let text = format!(
            "fedwing: 1
name: e1
seed: 7
datasets:
  nih:
    source: {{phantom: {{patients: 900, sites: 2}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 32}}
    clients: {{count: {clients}, by: iid}}
model: {{arch: small_cnn}}
federation:
  {federation}
  rounds: {rounds}
  local: {{epochs: 1, batch_size: 16, optimizer: {{sgd: {{learning_rate: 0.1}}}}}}
{more}
"
        );
        let report = check(&text, "e1.yml", Path::new("/specs"));
        let checked = report
            .checked
            .unwrap_or_else(|| panic!("{}", report.diagnostics.render(Colour::Never)));
        plan::lower(&checked).unwrap()
    }
}

pub fn of_kind<'a, T>(plan: &'a Plan, take: impl Fn(&'a Job) -> Option<&'a T>) -> Vec<&'a T> {
    plan.jobs.iter().filter_map(|job| take(&job.job)).collect()
}

pub fn aggregates(plan: &Plan) -> Vec<&AggregateArgs> {
    of_kind(plan, |job| match job {
        Job::Aggregate(args) => Some(args),
        _ => None,
    })
}

pub fn trains(plan: &Plan) -> Vec<&TrainArgs> {
    of_kind(plan, |job| match job {
        Job::Train(args) => Some(args),
        _ => None,
    })
}

pub fn keys(plan: &Plan) -> Vec<&KeysArgs> {
    of_kind(plan, |job| match job {
        Job::Keys(args) => Some(args),
        _ => None,
    })
}

pub fn reveals(plan: &Plan) -> Vec<&RevealArgs> {
    of_kind(plan, |job| match job {
        Job::Reveal(args) => Some(args),
        _ => None,
    })
}

pub fn partials(plan: &Plan) -> Vec<&PartialArgs> {
    of_kind(plan, |job| match job {
        Job::Partial(args) => Some(args),
        _ => None,
    })
}

/// Names without experiment, dataset and ending.
pub fn short<T: ToString>(files: &[T]) -> Vec<String> {
    let short = |file: &T| {
        let name = file.to_string().replace("e1.nih.", "");
        name.trim_end_matches(".safetensors")
            .trim_end_matches(".json")
            .to_owned()
    };
    files.iter().map(short).collect()
}

pub fn evaluations(plan: &Plan) -> Vec<&EvaluateArgs> {
    of_kind(plan, |job| match job {
        Job::Evaluate(args) => Some(args),
        _ => None,
    })
}

/// The recipe that a plan's jobs read.
pub fn recipe(plan: &Plan) -> Recipe {
    let file = plan
        .statics
        .iter()
        .find(|file| file.name.as_str() == "e1.nih.recipe.json");
    serde_json::from_str(&file.unwrap().content).unwrap()
}

/// Why the parts of a sound plan after `damage` are no plan.
pub fn refused(words: &Words<'_>, damage: impl Fn(&mut Job)) -> PlanError {
    let mut parts: Parts = (*words.plan()).clone();
    parts.jobs.iter_mut().for_each(|job| damage(&mut job.job));
    Plan::prove(parts).unwrap_err()
}
