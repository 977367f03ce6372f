//! Writes a pool as a pool file. What is written reads back as the same pool, to four digits.

use std::fmt::Write;

use contract::units::Bytes;

use super::pool::{Dagman, JobTime, Pegasus, Pool, Queue, Slots, Staging, SubmitHost, Varying};

const STRING: &str = "writing to a string cannot fail";

impl Pool {
    /// The pool file of this pool, headed by `notes` as comments.
    pub fn to_yaml(&self, notes: &[String]) -> String {
        let Self {
            about,
            seed,
            sites,
            queue,
            submit_host,
            staging,
            dagman,
            pegasus,
            jobs,
        } = self;
        let mut text = String::new();
        for note in notes {
            writeln!(text, "# {}", note.replace('\n', " ")).expect(STRING);
        }
        text.push_str("fedwing_pool: 1\n");
        if let Some(about) = about {
            // A text of JSON is one of YAML.
            let quoted = serde_json::to_string(about).expect("a text can be written");
            writeln!(text, "about: {quoted}").expect(STRING);
        }
        writeln!(text, "seed: {}\nsites:", seed.0).expect(STRING);
        for slots in sites {
            writeln!(text, "  {}: {}", slots.site, mapping(&slots_keys(slots))).expect(STRING);
        }
        for (key, keys) in [
            ("queue", queue_keys(queue)),
            ("submit_host", submit_host_keys(submit_host)),
            ("staging", staging_keys(staging)),
            ("dagman", dagman_keys(dagman)),
            ("pegasus", pegasus_keys(pegasus)),
        ] {
            writeln!(text, "{key}: {}", mapping(&keys)).expect(STRING);
        }
        text.push_str("jobs:");
        if jobs.is_empty() {
            text.push_str(" {}");
        }
        text.push('\n');
        for (kind, time) in jobs {
            writeln!(text, "  {kind}: {}", mapping(&job_keys(time))).expect(STRING);
        }
        text
    }
}

/// A key and its value; none for one that is left out.
type Key = (&'static str, Option<String>);

fn mapping(keys: &[Key]) -> String {
    let given = keys
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}: {}", value.as_ref()?)));
    format!("{{{}}}", given.collect::<Vec<_>>().join(", "))
}

fn slots_keys(slots: &Slots) -> Vec<Key> {
    let Slots {
        site: _,
        slots,
        cpus,
        memory,
        gpus,
        speed,
        holds,
    } = slots;
    vec![
        ("slots", Some(slots.to_string())),
        ("cpus", cpus.map(|cpus| cpus.to_string())),
        ("memory", memory.map(bytes)),
        ("gpus", (*gpus > 0).then(|| gpus.to_string())),
        ("speed", (*speed != 1.0).then(|| number(*speed))),
        (
            "holds",
            (!holds.is_empty()).then(|| format!("[{}]", holds.join(", "))),
        ),
    ]
}

fn queue_keys(queue: &Queue) -> Vec<Key> {
    let Queue {
        wait,
        cycle,
        turnaround,
    } = queue;
    vec![
        ("wait", Some(varying(*wait))),
        ("cycle", Some(number(*cycle))),
        ("turnaround", Some(number(*turnaround))),
    ]
}

fn submit_host_keys(host: &SubmitHost) -> Vec<Key> {
    let SubmitHost {
        jobs,
        submits_per_second,
        starts_per_second,
        max_jobs,
    } = host;
    vec![
        ("jobs", Some(jobs.to_string())),
        ("submits_per_second", submits_per_second.map(number)),
        ("starts_per_second", starts_per_second.map(number)),
        ("max_jobs", max_jobs.map(|most| most.to_string())),
    ]
}

fn staging_keys(staging: &Staging) -> Vec<Key> {
    let Staging {
        bandwidth,
        stream,
        latency,
        overhead,
    } = staging;
    vec![
        ("bandwidth", bandwidth.map(bytes)),
        ("stream", stream.map(bytes)),
        ("latency", Some(number(*latency))),
        ("overhead", Some(varying(*overhead))),
    ]
}

fn dagman_keys(dagman: &Dagman) -> Vec<Key> {
    let Dagman { job, dag } = dagman;
    vec![("job", Some(number(*job))), ("dag", Some(number(*dag)))]
}

fn pegasus_keys(pegasus: &Pegasus) -> Vec<Key> {
    let Pegasus {
        workflow,
        sub_workflow,
        before,
        after,
    } = pegasus;
    vec![
        ("workflow", Some(number(*workflow))),
        ("sub_workflow", Some(number(*sub_workflow))),
        ("before", Some(number(*before))),
        ("after", Some(number(*after))),
    ]
}

fn job_keys(time: &JobTime) -> Vec<Key> {
    let JobTime {
        fixed,
        per_sample,
        per_megabyte,
        spread,
        wait,
        overhead,
    } = time;
    let some = |value: f64| (value > 0.0).then(|| number(value));
    vec![
        ("fixed", Some(number(*fixed))),
        ("per_sample", some(*per_sample)),
        ("per_megabyte", some(*per_megabyte)),
        ("spread", (*spread > 1.0).then(|| number(spread.max(1.0)))),
        ("wait", wait.map(varying)),
        ("overhead", overhead.map(varying)),
    ]
}

/// A size as it is read back whole.
fn bytes(bytes: Bytes) -> String {
    bytes.0.to_string()
}

fn varying(time: Varying) -> String {
    let Varying { median, spread } = time;
    match spread > 1.0 {
        true => format!("{{median: {}, spread: {}}}", number(median), number(spread)),
        false => number(median),
    }
}

/// Four digits, and no more zeros than needed.
fn number(value: f64) -> String {
    let digits = 3 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 40) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_reads_back_to_four_digits(value in prop_oneof![1e-30_f64..1e-12, 1e-6_f64..1e9]) {
            let read: f64 = number(value).parse().unwrap();
            prop_assert!((read - value).abs() <= value * 1e-3, "{value} {read}");
        }
    }

    #[test]
    fn a_pool_file_reads_back_as_the_pool_it_was_made_of() {
        for text in [
            include_str!("../../../examples/pools/paper.yml"),
            include_str!("../../../examples/pools/laptop.yml"),
        ] {
            let pool = Pool::read(text, "pool.yml").pool.unwrap();
            let written = pool.to_yaml(&["A note\nof two lines".to_owned()]);
            assert_eq!(Pool::read(&written, "written.yml").pool, Some(pool), "{written}");
        }
    }
}
