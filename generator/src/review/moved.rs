//! Where jobs of a plan run, what they ask for there, and what moves.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use contract::{
    argv::Role,
    units::{Bytes, Seconds},
};

use super::model::{FileCount, JobCount, Moved, MovedFor, PlaceReview, SentFile, TrafficReview};
use crate::{
    check::Request,
    estimate::{FileKind, Sizes, Target, Traffic, Way, each_move},
    plan::{Place, Plan, PlannedJob},
};

/// What machines of no site are called.
const ANYWHERE: &str = "any machine";

/// What the submit host is called.
const SUBMIT_HOST: &str = "submit host";

/// Jobs by kind, in the order in which kinds first stand in the plan.
pub(super) fn jobs(plan: &Plan) -> Vec<JobCount> {
    let mut counts: Vec<JobCount> = Vec::new();
    for planned in &plan.jobs {
        let kind = planned.job.name();
        let Request {
            cpus,
            memory,
            gpus,
            walltime,
        } = planned.request;
        let place = counts.iter().position(|count| count.kind == kind);
        let place = place.unwrap_or_else(|| {
            counts.push(JobCount {
                kind: kind.to_owned(),
                jobs: 0,
                on_submit_host: 0,
                cpus,
                memory,
                gpus,
                walltime: Seconds(0),
            });
            counts.len() - 1
        });
        let count = &mut counts[place];
        count.jobs += 1;
        count.on_submit_host += u64::from(planned.place == Place::SubmitHost);
        count.walltime = count.walltime.max(walltime);
    }
    counts
}

/// Files by kind, with what they take.
pub(super) fn files(plan: &Plan, sizes: &Sizes) -> Vec<FileCount> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut count = |file: &str| {
        let entry = kinds.entry(word(sizes, file)).or_default();
        entry.0 += 1;
        entry.1 += sizes.file_bytes(file).0;
    };
    let given = plan.statics.iter().map(|file| file.name.as_str());
    given
        .chain(plan.weights.iter().map(|file| file.name.as_str()))
        .for_each(&mut count);
    for planned in &plan.jobs {
        planned.job.roles(&mut |role| match role {
            Role::Output(file) | Role::WrittenInPlace(file) => count(file),
            Role::Setting | Role::Input(_) | Role::ReadInPlace(_) | Role::Checkpoint(_) => {}
        });
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(kind, (files, bytes))| FileCount {
            kind: kind.to_owned(),
            files,
            bytes: Bytes(bytes),
        })
        .collect()
}

fn word(sizes: &Sizes, file: &str) -> &'static str {
    sizes.kind(file).map_or("other", FileKind::as_str)
}

fn name_of(planned: &PlannedJob) -> &str {
    match &planned.place {
        Place::SubmitHost => SUBMIT_HOST,
        Place::Anywhere => ANYWHERE,
        Place::Site(site) => site.name.as_str(),
    }
}

/// Where jobs run, in the order in which places first stand in the plan.
pub(super) fn places(plan: &Plan, sizes: &Sizes) -> Vec<PlaceReview> {
    let mut order: Vec<&str> = Vec::new();
    let mut jobs: BTreeMap<&str, Vec<&PlannedJob>> = BTreeMap::new();
    for planned in &plan.jobs {
        let place = name_of(planned);
        if !jobs.contains_key(place) {
            order.push(place);
        }
        jobs.entry(place).or_default().push(planned);
    }
    order
        .into_iter()
        .map(|place| one_place(place, &jobs[place], sizes))
        .collect()
}

fn one_place(place: &str, jobs: &[&PlannedJob], sizes: &Sizes) -> PlaceReview {
    let most = |of: &dyn Fn(&Request) -> u64| jobs.iter().map(|job| of(&job.request)).max().unwrap_or(0);
    let mut training: BTreeMap<u32, u64> = BTreeMap::new();
    let mut sends: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for planned in jobs {
        if let (true, Some(round)) = (planned.job.name().starts_with("train"), planned.stage.round) {
            *training.entry(round.0).or_default() += 1;
        }
        planned.job.roles(&mut |role| {
            if let (Role::Output(file), true) = (role, planned.place != Place::SubmitHost) {
                let sent = sends.entry(word(sizes, file)).or_default();
                sent.0 += 1;
                sent.1 += sizes.file_bytes(file).0;
            }
        });
    }
    PlaceReview {
        place: place.to_owned(),
        jobs: jobs.len() as u64,
        training_at_once: training.into_values().max().unwrap_or(0),
        cpus: most(&|request| request.cpus.into()) as u32,
        memory: Bytes(most(&|request| request.memory.0)),
        gpus: most(&|request| request.gpus.into()) as u32,
        data: jobs
            .iter()
            .find_map(|job| job.site())
            .map(|site| site.data.clone()),
        sends: sends
            .into_iter()
            .map(|(kind, (files, bytes))| SentFile {
                kind: kind.to_owned(),
                files,
                bytes: Bytes(bytes),
            })
            .collect(),
    }
}

/// What moves under each workflow system.
pub(super) fn traffic(plan: &Plan, sizes: &Sizes) -> Vec<TrafficReview> {
    Target::ALL
        .into_iter()
        .map(|target| under(plan, sizes, target))
        .collect()
}

fn under(plan: &Plan, sizes: &Sizes, target: Target) -> TrafficReview {
    let mut kinds: BTreeMap<&str, Moved> = BTreeMap::new();
    let mut rounds: BTreeMap<&str, (BTreeSet<u32>, Traffic)> = BTreeMap::new();
    let mut places: BTreeMap<&str, Traffic> = BTreeMap::new();
    for planned in &plan.jobs {
        each_move(planned, sizes, target, |moved| {
            let kind = kinds.entry(moved.what).or_default();
            match moved.way {
                Way::Received => kind.received.0 += moved.bytes.0,
                Way::Sent => kind.sent.0 += moved.bytes.0,
            }
        });
        let traffic = Traffic::of(planned, sizes, target);
        if traffic.jobs > 0 {
            *places.entry(name_of(planned)).or_default() += traffic;
        }
        if let Some(round) = planned.stage.round.filter(|round| round.0 > 0) {
            let dataset = rounds.entry(planned.stage.dataset.as_str()).or_default();
            dataset.0.insert(round.0);
            dataset.1 += traffic;
        }
    }
    let mut kinds: Vec<_> = kinds
        .into_iter()
        .map(|(name, moved)| named(name, moved))
        .collect();
    kinds.sort_by_key(|kind| Reverse(kind.moved.received.0 + kind.moved.sent.0));
    let rounds = rounds.into_iter().map(|(name, (rounds, all))| {
        let rounds = rounds.len().max(1) as u64;
        let mean = |bytes: Bytes| Bytes(bytes.0 / rounds);
        let moved = Moved {
            received: mean(all.received),
            sent: mean(all.sent),
        };
        named(name, moved)
    });
    TrafficReview {
        target: target.as_str(),
        round: rounds.collect(),
        kinds,
        whole: moved(places.values().copied().sum()),
        places: places
            .into_iter()
            .map(|(name, traffic)| named(name, moved(traffic)))
            .collect(),
    }
}

fn moved(traffic: Traffic) -> Moved {
    Moved {
        received: traffic.received,
        sent: traffic.sent,
    }
}

fn named(name: &str, moved: Moved) -> MovedFor {
    MovedFor {
        name: name.to_owned(),
        moved,
    }
}
