//! DAG files: nodes, what differs between jobs of a kind, and who waits for whom. Written as they are made, never held.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Display, Write as _},
    io::{self, Write},
};

use contract::{args::Job, argv::Role};

use super::{CONFIG, FILES, Places, clean::Cleaning, groups::Groups, round_dag};
use crate::{
    emit::units::{RoundUnit, Unit, Units},
    plan::{Place, Plan, PlannedJob},
};

/// The category of jobs on the submit host, where no slot limits them.
const SUBMIT_HOST: &str = "submit-host";

/// How many of them run at once: they read images, mostly with several threads.
const SUBMIT_HOST_JOBS: u32 = 2;

/// How often DAGMan rewrites its status file at most, in seconds.
const STATUS_SECONDS: u32 = 5;

/// What nodes are written from.
pub struct Nodes<'a> {
    plan: &'a Plan,
    groups: &'a Groups<'a>,
    cleaning: &'a Cleaning<'a>,
    places: Places<'a>,
}

impl<'a> Nodes<'a> {
    /// Nodes for the jobs of `plan`, whose submit files `groups` names, and for what is deleted behind them.
    pub fn of(plan: &'a Plan, groups: &'a Groups<'a>, cleaning: &'a Cleaning<'a>) -> Self {
        Self {
            plan,
            groups,
            cleaning,
            places: Places::of(plan),
        }
    }

    /// Writes the DAG that is submitted.
    pub fn write_main(&self, units: &Units, out: &mut impl Write) -> io::Result<()> {
        let plan = self.plan;
        head(
            out,
            format_args!("{}.status", plan.experiment),
            format_args!("jobstate.log"),
        )?;
        let own = units.units.iter().filter_map(|unit| match unit {
            Unit::Job(index) => Some(*index),
            Unit::Round(_) => None,
        });
        self.limit(own, out)?;
        let mut text = String::new();
        for unit in &units.units {
            match unit {
                Unit::Job(index) => self.job(&mut text, *index),
                Unit::Round(round) => writeln!(text, "SUBDAG EXTERNAL {} {}", round.id(), round_dag(round)),
            }
            .expect(STRING);
            out.write_all(text.as_bytes())?;
            text.clear();
        }
        let ids: Vec<Cow<'_, str>> = units.units.iter().map(|unit| self.unit_id(unit)).collect();
        for (child, parents) in units.after.iter().enumerate() {
            after(
                out,
                &ids[child],
                parents.iter().map(|&parent| &*ids[parent as usize]),
            )?;
        }
        self.cleaning.write(&ids, out)
    }

    /// Writes the nested DAG of a round.
    pub fn write_round(&self, round: &RoundUnit, out: &mut impl Write) -> io::Result<()> {
        let id = round.id();
        head(
            out,
            format_args!("rounds/{id}.status"),
            format_args!("rounds/{id}.jobstate.log"),
        )?;
        self.limit(round.jobs.iter().copied(), out)?;
        let mut text = String::new();
        for &index in &round.jobs {
            self.job(&mut text, index).expect(STRING);
            out.write_all(text.as_bytes())?;
            text.clear();
        }
        for &index in &round.jobs {
            let parents = self.plan.edges().after(index).iter();
            // The nested DAG starts when all else that its jobs read is there.
            let inside = parents.filter(|&&parent| round.jobs.binary_search(&(parent as usize)).is_ok());
            after(
                out,
                self.id(index),
                inside.map(|&parent| self.id(parent as usize)),
            )?;
        }
        Ok(())
    }

    /// Limits jobs on the submit host, where `jobs` of a DAG have any: DAGMan minds a limit that no node has.
    fn limit(&self, mut jobs: impl Iterator<Item = usize>, out: &mut impl Write) -> io::Result<()> {
        if jobs.any(|index| self.plan.jobs[index].place == Place::SubmitHost) {
            writeln!(out, "MAXJOBS {SUBMIT_HOST} {SUBMIT_HOST_JOBS}")?;
        }
        Ok(())
    }

    fn id(&self, index: usize) -> &str {
        &self.plan.jobs[index].id.0
    }

    fn unit_id<'u>(&'u self, unit: &Unit) -> Cow<'u, str> {
        match unit {
            Unit::Job(index) => Cow::Borrowed(self.id(*index)),
            Unit::Round(round) => Cow::Owned(round.id()),
        }
    }

    fn job(&self, text: &mut String, index: usize) -> fmt::Result {
        let planned = &self.plan.jobs[index];
        let PlannedJob {
            id,
            job,
            stage,
            request: _, // in the submit file
            place,
            in_place: _, // read where it is, so nothing to move; the job runs there
            program: _,  // in the submit file
        } = planned;
        let (submit_file, _) = self.groups.of_job(index);
        write!(
            text,
            "JOB {id} {submit_file}\nVARS {id} node=\"{id}\" argv=\"{}\"",
            job.to_argv().join(" ")
        )?;
        write!(text, " dataset=\"{}\"", stage.dataset)?;
        if let Some(round) = stage.round {
            write!(text, " round=\"{round}\"")?;
        }
        if let Some(client) = stage.client {
            write!(text, " client=\"{client}\"")?;
        }
        match place {
            Place::SubmitHost => write!(text, "\nCATEGORY {id} {SUBMIT_HOST}\n")?,
            Place::Anywhere | Place::Site(_) => {
                self.transfers(text, job)?;
                writeln!(text, "\nCATEGORY {id} {}", job.name())?;
            }
        }
        match self.plan.priority(planned) {
            0 => Ok(()),
            priority => writeln!(text, "PRIORITY {id} {priority}"),
        }
    }

    /// What travels with a job: there, back, and where to.
    fn transfers(&self, text: &mut String, job: &Job) -> fmt::Result {
        let (mut reads, mut writes, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        job.roles(&mut |role| match role {
            // What is kept in place is nothing to move. A checkpoint is of use to an attempt on the same machine alone, and
            // HTCondor starts each anew.
            Role::Setting | Role::ReadInPlace(_) | Role::WrittenInPlace(_) | Role::Checkpoint(_) => {}
            // A file named by two flags still travels once.
            Role::Input(file) if seen.insert(file) => reads.push(file),
            Role::Output(file) if seen.insert(file) => writes.push(file),
            Role::Input(_) | Role::Output(_) => {}
        });
        let from: Vec<String> = reads.iter().map(|file| self.places.path(file)).collect();
        let to: Vec<String> = writes
            .iter()
            .map(|file| format!("{file}={FILES}/{file}"))
            .collect();
        // Without a list HTCondor would bring back everything new; this one is empty.
        let writes = match writes.is_empty() {
            true => r#"\"\""#.to_owned(),
            false => writes.join(","),
        };
        write!(
            text,
            " reads=\"{}\" writes=\"{writes}\" remaps=\"{}\"",
            from.join(","),
            to.join(";")
        )
    }
}

const STRING: &str = "writing to a string cannot fail";

/// Writes what every DAG begins with: settings, and where DAGMan tells how far it is.
pub fn head(out: &mut impl Write, status: impl Display, jobstate: impl Display) -> io::Result<()> {
    write!(
        out,
        "CONFIG {CONFIG}\nNODE_STATUS_FILE {status} {STATUS_SECONDS}\nJOBSTATE_LOG {jobstate}\n"
    )
}

/// Writes that `child` waits for `parents`, if there are any.
pub fn after<'a>(
    out: &mut impl Write,
    child: &str,
    parents: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let mut parents = parents.peekable();
    if parents.peek().is_none() {
        return Ok(());
    }
    out.write_all(b"PARENT")?;
    for parent in parents {
        write!(out, " {parent}")?;
    }
    writeln!(out, " CHILD {child}")
}
