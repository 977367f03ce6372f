//! How training samples come to clients, and whether the source and the task allow it.

use contract::{
    dataset::{Attribute, Partition, Task, TestSplit},
    training::Target,
};

use super::HeldOut;

use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, DicomLabels, Found, Whole, listed, types},
};

/// The number of clients as written.
type Count = Whole<1, 100_000>;

/// How training samples come to clients.
pub fn partition(partition: types::Partition) -> Option<Partition> {
    Some(match partition {
        types::Partition::Natural => Partition::Natural,
        types::Partition::Iid => Partition::Iid,
        types::Partition::PatientHash => Partition::PatientHash,
        types::Partition::Dirichlet(settings) => {
            let types::Skew { alpha, min_size } = settings.value;
            Partition::Dirichlet {
                alpha: alpha?.value.get(),
                min_size: min_size?.value.get32(),
            }
        }
        types::Partition::QuantitySkew(settings) => {
            let types::Skew { alpha, min_size } = settings.value;
            Partition::QuantitySkew {
                alpha: alpha?.value.get(),
                min_size: min_size?.value.get32(),
            }
        }
        types::Partition::Pathological(settings) => {
            let types::FewClasses { classes } = settings.value;
            Partition::Pathological {
                classes: classes?.value.get32(),
            }
        }
        types::Partition::Attribute(attribute) => Partition::Attribute(lowered(&attribute.value)),
    })
}

fn lowered(attribute: &types::Attribute) -> Attribute {
    match attribute {
        types::Attribute::View => Attribute::View,
        types::Attribute::Sex => Attribute::Sex,
        types::Attribute::AgeBand => Attribute::AgeBand,
        types::Attribute::Manufacturer => Attribute::Manufacturer,
    }
}

/// Whether the source's images can be shared out among the clients.
pub fn shared_out(
    clients: &types::Clients,
    source: Option<&types::Source>,
    test: Option<&HeldOut>,
    task: Option<&Task>,
    found: &mut Found,
) {
    let types::Clients { count, by } = clients;
    let Some(by) = by else { return };
    if let (types::Partition::Pathological(few), Some(task)) = (&by.value, task) {
        let classes = task.classes().len() as u64;
        let classes = match task.target() {
            Target::Classes => classes,
            // Images are shared out by their first label, those without any by that.
            Target::Labels => classes + 1,
        };
        few_classes(&few.value, count.as_ref(), classes, found);
    }
    let Some(source) = source else { return };
    if let types::Partition::Attribute(attribute) = &by.value {
        has_attribute(source, attribute, found);
    }
    if matches!(by.value, types::Partition::Natural) {
        institutions(source, by.span, found);
        if let Some(count) = count {
            as_many(source, count, found);
        }
    }
    if let (types::Source::Phantom(phantom), Some(count)) = (source, count)
        && let (
            Some(patients),
            Some(HeldOut {
                split: TestSplit::Fraction(part),
                validation,
            }),
        ) = (&phantom.value.patients, test)
    {
        let patients = patients.value.get();
        let held = |of: u64, part: f64| ((of as f64 * part).round() as u64).clamp(1, of);
        let others = patients - held(patients, *part);
        let left = match validation {
            Some(part) if others > 0 => others - held(others, *part),
            Some(_) | None => others,
        };
        enough_patients(left, count, &by.value, found);
    }
}

/// With `natural`, as many clients as institutions, where their number stands in the specification.
fn as_many(source: &types::Source, count: &At<Count>, found: &mut Found) {
    let (institutions, named) = match source {
        types::Source::Phantom(phantom) => match &phantom.value.sites {
            Some(sites) => (sites.value.get(), "the `sites` of the source"),
            None => return,
        },
        types::Source::Dicom(dicom) => match (&dicom.value.institution, &dicom.value.labels) {
            (
                Some(At {
                    value: types::Institution::Attribute(_),
                    ..
                }),
                _,
            ) => return,
            (
                _,
                Some(At {
                    value: DicomLabels::Collections(classes),
                    ..
                }),
            ) => (classes.0.len() as u64, "the collections of the source's `labels`"),
            _ => return,
        },
        types::Source::Cxr14(_) | types::Source::Table(_) | types::Source::Folder(_) => return,
    };
    let given = count.value.get();
    if institutions != given {
        let words = format!("{given} clients cannot each be one of {institutions} institutions");
        found.push(
            Diagnostic::error(Code::InstitutionCount, count.span, words)
                .label(format!("must be {institutions}, {named}"))
                .help("with `by: natural` every institution is a client"),
        );
    }
}

/// The classes a client has must be there, and together the clients must have room for every class.
fn few_classes(few: &types::FewClasses, count: Option<&At<Count>>, classes: u64, found: &mut Found) {
    let types::FewClasses { classes: asked } = few;
    let Some(asked) = asked else { return };
    let each = asked.value.get();
    if each > classes {
        let words = format!("a client cannot have {each} of {classes} classes");
        found.push(
            Diagnostic::error(Code::ClassesLeftOver, asked.span, words)
                .label(format!("must be at most {classes}")),
        );
        return;
    }
    let Some(count) = count else { return };
    let clients = count.value.get();
    if clients * each < classes {
        let words =
            format!("{clients} clients of {each} classes each leave some of {classes} classes to nobody");
        found.push(
            Diagnostic::error(Code::ClassesLeftOver, count.span, words)
                .label(format!("must be at least {}", classes.div_ceil(each)))
                .help(format!(
                    "or let each client have {} classes",
                    classes.div_ceil(clients)
                )),
        );
    }
}

/// The attributes a source has are known beforehand.
fn has_attribute(source: &types::Source, attribute: &At<types::Attribute>, found: &mut Found) {
    let word = lowered(&attribute.value);
    let (source, has): (_, &[Attribute]) = match source {
        types::Source::Cxr14(_) => ("`cxr14`", &[Attribute::View, Attribute::Sex, Attribute::AgeBand]),
        types::Source::Dicom(_) => ("`dicom`", &Attribute::ALL),
        types::Source::Table(_) => ("`table`", &[]),
        types::Source::Folder(_) => ("`folder`", &[]),
        types::Source::Phantom(_) => ("`phantom`", &[]),
    };
    if has.contains(&word) {
        return;
    }
    let words = format!(
        "{source} does not say the attribute `{}` of an image",
        word.as_str()
    );
    let error = Diagnostic::error(Code::NoAttribute, attribute.span, words);
    let has: Vec<&str> = has.iter().map(|attribute| attribute.as_str()).collect();
    found.push(if has.is_empty() {
        error
            .label("this source has no attributes")
            .help("share out by `iid`, `patient_hash` or `dirichlet`; for a `table`, name the column as `site` and share out by `natural`")
    } else {
        error.label("not in this source").help(format!("its attributes are {}", listed(&has)))
    });
}

fn institutions(source: &types::Source, span: Span, found: &mut Found) {
    let (source, help) = match source {
        types::Source::Phantom(_) | types::Source::Dicom(_) => return,
        types::Source::Table(table) if table.value.site.is_some() => return,
        types::Source::Table(_) => (
            "this table",
            "name the column of the institution: `site: ...` in the source",
        ),
        types::Source::Cxr14(_) => ("`cxr14`", "share out by `iid`, `patient_hash` or `dirichlet`"),
        types::Source::Folder(_) => ("`folder`", "share out by `iid`, `patient_hash` or `dirichlet`"),
    };
    found.push(
        Diagnostic::error(
            Code::NoInstitutions,
            span,
            format!("{source} does not say which institution an image is from"),
        )
        .label("needs institutions")
        .help(help),
    );
}

/// `left` patients are not held out.
fn enough_patients(left: u64, count: &At<Count>, by: &types::Partition, found: &mut Found) {
    let each = match by {
        types::Partition::Dirichlet(skew) | types::Partition::QuantitySkew(skew) => skew
            .value
            .min_size
            .as_ref()
            .map_or(1, |min_size| min_size.value.get()),
        types::Partition::Pathological(few) => few.value.classes.as_ref().map_or(1, |each| each.value.get()),
        types::Partition::Natural
        | types::Partition::Iid
        | types::Partition::PatientHash
        | types::Partition::Attribute(_) => 1,
    };
    let needed = each * count.value.get();
    if left < needed {
        let words = format!("{left} patients are left for training, and the clients need {needed}");
        let most = left / each;
        found.push(
            Diagnostic::error(Code::TooFewPatients, count.span, words)
                .label(format!("{each} or more for each client"))
                .help(if most > 0 {
                    format!("lower `count` to {most}, or raise `patients`")
                } else {
                    "raise `patients`".to_owned()
                }),
        );
    }
}
