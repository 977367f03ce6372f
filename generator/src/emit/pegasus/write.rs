//! Fills a directory with everything Pegasus needs to plan an experiment.

use std::io::{self, Write};

use super::{DIR_VARIABLE, LOCAL, catalogs, context::Context, workflow};
use crate::{
    check::{Layout, PegasusSettings},
    emit::{
        Sink, SinkError,
        directory::Directory,
        units::{Unit, Units},
    },
    plan::Plan,
};

/// Why a plan was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Pegasus would replace a part of the text.
    #[error("`{text}` holds `${{`, which Pegasus takes for a variable")]
    Variable {
        /// The path or name.
        text: String,
    },
}

/// Fills `sink` with workflow, catalogs, properties, static files, `plan.sh` and `README.md`.
///
/// The job binaries belong into `bin/` under their own names; the caller copies them. Nothing depends on where the
/// directory will stand. The bytes depend on the arguments alone. Memory stays at a few numbers a job.
///
/// # Errors
/// [`WriteError::Sink`] at the first file that fails; [`WriteError::Variable`] for a path Pegasus would misread.
pub fn write<S: Sink>(plan: &Plan, settings: &PegasusSettings, sink: &mut S) -> Result<(), WriteError> {
    let paths = plan.weights.iter().map(|weights| &weights.path);
    for text in paths.chain([&settings.compute_site, &settings.data_configuration]) {
        if text.contains("${") {
            return Err(WriteError::Variable { text: text.clone() });
        }
    }
    let (context, units) = (Context::new(plan, settings), Units::of(plan));
    let mut directory = Directory(sink);
    directory.file("workflow.yml", |out| workflow::write_main(&context, &units, out))?;
    let children = plan.edges().reversed();
    for unit in &units.units {
        if let Unit::Round(round) = unit {
            let path = format!("rounds/{}", round.file(plan));
            directory.file(&path, |out| {
                workflow::write_round(&context, &children, round, out)
            })?;
        }
    }
    directory.file("replicas.yml", |out| catalogs::replicas(plan, &units, out))?;
    directory.file("transformations.yml", |out| catalogs::transformations(plan, out))?;
    directory.file("sites.yml", |out| catalogs::sites(&context, out))?;
    directory.file("pegasus.properties", |out| catalogs::properties(&context, out))?;
    for file in &plan.statics {
        let path = format!("inputs/{}", file.name);
        directory.file(&path, |out| out.write_all(file.content.as_bytes()))?;
    }
    directory.script("plan.sh", &plan_script(&context))?;
    directory.file("README.md", |out| readme(&context, &units, out))?;
    Ok(())
}

/// The script that plans: Pegasus looks for nothing outside the script's own directory.
fn plan_script(context: &Context<'_>) -> String {
    let cleanup = workflow::CLEANUP;
    let sites = context.compute_sites();
    format!(
        r#"#!/bin/sh
# Plans this workflow; `./plan.sh --submit` also starts it. Further options go to pegasus-plan.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
case $here in
*[!A-Za-z0-9._/-]*)
    echo "plan.sh: move this directory to a path of letters, digits, '.', '_' and '-': '$here'" >&2
    exit 2
    ;;
esac
# The catalogs find their files by this variable; the prefix takes it to the planning of sub-workflows.
export {DIR_VARIABLE}="$here"
# Nothing is reported over the network.
export PEGASUS_METRICS=false
cd "$here"
exec pegasus-plan \
    -Dpegasus.catalog.replica=YAML -Dpegasus.catalog.replica.file="$here/replicas.yml" \
    -Dpegasus.catalog.transformation=YAML -Dpegasus.catalog.transformation.file="$here/transformations.yml" \
    -Dpegasus.catalog.site=YAML -Dpegasus.catalog.site.file="$here/sites.yml" \
    --conf "$here/pegasus.properties" --dir "$here/submit" \
    --sites '{sites}' --output-sites {LOCAL} --cleanup {cleanup} "$@" "$here/workflow.yml"
"#
    )
}

fn readme(context: &Context<'_>, units: &Units, out: &mut impl Write) -> io::Result<()> {
    let plan = context.plan;
    let rounds = units
        .units
        .iter()
        .filter(|unit| matches!(unit, Unit::Round(_)))
        .count();
    let synthetic = if plan.synthetic {
        "\n**SYNTHETIC**: at least one dataset is drawn, not taken.\n"
    } else {
        ""
    };
    write!(
        out,
        r#"# {experiment}

A Pegasus 5 workflow of {jobs} jobs in {workflows}.
Written by fedwing from the specification with the digest
`{digest}`.
{synthetic}
    ./plan.sh --submit

plans and starts it; `pegasus-status` and `pegasus-analyzer` take the directory it prints. This directory can be moved
as a whole before it is planned, to any path of letters, digits, `.`, `_`, `-`. To start a planned workflow later by
`pegasus-run`, set `{DIR_VARIABLE}` to this directory and `PEGASUS_METRICS` to `false` first, as `plan.sh` does.

| here | is |
|---|---|
| `workflow.yml`, `rounds/` | the jobs; what waits for what comes from files |
| `replicas.yml`, `inputs/` | what is there before the first job |
| `transformations.yml`, `bin/` | the job programs |
| `sites.yml`, `pegasus.properties` | the submit host, the compute site, and how files move |
| `outputs/` | results: models, metrics, statistics, manifests |
| `scratch/`, `submit/` | files between jobs, and what Pegasus made of the workflow |

`prepare` and `stats` run on the submit host: they read the images and the manifest, which names patients; the manifest
is kept in `outputs/` and goes to no other machine. So do the steps of the server that the specification puts there
(`submit_host`). Shards and updates are deleted from `scratch/` once every job and
sub-workflow that declares them is done. Held jobs fail after a minute, with their message in `pegasus-analyzer`; every
further attempt asks for that much more memory. `condor_q -af FL_JobType FL_Round FL_Client` tells jobs apart.
{sites}"#,
        experiment = plan.experiment,
        jobs = plan.jobs.len(),
        workflows = match rounds {
            0 => "one workflow".to_owned(),
            units => format!(
                "a main workflow and {units} sub-workflows, {}",
                one_per(plan.layout)
            ),
        },
        digest = plan.spec_digest,
        sites = sites_note(context),
    )
}

/// What a sub-workflow holds.
fn one_per(layout: Layout) -> String {
    match layout {
        // There are none then.
        Layout::Flat | Layout::Rounds => "one per dataset and round".to_owned(),
        Layout::Chunks { rounds } => format!("one per dataset and {rounds} rounds"),
    }
}

/// Which site has which clients' data, where there are several.
fn sites_note(context: &Context<'_>) -> String {
    if context.sites.is_empty() {
        return String::new();
    }
    let mut note = String::from("\n| site | clients | data | HTCondor requirements |\n|---|---|---|---|\n");
    for site in &context.sites {
        let clients: Vec<String> = site.clients.iter().map(|client| client.to_string()).collect();
        note += &format!(
            "| `{}` | {} | `{}` | `{}` |\n",
            site.name,
            clients.join(", "),
            site.data,
            site.requirements.replace('|', "\\|"),
        );
    }
    note + "\nJobs of these clients run there alone. Shards and what else a client keeps are written below `fedwing/` in the site's\nfolder and read in place; updates, models and counts are all that leaves it.\n"
}
