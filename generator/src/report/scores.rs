//! What models are measured by, and the rows of every table of measures. Pure.

use contract::{
    metrics::{ClassScores, Interval, Intervals, Scores},
    training::BaselineKind,
};

use super::{
    findings::NOTHING,
    model::{DatasetReport, PersonalReport, Spread},
    numbers::{UNDEFINED, count, metric, metric_or_undefined},
};

/// A quantity that measures a model.
pub(super) struct Measure {
    /// Its name for readers.
    pub name: &'static str,
    /// Reads it.
    pub of: fn(&Scores) -> Option<f64>,
    /// Reads its 95 % interval, if it has one.
    pub interval: fn(&Intervals) -> Option<Interval>,
    /// Whether it lies between 0 and 1, larger being better.
    pub share: bool,
}

/// What models are measured by first, in the order shown.
pub(super) const MEASURES: [Measure; 4] = [
    Measure {
        name: "AUROC",
        of: |scores| scores.auroc,
        interval: |intervals| intervals.auroc,
        share: true,
    },
    Measure {
        name: "Accuracy",
        of: |scores| Some(scores.accuracy),
        interval: |intervals| Some(intervals.accuracy),
        share: true,
    },
    Measure {
        name: "Macro F1",
        of: |scores| Some(scores.macro_f1),
        interval: |intervals| Some(intervals.macro_f1),
        share: true,
    },
    Measure {
        name: "Loss",
        of: |scores| Some(scores.loss),
        interval: |_| None,
        share: false,
    },
];

/// What they are measured by besides: how they do on rare classes, and what their probabilities are worth.
pub(super) const FURTHER: [Measure; 5] = [
    Measure {
        name: "Balanced accuracy",
        of: |scores| scores.balanced_accuracy,
        interval: |intervals| intervals.balanced_accuracy,
        share: true,
    },
    Measure {
        name: "Micro F1",
        of: |scores| Some(scores.micro_f1),
        interval: |_| None,
        share: true,
    },
    Measure {
        name: "PR-AUC",
        of: |scores| scores.pr_auc,
        interval: |intervals| intervals.pr_auc,
        share: true,
    },
    Measure {
        name: "Brier score",
        of: |scores| Some(scores.brier),
        interval: |_| None,
        share: false,
    },
    Measure {
        name: "ECE",
        of: |scores| Some(scores.ece),
        interval: |_| None,
        share: false,
    },
];

/// What the second table of measures means.
pub(super) const FURTHER_WORDS: &str = "PR-AUC: average precision. Brier score and expected calibration error (ECE) \
     compare probabilities with what is true; less is better.";

/// The head of a table of `measures`.
pub(super) fn heads(first: &'static str, measures: &[Measure]) -> Vec<&'static str> {
    std::iter::once(first)
        .chain(measures.iter().map(|measure| measure.name))
        .collect()
}

/// A model's measures, each with its interval where it has one.
fn values(measures: &[Measure], scores: &Scores) -> Vec<String> {
    measures
        .iter()
        .map(|measure| {
            let interval = scores.intervals.as_ref().and_then(measure.interval);
            with_interval((measure.of)(scores), interval)
        })
        .collect()
}

fn with_interval(value: Option<f64>, interval: Option<Interval>) -> String {
    let value = metric_or_undefined(value);
    match interval {
        None => value,
        Some(Interval { low, high }) => format!("{value} [{}, {}]", metric(low), metric(high)),
    }
}

/// Mean and range of each measure over models.
fn spread<'s>(measures: &[Measure], models: impl Iterator<Item = &'s Scores> + Clone) -> Vec<String> {
    let of = |measure: &Measure| match Spread::over(models.clone().map(measure.of)) {
        Some(Spread { mean, min, max }) => format!("{} ({}–{})", metric(mean), metric(min), metric(max)),
        None => UNDEFINED.to_owned(),
    };
    measures.iter().map(of).collect()
}

/// Name, style and the measures of each model, federated first; of `local_only` models the first `most`.
pub(super) fn model_rows(
    dataset: &DatasetReport,
    measures: &[Measure],
    most: usize,
) -> Vec<(String, &'static str, Vec<String>)> {
    let mut rows = Vec::new();
    if let Some(last) = &dataset.last {
        let name = format!("federated, round {}", last.round);
        rows.push((name, "main", values(measures, &last.metrics)));
    }
    let of_kind = |kind| {
        dataset
            .baselines
            .iter()
            .filter(move |baseline| baseline.kind == kind)
    };
    for baseline in of_kind(BaselineKind::Centralized) {
        let name = BaselineKind::Centralized.to_string();
        rows.push((name, "", values(measures, &baseline.metrics)));
    }
    if of_kind(BaselineKind::LocalOnly).nth(1).is_some() {
        let models = of_kind(BaselineKind::LocalOnly).map(|baseline| &baseline.metrics);
        rows.push((
            "local_only, mean (range)".to_owned(),
            "",
            spread(measures, models),
        ));
    }
    for baseline in of_kind(BaselineKind::LocalOnly).take(most) {
        let client = baseline
            .client
            .map_or(String::new(), |client| format!(", client {client}"));
        let name = format!("local_only{client}");
        rows.push((name, "minor", values(measures, &baseline.metrics)));
    }
    rows
}

/// Name, style and the measures of clients' own models: their mean and range, then the first `most`.
pub(super) fn personal_rows(
    dataset: &DatasetReport,
    most: usize,
) -> Vec<(String, &'static str, Vec<String>)> {
    let models = dataset.personal.iter().map(|personal| &personal.metrics);
    let mut rows = Vec::new();
    if dataset.personal.len() > 1 {
        rows.push(("mean (range)".to_owned(), "main", spread(&MEASURES, models)));
    }
    for personal in dataset.personal.iter().take(most) {
        let PersonalReport {
            client,
            round: _,
            metrics,
        } = personal;
        rows.push((format!("client {client}"), "", values(&MEASURES, metrics)));
    }
    rows
}

/// What the table of clients' own models says.
pub(super) const PERSONAL_WORDS: &str = "Each client's own model after the last round, on the test samples of the \
     whole dataset.";

/// The heads of the table of classes after the first, in [`class_cells`]' order.
pub(super) const CLASS_HEADS: [&str; 7] = [
    "Samples",
    "Precision",
    "Recall",
    "F1",
    "AUROC",
    "PR-AUC",
    "Threshold",
];

/// A class's row after its name.
pub(super) fn class_cells(class: &ClassScores) -> Vec<String> {
    let ClassScores {
        label: _,
        support,
        precision,
        recall,
        f1,
        auroc,
        auroc_interval,
        pr_auc,
        threshold,
    } = class;
    let mut cells = vec![count(*support)];
    cells.extend([*precision, *recall, *f1].map(metric_or_undefined));
    cells.push(with_interval(*auroc, *auroc_interval));
    cells.push(metric_or_undefined(*pr_auc));
    cells.push(threshold.map_or(NOTHING.to_owned(), metric));
    cells
}

/// The confusion matrix as a table: its head, and a row for each true class; `None` where there is none.
pub(super) fn confusion(scores: &Scores) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    if scores.confusion.is_empty() {
        return None;
    }
    let labels: Vec<&str> = scores
        .per_class
        .iter()
        .map(|class| class.label.as_str())
        .collect();
    let mut head = vec!["True class".to_owned()];
    head.extend(labels.iter().map(|label| format!("told {label}")));
    let rows = scores.confusion.iter().zip(&labels).map(|(row, label)| {
        std::iter::once((*label).to_owned())
            .chain(row.iter().copied().map(count))
            .collect()
    });
    Some((head, rows.collect()))
}

/// How intervals were made, in a sentence; `None` where there are none.
pub(super) fn interval_words(scores: &Scores) -> Option<String> {
    let draws = scores.intervals.as_ref()?.draws;
    Some(format!(
        "In brackets: 95 % intervals, by drawing the patients anew {} times; of a class's AUROC by DeLong's method.",
        count(draws.into())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_written_with_its_interval() {
        let interval = Interval {
            low: 0.61234,
            high: 0.7,
        };
        assert_eq!(with_interval(Some(0.65), Some(interval)), "0.650 [0.612, 0.700]");
        assert_eq!(with_interval(Some(0.65), None), "0.650");
        assert_eq!(with_interval(None, None), "undefined");
    }
}
