//! A plan as the graph an executor runs.

use std::{collections::HashMap, sync::Arc};

use contract::argv::Role;

use super::{Dag, DagJob, External, Label, Lfn, Plan, PlannedJob, Program};

impl Plan {
    /// The plan's jobs as one flat graph, in the plan's order, whatever its layout.
    pub fn to_dag(&self) -> Dag {
        let mut names = Shared::default();
        let jobs = self.jobs.iter().enumerate();
        let jobs = jobs
            .map(|(index, job)| dag_job(self, index, job, &mut names))
            .collect();
        let statics = self
            .statics
            .iter()
            .map(|file| (&file.name, External::Content(file.content.clone())));
        let weights = self
            .weights
            .iter()
            .map(|file| (&file.name, External::Path(file.path.clone())));
        Dag {
            name: self.experiment.to_string(),
            jobs,
            external: statics
                .chain(weights)
                .map(|(name, from)| (names.file(name.as_str()), from))
                .collect(),
        }
    }
}

fn dag_job<'a>(plan: &'a Plan, index: usize, job: &'a PlannedJob, names: &mut Shared<'a>) -> DagJob {
    let (mut inputs, mut outputs, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    job.job.roles(&mut |role| match role {
        Role::Setting => {}
        Role::Input(file) => inputs.push(names.file(file)),
        Role::Output(file) => outputs.push(names.file(file)),
        Role::ReadInPlace(file) => inputs.push(names.file(file)),
        Role::WrittenInPlace(file) => outputs.push(names.file(file)),
        Role::Checkpoint(file) => checkpoints.push(names.file(file)),
    });
    DagJob {
        id: job.id.0.clone(),
        label: Label {
            kind: names.word(job.job.name()),
            dataset: Some(names.word(job.stage.dataset.as_str())),
            round: job.stage.round.map(|round| round.0),
            client: job.stage.client.map(|client| client.0),
        },
        program: Program::Ours(job.job.binary()),
        argv: job.job.to_argv(),
        env: Default::default(),
        inputs,
        outputs,
        checkpoints,
        stdout: None,
        stderr: None,
        stdin: None,
        request: job.request,
        retries: plan.retries,
        after: plan.edges().after(index).to_vec(),
        in_place: job.in_place.clone(),
    }
}

/// Each text once, however many jobs name it.
#[derive(Default)]
struct Shared<'a> {
    files: HashMap<&'a str, Lfn>,
    words: HashMap<&'a str, Arc<str>>,
}

impl<'a> Shared<'a> {
    fn file(&mut self, name: &'a str) -> Lfn {
        let made = || {
            Lfn::new(name)
                .or_else(|| Lfn::kept(name))
                .expect("a file's name is one path component, or a proven path below a site's folder")
        };
        self.files.entry(name).or_insert_with(made).clone()
    }

    fn word(&mut self, word: &'a str) -> Arc<str> {
        self.words.entry(word).or_insert_with(|| word.into()).clone()
    }
}
