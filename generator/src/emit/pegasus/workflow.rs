//! Workflow files: jobs, what they read and write, and who waits for whom. Written as they are made, never held.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Display, Write as _},
    io::{self, Write},
};

use contract::argv::Role;

use super::{
    LOCAL, NAMESPACE, PEGASUS_VERSION,
    context::Context,
    memory::growing,
    yaml::{Arguments, Map, Text},
};
use crate::{
    check::Request,
    emit::{
        kept::is_kept,
        units::{RoundUnit, Unit, Units},
    },
    plan::{Children, Place, Plan, PlannedJob},
};

/// Writes the main workflow.
pub fn write_main(context: &Context<'_>, units: &Units, out: &mut impl Write) -> io::Result<()> {
    let plan = context.plan;
    write!(out, "{}", head(plan, &plan.experiment))?;
    let given = given(plan);
    let border = Border::of(&given, &[]);
    let mut text = String::new();
    for unit in &units.units {
        match unit {
            Unit::Job(index) => job(&mut text, context, &plan.jobs[*index], &border),
            Unit::Round(round) => sub_workflow(&mut text, context, round),
        }
        .expect("writing to a string cannot fail");
        out.write_all(text.as_bytes())?;
        text.clear();
    }
    let ids: Vec<Cow<'_, str>> = units.units.iter().map(|unit| unit_id(plan, unit)).collect();
    let mut children = vec![Vec::new(); ids.len()];
    for (child, parents) in units.after.iter().enumerate() {
        for &parent in parents {
            children[parent as usize].push(child as u32);
        }
    }
    let entries = children.iter().zip(&ids);
    dependencies(
        out,
        entries.map(|(list, id)| (&**id, list.iter().map(|&child| &*ids[child as usize]))),
    )
}

/// Writes the workflow of a round, or of several; `children` are the plan's edges from writers to readers.
pub fn write_round(
    context: &Context<'_>,
    children: &Children,
    round: &RoundUnit,
    out: &mut impl Write,
) -> io::Result<()> {
    let plan = context.plan;
    let name = format!("{}-{}-{}", plan.experiment, round.dataset, round.rounds());
    write!(out, "{}", head(plan, &name))?;
    let border = Border::of(&round.inputs, &round.outputs);
    let mut text = String::new();
    for &index in &round.jobs {
        job(&mut text, context, &plan.jobs[index], &border).expect("writing to a string cannot fail");
        out.write_all(text.as_bytes())?;
        text.clear();
    }
    let id = |index: usize| &*plan.jobs[index].id.0;
    let inside = |child: &&u32| round.jobs.binary_search(&(**child as usize)).is_ok();
    let entries = round.jobs.iter().map(|&parent| {
        let list = children.of(parent).iter().filter(inside);
        (id(parent), list.map(|&child| id(child as usize)))
    });
    dependencies(out, entries)
}

fn unit_id<'a>(plan: &'a Plan, unit: &Unit) -> Cow<'a, str> {
    match unit {
        Unit::Job(index) => Cow::Borrowed(&plan.jobs[*index].id.0),
        Unit::Round(round) => Cow::Owned(round.id()),
    }
}

/// What crosses the border of a workflow.
struct Border<'a> {
    /// Files its jobs read and none of them writes.
    arriving: HashSet<&'a str>,
    /// Files its jobs write and others read.
    leaving: HashSet<&'a str>,
}

impl<'a> Border<'a> {
    fn of(arriving: &'a [String], leaving: &'a [String]) -> Self {
        let set = |files: &'a [String]| files.iter().map(String::as_str).collect();
        Self {
            arriving: set(arriving),
            leaving: set(leaving),
        }
    }
}

/// The files that no job writes and that lie on the submit host under their own names, as HTCondor needs them.
fn given(plan: &Plan) -> Vec<String> {
    let statics = plan.statics.iter().map(|file| file.name.to_string());
    let weights = plan.weights.iter().filter(|file| {
        let name = file.path.rsplit('/').next();
        name == Some(file.name.as_str())
    });
    statics.chain(weights.map(|file| file.name.to_string())).collect()
}

fn head(plan: &Plan, name: &impl Display) -> String {
    let metadata = [
        ("algorithm", plan.algorithm.to_owned()),
        ("experiment", plan.experiment.to_string()),
        ("rounds", plan.rounds.to_string()),
        ("spec_digest", plan.spec_digest.to_string()),
        ("synthetic", plan.synthetic.to_string()),
    ];
    format!(
        "pegasus: \"{PEGASUS_VERSION}\"\nname: {}\nmetadata: {}\njobs:\n",
        Text(&name.to_string()),
        Map(&metadata)
    )
}

/// Writes each parent with its children; parents without children are left out.
fn dependencies<'a, I: Iterator<Item = &'a str>>(
    out: &mut impl Write,
    entries: impl Iterator<Item = (&'a str, I)>,
) -> io::Result<()> {
    let mut text = String::from("jobDependencies:");
    let mut any = false;
    for (parent, children) in entries {
        let mut children = children.peekable();
        if children.peek().is_none() {
            continue;
        }
        any = true;
        text.push_str("\n- id: ");
        text.push_str(parent);
        text.push_str("\n  children:");
        for child in children {
            text.push_str("\n  - ");
            text.push_str(child);
            if text.len() > 1 << 16 {
                out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
    }
    text.push_str(if any { "\n" } else { " []\n" });
    out.write_all(text.as_bytes())
}

/// Writes a job.
fn job(text: &mut String, context: &Context<'_>, planned: &PlannedJob, border: &Border<'_>) -> fmt::Result {
    let PlannedJob {
        id,
        job,
        stage,
        request: _,  // in the profiles
        place: _,    // in the profiles
        in_place: _, // read where it is, so nothing to move; the job runs there
        program,
    } = planned;
    // A copy of what lies on the submit host in its scratch directory is of no use to HTCondor.
    let direct = context.condor_io() && planned.place != Place::SubmitHost;
    write!(
        text,
        "- type: job\n  namespace: {NAMESPACE}\n  name: {}\n",
        job.name()
    )?;
    if program.is_some() {
        writeln!(text, "  version: {}", Text(stage.dataset.as_str()))?;
    }
    write!(
        text,
        "  id: {id}\n  arguments: {}\n  uses:\n",
        Arguments(&job.to_argv())
    )?;
    let mut seen = HashSet::new();
    let mut result = Ok(());
    let mut checkpointed = false;
    job.roles(&mut |role| {
        let line = match role {
            // What is kept in place is nothing to move.
            Role::Setting | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => return,
            // A file named by two flags is still used once.
            Role::Input(file) | Role::Output(file) | Role::Checkpoint(file) if !seen.insert(file) => return,
            Role::Input(file) => {
                let bypass = match direct && border.arriving.contains(file) {
                    true => ", bypass: true",
                    false => "",
                };
                writeln!(text, "  - {{lfn: {}, type: input{bypass}}}", Text(file))
            }
            Role::Output(file) => {
                let stage_out = border.leaving.contains(file) || is_kept(job, file);
                output(text, file, stage_out)
            }
            Role::Checkpoint(file) => {
                checkpointed = true;
                // Of use to the job's next attempt alone.
                writeln!(
                    text,
                    "  - {{lfn: {}, type: checkpoint, stageOut: false, registerReplica: false}}",
                    Text(file)
                )
            }
        };
        result = result.and(line);
    });
    result?;
    profiles(
        text,
        context,
        planned,
        checkpointed.then(|| checkpoint_minutes(planned.request)),
    )?;
    let mut metadata = vec![("dataset", stage.dataset.to_string())];
    metadata.extend(stage.round.map(|round| ("round", round.to_string())));
    metadata.extend(stage.client.map(|client| ("client", client.to_string())));
    writeln!(text, "  metadata: {}", Map(&metadata))
}

fn output(text: &mut String, file: &str, stage_out: bool) -> fmt::Result {
    // No job looks files up in a catalog of earlier outputs, so none is registered; that saves a job per output.
    writeln!(
        text,
        "  - {{lfn: {}, type: output, stageOut: {stage_out}, registerReplica: false}}",
        Text(file)
    )
}

/// When a job is told to leave a checkpoint and end: after nine tenths of its time, so that the file still gets out.
fn checkpoint_minutes(request: Request) -> u64 {
    (request.walltime.0 * 9 / 10 / 60).max(1)
}

/// Requests stand at the job: no transformation or site profile competes, and those would win.
fn profiles(
    text: &mut String,
    context: &Context<'_>,
    planned: &PlannedJob,
    checkpoint_minutes: Option<u64>,
) -> fmt::Result {
    let (plan, request) = (context.plan, planned.request);
    let mut condor = class_ads(plan, planned);
    let mut pegasus = Vec::new();
    if let Some(minutes) = checkpoint_minutes {
        pegasus.push(("checkpoint.time", minutes.to_string()));
    }
    pegasus.push(("cores", request.cpus.to_string()));
    if request.gpus > 0 {
        pegasus.push(("gpus", request.gpus.to_string()));
    }
    pegasus.push(("maxwalltime", request.walltime.0.div_ceil(60).to_string()));
    let memory = request.memory.mebibytes();
    if planned.place == Place::SubmitHost {
        pegasus.push(("memory", memory.to_string()));
    } else {
        // HTCondor holds the job after this many seconds; the site's `periodic_remove` then fails it.
        condor.push(("allowed_execute_duration", request.walltime.0.to_string()));
        match plan.retries {
            0 => pegasus.push(("memory", memory.to_string())),
            _ => condor.push(("request_memory", growing(memory))),
        }
    }
    writeln!(text, "  profiles:\n    condor: {}", Map(&condor))?;
    writeln!(
        text,
        "    dagman: {}",
        Map(&[("RETRY", plan.retries.to_string())])
    )?;
    writeln!(text, "    pegasus: {}", Map(&pegasus))?;
    if let Some(site) = context.sent_to(planned) {
        writeln!(
            text,
            "    selector: {}",
            Map(&[("execution.site", site.to_owned())])
        )?;
    }
    Ok(())
}

/// What the queue shows of a job: attributes of its ClassAd, texts in quotation marks.
fn class_ads(plan: &Plan, planned: &PlannedJob) -> Vec<(&'static str, String)> {
    let quoted = |text: &str| format!("\"{text}\"");
    let stage = &planned.stage;
    let mut ads = vec![("+FL_Algorithm", quoted(plan.algorithm))];
    ads.extend(stage.client.map(|client| ("+FL_Client", client.0.to_string())));
    ads.push(("+FL_Dataset", quoted(stage.dataset.as_str())));
    ads.push(("+FL_JobType", quoted(planned.job.name())));
    ads.push(("+FL_NumRounds", plan.rounds.to_string()));
    ads.extend(stage.round.map(|round| ("+FL_Round", round.0.to_string())));
    ads
}

fn sub_workflow(text: &mut String, context: &Context<'_>, round: &RoundUnit) -> fmt::Result {
    let (file, sites) = (round.file(context.plan), context.compute_sites());
    // No `--conf`: it would replace the catalogs the sub-workflow inherits.
    let arguments = [
        "--sites",
        sites.as_str(),
        "--output-sites",
        LOCAL,
        "--cleanup",
        CLEANUP,
    ];
    write!(
        text,
        "- type: pegasusWorkflow\n  file: {}\n  id: {}\n  arguments: {}\n  uses:\n",
        Text(&file),
        round.id(),
        Arguments(&arguments.map(str::to_owned)),
    )?;
    writeln!(
        text,
        "  - {{lfn: {}, forPlanning: true, type: input}}",
        Text(&file)
    )?;
    for file in &round.inputs {
        writeln!(text, "  - {{lfn: {}, type: input}}", Text(file))?;
    }
    for file in &round.outputs {
        // Global models, states and residuals are read in a later round, so they are kept.
        output(text, file, true)?;
    }
    let mut metadata = vec![("dataset", round.dataset.to_string())];
    if round.last != round.round {
        metadata.push(("last_round", round.last.to_string()));
    }
    metadata.push(("round", round.round.to_string()));
    writeln!(text, "  metadata: {}", Map(&metadata))
}

/// Files are deleted from scratch once their last reader is done. Safe between rounds because every sub-workflow
/// declares what it reads, so the main workflow counts it as a reader.
pub const CLEANUP: &str = "inplace";
