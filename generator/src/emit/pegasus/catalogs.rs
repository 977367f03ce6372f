//! The catalogs beside the workflow: where files, programs and machines are; and the planner's properties.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use contract::{
    args::{Binary, Job, ProfileArgs},
    argv::JobArgs,
};

use super::{
    DIR_VARIABLE, LOCAL, NAMESPACE, PEGASUS_VERSION,
    context::Context,
    yaml::{Map, Text},
};
use crate::{
    emit::units::{Unit, Units},
    plan::Plan,
};

/// Writes `replicas.yml`: static files, weights and the workflow files of rounds, all on the submit host.
pub fn replicas(plan: &Plan, units: &Units, out: &mut impl Write) -> io::Result<()> {
    let statics = plan.statics.iter().map(|file| {
        let name = file.name.to_string();
        let path = format!("${{{DIR_VARIABLE}}}/inputs/{name}");
        (name, path)
    });
    let weights = plan
        .weights
        .iter()
        .map(|file| (file.name.to_string(), file.path.clone()));
    let rounds = units.units.iter().filter_map(|unit| match unit {
        Unit::Job(_) => None,
        Unit::Round(round) => {
            let name = round.file(plan);
            let path = format!("${{{DIR_VARIABLE}}}/rounds/{name}");
            Some((name, path))
        }
    });
    write!(out, "pegasus: \"{PEGASUS_VERSION}\"\nreplicas:\n")?;
    for (name, path) in statics.chain(weights).chain(rounds) {
        writeln!(
            out,
            "- lfn: {}\n  pfns:\n  - {{site: {LOCAL}, pfn: {}}}",
            Text(&name),
            Text(&path)
        )?;
    }
    Ok(())
}

/// Writes `transformations.yml`: one transformation for each kind of job that is planned, so statistics tell them apart.
///
/// Programs are on the submit host and can be staged to every site. No profile stands here: it would win over the jobs'.
/// Those of a site's jobs that run a copy which the site keeps have the dataset as their version: each dataset's first
/// job there leaves a copy of its own.
pub fn transformations(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    write!(out, "pegasus: \"{PEGASUS_VERSION}\"\ntransformations:\n")?;
    for binary in Binary::ALL {
        let jobs = Job::help(binary).into_iter().map(|(job, _, _)| job);
        // Nobody plans a profile; people make one by hand.
        for job in jobs.filter(|job| *job != ProfileArgs::NAME) {
            let path = format!("${{{DIR_VARIABLE}}}/bin/{}", binary.as_str());
            write!(
                out,
                "- namespace: {NAMESPACE}\n  name: {job}\n  sites:\n  - {{name: {LOCAL}, pfn: {}, type: stageable}}\n",
                Text(&path)
            )?;
        }
    }
    for ((job, dataset), sites) in kept_programs(plan) {
        write!(
            out,
            "- namespace: {NAMESPACE}\n  name: {job}\n  version: {}\n  sites:\n",
            Text(dataset)
        )?;
        for (site, path) in sites {
            writeln!(
                out,
                "  - {{name: {}, pfn: {}, type: installed}}",
                Text(site),
                Text(path)
            )?;
        }
    }
    Ok(())
}

/// By kind of job and dataset, the sites that keep its program, and where.
fn kept_programs(plan: &Plan) -> BTreeMap<(&str, &str), BTreeMap<&str, &str>> {
    let mut kept: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for planned in &plan.jobs {
        if let (Some(site), Some(program)) = (planned.site(), planned.program.as_deref()) {
            let transformation = (planned.job.name(), planned.stage.dataset.as_str());
            kept.entry(transformation)
                .or_default()
                .insert(site.name.as_str(), program);
        }
    }
    kept
}

/// Jobs put on hold are removed, and so fail with their real message, after this many seconds; but for those that somebody
/// holds by hand (reason 1).
const REMOVE_HELD: &str =
    "(JobStatus == 5) && (HoldReasonCode =!= 1) && ((time() - EnteredCurrentStatus) > 60)";

/// Writes `sites.yml`: the submit host with its scratch and storage, the compute site, and the sites that hold data.
pub fn sites(context: &Context<'_>, out: &mut impl Write) -> io::Result<()> {
    let compute = &context.settings.compute_site;
    write!(out, "pegasus: \"{PEGASUS_VERSION}\"\nsites:\n- name: {LOCAL}\n")?;
    let scratch = ("sharedScratch", "scratch");
    directories(context, out, &[scratch, ("localStorage", "outputs")])?;
    if compute != LOCAL {
        writeln!(out, "- name: {}", Text(compute))?;
        // HTCondor moves files itself, so the compute site needs no directory of its own.
        let own = if context.condor_io() { &[][..] } else { &[scratch] };
        directories(context, out, own)?;
    }
    pool(context, out, None)?;
    for site in &context.sites {
        writeln!(out, "- name: {}", Text(site.name.as_str()))?;
        directories(context, out, &[])?;
        pool(context, out, Some(&site.requirements))?;
    }
    Ok(())
}

/// Profiles of a site that is an HTCondor pool, or the part of one where `requirements` hold.
fn pool(context: &Context<'_>, out: &mut impl Write, requirements: Option<&str>) -> io::Result<()> {
    let requirements = requirements.map(|requirements| ("requirements", requirements.to_owned()));
    let condor = [("periodic_remove", REMOVE_HELD.to_owned())]
        .into_iter()
        .chain(requirements);
    let condor: Vec<_> = condor.chain([("universe", "vanilla".to_owned())]).collect();
    // The submit host sees the scratch directory, so it does there what else a job would be sent for.
    let here = (!context.condor_io()).then(|| ("auxillary.local", "true".to_owned()));
    let pegasus: Vec<_> = here.into_iter().chain([("style", "condor".to_owned())]).collect();
    writeln!(
        out,
        "  profiles:\n    condor: {}\n    pegasus: {}",
        Map(&condor),
        Map(&pegasus)
    )
}

fn directories(context: &Context<'_>, out: &mut impl Write, list: &[(&str, &str)]) -> io::Result<()> {
    if list.is_empty() {
        return writeln!(out, "  directories: []");
    }
    writeln!(out, "  directories:")?;
    for (kind, folder) in list {
        let path = format!("${{{DIR_VARIABLE}}}/{folder}");
        let url = format!("file://{path}");
        writeln!(
            out,
            "  - type: {kind}\n    path: {}\n    sharedFileSystem: {}\n    fileServers:\n    - {{url: {}, operation: all}}",
            Text(&path),
            context.shared(),
            Text(&url)
        )?;
    }
    Ok(())
}

/// Writes `pegasus.properties`. `plan.sh` adds the catalogs' absolute paths.
pub fn properties(context: &Context<'_>, out: &mut impl Write) -> io::Result<()> {
    let lines = [
        (
            "pegasus.data.configuration",
            context.settings.data_configuration.as_str(),
        ),
        // Failed transfers fail at once; the default tries again for seven minutes.
        ("pegasus.transfer.arguments", "-m 1"),
        ("pegasus.transfer.lite.arguments", "-m 1"),
        // Jobs bring what they need; none fetches Pegasus from the network.
        ("pegasus.transfer.worker.package.autodownload", "false"),
    ];
    for (key, value) in lines {
        writeln!(out, "{key} = {value}")?;
    }
    Ok(())
}
