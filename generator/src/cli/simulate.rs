//! Predictions as tables.

use std::fmt::Write;

use contract::units::Bytes;

use crate::ops::{Predicted, SimulateResult};

/// The predictions for people.
pub fn text(result: &SimulateResult) -> String {
    let mut text = String::new();
    let slots = match result.slots {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    writeln!(text, "{} on {} ({slots})\n", result.experiment, result.pool).expect(STRING);
    text += &table(
        &[
            "layout",
            "target",
            "makespan",
            "jobs",
            "planned",
            "received",
            "sent",
            "slots taken",
            "executing",
            "rounds busy",
        ],
        result.predictions.iter().map(overview),
    );
    text += "\nSeconds of the longest chain of jobs, by what they are spent on:\n\n";
    let names = result
        .predictions
        .first()
        .map(|first| first.prediction.terms.named());
    let mut heads = vec!["layout", "target"];
    heads.extend(names.iter().flatten().map(|(name, _)| *name));
    text += &table(&heads, result.predictions.iter().map(terms));
    if !result.assumptions.is_empty() {
        writeln!(text, "\nAssumed: {}.", result.assumptions.join("; ")).expect(STRING);
    }
    text
}

const STRING: &str = "writing to a string cannot fail";

fn overview(predicted: &Predicted) -> Vec<String> {
    let prediction = &predicted.prediction;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    vec![
        predicted.layout.clone(),
        predicted.target.to_owned(),
        duration(prediction.makespan_s),
        prediction.jobs.to_string(),
        prediction.plannings.to_string(),
        bytes(prediction.received),
        bytes(prediction.sent),
        percent(prediction.slots_taken),
        percent(prediction.slots_executing),
        prediction
            .rounds
            .map_or("-".to_owned(), |rounds| percent(rounds.busy)),
    ]
}

fn terms(predicted: &Predicted) -> Vec<String> {
    let seconds = predicted.prediction.terms.named();
    let names = [predicted.layout.clone(), predicted.target.to_owned()];
    names
        .into_iter()
        .chain(seconds.map(|(_, seconds)| format!("{seconds:.0}")))
        .collect()
}

/// Hours and minutes, minutes and seconds, or seconds, by how long it is.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Decimal, as bytes on their way are counted.
fn bytes(bytes: Bytes) -> String {
    match bytes.0 as f64 {
        few if few < 1e6 => format!("{:.1} kB", few / 1e3),
        some if some < 1e9 => format!("{:.1} MB", some / 1e6),
        many => format!("{:.1} GB", many / 1e9),
    }
}

/// Columns as wide as their widest cell; the first two to the left, numbers to the right.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        writeln!(text, "{}", cells.join("  ").trim_end()).expect(STRING);
    }
    text
}
