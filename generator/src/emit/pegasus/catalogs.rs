//! The catalogs beside the workflow: where files, programs and machines are; and the planner's properties.

use std::io::{self, Write};

use contract::args::Job;

use super::{
    DIR_VARIABLE, LOCAL, NAMESPACE, PEGASUS_VERSION,
    units::{Unit, Units},
    yaml::Text,
};
use crate::{check::PegasusSettings, plan::Plan};

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

/// Writes `transformations.yml`: one transformation for each kind of job, so statistics tell them apart.
pub fn transformations(out: &mut impl Write) -> io::Result<()> {
    write!(out, "pegasus: \"{PEGASUS_VERSION}\"\ntransformations:\n")?;
    for binary in contract::args::Binary::ALL {
        for (job, _, _) in Job::help(binary) {
            let path = format!("${{{DIR_VARIABLE}}}/bin/{}", binary.as_str());
            write!(
                out,
                "- namespace: {NAMESPACE}\n  name: {job}\n  sites:\n  - {{name: {LOCAL}, pfn: {}, type: stageable}}\n",
                Text(&path)
            )?;
        }
    }
    Ok(())
}

/// HTCondor moves files itself, so the compute site needs no directory of its own.
const CONDOR_IO: &str = "condorio";

/// Jobs put on hold are removed, and so fail with their real message, after this many seconds.
const HOLD_SECONDS: u32 = 60;

/// Writes `sites.yml`: the submit host with its scratch and storage, and the compute site.
pub fn sites(settings: &PegasusSettings, out: &mut impl Write) -> io::Result<()> {
    write!(out, "pegasus: \"{PEGASUS_VERSION}\"\nsites:\n- name: {LOCAL}\n")?;
    directories(out, &[("sharedScratch", "scratch"), ("localStorage", "outputs")])?;
    if settings.compute_site != LOCAL {
        writeln!(out, "- name: {}", Text(&settings.compute_site))?;
        if settings.data_configuration != CONDOR_IO {
            directories(out, &[("sharedScratch", "scratch")])?;
        } else {
            writeln!(out, "  directories: []")?;
        }
    }
    write!(
        out,
        "  profiles:\n    condor:\n      universe: vanilla\n      periodic_remove: \"(JobStatus == 5) && ((time() - EnteredCurrentStatus) > {HOLD_SECONDS})\"\n    pegasus:\n      style: condor\n"
    )
}

fn directories(out: &mut impl Write, list: &[(&str, &str)]) -> io::Result<()> {
    writeln!(out, "  directories:")?;
    for (kind, folder) in list {
        let path = format!("${{{DIR_VARIABLE}}}/{folder}");
        let url = format!("file://{path}");
        writeln!(
            out,
            "  - type: {kind}\n    path: {}\n    sharedFileSystem: false\n    fileServers:\n    - {{url: {}, operation: all}}",
            Text(&path),
            Text(&url)
        )?;
    }
    Ok(())
}

/// Writes `pegasus.properties`. `plan.sh` adds the catalogs' absolute paths.
pub fn properties(settings: &PegasusSettings, out: &mut impl Write) -> io::Result<()> {
    let lines = [
        ("pegasus.data.configuration", settings.data_configuration.as_str()),
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
