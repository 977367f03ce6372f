//! The tables of `docs/simulate.md`.

use std::{fmt::Write, path::Path};

use contract::units::SampleCount;
use fedwing::{
    check::{Checked, check},
    diag::Colour,
    estimate::{Basis, Known, Samples, Sizes, Target},
    plan,
    simulate::{Pool, Prediction, Terms, Varying, predict},
};

use super::{
    E1, E3, E4, Experiment, IMAGES, busy, hours, mean, of_reference, pool, predictions, wait_for_busy,
};

const STRING: &str = "writing to a string cannot fail";

/// Seconds that a job of ours is assumed to take on its slot beside transfers and execution where it needs no container.
const WITHOUT_CONTAINER: f64 = 5.0;

/// Every table, as Markdown.
pub fn tables() -> String {
    let pool = pool();
    let mut text = String::new();
    published(&mut text, &pool);
    explained(&mut text, &pool);
    ours(&mut text, &pool);
    text
}

fn published(text: &mut String, pool: &Pool) {
    text.push_str(
        "| experiment | clients | rounds | epochs | measured h | simulated h | error | of nine draws | rounds busy, published | \
         simulated | training in queue s | round s |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut medians = pool.clone();
    medians.queue.wait.spread = 1.0;
    medians.submit_host.starts_per_second = None;
    for (experiment, what, pool) in [
        (E1, ", nothing fitted", &medians),
        (E1, ", fitted", pool),
        (E4, "", pool),
        (E3, "", pool),
    ] {
        let found = of_reference(pool, experiment);
        let drawn = || found.iter().map(|prediction| prediction.makespan_s / 3600.0);
        writeln!(
            text,
            "| {}{what} | {} | {} | {} | {:.1} | {:.1} | {:+.0} % | {:.1} to {:.1} | {:.1} % | {:.1} % | {:.0} | {:.0} |",
            experiment.name,
            experiment.clients,
            experiment.rounds,
            experiment.epochs,
            experiment.hours,
            hours(&found),
            100.0 * (hours(&found) / experiment.hours - 1.0),
            drawn().fold(f64::INFINITY, f64::min),
            drawn().fold(0.0, f64::max),
            100.0 * experiment.busy,
            100.0 * busy(&found),
            mean(&found, |prediction| prediction.kinds["train"].queue_s),
            mean(&found, |prediction| prediction.rounds.map_or(0.0, |rounds| rounds.median_s)),
        )
        .expect(STRING);
    }
}

fn explained(text: &mut String, pool: &Pool) {
    let (times, found) = wait_for_busy(pool, E3);
    writeln!(
        text,
        "\nE3 with waits {times:.1} times as long in the median, which makes its rounds {:.1} % busy: {:.1} h, {:+.0} % of what was \
         measured.\n",
        100.0 * busy(&found),
        hours(&found),
        100.0 * (hours(&found) / E3.hours - 1.0)
    )
    .expect(STRING);
}

/// A way to run an experiment.
struct Way {
    name: &'static str,
    layout: &'static str,
    target: Target,
    sites: bool,
    together: u32,
}

const WAYS: [Way; 8] = [
    Way {
        name: "rounds, Pegasus",
        layout: "rounds",
        target: Target::Pegasus,
        sites: false,
        together: 1,
    },
    Way {
        name: "chunks of 10, Pegasus",
        layout: "{chunks: 10}",
        target: Target::Pegasus,
        sites: false,
        together: 1,
    },
    Way {
        name: "flat, Pegasus",
        layout: "flat",
        target: Target::Pegasus,
        sites: false,
        together: 1,
    },
    Way {
        name: "flat, DAGMan",
        layout: "flat",
        target: Target::Dagman,
        sites: false,
        together: 1,
    },
    Way {
        name: "flat, DAGMan, data at its sites",
        layout: "flat",
        target: Target::Dagman,
        sites: true,
        together: 1,
    },
    Way {
        name: "rounds, Pegasus, data at its sites, a job a site",
        layout: "rounds",
        target: Target::Pegasus,
        sites: true,
        together: 3,
    },
    Way {
        name: "flat, Pegasus, data at its sites, a job a site",
        layout: "flat",
        target: Target::Pegasus,
        sites: true,
        together: 3,
    },
    Way {
        name: "flat, DAGMan, data at its sites, a job a site",
        layout: "flat",
        target: Target::Dagman,
        sites: true,
        together: 3,
    },
];

fn ours(text: &mut String, pool: &Pool) {
    let mut bare = pool.clone();
    bare.staging.overhead = Varying {
        median: WITHOUT_CONTAINER,
        spread: 1.0,
    };
    for (overhead, pool) in [
        ("101 s, as with the reference's container", pool),
        ("5 s, without a container: assumed", &bare),
    ] {
        writeln!(
            text,
            "Overhead of a job {overhead}. Hours; seconds of E1's longest chain by what they are spent on:\n"
        )
        .expect(STRING);
        text.push_str(
            "| workflow | E1 h | E4 h | E3 h | E1, times faster | GB moved | planning | workflow | queue | slots | staging | execution | \
             stragglers |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let fitted = self::pool();
        row(text, "reference", |experiment| of_reference(&fitted, experiment));
        for way in &WAYS {
            row(text, way.name, |experiment| of_ours(pool, experiment, way));
        }
        text.push('\n');
    }
}

fn row(text: &mut String, name: &str, predict: impl Fn(Experiment) -> Vec<Prediction>) {
    let (e1, e4, e3) = (predict(E1), predict(E4), predict(E3));
    let reference = hours(&of_reference(&pool(), E1));
    let moved = mean(&e1, |prediction| {
        (prediction.received.0 + prediction.sent.0) as f64 / 1e9
    });
    write!(
        text,
        "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {moved:.0} |",
        hours(&e1),
        hours(&e4),
        hours(&e3),
        reference / hours(&e1)
    )
    .expect(STRING);
    for term in 0..Terms::default().named().len() {
        let seconds = mean(&e1, |prediction| prediction.terms.named()[term].1);
        write!(text, " {seconds:.0} |").expect(STRING);
    }
    text.push('\n');
}

fn of_ours(pool: &Pool, experiment: Experiment, way: &Way) -> Vec<Prediction> {
    let checked = checked(experiment, way);
    let plan = plan::lower(&checked).unwrap();
    let mut known = Known::default();
    for dataset in &checked.datasets {
        let basis = Basis::Expected(SampleCount(IMAGES));
        let samples = Samples::expected(&dataset.config, basis);
        known.samples.insert(dataset.config.dataset.clone(), samples);
    }
    let sizes = Sizes::new(&checked, &known);
    predictions(pool, |pool| {
        predict(&plan, plan.layout, way.target, &sizes, pool).unwrap()
    })
}

fn checked(experiment: Experiment, way: &Way) -> Checked {
    let report = check(&specification(experiment, way), "paper.yml", Path::new("/"));
    report
        .checked
        .unwrap_or_else(|| panic!("{}", report.diagnostics.render(Colour::Never)))
}

fn specification(experiment: Experiment, way: &Way) -> String {
    let Experiment {
        clients,
        rounds,
        epochs,
        ..
    } = experiment;
    let Way {
        layout,
        sites,
        together,
        ..
    } = way;
    let dataset = |name: &str| {
        format!(
            "  {name}:\n    source: {{cxr14: {{images: /data/{name}/images, labels: /data/{name}/labels.csv}}}}\n    task: {{binary: \
             {{negative: [No Finding]}}}}\n    image: {{size: 224, channels: 3}}\n    test: {{fraction: 0.2}}\n    clients: {{count: \
             {clients}, by: iid}}\n"
        )
    };
    let request = "{cpus: 4, memory: 14 GiB, gpus: 1}";
    let mut text = format!(
        "fedwing: 1\nname: e\nseed: 7\ndatasets:\n{}{}model: {{arch: resnet18}}\nfederation:\n  algorithm: fedavg\n  rounds: {rounds}\n  \
         local: {{epochs: {epochs}, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.001, momentum: 0.9, weight_decay: 1e-4}}}}}}\n\
         evaluation: {{cross_dataset: true}}\nexecution: {{layout: {layout}, device: \"cuda:0\", clients_per_job: {together}, resources: \
         {{train: {request}, evaluate: {request}}}}}\n",
        dataset("tcia"),
        dataset("nih")
    );
    if *sites {
        text.push_str("sites:\n");
        for site in 0..4 {
            let of_site = (0..clients).filter(|client| client % 4 == site);
            let of_site: Vec<String> = of_site.map(|client| client.to_string()).collect();
            writeln!(
                text,
                "  s{site}: {{clients: [{}], data: /srv/cxr, condor: {{requirements: 'FedwingSite == \"s{site}\"'}}}}",
                of_site.join(", ")
            )
            .expect(STRING);
        }
    }
    text
}
