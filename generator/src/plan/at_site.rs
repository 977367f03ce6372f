//! What is planned at sites: their clients' shards, prepared from the images there, and where files are kept.
//!
//! In: sites of a checked specification. Out: a `prepare` job for each dataset and site that has clients of it, and paths below
//! the sites' folders. Start at [`Branch::prepare_at`]; [`super::staying`] proves that nothing leaves.

use std::{collections::BTreeSet, sync::Arc};

use contract::{
    args::{Job, PrepareArgs},
    dataset::{Part, Source},
    ids::{ClientId, DatasetName},
    names::FileName,
};

use super::{
    StaticFile,
    lower::{Branch, settings},
};
use crate::check::{Checked, Site};

impl Branch<'_> {
    /// The path of a file that stays with its client: a name, or where the client's site keeps it.
    pub fn kept(&self, client: ClientId, name: &FileName) -> Arc<str> {
        at_site(self.checked, client, name)
    }

    /// Where a site keeps the program of its clients' jobs, if it does.
    pub fn site_program(&self, site: &Site) -> Option<Arc<str>> {
        let name = self.names.site_program(&site.name);
        site.keeps_program.then(|| site_path(self.checked, site, &name))
    }

    /// The job that makes the shards of a site's clients at the site, from the images there, and leaves them there; and the
    /// settings it reads first. None where the dataset has no client at the site.
    pub fn prepare_at(&mut self, site: &Arc<Site>) -> Option<StaticFile> {
        let has = |client: &ClientId| client.0 < self.config.clients;
        let clients: BTreeSet<ClientId> = site.clients.iter().copied().filter(has).collect();
        if clients.is_empty() {
            return None;
        }
        let mut config = self.config.clone();
        config.source = source_at(&config.source, site, &config.dataset);
        let settings = settings(self.names.site_config(&site.name), &config);
        let manifest = site_path(self.checked, site, &self.names.site_manifest(&site.name));
        let shards = clients
            .iter()
            .map(|client| (&*self.shards[client.0 as usize]).into());
        let args = PrepareArgs {
            config: (&settings.name).into(),
            salt: None,
            threads: Some(self.checked.execution.resources.prepare.cpus),
            manifest: (&*manifest).into(),
            shards: shards.collect(),
            part: Some(Part::Clients(clients)),
            test_shard: None,
            validation_shard: None,
            program: self.site_program(site).as_deref().map(Into::into),
        };
        // A capital letter cannot stand in a name, so no dataset's job has this one's id.
        let id = format!("prepare-{}-AT-{}", self.config.dataset, site.name);
        self.push_at(Some(site.clone()), id, None, None, Job::Prepare(args));
        self.in_place(&config.source);
        Some(settings)
    }
}

/// The path of a client's file: its name, or where the client's site keeps it.
pub fn at_site(checked: &Checked, client: ClientId, name: &FileName) -> Arc<str> {
    match checked.site_of(client) {
        None => name.as_str().into(),
        Some(site) => site_path(checked, site, name),
    }
}

/// Where a site keeps a file: in a folder of its own for each specification, as another one of the same name makes other
/// shards.
fn site_path(checked: &Checked, site: &Site, name: &FileName) -> Arc<str> {
    let (experiment, digest) = (&checked.name, &checked.digest.as_str()[..12]);
    format!("{}/fedwing/{experiment}-{digest}/{name}", site.data).into()
}

/// A source as it is at a site: the same files under their own names, in the dataset's folder there.
fn source_at(source: &Source, site: &Site, dataset: &DatasetName) -> Source {
    let there = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        format!("{}/{dataset}/{name}", site.data)
    };
    let mut source = source.clone();
    match &mut source {
        Source::Cxr14 { images, labels } => {
            *images = there(images);
            *labels = there(labels);
        }
        Source::Table { csv, .. } => *csv = there(csv),
        Source::Folder { root } | Source::Dicom { root, .. } => *root = there(root),
        Source::Phantom { .. } => {}
    }
    source
}
