//! The measurements as Markdown.

use std::fmt::Write;

use benches::provenance;

use super::{CLIENTS, Measured, ROUNDS, Step, fit};

const STRING: &str = "writing to a string cannot fail";

pub fn markdown(measured: &[Measured], skipped: &[String]) -> String {
    let mut text = format!(
        "# Growth with clients and rounds\n\n{}; {} profile; `cargo run --release -p benches --bin scale -- --svg \
         benches/results/scale.svg`. One dataset, ResNet-18, every client in every round, layout `flat`; the engine runs \
         `/bin/true` two at a time, the pool (4 hosts of 4 slots, on the same machine) `/bin/true` as nodes of a DAG; \
         aggregation reads 0.9 MB an update. Seconds are of the step alone; memory is the largest of its process, the plan included, and for aggregation the files it maps.\n\n\
         ![seconds by jobs](scale.svg)\n",
        provenance(),
        if cfg!(debug_assertions) { "dev" } else { "release" }
    );
    together(&mut text, measured);
    growth(&mut text, measured);
    for step in Step::ALL {
        table(&mut text, measured, step);
    }
    for why in skipped {
        writeln!(text, "\nSkipped: {why}").expect(STRING);
    }
    text
}

/// What ten thousand clients cost from specification to prediction.
fn together(text: &mut String, measured: &[Measured]) {
    let most = CLIENTS[CLIENTS.len() - 1];
    let steps = [Step::Plan, Step::Pegasus, Step::Dagman, Step::Simulate];
    for rounds in ROUNDS {
        let of: Vec<&Measured> = measured
            .iter()
            .filter(|found| found.clients == most && found.rounds == rounds && steps.contains(&found.step))
            .collect();
        if of.len() == steps.len() {
            let seconds: f64 = of.iter().map(|found| found.seconds).sum();
            let memory = of.iter().map(|found| found.memory).max().unwrap_or(0);
            writeln!(
                text,
                "\n{most} clients, {rounds} rounds: checked, planned, written for both systems and simulated in {seconds:.1} s, at most {:.2} GB.",
                memory as f64 / 1e9
            )
            .expect(STRING);
        }
    }
}

fn growth(text: &mut String, measured: &[Measured]) {
    text.push_str(
        "\n## Fitted growth\n\nThe power of the number of clients (rounds) that seconds grow with, by least squares on logarithms, times \
         below 20 ms left out; 1 is linear. With clients at the most rounds measured, with rounds at the most clients.\n\n\
         | step | with clients | with rounds |\n|---|---|---|\n",
    );
    let shown = |slope: Option<f64>| slope.map_or("-".to_owned(), |slope| format!("{slope:.2}"));
    for step in Step::ALL {
        let of = || measured.iter().filter(|found| found.step == step);
        let slope = |slopes: &mut dyn Iterator<Item = Option<f64>>| slopes.flatten().next();
        let rounds = slope(
            &mut ROUNDS
                .iter()
                .rev()
                .map(|rounds| fit::with_clients(measured, step, *rounds)),
        );
        let clients = slope(
            &mut CLIENTS
                .iter()
                .rev()
                .map(|clients| fit::with_rounds(measured, step, *clients)),
        );
        if of().next().is_some() {
            writeln!(
                text,
                "| {} | {} | {} |",
                step.name(),
                shown(rounds),
                shown(clients)
            )
            .expect(STRING);
        }
    }
}

fn table(text: &mut String, measured: &[Measured], step: Step) {
    let of: Vec<&Measured> = measured.iter().filter(|found| found.step == step).collect();
    if of.is_empty() {
        return;
    }
    writeln!(
        text,
        "\n## {}\n\n| clients | rounds | seconds | memory MB | MB |\n|---|---|---|---|---|",
        step.name()
    )
    .expect(STRING);
    for found in of {
        writeln!(
            text,
            "| {} | {} | {:.3} | {:.0} | {:.1} |",
            found.clients,
            found.rounds,
            found.seconds,
            found.memory as f64 / 1e6,
            found.bytes as f64 / 1e6
        )
        .expect(STRING);
    }
}
