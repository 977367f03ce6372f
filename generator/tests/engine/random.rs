//! Random graphs: exactly the right jobs are done, failed or left out, and `resume` does the rest.

use std::{collections::BTreeSet, fs};

use fedwing::{
    engine::run,
    plan::Dag,
    record::{JobHistory, RunOutcome},
};
use proptest::prelude::*;

use super::support::{Bench, Declare, contents, dag, options, sh};

/// A job by the earlier jobs it reads from and whether it fails at first.
#[derive(Debug, Clone)]
struct Plan {
    reads: BTreeSet<usize>,
    fails: bool,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let job = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::bool::weighted(0.15),
    );
    prop::collection::vec(job, 1..=30).prop_map(|jobs| {
        let plan = |(place, (reads, fails)): (usize, (Vec<prop::sample::Index>, bool))| Plan {
            reads: reads
                .iter()
                .filter(|_| place > 0)
                .map(|read| read.index(place.max(1)))
                .collect(),
            fails,
        };
        jobs.into_iter().enumerate().map(plan).collect()
    })
}

/// Each job writes its number after what its inputs hold; one that fails does so until its mark is removed.
fn graph(bench: &Bench, plans: &[Plan]) -> Dag {
    let jobs = plans.iter().enumerate().map(|(place, plan)| {
        let inputs: Vec<String> = plan.reads.iter().map(|read| format!("f{read}")).collect();
        let mark = bench.shared(&format!("fail{place}"));
        if plan.fails {
            fs::write(&mark, "").unwrap();
        }
        let script = format!(
            "[ -e {} ] && exit 11; cat /dev/null {} > f{place}; echo {place} >> f{place}",
            mark.display(),
            inputs.join(" ")
        );
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        sh(&format!("j{place}"), &script)
            .reads(&inputs)
            .writes(&[&format!("f{place}")])
    });
    dag(jobs.collect())
}

fn expected_text(plans: &[Plan], place: usize) -> String {
    let inputs = plans[place].reads.iter().map(|&read| expected_text(plans, read));
    inputs.collect::<String>() + &format!("{place}\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_right_jobs_are_done_and_resume_does_the_rest(plans in plans(), slots in 1u32..4) {
        // Texts grow with the number of paths; wide graphs of 30 jobs would write gigabytes.
        let mut lines = Vec::<u64>::new();
        for plan in &plans {
            lines.push(1 + plan.reads.iter().map(|&read| lines[read]).sum::<u64>());
        }
        prop_assume!(lines.iter().sum::<u64>() < 20_000);

        let bench = Bench::new();
        let graph = graph(&bench, &plans);
        let outcome = run(&graph, &bench.dir, &options(slots), &mut ()).unwrap();
        let mut reached = Vec::<bool>::new();
        let mut done = Vec::<bool>::new();
        for plan in &plans {
            reached.push(plan.reads.iter().all(|&read| done[read]));
            done.push(*reached.last().unwrap() && !plan.fails);
        }
        let failed = (0..plans.len()).filter(|&job| reached[job] && !done[job]).map(|job| format!("j{job}"));
        let failed: Vec<String> = failed.collect();
        let wanted = if failed.is_empty() { RunOutcome::Done } else { RunOutcome::Failed(failed) };
        prop_assert_eq!(outcome, wanted);
        let history = bench.history();
        for place in 0..plans.len() {
            let job = history.jobs.get(&format!("j{place}"));
            prop_assert_eq!(job.is_some(), reached[place]);
            prop_assert_eq!(job.and_then(JobHistory::done).is_some(), done[place]);
            let file = bench.file(&format!("f{place}"));
            prop_assert_eq!(file.exists(), done[place]);
            if done[place] {
                prop_assert_eq!(fs::read_to_string(file).unwrap(), expected_text(&plans, place));
            }
        }

        for place in 0..plans.len() {
            let mark = bench.shared(&format!("fail{place}"));
            if mark.exists() {
                fs::remove_file(mark).unwrap();
            }
        }
        let before = bench.events().len();
        prop_assert_eq!(bench.resume(&graph), RunOutcome::Done);
        prop_assert_eq!(bench.started_since(before).len(), done.iter().filter(|done| !**done).count());
        prop_assert_eq!(contents(&bench.dir.files()).len(), plans.len());
        for place in 0..plans.len() {
            prop_assert_eq!(bench.text(&format!("f{place}")), expected_text(&plans, place));
        }
    }
}
