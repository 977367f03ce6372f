//! Sizes, counts and traffic of whole plans.

mod sample;

use std::num::NonZeroU32;

use contract::{
    args::{Binary, Job},
    argv::Role,
    training::BaselineKind,
    units::Bytes,
};
use fedwing::{
    check::{Checked, Layout},
    estimate::{Counts, FileKind, Known, Sizes, Target, Traffic, plannings},
    plan::{self, Place, Plan},
};
use proptest::prelude::*;
use sample::Sample;

fn planned(checked: &Checked) -> (Plan, Sizes) {
    (
        plan::lower(checked).expect("a plan"),
        Sizes::new(checked, &Known::default()),
    )
}

#[test]
fn every_file_of_every_plan_is_known_and_has_a_size() {
    for way in 0..Sample::WAYS {
        for sites in [false, true] {
            let sample = Sample {
                sites,
                baselines: match sites {
                    true => vec![BaselineKind::LocalOnly],
                    false => BaselineKind::ALL.to_vec(),
                },
                ..Sample::small(Layout::Flat).learning(way)
            };
            let (plan, sizes) = planned(&sample.checked());
            let check = |file: &str| {
                let kind = sizes.kind(file);
                assert!(kind.is_some(), "{file}");
                assert!(sizes.file_bytes(file) > Bytes(0), "{file} is {kind:?}");
            };
            for job in &plan.jobs {
                job.job.roles(&mut |role| match role {
                    Role::Setting => {}
                    Role::Input(file)
                    | Role::Output(file)
                    | Role::ReadInPlace(file)
                    | Role::WrittenInPlace(file)
                    | Role::Checkpoint(file) => check(file),
                });
            }
            plan.statics.iter().for_each(|file| check(file.name.as_str()));
        }
    }
}

#[test]
fn a_job_moves_each_file_once_and_its_program_and_nothing_that_is_in_place() {
    let sample = Sample {
        sites: true,
        clients: 3,
        baselines: vec![],
        ..Sample::small(Layout::Flat).learning(9)
    };
    let (plan, sizes) = planned(&sample.checked());
    let job = |id: &str| plan.jobs.iter().find(|job| &*job.id.0 == id).unwrap();
    // Two clients of one site, which keeps no program: settings, one global model, program in; two updates out.
    let together = job("train-nih-r0001-g0001");
    let Place::Site(site) = &together.place else {
        panic!("{:?}", together.place)
    };
    assert!(!site.keeps_program);
    // What clients start from may be the global model, or less.
    let Job::TrainClients(args) = &together.job else {
        panic!("{:?}", together.job)
    };
    let model = sizes.file_bytes(args.global.as_str()).0;
    let recipe = sizes.file_bytes("e1.nih.recipe.json").0;
    let program = sizes.program(Binary::FlClient).0;
    let update = sizes.file_bytes("e1.nih.r0001.c0001.update.safetensors").0;
    let metrics = sizes.file_bytes("e1.nih.r0001.c0001.train.json").0;
    let traffic = Traffic::of(together, &sizes, Target::Dagman);
    assert_eq!(traffic.received.0, model + recipe + program);
    assert_eq!(traffic.sent.0, 2 * (update + metrics));
    // The first site keeps a program.
    let alone = job("train-nih-r0001-c0000");
    assert_eq!(
        Traffic::of(alone, &sizes, Target::Dagman).received.0,
        model + recipe
    );
    let package = sizes.worker_package().0;
    assert_eq!(
        Traffic::of(alone, &sizes, Target::Pegasus).received.0,
        model + recipe + package
    );
    // What runs on the submit host moves nothing.
    assert_eq!(
        Traffic::of(job("aggregate-nih-r0001"), &sizes, Target::Pegasus),
        Traffic::default()
    );
}

#[test]
fn an_update_of_eight_bits_is_a_quarter_of_the_model() {
    let of = |way| {
        let (_, sizes) = planned(&Sample::small(Layout::Flat).learning(way).checked());
        sizes.file_bytes("e1.nih.r0001.c0001.update.safetensors").0 as f64
    };
    let (plain, int8, masked) = (of(0), of(1), of(3));
    assert!((int8 / plain - 0.25).abs() < 0.01, "{int8} of {plain}");
    assert!((masked / plain - 2.0).abs() < 0.01, "{masked} of {plain}");
}

#[test]
fn files_of_another_experiment_are_unknown() {
    let (_, sizes) = planned(&Sample::small(Layout::Flat).checked());
    for stranger in [
        "e2.nih.recipe.json",
        "e1.other.recipe.json",
        "e1.nih",
        "",
        "e1.nih.notes.txt",
    ] {
        assert_eq!(sizes.kind(stranger), None, "{stranger}");
    }
    assert_eq!(sizes.kind("/srv/x/e1.nih.recipe.json"), Some(FileKind::Recipe));
    assert_eq!(sizes.kind("e1.weights.safetensors"), Some(FileKind::Weights));
}

proptest! {
    #[test]
    fn counts_grow_with_rounds_and_add_up(clients in 1u32..12, rounds in 1u32..12, chunk in 1u32..12, fraction in 0.05f64..=1.0) {
        let sample = Sample { fraction, ..Sample::wide(clients, rounds) };
        let (plan, sizes) = planned(&sample.checked());
        let counts = Counts::of(&plan, &sizes);
        prop_assert_eq!(counts.all_jobs() as usize, plan.jobs.len());
        prop_assert_eq!(counts.files.get("other"), None);
        prop_assert_eq!(counts.jobs["aggregate"], u64::from(rounds));
        prop_assert_eq!(counts.files["update"], counts.jobs["train"]);
        let chunks = Layout::Chunks { rounds: NonZeroU32::new(chunk).unwrap() };
        prop_assert_eq!(plannings(&plan, Layout::Flat).entries, counts.all_jobs());
        prop_assert_eq!(plannings(&plan, Layout::Rounds).sub_workflows, u64::from(rounds));
        prop_assert_eq!(plannings(&plan, chunks).plannings, 1 + u64::from(rounds.div_ceil(chunk)));
        // Traffic of all is that of its parts.
        let all: Traffic = plan.jobs.iter().map(|job| Traffic::of(job, &sizes, Target::Dagman)).sum();
        let by_site = Traffic::by_site(&plan.jobs, &sizes, Target::Dagman);
        prop_assert_eq!(by_site.into_values().sum::<Traffic>(), all);
        prop_assert_eq!(all.jobs + counts.on_submit_host.values().sum::<u64>(), counts.all_jobs());
    }
}
