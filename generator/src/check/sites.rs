//! Rules of sites: which client's data is where, and what can be done when it is in several places.
//!
//! Every client is of exactly one site, as soon as there are sites: a client that none names would have its data
//! nowhere. A client's number is the same site in every dataset. Start at [`sites`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use contract::ids::{ClientId, SiteName};

use super::{checked::Site, paths::resolve};
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, FilePath, Found, Named, types},
};

/// How Pegasus calls the submit host.
const SUBMIT_HOST: &str = "local";

/// Proves sites. `clients` is the largest number of clients of a dataset, where all datasets could be read; `taken` is
/// the site that jobs of no client run on.
pub fn sites(
    written: At<Named<types::Site>>,
    clients: Option<u32>,
    taken: Option<&str>,
    found: &mut Found,
) -> Option<Vec<Arc<Site>>> {
    let At { value: written, span } = written;
    let count = written.0.len();
    let mut holders = Holders::default();
    let mut proven = Vec::with_capacity(count);
    for (name, site) in written.0 {
        let name = At {
            span: name.span,
            value: SiteName::new(name.value.as_str()).expect("all names follow one rule"),
        };
        check_name(&name, taken, found);
        proven.extend(site_of(name, site.value, clients, &mut holders, found));
    }
    if let Some(clients) = clients {
        holders.check_all(clients, span, found);
    }
    (proven.len() == count).then(|| proven.into_iter().map(Arc::new).collect())
}

fn check_name(name: &At<SiteName>, taken: Option<&str>, found: &mut Found) {
    let whose = match name.value.as_str() {
        SUBMIT_HOST => "the submit host",
        other if Some(other) == taken => "the site that the other jobs run on",
        _ => return,
    };
    let words = format!("`{}` is the name of {whose}", name.value);
    found.push(
        Diagnostic::error(Code::SiteName, name.span, words)
            .label("must be a name of its own")
            .help("give the site another name; jobs that need no client's data run elsewhere"),
    );
}

fn site_of(
    name: At<SiteName>,
    site: types::Site,
    most: Option<u32>,
    holders: &mut Holders,
    found: &mut Found,
) -> Option<Site> {
    let types::Site {
        clients,
        data,
        program,
        condor,
    } = site;
    let clients = clients.map(|clients| {
        let numbers = clients.value.0.into_iter();
        numbers
            .map(|At { value, span }| At {
                value: ClientId(value.get32()),
                span,
            })
            .inspect(|client| holders.add(client, &name.value, most, found))
            .map(|client| client.value)
            .collect::<BTreeSet<ClientId>>()
    });
    let data = data.and_then(|data| absolute(data, found));
    let requirements = condor.and_then(|condor| {
        let types::Condor { requirements } = condor.value;
        let At {
            value: requirements,
            span,
        } = requirements?;
        check_requirements(&requirements.0, span, found);
        Some(requirements.0)
    });
    Some(Site {
        name: name.value,
        clients: clients?,
        data: data?,
        requirements: requirements?,
        keeps_program: match program.map(|program| program.value) {
            None | Some(types::SiteProgram::Kept) => true,
            Some(types::SiteProgram::Sent) => false,
        },
    })
}

/// Which site has which client.
#[derive(Default)]
struct Holders(BTreeMap<ClientId, SiteName>);

impl Holders {
    fn add(&mut self, client: &At<ClientId>, site: &SiteName, most: Option<u32>, found: &mut Found) {
        let At { value: client, span } = client;
        if let Some(most) = most.filter(|most| client.0 >= *most) {
            let words = format!("there is no client {client}: clients are counted from 0");
            let error = Diagnostic::error(Code::SiteClients, *span, words);
            found.push(error.label(format!("must be at most {}", most.saturating_sub(1))));
        }
        if let Some(first) = self.0.insert(*client, site.clone()) {
            let words = if first == *site {
                format!("`{site}` lists client {client} twice")
            } else {
                format!("client {client} is of `{first}` already")
            };
            let error = Diagnostic::error(Code::SiteClients, *span, words);
            found.push(
                error
                    .label("a client's data is at one site")
                    .help("remove one of the two"),
            );
        }
    }

    fn check_all(&self, clients: u32, span: Span, found: &mut Found) {
        let missing: Vec<String> = (0..clients)
            .filter(|client| !self.0.contains_key(&ClientId(*client)))
            .map(|client| client.to_string())
            .collect();
        let shown = match missing.as_slice() {
            [] => return,
            [one] => format!("client {one} is"),
            [few @ .., last] if few.len() < 8 => format!("clients {} and {last} are", few.join(", ")),
            [first, .., last] => format!("{} clients, {first} to {last}, are", missing.len()),
        };
        found.push(
            Diagnostic::error(Code::SiteClients, span, format!("{shown} of no site"))
                .label("every client must be of one site")
                .help("name each client under the site that has its data, or remove `sites`"),
        );
    }
}

/// A folder at another place: nothing it could be relative to is known there.
fn absolute(data: At<FilePath>, found: &mut Found) -> Option<String> {
    if Path::new(&data.value.0).has_root() {
        return resolve(data, Path::new("/"), found);
    }
    let words = format!(
        "`{}` does not say where on the site's machines it is",
        data.value.0
    );
    found.push(
        Diagnostic::error(Code::SiteFolder, data.span, words)
            .label("must start with `/`")
            .help("write the folder in full, as the machines of the site see it"),
    );
    None
}

/// One line that no submit file can take for something else.
fn check_requirements(text: &str, span: Span, found: &mut Found) {
    let quotes = text.matches('"').count() - text.matches("\\\"").count();
    let fault = if text.contains(char::is_control) {
        "it must be one line"
    } else if text.contains("$(") || text.contains("${") {
        "`$(` and `${` stand for variables there"
    } else if !quotes.is_multiple_of(2) {
        "a quotation mark has no second one"
    } else if text.matches('(').count() != text.matches(')').count() {
        "a bracket has no second one"
    } else {
        return;
    };
    found.push(
        Diagnostic::error(
            Code::SiteRequirements,
            span,
            format!("HTCondor cannot read these requirements: {fault}"),
        )
        .label("must be a ClassAd expression")
        .help("write an expression that holds on the site's machines, such as `FedwingSite == \"site0\"`"),
    );
}

/// What of a dataset needs all images in one place.
pub fn dataset(dataset: &types::Dataset, found: &mut Found) {
    let types::Dataset {
        source,
        quality,
        // The same at every site.
        task: _,
        image: _,
        test: _,
        clients: _,
    } = dataset;
    if let Some(At { value, span }) = source {
        let name = match value {
            types::Source::Folder(_) => Some("folder"),
            types::Source::Dicom(_) => Some("dicom"),
            types::Source::Cxr14(_) | types::Source::Table(_) | types::Source::Phantom(_) => None,
        };
        if let Some(name) = name {
            refuse(
                *span,
                &format!("of a `{name}` only all files together tell which client has which image"),
                "list the images in a table that every site has: `table` or `cxr14`, or remove `sites`",
                found,
            );
        }
    }
    let Some(At {
        value: types::Quality { unusable, duplicates },
        span: _,
    }) = quality
    else {
        return;
    };
    if let Some(At { value, span }) = unusable
        && value.get() > 0.0
    {
        refuse(
            *span,
            "images that one site cannot use would still be counted by the others",
            "take their lines out of the table and leave `unusable` out",
            found,
        );
    }
    if let Some(At {
        value: types::Duplicates::Refuse,
        span,
    }) = duplicates
    {
        refuse(
            *span,
            "no site sees the images of another, so duplicates across sites cannot be refused",
            "let each site report its own: `duplicates: report`",
            found,
        );
    }
}

/// What of Pegasus' settings needs one file system for all machines.
pub fn pegasus(execution: Option<&types::Execution>, found: &mut Found) {
    let pegasus = execution.and_then(|execution| execution.pegasus.as_ref());
    let Some(written) = pegasus.and_then(|pegasus| pegasus.value.data_configuration.as_ref()) else {
        return;
    };
    match written.value {
        types::DataConfiguration::Condorio => {}
        types::DataConfiguration::Nonsharedfs | types::DataConfiguration::Sharedfs => refuse(
            written.span,
            "jobs would fetch files from a folder of the submit host, which sites do not see",
            "let HTCondor move files: `data_configuration: condorio`, or leave it out",
            found,
        ),
    }
}

/// What of an evaluation needs all images in one place.
pub fn evaluation(evaluation: Option<&types::Evaluation>, found: &mut Found) {
    let baselines = evaluation.and_then(|evaluation| evaluation.baselines.as_ref());
    for baseline in baselines.into_iter().flat_map(|baselines| &baselines.value) {
        match baseline.value {
            types::Baseline::Centralized => refuse(
                baseline.span,
                "a centralized baseline trains on all clients' images",
                "leave it out, or run it by a specification without `sites` where all images are",
                found,
            ),
            types::Baseline::LocalOnly => {}
        }
    }
}

fn refuse(span: Span, words: &str, help: &str, found: &mut Found) {
    found.push(
        Diagnostic::error(Code::SitesUnfit, span, words)
            .label("not where data is at several sites")
            .help(help),
    );
}
