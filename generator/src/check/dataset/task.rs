//! What the model is asked to tell, and whether the source can say it.

use std::collections::BTreeSet;

use contract::dataset::Task;

use crate::{
    check::rules::{distinct, known_labels, plain},
    diag::{Code, Diagnostic},
    spec::{At, DicomLabels, Found, Label, Several, types},
};

/// The labels of [`types::Source::Phantom`].
const PHANTOM_LABELS: [&str; 2] = ["No Finding", "Opacity"];

/// The labels of NIH ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315).
const CXR14_LABELS: [&str; 15] = [
    "No Finding",
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
];

/// Proves a task; labels that the source is known not to have are refused.
pub fn task(task: At<types::Task>, source: Option<&types::Source>, found: &mut Found) -> Option<At<Task>> {
    let span = task.span;
    let task = match task.value {
        types::Task::Binary(settings) => {
            let types::Binary { negative } = settings.value;
            let negative = negative?;
            let list = negative.span;
            let negative = labels("negative", negative, source, found);
            if let Some((known, source)) = known(source)
                && known
                    .iter()
                    .all(|label| negative.iter().any(|given| given.value == *label))
            {
                let words = format!("every label of {source} is negative: there is nothing to find");
                found.push(
                    Diagnostic::error(Code::TooFewClasses, list, words).label("must leave a label out"),
                );
            }
            Task::Binary {
                negative: plain(negative),
            }
        }
        types::Task::Multiclass(settings) => {
            let types::Multiclass { classes } = settings.value;
            let classes = classes?;
            if classes.value.0.len() == 1 {
                let words = "a model needs at least two classes to tell apart, `classes` has one";
                found.push(
                    Diagnostic::error(Code::TooFewClasses, classes.span, words).label("needs two or more"),
                );
            }
            let classes = labels("classes", classes, source, found);
            if let Some(types::Source::Table(table)) = source
                && let Some(columns) = &table.value.labels
                && columns.value.0.len() > 1
            {
                let columns: Vec<&str> = columns
                    .value
                    .0
                    .iter()
                    .map(|column| column.value.0.as_str())
                    .collect();
                known_labels(&classes, &columns, "this table", found);
            }
            Task::Multiclass {
                classes: plain(classes),
            }
        }
        types::Task::Multilabel(settings) => {
            let types::Multilabel { labels } = settings.value;
            let labels = labels?;
            if labels.value.0.len() == 1 {
                let words = "`multilabel` tells several labels of an image, `labels` has one";
                found.push(
                    Diagnostic::error(Code::TooFewClasses, labels.span, words)
                        .label("needs two or more")
                        .help("one label against none is `binary`"),
                );
            }
            Task::Multilabel {
                labels: plain(self::labels("labels", labels, source, found)),
            }
        }
    };
    Some(At { value: task, span })
}

/// Labels as texts; reports repetitions, and labels that the source does not have.
fn labels(
    name: &str,
    list: At<Several<Label>>,
    source: Option<&types::Source>,
    found: &mut Found,
) -> Vec<At<String>> {
    let known = known(source);
    let mut given = Vec::new();
    for At { value, span } in list.value.0 {
        let value = match value {
            Label::Text(text) => text,
            Label::Number(number) => {
                // Where labels are known, a number that is none of them is reported with the others.
                if known.is_none() && !may_number(source) {
                    let words =
                        format!("{number} is no label: only collections of `dicom` have class numbers");
                    found.push(
                        Diagnostic::error(Code::UnknownLabel, span, words)
                            .label("must be a text")
                            .help(format!(
                                "if the source writes it so, put it in quotes: `\"{number}\"`"
                            )),
                    );
                }
                number.to_string()
            }
        };
        given.push(At { value, span });
    }
    let given = distinct(name, given, found);
    if let Some((known, source)) = known {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        known_labels(&given, &known, source, found);
    }
    given
}

/// Whether classes may be numbered, as far as could be read.
fn may_number(source: Option<&types::Source>) -> bool {
    match source {
        Some(types::Source::Dicom(dicom)) => dicom.value.labels.is_none(),
        Some(_) => false,
        None => true,
    }
}

/// The labels of a source that says them beforehand, and what it is called.
fn known(source: Option<&types::Source>) -> Option<(Vec<String>, &'static str)> {
    let owned = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    match source? {
        types::Source::Phantom(_) => Some((owned(&PHANTOM_LABELS), "`phantom`")),
        types::Source::Cxr14(_) => Some((owned(&CXR14_LABELS), "`cxr14`")),
        types::Source::Dicom(dicom) => match &dicom.value.labels.as_ref()?.value {
            DicomLabels::Collections(classes) => {
                let numbers: BTreeSet<u64> = classes.0.iter().map(|(_, class)| class.value.get()).collect();
                let labels = numbers.iter().map(u64::to_string).collect();
                Some((labels, "this `dicom` source"))
            }
            DicomLabels::Attribute(_) => None,
        },
        types::Source::Table(_) | types::Source::Folder(_) => None,
    }
}
