//! Where images and labels come from.

use std::path::Path;

use contract::dataset::{DicomLabels, Institution, Slices, Source};

use crate::{
    check::{
        paths::resolve,
        rules::{plain, texts},
    },
    diag::{Code, Diagnostic},
    spec::{self, Found, types},
};

/// Proves a source; its paths become absolute.
pub fn source(source: types::Source, base: &Path, found: &mut Found) -> Option<Source> {
    match source {
        types::Source::Cxr14(settings) => {
            let types::Cxr14 { images, labels } = settings.value;
            let images = images.and_then(|images| resolve(images, base, found));
            let labels = labels.and_then(|labels| resolve(labels, base, found));
            Some(Source::Cxr14 {
                images: images?,
                labels: labels?,
            })
        }
        types::Source::Dicom(settings) => dicom(settings.value, base, found),
        types::Source::Table(settings) => {
            let types::Table {
                csv,
                image,
                patient,
                site,
                labels,
            } = settings.value;
            let csv = csv.and_then(|csv| resolve(csv, base, found));
            let labels = labels.map(|labels| plain(texts("labels", labels, found)));
            Some(Source::Table {
                csv: csv?,
                image: image?.value.0,
                patient: patient?.value.0,
                site: site.map(|site| site.value.0),
                labels: labels?,
            })
        }
        types::Source::Folder(settings) => {
            let types::Folder { root } = settings.value;
            Some(Source::Folder {
                root: resolve(root?, base, found)?,
            })
        }
        types::Source::Phantom(settings) => {
            let types::Phantom { patients, sites } = settings.value;
            let (patients, sites) = (patients?, sites?);
            if sites.value.get() > patients.value.get() {
                let (sites_given, patients_given) = (sites.value.get(), patients.value.get());
                let words = format!("{patients_given} patients cannot come from {sites_given} institutions");
                found.push(
                    Diagnostic::error(Code::TooFewPatients, sites.span, words)
                        .label(format!("must be at most {patients_given}")),
                );
            }
            Some(Source::Phantom {
                patients: patients.value.get32(),
                sites: sites.value.get32(),
            })
        }
    }
}

fn dicom(settings: types::Dicom, base: &Path, found: &mut Found) -> Option<Source> {
    let types::Dicom {
        root,
        institution,
        labels,
        slices,
        burned_in,
    } = settings;
    let root = root.and_then(|root| resolve(root, base, found));
    let institution = match institution.map(|institution| institution.value) {
        Some(types::Institution::Attribute(keyword)) => Institution::Attribute(keyword.value.0),
        Some(types::Institution::Collection) | None => Institution::Collection,
    };
    let labels = labels.map(|labels| match labels.value {
        spec::DicomLabels::Attribute(keyword) => DicomLabels::Attribute(keyword.value.0),
        spec::DicomLabels::Collections(classes) => {
            // A key given twice was refused when it was read.
            let numbers = classes.0.into_iter();
            DicomLabels::Collections(
                numbers
                    .map(|(name, class)| (name.value, class.value.get32()))
                    .collect(),
            )
        }
    });
    let slices = match slices.map(|slices| slices.value) {
        Some(types::Slices::Every(n)) => Slices::Every(n.value.get32()),
        Some(types::Slices::Middle) | None => Slices::Middle,
    };
    let burned_in = matches!(
        burned_in.map(|burned_in| burned_in.value),
        Some(types::BurnedIn::Allow)
    );
    Some(Source::Dicom {
        root: root?,
        institution,
        labels: labels?,
        slices,
        burned_in,
    })
}
