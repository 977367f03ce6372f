//! Courses of training in the real binary: killed and told to stop, told of, refused by name.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use contract::{
    args::{BaselineArgs, Job, TrainArgs},
    exit::JobExit,
    metrics::Subject,
    recipe::{Augment, EarlyStop, Recipe},
    training::{Arch, BaselineKind, Progress},
};

use crate::folder::{Folder, baseline, init, train};

/// What needs its place in training most: moments, augmentation, validation.
fn rich(recipe: &mut Recipe) {
    recipe.clip_norm = Some(1.0);
    recipe.augment = Some(Augment {
        crop: 0.8,
        flip: 0.5,
        rotate: 10.0,
        brightness: 0.1,
        contrast: 0.1,
    });
}

fn long(folder: &Folder) -> TrainArgs {
    TrainArgs {
        epochs: 40,
        recipe: folder.recipe("rich.json", rich),
        progress: Some(Progress::Json),
        checkpoint: Some("kept.st".into()),
        threads: Some(1),
        ..train()
    }
}

fn start(folder: &Folder, args: &TrainArgs) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fl-client"))
        .args(Job::Train(args.clone()).to_argv())
        .current_dir(folder.path("."))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the end of an epoch, sends a signal, returns the exit code (none after SIGKILL).
fn signalled(folder: &Folder, args: &TrainArgs, epoch: u32, signal: &str) -> Option<i32> {
    let mut child = start(folder, args);
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let wanted = format!(r#""event":"epoch","epoch":{epoch},"#);
    let mut line = String::new();
    while !line.contains(&wanted) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "training ended too soon");
    }
    let killed = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn a_job_killed_and_told_to_stop_ends_with_the_bytes_of_an_undisturbed_one() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let args = long(&folder);
    folder.succeed(&Job::Train(TrainArgs {
        checkpoint: None,
        ..args.clone()
    }));
    let outputs = || ["u.st", "u.json"].map(|name| fs::read(folder.path(name)).unwrap());
    let whole = outputs();
    for name in ["u.st", "u.json"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    assert_eq!(signalled(&folder, &args, 3, "-KILL"), None);
    let mut ends = 0;
    for epoch in [8, 15] {
        match signalled(&folder, &args, epoch, "-TERM") {
            Some(code) if code == i32::from(JobExit::Interrupted.code()) => ends += 1,
            // The signal came when training was over.
            Some(0) => break,
            other => panic!("{other:?}"),
        }
        assert!(folder.path("kept.st").exists() && !folder.path("u.st").exists());
    }
    assert!(ends > 0, "no attempt was interrupted by SIGTERM");
    folder.succeed(&Job::Train(args));
    assert!(outputs() == whole);
    assert!(!folder.path("kept.st").exists(), "the job is done");
}

#[test]
fn a_checkpoint_of_another_round_is_refused_and_a_damaged_one_told_of() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let args = long(&folder);
    signalled(&folder, &args, 2, "-KILL");
    let mut other = args.clone();
    other.client = contract::ids::ClientId(1);
    other.shard = "c1.st".into();
    let (code, stderr) = folder.fail(&Job::Train(other));
    assert_eq!(code, i32::from(JobExit::InputInvalid.code()));
    assert!(stderr.contains("it is of another job"), "{stderr}");
    fs::write(folder.path("kept.st"), b"half a file").unwrap();
    let output = folder.run(&Job::Train(args));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && stderr.contains("is damaged"),
        "{stderr}"
    );
}

#[test]
fn progress_is_json_lines_text_or_nothing() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let told = |progress| {
        let args = TrainArgs {
            epochs: 2,
            progress,
            ..train()
        };
        let output = folder.run(&Job::Train(args));
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // Not a terminal.
    assert_eq!(told(None), "");
    assert_eq!(told(Some(Progress::None)), "");
    let text = told(Some(Progress::Text));
    assert!(text.starts_with("epoch 1 of 2: loss 0."), "{text}");
    assert_eq!(text.lines().count(), 2);
    let events: Vec<serde_json::Value> = told(Some(Progress::Json))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] != "step")
        .collect();
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events[0]["fedwing_progress"], 1);
    assert_eq!(events[0]["samples"], 22);
    let Subject::Train { epoch_loss, .. } = folder.metrics("u.json").subject else {
        panic!("no training")
    };
    assert_eq!(events[1]["loss"], epoch_loss[0]);
    assert_eq!(events[2]["epoch"], 2);
    assert_eq!(
        events[3],
        serde_json::json!({"event": "done", "epochs": 2, "best_epoch": null})
    );
}

#[test]
fn a_single_patient_cannot_be_split_for_validation() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let recipe = folder.recipe("watched.json", |recipe| {
        recipe.validation = Some(0.3);
        recipe.early_stop = Some(EarlyStop {
            patience: 1,
            least: 0.0,
        });
    });
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs { recipe, ..train() }));
    assert_eq!(code, i32::from(JobExit::DataUnfit.code()));
    assert!(
        stderr.contains("of 1 patients leaves none for validation"),
        "{stderr}"
    );
}

#[test]
fn values_out_of_their_bounds_are_refused_with_the_file() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let recipe = folder.recipe("wrong.json", |recipe| recipe.clip_norm = Some(-1.0));
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs { recipe, ..train() }));
    assert_eq!(code, i32::from(JobExit::InputInvalid.code()));
    assert!(
        stderr.contains("`wrong.json`: `clip_norm` is -1, must be more than 0"),
        "{stderr}"
    );
    let recipe = folder.recipe("frozen.json", |recipe| recipe.freeze = vec!["layer1.*".into()]);
    let (code, stderr) = folder.fail(&Job::Train(TrainArgs { recipe, ..train() }));
    assert_eq!(code, i32::from(JobExit::Usage.code()));
    assert!(stderr.contains("`freeze` has `layer1.*`"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_the_system_refuses_ends_the_job_by_name() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::Resnet18)));
    let run = |kilobytes: u32, job: &Job| {
        let words: Vec<String> = job.to_argv().iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "ulimit -v {kilobytes}; exec '{}' {}",
            env!("CARGO_BIN_EXE_fl-client"),
            words.join(" ")
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .env("RAYON_NUM_THREADS", "1")
            .current_dir(folder.path("."))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(i32::from(JobExit::OutOfMemory.code())),
            "{stderr}"
        );
        let failure: contract::job::Failure =
            contract::job::read_json(&folder.path(contract::names::FAILURE_FILE), 1 << 20).unwrap();
        failure.message
    };
    // Room for the program, not for 45 MB of weights; where exactly it ends is another place each time.
    for kilobytes in [60_000, 64_000, 68_000, 72_000, 80_000, 88_000] {
        let message = run(kilobytes, &Job::Init(init(Arch::Resnet18)));
        assert!(message.contains("memory ran out"), "{message}");
    }
    // Room for the weights, not for them five times over: known before training.
    let job = Job::Train(TrainArgs {
        threads: Some(1),
        ..train()
    });
    let message = run(215_000, &job);
    assert!(message.contains("the address-space limit allows"), "{message}");
}

#[test]
fn a_baseline_goes_on_from_its_checkpoint_and_removes_it() {
    let folder = Folder::new();
    folder.succeed(&Job::Init(init(Arch::SmallCnn)));
    let args = BaselineArgs {
        recipe: folder.recipe("rich.json", rich),
        ..baseline(BaselineKind::Centralized, None, &["c0.st", "c1.st"])
    };
    folder.succeed(&Job::Baseline(args.clone()));
    let whole = ["b.st", "b.json"].map(|name| fs::read(folder.path(name)).unwrap());
    folder.succeed(&Job::Baseline(BaselineArgs {
        checkpoint: Some("kept.st".into()),
        ..args
    }));
    assert!(["b.st", "b.json"].map(|name| fs::read(folder.path(name)).unwrap()) == whole);
    assert!(!folder.path("kept.st").exists());
}
