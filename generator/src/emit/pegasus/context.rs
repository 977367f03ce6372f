//! What every file of the directory is written from, and where each job runs.

use super::LOCAL;
use crate::{
    check::{PegasusSettings, Site},
    plan::{Place, Plan, PlannedJob},
};

/// HTCondor moves files itself: what is on the submit host goes to jobs without a copy on the way.
const CONDOR_IO: &str = "condorio";
/// Jobs run where the files are.
const SHARED: &str = "sharedfs";

/// A plan on its way to Pegasus.
pub struct Context<'a> {
    pub plan: &'a Plan,
    pub settings: &'a PegasusSettings,
    /// The sites that hold clients' data; empty when all data is in one place.
    pub sites: Vec<&'a Site>,
}

impl<'a> Context<'a> {
    pub fn new(plan: &'a Plan, settings: &'a PegasusSettings) -> Self {
        Self {
            plan,
            settings,
            sites: plan.sites(),
        }
    }

    /// The sites jobs may run on, as `--sites` takes them.
    pub fn compute_sites(&self) -> String {
        let mut sites = self.settings.compute_site.clone();
        for site in &self.sites {
            sites.push(',');
            sites.push_str(site.name.as_str());
        }
        sites
    }

    /// The site a job is sent to, where there is a choice: with several, Pegasus would draw one.
    pub fn sent_to(&self, planned: &'a PlannedJob) -> Option<&str> {
        match &planned.place {
            Place::SubmitHost => Some(LOCAL),
            Place::Site(site) => Some(site.name.as_str()),
            Place::Anywhere if self.sites.is_empty() => None,
            Place::Anywhere => Some(&self.settings.compute_site),
        }
    }

    /// Whether HTCondor moves files.
    pub fn condor_io(&self) -> bool {
        self.settings.data_configuration == CONDOR_IO
    }

    /// Whether the submit host and all machines share a file system, and jobs run in it.
    pub fn shared(&self) -> bool {
        self.settings.data_configuration == SHARED
    }
}
