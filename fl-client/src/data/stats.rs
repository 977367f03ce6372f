//! `fl-client stats`: what a manifest gives each client.
//!
//! In: a manifest. Out: [`DatasetStats`]: samples, patients and classes of each group, and how far each client's class
//! distribution is from that of all training samples. Names no patient. Start at [`run`].

use std::collections::HashSet;

use contract::{
    args::StatsArgs,
    dataset::{ClientStats, DatasetStats, GroupStats, Manifest, ManifestRow, Split},
    exit::JobExit,
    ids::ClientId,
    job::{JobError, write_json},
};
use kernels::partition::divergence::{self, DivergenceError};

use super::{manifest, prepare::duplicates::crosses, task};

/// Counts a manifest.
///
/// # Errors
/// `InputMissing`, `Io` or `InputInvalid` for the manifest; `Io` if the statistics cannot be written.
pub fn run(args: &StatsArgs) -> Result<(), JobError> {
    let StatsArgs { manifest, stats } = args;
    let manifest = manifest::read(manifest.path())?;
    // A verified manifest has no empty group, so a divergence that does not exist is a defect.
    let counted = count(&manifest).map_err(|error| JobError::new(JobExit::Unexpected, error.to_string()))?;
    write_json(stats.path(), &counted)
}

fn count(manifest: &Manifest) -> Result<DatasetStats, DivergenceError> {
    let Manifest {
        fedwing_manifest: _,
        experiment,
        dataset,
        spec_digest: _,
        synthetic,
        target,
        classes,
        clients,
        validation,
        part: _,
        left_out,
        skipped,
        duplicates,
        percentile_windows: _,
        source_digest: _,
        rows,
    } = manifest;
    let group =
        |keep: &dyn Fn(&ManifestRow) -> bool| group(rows.iter().filter(|row| keep(row)), classes.len());
    let train = group(&|row| row.split == Split::Train);
    let test = group(&|row| row.split == Split::Test);
    let validation = validation.then(|| group(&|row| row.split == Split::Validation));
    // Distances are of distributions of one class a sample.
    let split_counts = |keep: &dyn Fn(&ManifestRow) -> bool| {
        let mut counts = vec![0_u64; task::split_classes(*target, classes.len())];
        for row in rows.iter().filter(|row| keep(row)) {
            counts[task::split_class(&row.labels, classes.len()) as usize] += 1;
        }
        counts
    };
    let all = split_counts(&|row| row.split == Split::Train);
    let clients = (0..*clients)
        .map(ClientId)
        .map(|client| {
            let own = split_counts(&|row| row.client == Some(client));
            Ok(ClientStats {
                client,
                kl: divergence::kl(&own, &all)?,
                js: divergence::js(&own, &all)?,
                hellinger: divergence::hellinger(&own, &all)?,
                emd: divergence::emd(&own, &all)?,
                group: group(&|row| row.client == Some(client)),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sizes: Vec<u64> = clients
        .iter()
        .map(|client: &ClientStats| client.group.samples)
        .collect();
    Ok(DatasetStats {
        fedwing_stats: DatasetStats::VERSION,
        experiment: experiment.clone(),
        dataset: dataset.clone(),
        synthetic: *synthetic,
        target: *target,
        classes: classes.clone(),
        train,
        validation,
        test,
        clients,
        left_out: left_out.clone(),
        effective_clients: divergence::effective_clients(&sizes),
        skipped: skipped.len() as u64,
        leaks: duplicates.iter().filter(|group| crosses(group)).count() as u64,
    })
}

fn group<'a>(rows: impl Iterator<Item = &'a ManifestRow>, classes: usize) -> GroupStats {
    let mut patients = HashSet::new();
    let mut stats = GroupStats {
        samples: 0,
        patients: 0,
        class_counts: vec![0; classes],
        unlabelled: 0,
    };
    for row in rows {
        stats.samples += 1;
        for label in &row.labels {
            stats.class_counts[*label as usize] += 1;
        }
        stats.unlabelled += u64::from(row.labels.is_empty());
        patients.insert(row.patient.as_str());
    }
    stats.patients = patients.len() as u64;
    stats
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, f64::consts::LN_2};

    use contract::{job::read_json, training::Target};
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::manifest;

    fn row(image: &str, patient: &str, class: u32, client: Option<u32>) -> ManifestRow {
        ManifestRow {
            image: image.to_owned(),
            patient: patient.to_owned(),
            labels: vec![class],
            split: if client.is_some() {
                Split::Train
            } else {
                Split::Test
            },
            client: client.map(ClientId),
        }
    }

    #[test]
    fn each_group_is_counted_and_compared_with_all_training_samples() {
        let dir = TempDir::new().unwrap();
        let (from, to) = (dir.path().join("manifest.json"), dir.path().join("stats.json"));
        let mut manifest = manifest();
        manifest.left_out = BTreeMap::from([("because".to_owned(), 4)]);
        manifest.rows = vec![
            row("a", "p", 0, Some(0)),
            row("b", "p", 0, Some(0)),
            row("c", "q", 1, Some(1)),
            row("d", "r", 1, Some(1)),
            row("e", "s", 1, None),
        ];
        write_json(&from, &manifest).unwrap();
        run(&StatsArgs {
            manifest: from.to_str().unwrap().into(),
            stats: to.to_str().unwrap().into(),
        })
        .unwrap();
        let stats: DatasetStats = read_json(&to, 1 << 20).unwrap();
        let group = |samples, patients, counts: [u64; 2]| GroupStats {
            samples,
            patients,
            class_counts: counts.to_vec(),
            unlabelled: 0,
        };
        assert_eq!(stats.train, group(4, 3, [2, 2]));
        assert_eq!(stats.test, group(1, 1, [0, 1]));
        assert_eq!(stats.clients[0].group, group(2, 1, [2, 0]));
        assert_eq!(stats.clients[1].group, group(2, 2, [0, 2]));
        assert_eq!(stats.left_out, manifest.left_out);
        assert_eq!(stats.classes, manifest.classes);
        // KL([1, 0] | [.5, .5]) = ln 2; JS against the mean [.75, .25] of both.
        let js = 0.5 * (1.0f64 / 0.75).ln() + 0.5 * (0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln());
        for client in &stats.clients {
            assert!((client.kl - LN_2).abs() < 1e-12, "{client:?}");
            assert!((client.js - js).abs() < 1e-12, "{client:?}");
        }
    }

    #[test]
    fn images_with_several_labels_count_for_each_and_as_their_first_in_distances() {
        let mut manifest = manifest();
        (manifest.target, manifest.validation) = (Target::Labels, true);
        let labelled = |image: &str, labels: &[u32], client| ManifestRow {
            labels: labels.to_vec(),
            ..row(image, image, 0, client)
        };
        manifest.rows = vec![
            labelled("a", &[0, 1], Some(0)),
            labelled("b", &[], Some(0)),
            labelled("c", &[1], Some(1)),
            labelled("d", &[], Some(1)),
            labelled("e", &[0, 1], None),
            ManifestRow {
                split: Split::Validation,
                ..labelled("f", &[1], None)
            },
        ];
        let stats = count(&manifest).unwrap();
        let group = |samples, counts: [u64; 2], unlabelled| GroupStats {
            samples,
            patients: samples,
            class_counts: counts.to_vec(),
            unlabelled,
        };
        assert_eq!(stats.train, group(4, [1, 2], 2));
        assert_eq!(stats.test, group(1, [1, 1], 0));
        assert_eq!(stats.validation, Some(group(1, [0, 1], 0)));
        assert_eq!(stats.clients[0].group, group(2, [1, 1], 1));
        // [1/2, 0, 1/2] against [1/4, 1/4, 1/2]: half the sum of differences.
        assert_eq!(stats.clients[0].emd, 0.25);
    }

    #[test]
    fn no_manifest_is_a_missing_input() {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let error = run(&StatsArgs {
            manifest: path("manifest.json").as_str().into(),
            stats: path("stats.json").as_str().into(),
        })
        .unwrap_err();
        assert_eq!(error.exit, JobExit::InputMissing);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
