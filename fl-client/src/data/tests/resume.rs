//! Jobs that are killed, and the attempts after them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use contract::job::write_json;

use super::{
    Job, picture, pictures_job,
    prepare::{self, Pace, Step},
};
use crate::data::fixtures::png;

/// Five images of 36 bytes.
const CHUNK: usize = 180;

/// Prepares, and calls `at` after each step with its number.
fn attempt(job: &Job, at: impl Fn(usize) + Sync) {
    let steps = AtomicUsize::new(0);
    let after = |_: Step| at(steps.fetch_add(1, Ordering::SeqCst));
    let pace = Pace {
        chunk: CHUNK,
        after: &after,
    };
    prepare::attempt(&job.args(2), &pace).unwrap();
}

/// Prepares, and returns how many chunks were decoded.
fn chunks(job: &Job) -> usize {
    let chunks = AtomicUsize::new(0);
    let after = |step: Step| {
        chunks.fetch_add(usize::from(step == Step::Chunk), Ordering::SeqCst);
    };
    prepare::attempt(
        &job.args(2),
        &Pace {
            chunk: CHUNK,
            after: &after,
        },
    )
    .unwrap();
    chunks.into_inner()
}

fn job() -> Job {
    let job = pictures_job();
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    job
}

/// A job that keeps patients for validation.
fn validated() -> Job {
    let mut job = pictures_job();
    job.config.validation = Some(0.2);
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    job
}

/// Ends a job after a step, without a chance to tidy up more than unwinding does.
fn stop_after(job: &Job, step: usize) {
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        attempt(job, |at| assert!(at < step, "stopped after step {step}"));
    }));
    stopped.unwrap_err();
}

/// The bytes of an attempt nobody disturbed, and its chunks.
fn undisturbed(job: fn() -> Job) -> (BTreeMap<String, Vec<u8>>, usize) {
    let job = job();
    let chunks = chunks(&job);
    (job.outputs(), chunks)
}

/// Not a test by itself: the process that is killed in the test below.
#[test]
fn the_job_to_be_killed() {
    let Some(dir) = std::env::var_os("FEDWING_TEST_KILLED") else {
        return;
    };
    let step: usize = std::env::var("FEDWING_TEST_STEP").unwrap().parse().unwrap();
    // The folder is its parent's, which removes it.
    let mut job = validated();
    let own = std::mem::replace(&mut job.dir, tempfile::TempDir::new().unwrap());
    drop(own);
    let args = {
        let of = |name: &str| Path::new(&dir).join(name).to_str().unwrap().to_owned();
        let mut args = job.args(2);
        args.config = of("dataset.json").as_str().into();
        args.manifest = of("manifest.json").as_str().into();
        args.test_shard = Some(of("test.safetensors").as_str().into());
        args.validation_shard = Some(of("validation.safetensors").as_str().into());
        args.shards = ["c0", "c1"]
            .map(|name| of(&format!("{name}.safetensors")).as_str().into())
            .to_vec();
        args
    };
    let steps = AtomicUsize::new(0);
    let after = |_: Step| {
        if steps.fetch_add(1, Ordering::SeqCst) == step {
            println!("\nREADY");
            loop {
                std::thread::park();
            }
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let _ = pool.install(|| {
        prepare::attempt(
            &args,
            &Pace {
                chunk: CHUNK,
                after: &after,
            },
        )
    });
}

#[test]
fn a_job_killed_anywhere_is_gone_on_with_and_leaves_the_same_bytes() {
    let (expected, all) = undisturbed(validated);
    // Chunks, then four shards, then the manifest.
    for step in [0, 2, all - 1, all, all + 1, all + 2, all + 3, all + 4] {
        let job = validated();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "data::tests::resume::the_job_to_be_killed",
                "--nocapture",
            ])
            .env("FEDWING_TEST_KILLED", job.dir.path())
            .env("FEDWING_TEST_STEP", step.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line == "READY");
        assert!(ready, "the job ended before step {step}");
        child.kill().unwrap();
        child.wait().unwrap();
        let done = (step + 1).min(all);
        assert_eq!(chunks(&job), all - done, "killed after step {step}");
        assert_eq!(job.outputs(), expected, "killed after step {step}");
    }
}

#[test]
fn a_job_killed_again_and_again_ends_with_the_same_bytes() {
    let (expected, all) = undisturbed(validated);
    let job = validated();
    for _ in 0..all {
        stop_after(&job, 0);
    }
    assert_eq!(chunks(&job), 0);
    assert_eq!(job.outputs(), expected);
}

/// What may have become of the files of a job that was killed.
type Damage = fn(&Path);

#[test]
fn what_is_torn_is_cut_off_and_done_again() {
    fn change(path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
    // Four chunks of the first shard are done: what each damage leaves of them.
    let cases: [(&str, usize, Damage); 9] = [
        ("nothing", 4, |_| {}),
        ("a torn line", 3, |dir| {
            change(&dir.join(".c0.safetensors.journal"), |bytes| {
                bytes.truncate(bytes.len() - 1)
            });
        }),
        ("half a line more", 4, |dir| {
            change(&dir.join(".c0.safetensors.journal"), |bytes| {
                bytes.extend(b"0123")
            });
        }),
        ("a changed line", 1, |dir| {
            change(&dir.join(".c0.safetensors.journal"), |bytes| {
                let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 100;
                bytes[second] ^= 1;
            });
        }),
        ("no journal", 0, |dir| {
            fs::remove_file(dir.join(".c0.safetensors.journal")).unwrap()
        }),
        ("no pixels", 0, |dir| {
            fs::remove_file(dir.join(".c0.safetensors.part")).unwrap()
        }),
        ("pixels cut", 3, |dir| {
            change(&dir.join(".c0.safetensors.part"), |bytes| {
                bytes.truncate(bytes.len() - 1)
            });
        }),
        ("pixels the disk never got", 2, |dir| {
            change(&dir.join(".c0.safetensors.part"), |bytes| {
                let end = bytes.len();
                // All of the fourth chunk, which is not full, and some of the third.
                bytes[end - CHUNK..].fill(0);
            });
        }),
        ("pixels of a chunk that never came to the journal", 4, |dir| {
            change(&dir.join(".c0.safetensors.part"), |bytes| bytes.extend([7; 100]));
        }),
    ];
    let (expected, all) = undisturbed(job);
    for (what, left, damage) in cases {
        let job = job();
        stop_after(&job, 3);
        damage(job.dir.path());
        assert_eq!(chunks(&job), all - left, "{what}");
        assert_eq!(job.outputs(), expected, "{what}");
    }
}

#[test]
fn an_image_that_has_changed_since_is_read_again() {
    let (_, all) = undisturbed(job);
    let job = job();
    stop_after(&job, all + 1);
    // The last training image of client 0, in a shard that is finished.
    let other = self::job();
    chunks(&other);
    let rows = other.opened().manifest.rows;
    let last = rows
        .iter()
        .rfind(|row| row.client.is_some_and(|client| client.0 == 0))
        .unwrap();
    let [one, two] = [&job, &other].map(|job| job.path(&format!("source/{}", last.image)));
    fs::remove_file(&one).unwrap();
    png(&one, &picture(1000));
    fs::copy(&one, &two).unwrap();
    assert_eq!(chunks(&job), 1);
    chunks(&other);
    assert_eq!(job.outputs(), other.outputs());
}

#[test]
fn other_settings_begin_anew() {
    let (_, all) = undisturbed(job);
    let mut job = job();
    stop_after(&job, all - 1);
    job.config.image.size = 5;
    write_json(&job.path("dataset.json"), &job.config).unwrap();
    assert!(chunks(&job) > 0);
    let mut other = self::job();
    other.config.image.size = 5;
    write_json(&other.path("dataset.json"), &other.config).unwrap();
    chunks(&other);
    assert_eq!(job.outputs(), other.outputs());
}

#[test]
fn the_number_of_threads_changes_no_byte_of_any_file() {
    let with = |threads: u32| {
        let job = validated();
        let mut args = job.args(2);
        args.threads = Some(threads);
        prepare::run(&args).unwrap();
        job.outputs()
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn two_jobs_at_one_shard_are_refused() {
    let job = job();
    let steps = AtomicUsize::new(0);
    attempt(&job, |step| {
        if step == 0 {
            let error = prepare::attempt(&job.args(2), &Pace::USUAL).unwrap_err();
            assert!(error.message.contains("another process"), "{error}");
            steps.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(steps.into_inner(), 1);
    job.outputs();
}
