//! Jobs that share a submit file: those of one kind, with the same requests, at the same place.

use contract::args::Binary;

use crate::{
    check::Request,
    plan::{Place, Plan, PlannedJob},
};

/// What the jobs of a submit file have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Their subcommand.
    pub kind: &'static str,
    /// Their program.
    pub binary: Binary,
    /// What each asks its machine for.
    pub request: Request,
    /// Where they run.
    pub place: &'a Place,
    /// The path of their program where a site keeps it.
    pub kept_program: Option<&'a str>,
}

impl<'a> Group<'a> {
    fn of(planned: &'a PlannedJob) -> Self {
        Self {
            kind: planned.job.name(),
            binary: planned.job.binary(),
            request: planned.request,
            place: &planned.place,
            kept_program: planned.program.as_deref(),
        }
    }
}

/// The groups of a plan with the paths of their submit files, and which group each job is of.
pub struct Groups<'a> {
    groups: Vec<(String, Group<'a>)>,
    of_job: Vec<u32>,
}

impl<'a> Groups<'a> {
    /// Sorts the jobs of `plan` into groups, in the order of each group's first job.
    pub fn of(plan: &'a Plan) -> Self {
        let mut groups = Vec::new();
        let mut of_job = Vec::with_capacity(plan.jobs.len());
        for planned in &plan.jobs {
            let group = Group::of(planned);
            let known = groups.iter().position(|(_, known)| *known == group);
            let index = known.unwrap_or_else(|| {
                groups.push((path(&groups, &group), group));
                groups.len() - 1
            });
            of_job.push(index as u32);
        }
        Self { groups, of_job }
    }

    /// Each group with the path of its submit file.
    pub fn files(&self) -> &[(String, Group<'a>)] {
        &self.groups
    }

    /// The group of job `index` with the path of its submit file.
    pub fn of_job(&self, index: usize) -> &(String, Group<'a>) {
        &self.groups[self.of_job[index] as usize]
    }
}

/// The path of the submit file of a group that comes after `groups`: by its kind and its site, with a number from the second
/// on.
fn path(groups: &[(String, Group<'_>)], group: &Group<'_>) -> String {
    let name = name(group);
    let before = groups
        .iter()
        .filter(|(_, other)| self::name(other) == name)
        .count();
    match before {
        0 => format!("submit/{name}.sub"),
        before => format!("submit/{name}.{}.sub", before + 1),
    }
}

/// A capital letter cannot stand in a site's name, so no kind and site make another's name.
fn name(group: &Group<'_>) -> String {
    let kind = group.kind;
    match group.place {
        Place::Site(site) => format!("{kind}-AT-{}", site.name),
        Place::SubmitHost | Place::Anywhere => kind.to_owned(),
    }
}
