//! Runs submitted, followed, stopped and continued by their folders. HTCondor's tools are scripts that write what HTCondor
//! would; `tests/pool` does the same with a real pool.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{binary, fedwing};

use crate::{code, stderr, stdout};

/// DAGMan starts as job 10, the second time as job 20.
const SUBMIT: &str = r#"#!/bin/sh
n=10 at=01; [ -e e.dag.dagman.log ] && n=20 at=35
echo "$*" >> submitted
cat >> e.dag.dagman.log <<END
000 ($n.000.000) 2026-01-05 09:00:00 Job submitted from host: <10.0.0.1:9618>
...
END
echo "01/05/26 09:00:$at ** condor_scheduniv_exec.$n.0 (CONDOR_DAGMAN) STARTING UP" >> e.dag.dagman.out
: > e.dag.nodes.log
echo "1 job(s) submitted to cluster $n."
"#;

/// DAGMan ends when it is removed, with `a` in its rescue file.
const REMOVE: &str = r#"#!/bin/sh
cd "$RUN"
echo "DONE a" > e.dag.rescue001
cat >> e.dag.nodes.log <<END
009 (12.000.000) 2026-01-05 09:00:30 Job was aborted.
	DAG Removed: User removed scheduler job from queue.
...
END
cat >> e.dag.dagman.out <<END
01/05/26 09:00:30 Received SIGUSR1
01/05/26 09:00:31 **** condor_scheduniv_exec.$1.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS 2
END
cat >> e.dag.dagman.log <<END
009 ($1.000.000) 2026-01-05 09:00:31 Job was aborted.
	via condor_rm (by user ada)
...
END
"#;

/// A folder with a DAG of three nodes and a description of them, and a folder of tools.
pub struct Pool {
    folder: TempDir,
    tools: TempDir,
}

impl Pool {
    pub fn new(tools: &[(&str, &str)]) -> Self {
        let pool = Self {
            folder: tempfile::tempdir().expect("a folder"),
            tools: tempfile::tempdir().expect("a folder"),
        };
        pool.write(
            "e.dag",
            "JOB a a.sub\nJOB b b.sub\nJOB c c.sub\nPARENT a CHILD b c\n",
        );
        pool.write(
            "jobs.jsonl",
            r#"{"job":"a","kind":"init","dataset":"nih","outputs":[]}
{"job":"b","kind":"train","dataset":"nih","round":1,"client":0,"outputs":[]}
{"job":"c","kind":"evaluate","dataset":"nih","round":1,"outputs":["c.json"]}
"#,
        );
        for (name, text) in tools {
            let path = pool.tools.path().join(name);
            fs::write(&path, text).expect("a tool");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        pool
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("a file");
    }

    pub fn append(&self, name: &str, text: &str) {
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path().join(name));
        file.expect("a file").write_all(text.as_bytes()).expect("written");
    }

    /// An event of the node log.
    fn event(&self, number: u16, cluster: u64, second: u32, body: &str) {
        let head = format!("{number:03} ({cluster}.000.000) 2026-01-05 09:00:{second:02} Something");
        self.append("e.dag.nodes.log", &format!("{head}\n{body}\n...\n"));
    }

    fn runs(&self, cluster: u64, node: &str, second: u32) {
        self.event(0, cluster, second, &format!("    DAG Node: {node}"));
        self.event(1, cluster, second + 1, "\tSlotName: slot1@w7");
    }

    fn ends(&self, cluster: u64, second: u32, code: i32) {
        self.event(
            5,
            cluster,
            second,
            &format!("\t(1) Normal termination (return value {code})"),
        );
    }

    fn dagman_ends(&self, cluster: u64, status: i32) {
        self.append(
            "e.dag.dagman.out",
            &format!("01/05/26 10:01:00 **** condor_scheduniv_exec.{cluster}.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS {status}\n"),
        );
    }

    pub fn fedwing(&self, arguments: &[&str]) -> Output {
        Command::new(binary("fedwing"))
            .args(arguments)
            .arg(self.path())
            .env("NO_COLOR", "1")
            // The tools, and what their scripts call; no HTCondor that happens to be here.
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    self.tools.path().display(),
                    plain_tools(self.tools.path()).display()
                ),
            )
            .env("RUN", self.path())
            .output()
            .expect("fedwing starts")
    }

    pub fn json(&self, command: &str) -> Value {
        let output = self.fedwing(&[command, "--json"]);
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
    }

    /// What `status` prints, without what differs from time to time.
    fn shown(&self) -> String {
        without_times(&stdout(&self.fedwing(&["status"])), self.path())
    }
}

/// What `status` printed of the run in `folder`, without what differs from time to time.
pub fn without_times(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "RUN");
    let cut = |line: &str| {
        let end = line
            .find(" for ")
            .or_else(|| line.find(" after "))
            .unwrap_or(line.len());
        line[..end].trim_end_matches(';').to_owned()
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

/// A folder with the few programs that the scripts call.
fn plain_tools(beside: &Path) -> PathBuf {
    let folder = beside.join("plain");
    fs::create_dir_all(&folder).expect("a folder");
    for tool in ["sh", "cat", "mkdir"] {
        let link = folder.join(tool);
        if !link.exists() {
            std::os::unix::fs::symlink(Path::new("/bin").join(tool), link).expect("a link");
        }
    }
    folder
}

fn tools() -> Pool {
    Pool::new(&[("condor_submit_dag", SUBMIT), ("condor_rm", REMOVE)])
}

#[test]
fn a_workflow_nobody_submitted_says_so_and_cannot_be_watched_stopped_or_continued() {
    let pool = tools();
    insta::assert_snapshot!(pool.shown());
    for verb in ["watch", "cancel", "resume", "report"] {
        let output = pool.fedwing(&[verb]);
        assert_eq!(code(&output), 2, "{verb}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("fedwing submit") || verb == "cancel",
            "{verb}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn without_htcondor_s_tools_the_one_that_is_missing_is_named() {
    let pool = Pool::new(&[]);
    let output = pool.fedwing(&["submit"]);
    assert_eq!(code(&output), 5);
    assert!(
        stderr(&output).contains("`condor_submit_dag` is not on the PATH"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_tool_that_fails_is_quoted() {
    let pool = Pool::new(&[(
        "condor_submit_dag",
        "#!/bin/sh\necho 'ERROR: cannot find the queue' >&2\nexit 1\n",
    )]);
    let output = pool.fedwing(&["submit"]);
    assert_eq!(code(&output), 5);
    let said = stderr(&output);
    assert!(
        said.contains("condor_submit_dag e.dag") && said.contains("cannot find the queue"),
        "{said}"
    );
}

#[test]
fn a_run_is_submitted_once_followed_stopped_and_continued_to_its_end() {
    let pool = tools();
    let submitted = pool.json("submit");
    assert_eq!(
        (&submitted["cluster"], &submitted["system"]),
        (&Value::from(10), &Value::from("dagman"))
    );
    let again = pool.fedwing(&["submit"]);
    assert_eq!(code(&again), 2);
    assert!(stderr(&again).contains("is in progress"), "{}", stderr(&again));

    pool.runs(11, "a", 2);
    pool.ends(11, 5, 0);
    pool.runs(12, "b", 6);
    pool.runs(13, "c", 6);
    pool.event(12, 13, 9, "\tno space left\n\tCode 13 Subcode 28");
    insta::assert_snapshot!(pool.shown());

    // `c` ends well after DAGMan wrote its rescue file: it is not done again.
    pool.event(13, 13, 20, "");
    pool.ends(13, 29, 0);
    let cancelled = pool.json("cancel");
    assert_eq!(
        (&cancelled["state"], &cancelled["done"]),
        (&Value::from("stopped"), &Value::from(2))
    );
    assert_eq!(code(&pool.fedwing(&["watch"])), 130);
    assert_eq!(code(&pool.fedwing(&["cancel"])), 2, "there is nothing to stop");

    assert_eq!(code(&pool.fedwing(&["resume"])), 0);
    assert_eq!(
        fs::read_to_string(pool.path().join("submitted")).expect("arguments"),
        "e.dag\ne.dag\n"
    );
    let rescue = fs::read_to_string(pool.path().join("e.dag.rescue002")).expect("a rescue file");
    assert!(rescue.ends_with("DONE a\nDONE c\n"), "{rescue}");
    pool.runs(21, "b", 40);
    pool.ends(21, 45, 0);
    pool.dagman_ends(20, 0);
    pool.write_metrics();
    let watched = pool.fedwing(&["watch"]);
    assert_eq!(code(&watched), 0, "{}", stderr(&watched));
    assert_eq!(stdout(&watched).lines().last(), Some("done: 3 of 3 done"));
    insta::assert_snapshot!(pool.shown());

    let report = pool.json("report");
    assert_eq!(
        (&report["jobs"]["done"], &report["state"]),
        (&Value::from(3), &Value::from("done"))
    );
    assert_eq!(report["resumed"], 1);
    assert_eq!(report["timeline"].as_array().expect("attempts").len(), 4);
    assert_eq!(report["datasets"][0]["rounds"][0]["metrics"]["accuracy"], 0.75);
    let done = pool.fedwing(&["resume"]);
    assert_eq!(code(&done), 2);
    assert!(stderr(&done).contains("is done"), "{}", stderr(&done));
}

impl Pool {
    /// The evaluation of round 1, as `c` leaves it.
    fn write_metrics(&self) {
        fs::create_dir_all(self.path().join("files")).expect("a folder");
        let text = include_str!("evaluate.json");
        self.write("files/c.json", text);
    }
}

#[test]
fn metrics_of_a_round_are_shown_once_they_are_there() {
    let pool = tools();
    pool.json("submit");
    pool.write_metrics();
    assert_eq!(
        pool.json("status")["rounds"][0]["accuracy"],
        Value::Null,
        "its job is not done"
    );
    pool.runs(11, "c", 2);
    pool.ends(11, 5, 0);
    let round = &pool.json("status")["rounds"][0];
    assert_eq!(
        (&round["accuracy"], &round["synthetic"]),
        (&Value::from(0.75), &Value::from(true))
    );
}

#[test]
fn a_run_that_failed_tells_the_exit_code_s_meaning_and_watching_it_exits_4() {
    let pool = tools();
    pool.json("submit");
    pool.write("a.sub", "executable = x\nerror = logs/$(JOB).err\nqueue\n");
    fs::create_dir(pool.path().join("logs")).expect("a folder");
    pool.write(
        "logs/a.err",
        "warming up\nerror: memory ran out at batch 3\nhelp: lower `batch_size`\n",
    );
    pool.runs(11, "a", 2);
    pool.ends(11, 5, 20);
    pool.dagman_ends(10, 1);
    assert_eq!(code(&pool.fedwing(&["watch"])), 4);
    insta::assert_snapshot!(pool.shown());
    let report = pool.json("report");
    assert_eq!(report["failed_jobs"][0]["message"], "memory ran out at batch 3");
}

#[test]
fn a_dagman_that_left_the_queue_without_an_end_is_dead_and_its_queue_is_recovered() {
    let pool = tools();
    pool.json("submit");
    pool.runs(11, "a", 2);
    pool.append(
        "e.dag.dagman.log",
        "009 (10.000.000) 2026-01-05 09:00:20 Job was aborted.\n\tgone\n...\n",
    );
    insta::assert_snapshot!(pool.shown());
    assert_eq!(code(&pool.fedwing(&["watch"])), 5);
    assert_eq!(code(&pool.fedwing(&["resume"])), 0);
    let submitted = fs::read_to_string(pool.path().join("submitted")).expect("arguments");
    assert_eq!(submitted, "e.dag\n-update_submit -dorecov e.dag\n");
}

#[test]
fn a_dagman_that_died_with_its_jobs_is_continued_from_what_the_logs_say_is_done() {
    let pool = tools();
    pool.json("submit");
    pool.runs(11, "a", 2);
    pool.ends(11, 5, 0);
    pool.runs(12, "b", 6);
    let reason =
        "removed because <OtherJobRemoveRequirements = DAGManJobId =?= 10> fired when job (10.0) was removed";
    pool.event(9, 12, 20, &format!("\t{reason}"));
    pool.append(
        "e.dag.dagman.log",
        "009 (10.000.000) 2026-01-05 09:00:20 Job was aborted.\n\tgone\n...\n",
    );
    assert_eq!(pool.json("status")["state"], "dead");
    assert_eq!(code(&pool.fedwing(&["resume"])), 0);
    let rescue = fs::read_to_string(pool.path().join("e.dag.rescue001")).expect("a rescue file");
    assert!(rescue.ends_with("is done\nDONE a\n"), "{rescue}");
    let submitted = fs::read_to_string(pool.path().join("submitted")).expect("arguments");
    assert_eq!(submitted, "e.dag\ne.dag\n");
}

#[test]
fn folders_with_no_run_or_several_say_what_to_give() {
    let empty = tempfile::tempdir().expect("a folder");
    for verb in ["submit", "status", "watch", "cancel", "resume", "report"] {
        let output = fedwing([verb.as_ref(), empty.path().as_os_str()]);
        assert_eq!(code(&output), 2, "{verb}");
        assert!(
            stderr(&output).contains("holds no run"),
            "{verb}: {}",
            stderr(&output)
        );
    }
    fs::write(empty.path().join("a.dag"), "JOB a a.sub\n").expect("a DAG");
    fs::write(empty.path().join("b.dag"), "JOB b b.sub\n").expect("a DAG");
    let output = fedwing(["status".as_ref(), empty.path().as_os_str()]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("a.dag, b.dag"), "{}", stderr(&output));
    let one = fedwing(["status".as_ref(), empty.path().join("b.dag").as_os_str()]);
    assert_eq!(code(&one), 0, "{}", stderr(&one));
}

#[test]
fn a_run_on_this_machine_is_followed_stopped_and_continued() {
    let folder = tempfile::tempdir().expect("a folder");
    let (workflow, run) = (folder.path().join("workflow.yml"), folder.path().join("run"));
    write_waiting_workflow(folder.path());
    let mut engine = Command::new(binary("fedwing"))
        .args([
            "run".as_ref(),
            workflow.as_os_str(),
            "--dir".as_ref(),
            run.as_os_str(),
        ])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("fedwing starts");
    let begun = Instant::now();
    let status = || -> Value {
        let output = fedwing(["status".as_ref(), run.as_os_str(), "--json".as_ref()]);
        serde_json::from_str(&stdout(&output)).unwrap_or_default()
    };
    while status()["jobs"]["running"] != 1 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the job does not start: {}",
            status()
        );
        thread::sleep(Duration::from_millis(50));
    }
    let seen = status();
    assert_eq!(
        (&seen["state"], &seen["system"]),
        (&Value::from("running"), &Value::from("local"))
    );
    assert_eq!(
        (&seen["jobs"]["done"], &seen["jobs"]["unready"]),
        (&Value::from(1), &Value::from(1))
    );

    let cancelled = fedwing(["cancel".as_ref(), run.as_os_str()]);
    assert_eq!(code(&cancelled), 0, "{}", stderr(&cancelled));
    assert_eq!(engine.wait().expect("an end").code(), Some(130));
    assert_eq!(status()["state"], "stopped");
    assert_eq!(code(&fedwing(["watch".as_ref(), run.as_os_str()])), 130);

    fs::write(folder.path().join("go"), "").expect("a file");
    let resumed = fedwing(["resume".as_ref(), run.as_os_str()]);
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert_eq!(
        (&status()["state"], &status()["jobs"]["done"]),
        (&Value::from("done"), &Value::from(3))
    );
    assert_eq!(code(&fedwing(["watch".as_ref(), run.as_os_str()])), 0);
}

/// Three jobs in a row, of which the second waits until there is a file `go`.
fn write_waiting_workflow(folder: &Path) {
    let here = folder.display();
    let step = format!(
        "#!/bin/sh\n[ \"$1\" = 2 ] && until [ -e '{here}/go' ]; do sleep 0.05; done\necho > \"$1.out\"\n"
    );
    fs::write(folder.join("step.sh"), step).expect("a program");
    fs::set_permissions(folder.join("step.sh"), fs::Permissions::from_mode(0o755)).expect("executable");
    let job = |number: u32| {
        let input = if number > 1 {
            format!("{{lfn: {}.out, type: input}}, ", number - 1)
        } else {
            String::new()
        };
        format!(
            "- {{type: job, name: step, id: j{number}, arguments: ['{number}'], uses: [{input}{{lfn: {number}.out, type: output}}]}}\n"
        )
    };
    let workflow = format!(
        "pegasus: '5.0.4'\nname: waiting\njobs:\n{}{}{}",
        job(1),
        job(2),
        job(3)
    );
    fs::write(folder.join("workflow.yml"), workflow).expect("a workflow");
    let catalog = format!(
        "pegasus: '5.0.4'\ntransformations:\n- name: step\n  sites: [{{name: local, pfn: 'file://{here}/step.sh', type: stageable}}]\n"
    );
    fs::write(folder.join("transformations.yml"), catalog).expect("a catalog");
}
