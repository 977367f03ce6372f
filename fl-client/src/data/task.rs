//! From labels to classes.
//!
//! In: rows with label text, and what a model is asked to tell. Out: samples with a class, or with any number of labels;
//! rows of a task of classes that have none or several of them are counted. Start at [`classify`].

use std::collections::BTreeMap;

use contract::{dataset::Task, exit::JobExit, job::JobError, training::Target};

use super::source::{LeftOut, Loaded, Row, guess};

/// Why a row is left out of a multiclass task.
pub const NO_CLASS: &str = "none of the classes";
/// Why a row is left out of a multiclass task.
pub const SEVERAL_CLASSES: &str = "several of the classes";

/// A row and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The image as its source describes it.
    pub row: Row,
    /// Indices into [`Task::classes`], ascending: the one class, or any number of labels.
    pub labels: Vec<u32>,
}

/// The one class a sample counts as where there must be one, in splits, partitions and distances: its class, or its
/// first label in the task's order, or a further class `classes` if it has none of the labels.
pub fn split_class(labels: &[u32], classes: usize) -> u32 {
    labels.first().copied().unwrap_or(classes as u32)
}

/// How many values [`split_class`] has.
pub fn split_classes(target: Target, classes: usize) -> usize {
    match target {
        Target::Classes => classes,
        Target::Labels => classes + 1,
    }
}

/// Gives every row its class or labels, in order. Images that cannot be used have none; the caller has taken them out.
///
/// # Errors
/// `DataUnfit` naming a class without a single image and the labels there are.
pub fn classify(task: &Task, loaded: Loaded) -> Result<(Vec<Sample>, LeftOut), JobError> {
    let Loaded {
        rows,
        mut left_out,
        unusable: _,
    } = loaded;
    let labels: Vec<_> = rows.iter().map(|row| labels_of(task, &row.labels)).collect();
    let names = task.classes();
    for (index, name) in names.iter().enumerate() {
        if !labels
            .iter()
            .flatten()
            .any(|labels| labels.contains(&(index as u32)))
        {
            return Err(missing_class(task, name, &rows));
        }
    }
    let mut samples = Vec::with_capacity(rows.len());
    for (row, labels) in rows.into_iter().zip(labels) {
        match labels {
            Ok(labels) => samples.push(Sample { row, labels }),
            Err(reason) => left_out.count(reason),
        }
    }
    Ok((samples, left_out))
}

/// What an image with these labels is to the task, or why it is nothing to it.
fn labels_of(task: &Task, labels: &[String]) -> Result<Vec<u32>, &'static str> {
    let present = |names: &[String]| -> Vec<u32> {
        let present = names.iter().zip(0..).filter(|(name, _)| labels.contains(name));
        present.map(|(_, index)| index).collect()
    };
    match task {
        Task::Binary { negative } => Ok(vec![u32::from(
            !labels.iter().all(|label| negative.contains(label)),
        )]),
        Task::Multiclass { classes } => match present(classes) {
            one if one.len() == 1 => Ok(one),
            none if none.is_empty() => Err(NO_CLASS),
            _ => Err(SEVERAL_CLASSES),
        },
        Task::Multilabel { labels: asked } => Ok(present(asked)),
    }
}

fn missing_class(task: &Task, class: &str, rows: &[Row]) -> JobError {
    let mut counts = BTreeMap::<&String, u64>::new();
    for label in rows.iter().flat_map(|row| &row.labels) {
        *counts.entry(label).or_default() += 1;
    }
    let wanted = match task {
        Task::Binary { negative } => negative.as_slice(),
        Task::Multiclass { .. } | Task::Multilabel { .. } => &[class.to_owned()],
    };
    let unknown = wanted.iter().find(|label| !counts.contains_key(label));
    let guess = unknown.and_then(|label| guess(label, counts.keys().copied()));
    let guess = guess
        .map(|label| format!(" (did you mean `{label}`?)"))
        .unwrap_or_default();
    let mut most: Vec<_> = counts.iter().collect();
    most.sort_by_key(|(label, count)| (std::cmp::Reverse(**count), **label));
    let shown = most
        .iter()
        .take(20)
        .map(|(label, count)| format!("`{label}` {count}"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let images = rows.len();
    JobError::new(
        JobExit::DataUnfit,
        format!("none of {images} images has the class `{class}`{guess}; labels in the source: {shown}"),
    )
    .help("write the task's labels as the source writes them, or ask for classes it has")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::row;

    fn loaded(labels: &[&str]) -> Loaded {
        let rows = labels.iter().enumerate();
        Loaded {
            rows: rows
                .map(|(number, text)| row(&number.to_string(), text))
                .collect(),
            ..Loaded::default()
        }
    }

    fn binary(negative: &[&str]) -> Task {
        Task::Binary {
            negative: negative.iter().map(|&label| label.into()).collect(),
        }
    }

    fn multiclass(classes: &[&str]) -> Task {
        Task::Multiclass {
            classes: classes.iter().map(|&label| label.into()).collect(),
        }
    }

    fn classes(samples: &[Sample]) -> Vec<u32> {
        samples
            .iter()
            .map(|sample| split_class(&sample.labels, 9))
            .collect()
    }

    #[test]
    fn an_image_keeps_every_label_asked_for_and_stays_without_any() {
        let task = Task::Multilabel {
            labels: ["Mass", "Edema"].map(str::to_owned).to_vec(),
        };
        let source = loaded(&["Edema|Hernia|Mass", "Edema", "No Finding", "", "Mass|Mass"]);
        let (samples, left_out) = classify(&task, source).unwrap();
        let labels: Vec<_> = samples.iter().map(|sample| sample.labels.as_slice()).collect();
        assert_eq!(labels, [&[0, 1][..], &[1], &[], &[], &[0]]);
        let of = |sample: &Sample| split_class(&sample.labels, 2);
        assert_eq!(samples.iter().map(of).collect::<Vec<_>>(), [0, 1, 2, 2, 0]);
        assert_eq!(
            (split_classes(task.target(), 2), left_out),
            (3, LeftOut::default())
        );
        let error = classify(&task, loaded(&["Mass", "Edemma"])).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(
            error.message.contains("`Edema` (did you mean `Edemma`?)"),
            "{error}"
        );
    }

    #[test]
    fn an_image_is_negative_when_all_its_labels_are() {
        let source = loaded(&["No Finding", "Mass", "No Finding|Mass", "Old|No Finding", ""]);
        let (samples, left_out) = classify(&binary(&["No Finding", "Old"]), source).unwrap();
        assert_eq!(classes(&samples), [0, 1, 1, 0, 0]);
        assert_eq!(left_out, LeftOut::default());
    }

    #[test]
    fn an_image_with_none_or_several_of_the_classes_is_left_out_and_counted() {
        let source = loaded(&["Mass", "Edema", "Mass|Edema", "Hernia", "", "Edema|Hernia"]);
        let (samples, left_out) = classify(&multiclass(&["Edema", "Mass"]), source).unwrap();
        assert_eq!(classes(&samples), [1, 0, 0]);
        assert_eq!(samples[2].row.image, "5");
        let expected = BTreeMap::from([(NO_CLASS.to_owned(), 2), (SEVERAL_CLASSES.to_owned(), 1)]);
        assert_eq!(left_out.into_inner(), expected);
    }

    #[test]
    fn a_class_without_images_is_named_with_the_labels_there_are() {
        let error = classify(&binary(&["No finding"]), loaded(&["No Finding", "Mass", "Mass"])).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(
            error
                .message
                .contains("the class `No finding` (did you mean `No Finding`?)"),
            "{error}"
        );
        assert!(error.message.contains("`Mass` 2, `No Finding` 1"), "{error}");
        assert!(error.help.is_some());

        let error = classify(&multiclass(&["Mass", "Edemma"]), loaded(&["Mass", "Edema"])).unwrap_err();
        assert!(
            error.message.contains("`Edemma` (did you mean `Edema`?)"),
            "{error}"
        );

        let error = classify(&binary(&["No Finding"]), loaded(&["No Finding"])).unwrap_err();
        assert!(error.message.contains("`not No Finding`; labels"), "{error}");
    }
}
