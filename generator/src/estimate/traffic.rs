//! What jobs on other machines receive from the submit host and send back to it.

use std::{
    collections::{BTreeMap, HashSet},
    iter::Sum,
    ops::AddAssign,
};

use contract::{argv::Role, ids::SiteName, units::Bytes};

use super::{FileKind, Sizes};
use crate::plan::{Place, PlannedJob};

/// What runs the jobs on a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Pegasus: every job also brings Pegasus' worker package.
    Pegasus,
    /// DAGMan.
    Dagman,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 2] = [Target::Pegasus, Target::Dagman];

    /// The word for people and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Target::Pegasus => "pegasus",
            Target::Dagman => "dagman",
        }
    }
}

/// Which way something moves, as the job sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the submit host to the job.
    Received,
    /// From the job to the submit host.
    Sent,
}

/// Something that moves for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// What it is: the word of a [`FileKind`], `program` or `worker_package`.
    pub what: &'static str,
    /// Which way.
    pub way: Way,
    /// How much.
    pub bytes: Bytes,
}

/// Calls `see` with all that moves for a job when it is tried once: each file it reads or writes once, its program where its
/// site keeps none. Nothing moves for a job of the submit host, nor what is read and written in place; a checkpoint moves
/// only when a job is stopped.
pub fn each_move(planned: &PlannedJob, sizes: &Sizes, target: Target, mut see: impl FnMut(Move)) {
    if planned.place == Place::SubmitHost {
        return;
    }
    let way = Way::Received;
    if planned.program.is_none() {
        see(Move {
            what: FileKind::Program.as_str(),
            way,
            bytes: sizes.program(planned.job.binary()),
        });
    }
    if target == Target::Pegasus {
        see(Move {
            what: "worker_package",
            way,
            bytes: sizes.worker_package(),
        });
    }
    let mut seen = HashSet::new();
    planned.job.roles(&mut |role| {
        let (file, way) = match role {
            Role::Setting | Role::Checkpoint(_) | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => return,
            Role::Input(file) => (file, Way::Received),
            Role::Output(file) => (file, Way::Sent),
        };
        if seen.insert(file) {
            see(Move {
                what: sizes.kind(file).map_or("other", FileKind::as_str),
                way,
                bytes: sizes.file_bytes(file),
            });
        }
    });
}

/// Jobs that run away from the submit host, and what moves between it and them when each is tried once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Jobs.
    pub jobs: u64,
    /// What they receive.
    pub received: Bytes,
    /// What they send.
    pub sent: Bytes,
}

impl Traffic {
    /// What moves for one job; see [`each_move`].
    pub fn of(planned: &PlannedJob, sizes: &Sizes, target: Target) -> Self {
        let mut traffic = Self {
            jobs: u64::from(planned.place != Place::SubmitHost),
            ..Self::default()
        };
        each_move(planned, sizes, target, |moved| match moved.way {
            Way::Received => traffic.received.0 += moved.bytes.0,
            Way::Sent => traffic.sent.0 += moved.bytes.0,
        });
        traffic
    }

    /// What moves for several jobs, by the site they run at; those of no site under none.
    pub fn by_site<'a>(
        jobs: impl IntoIterator<Item = &'a PlannedJob>,
        sizes: &Sizes,
        target: Target,
    ) -> BTreeMap<Option<SiteName>, Self> {
        let mut sites: BTreeMap<Option<SiteName>, Self> = BTreeMap::new();
        for planned in jobs {
            let traffic = Self::of(planned, sizes, target);
            if traffic.jobs > 0 {
                let site = planned.site().map(|site| site.name.clone());
                *sites.entry(site).or_default() += traffic;
            }
        }
        sites
    }

    /// What moves in all.
    pub fn together(self) -> Bytes {
        Bytes(self.received.0 + self.sent.0)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.received.0 += other.received.0;
        self.sent.0 += other.sent.0;
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(traffic: I) -> Self {
        traffic.fold(Self::default(), |mut all, one| {
            all += one;
            all
        })
    }
}
