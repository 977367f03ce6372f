//! Where data is at several sites: what is planned there, and that nothing but models and counts leaves.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::path::Path;

use contract::{
    args::Job,
    argv::{InputFile, Role},
    ids::ClientId,
};
use fedwing::{
    check::check,
    plan::{self, Parts, Place, Plan, PlanError, PlannedJob},
};

const SPEC: &str = r#"
fedwing: 1
name: e1
seed: 7
datasets:
  nih:
    source: {cxr14: {images: /central/images, labels: /central/table.csv}}
    task: {binary: {negative: [No Finding]}}
    image: {size: 32}
    test: {fraction: 0.2, validation: 0.1}
    clients: {count: 3, by: iid}
model: {arch: small_cnn_bn}
federation:
  algorithm: fedbn
  rounds: 2
  local: {epochs: 1, batch_size: 32, optimizer: {sgd: {learning_rate: 0.01}}}
evaluation: {baselines: [local_only]}
sites:
  a: {clients: [0, 2], data: /srv/cxr, condor: {requirements: 'FedwingSite == "site0"'}}
  b: {clients: [1], data: /srv/cxr, condor: {requirements: 'FedwingSite == "site1"'}}
privacy: {data_stays_at_site: true}
"#;

fn lower(text: &str) -> Plan {
    let report = check(text, "spec.yml", Path::new("/specs"));
    let checked = report
        .checked
        .unwrap_or_else(|| panic!("{}", report.diagnostics.render(fedwing::diag::Colour::Never)));
    plan::lower(&checked).unwrap()
}

/// Every file a job moves or has in place, with what it does to it.
fn files(job: &Job) -> Vec<(&'static str, String)> {
    let mut files = Vec::new();
    job.roles(&mut |role| {
        files.push(match role {
            Role::Setting => return,
            Role::Checkpoint(file) => ("checkpoint", file.to_owned()),
            Role::Input(file) => ("receives", file.to_owned()),
            Role::Output(file) => ("sends", file.to_owned()),
            Role::ReadInPlace(file) => ("reads", file.to_owned()),
            Role::WrittenInPlace(file) => ("writes", file.to_owned()),
        });
    });
    files
}

#[test]
fn jobs_of_clients_are_at_their_sites_and_what_they_move_is_models_and_counts() {
    let digest = lower(SPEC).spec_digest.as_str()[..12].to_owned();
    let mut lines = Vec::new();
    for job in &lower(SPEC).jobs {
        let site = job.site().map_or("-", |site| site.name.as_str());
        lines.push(format!("{} @ {site}", job.id));
        lines.extend(job.in_place.iter().map(|path| format!("    has      {path}")));
        lines.extend(
            files(&job.job)
                .iter()
                .map(|(does, file)| format!("    {does:8} {file}")),
        );
    }
    insta::assert_snapshot!(lines.join("\n").replace(&digest, "<digest>"));
}

#[test]
fn settings_at_a_site_are_those_of_the_dataset_but_for_where_its_files_are() {
    let plan = lower(SPEC);
    let content = |name: &str| {
        let file = plan.statics.iter().find(|file| file.name.as_str() == name);
        file.unwrap().content.clone()
    };
    let there = content("e1.nih.at.a.dataset.json");
    assert!(there.contains(r#""images": "/srv/cxr/nih/images""#), "{there}");
    assert!(there.contains(r#""labels": "/srv/cxr/nih/table.csv""#), "{there}");
    assert_eq!(
        there.replace("/srv/cxr/nih/", "/central/"),
        content("e1.nih.dataset.json")
    );
    assert_eq!(there, content("e1.nih.at.b.dataset.json"));
}

#[test]
fn secret_keys_and_residuals_are_kept_at_the_site() {
    let text = SPEC
        .replace("small_cnn_bn", "small_cnn")
        .replace("algorithm: fedbn", "algorithm: fedavg\n  compression: int8")
        .replace("privacy: {", "privacy: {secure_aggregation: true, ");
    let masked = lower(&text.replace("\n  compression: int8", ""));
    let private = |plan: &Plan, part: &str| {
        let files = plan.jobs.iter().flat_map(|job| files(&job.job));
        files.filter(|(_, file)| file.contains(part)).collect::<Vec<_>>()
    };
    let plain = lower(&text.replace("secure_aggregation: true, ", ""));
    for files in [private(&masked, "secret-key"), private(&plain, "residual")] {
        assert!(!files.is_empty());
        for (does, file) in files {
            assert!(matches!(does, "reads" | "writes"), "{does} {file}");
            assert!(file.starts_with("/srv/cxr/fedwing/e1-"), "{file}");
        }
    }
}

/// Proves the plan again after a change of the job `id`.
fn changed(id: &str, change: impl FnOnce(&mut PlannedJob)) -> PlanError {
    let mut parts: Parts = (*lower(SPEC)).clone();
    let job = parts.jobs.iter_mut().find(|job| &*job.id.0 == id).unwrap();
    change(job);
    Plan::prove(parts).unwrap_err()
}

#[test]
fn a_plan_in_which_images_leave_their_site_is_refused() {
    let error = changed("prepare-nih-AT-a", |job| {
        let Job::Prepare(args) = &mut job.job else {
            panic!()
        };
        args.shards[0] = "e1.nih.c0000.shard.safetensors".into();
    });
    assert!(matches!(error, PlanError::LeavesSite { .. }), "{error}");
    let error = changed("prepare-nih-AT-a", |job| {
        let Job::Prepare(args) = &mut job.job else {
            panic!()
        };
        args.manifest = "/tmp/manifest.json".into();
    });
    assert!(matches!(error, PlanError::NotAtSite { .. }), "{error}");
    let error = changed("prepare-nih-AT-a", |job| {
        let Job::Prepare(args) = &mut job.job else {
            panic!()
        };
        args.manifest = "/srv/cxr/../manifest.json".into();
    });
    assert!(matches!(error, PlanError::NotAtSite { .. }), "{error}");
    let error = changed("prepare-nih-AT-a", |job| {
        job.in_place.push("/home/images".to_owned())
    });
    assert!(matches!(error, PlanError::NotAtSite { .. }), "{error}");
    let error = changed("train-nih-r0001-c0000", |job| {
        let Job::Train(args) = &mut job.job else { panic!() };
        args.personal_out = Some("e1.nih.r0001.c0000.personal.safetensors".into());
    });
    assert!(matches!(error, PlanError::LeavesSite { .. }), "{error}");
}

#[test]
fn a_plan_in_which_another_place_reads_a_site_s_files_is_refused() {
    let shard = |client: u32| -> InputFile {
        let plan = lower(SPEC);
        let train = plan.jobs.iter().find_map(|job| match &job.job {
            Job::Train(args) if args.client == ClientId(client) => Some(args.shard.clone()),
            _ => None,
        });
        train.unwrap()
    };
    let error = changed("train-nih-r0001-c0001", |job| {
        let Job::Train(args) = &mut job.job else { panic!() };
        args.shard = shard(0);
    });
    assert!(matches!(error, PlanError::OtherSite { .. }), "{error}");
    let error = changed("evaluate-nih-r0001", |job| {
        let Job::Evaluate(args) = &mut job.job else {
            panic!()
        };
        args.shard = shard(0);
    });
    assert!(matches!(error, PlanError::NotAtSite { .. }), "{error}");
    let error = changed("train-nih-r0001-c0001", |job| job.place = Place::Anywhere);
    assert!(matches!(error, PlanError::NotAtSite { .. }), "{error}");
}

#[test]
fn clients_of_one_site_are_trained_by_one_job_and_a_program_that_is_kept_there() {
    let together = SPEC.replace("privacy:", "execution: {clients_per_job: 5}\nprivacy:");
    let plan = lower(&together);
    let of_round: Vec<_> = plan
        .jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.id.0.starts_with("train-nih-r0001"))
        .collect();
    let ids: Vec<_> = of_round.iter().map(|(_, job)| &*job.id.0).collect();
    assert_eq!(ids, ["train-nih-r0001-g0000", "train-nih-r0001-c0001"]);
    for (index, job) in of_round {
        let site = job.site().unwrap();
        let program = job.program.as_deref().unwrap();
        let prepare = format!("prepare-nih-AT-{}", site.name);
        assert!(program.ends_with(&format!("/e1.nih.at.{}.program", site.name)));
        let after = plan.edges().after(index).iter();
        let mut writers = after.map(|writer| &plan.jobs[*writer as usize]);
        assert!(writers.any(|writer| *writer.id.0 == prepare));
    }

    let sent = SPEC.replace("data: /srv/cxr, condor", "data: /srv/cxr, program: sent, condor");
    assert!(lower(&sent).jobs.iter().all(|job| job.program.is_none()));
}

#[test]
fn a_plan_in_which_a_client_s_own_file_is_read_for_another_is_refused() {
    let together = SPEC.replace("privacy:", "execution: {clients_per_job: 5}\nprivacy:");
    let mut parts: Parts = (*lower(&together)).clone();
    let id = "train-nih-r0002-g0000";
    let job = parts.jobs.iter_mut().find(|job| &*job.id.0 == id).unwrap();
    let Job::TrainClients(args) = &mut job.job else {
        panic!()
    };
    args.personals_in.swap(0, 1);
    let error = Plan::prove(parts).unwrap_err();
    assert!(matches!(error, PlanError::PrivateFile { .. }), "{error}");
}

#[test]
fn a_site_without_clients_of_a_dataset_prepares_nothing_of_it() {
    let two = SPEC.replace("model:", "  tcia:\n    source: {phantom: {patients: 60, sites: 2}}\n    task: {binary: {negative: [No Finding]}}\n    image: {size: 32}\n    clients: {count: 1, by: iid}\nmodel:");
    let plan = lower(&two);
    let prepares: Vec<_> = plan
        .jobs
        .iter()
        .map(|job| job.id.to_string())
        .filter(|id| id.starts_with("prepare-tcia"))
        .collect();
    assert_eq!(prepares, ["prepare-tcia", "prepare-tcia-AT-a"]);
}
