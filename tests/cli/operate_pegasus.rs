//! A workflow that Pegasus planned, by its folder: the planner and HTCondor's tools are scripts that write what these would.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::{
    code,
    operate::{Pool, without_times},
    stderr, stdout,
};

/// Plans into `submit/` and starts DAGMan.
const PLAN: &str = r#"#!/bin/sh
d=submit/ada/pegasus/e/run0001
mkdir -p "$d/00/00"
cat > "$d/braindump.yml" <<END
wf_uuid: "1"
root_wf_uuid: "1"
timestamp: "20260105T085900+0000"
dax_label: "e"
dag: "e-0.dag"
END
cat > "$d/e-0.dag" <<END
JOB create_dir_e_0_local 00/00/create_dir_e_0_local.sub
JOB train_b 00/00/train_b.sub
SCRIPT POST create_dir_e_0_local pegasus-exitcode
SCRIPT POST train_b pegasus-exitcode
RETRY train_b 1
PARENT create_dir_e_0_local CHILD train_b
END
echo "000 (10.000.000) 2026-01-05 09:00:00 Job submitted
..." > "$d/e-0.dag.dagman.log"
echo "01/05/26 09:00:00 ** condor_scheduniv_exec.10.0 (CONDOR_DAGMAN) STARTING UP" > "$d/e-0.dag.dagman.out"
"#;

const SUBMIT_DIR: &str = "submit/ada/pegasus/e/run0001";

/// A record of kickstart for job `cluster` that ended with this status of wait(2).
fn record(cluster: u64, raw: u32, words: &str) -> String {
    format!(
        "- invocation: True\n  mainjob:\n    start: 2026-01-05T09:00:21.000+00:00\n    duration: 6.500\n    usage:\n      utime: 6.0\n      \
         stime: 0.25\n      maxrss: 2048\n    status:\n      raw: {raw}\n  jobids:\n    condor: {cluster}.0\n  machine:\n    \
         uname_nodename: w7\n  files:\n    b.bin:\n      lfn: \"b.bin\"\n      size: 3\n      output: True\n    stderr:\n      data: |\n        \
         {words}\n---------------pegasus-multipart\n"
    )
}

fn planned() -> Pool {
    let pool = Pool::new(&[("pegasus-plan", PLAN)]);
    fs::remove_file(pool.path().join("e.dag")).expect("no DAG beside the workflow");
    pool.write("workflow.yml", "pegasus: '5.0.4'\nname: e\njobs: []\n");
    pool.write("plan.sh", "#!/bin/sh\nexec pegasus-plan \"$@\"\n");
    pool.write(
        "jobs.jsonl",
        "{\"job\":\"b\",\"kind\":\"train\",\"dataset\":\"nih\",\"round\":1,\"client\":0,\"outputs\":[\"b.bin\",\"b.tmp\"]}\n",
    );
    pool
}

impl Pool {
    fn submit_dir(&self) -> PathBuf {
        self.path().join(SUBMIT_DIR)
    }

    fn log(&self, text: &str) {
        self.append(&format!("{SUBMIT_DIR}/e-0.dag.nodes.log"), text);
    }

    /// A job of a node from its submission to the verdict of its post script, as under HTCondor's file transfer: one that
    /// fails is held for its missing output and removed.
    fn pegasus_job(&self, cluster: u64, node: &str, second: u32, verdict: i32) {
        let head = |number: u16, later: u32| {
            format!(
                "{number:03} ({cluster}.000.000) 2026-01-05 09:00:{:02} X\n",
                second + later
            )
        };
        let ended = if verdict == 0 {
            format!("{}\t(1) Normal termination (return value 0)\n...\n", head(5, 7))
        } else {
            format!(
                "{}\tTransfer output files failure at slot1@w7. Details: reading from file /x/b.bin: (errno 2) No such file\n\
                 \tCode 12 Subcode 2\n...\n{}\tPeriodicRemove\n...\n",
                head(12, 7),
                head(9, 8)
            )
        };
        self.log(&format!(
            "{}    DAG Node: {node}\n...\n{}\tSlotName: slot1@w7\n...\n{ended}{}\t(1) Normal termination (return value {verdict})\n    DAG Node: {node}\n...\n",
            head(0, 0),
            head(1, 1),
            head(16, 9)
        ));
    }
}

#[test]
fn a_pegasus_workflow_is_planned_followed_and_reported_with_what_kickstart_saw() {
    let pool = planned();
    assert_eq!(pool.json("status")["state"], "not_submitted");
    let submitted = pool.json("submit");
    assert_eq!(submitted["system"], "pegasus");
    assert!(
        submitted["dag"]
            .as_str()
            .is_some_and(|dag| dag.ends_with("run0001/e-0.dag"))
    );
    assert_eq!(code(&pool.fedwing(&["submit"])), 2, "it is in progress");

    pool.pegasus_job(11, "create_dir_e_0_local", 1, 0);
    pool.pegasus_job(12, "train_b", 20, 1);
    let jobs = pool.submit_dir().join("00/00");
    fs::write(
        jobs.join("train_b.out.000"),
        record(12, 20 << 8, "error: memory ran out"),
    )
    .expect("a record");
    let status = pool.json("status");
    assert_eq!(
        (&status["jobs"]["ready"], &status["auxiliary"]["done"]),
        (&Value::from(1), &Value::from(1))
    );

    pool.pegasus_job(13, "train_b", 40, 1);
    fs::write(
        jobs.join("train_b.out.001"),
        record(13, 20 << 8, "error: memory ran out"),
    )
    .expect("a record");
    insta::assert_snapshot!(without_times(&stdout(&pool.fedwing(&["status"])), pool.path()));
    let missing = pool.fedwing(&["cancel"]);
    assert_eq!(code(&missing), 5);
    assert!(stderr(&missing).contains("condor_rm"), "{}", stderr(&missing));

    pool.append(
        &format!("{SUBMIT_DIR}/e-0.dag.dagman.out"),
        "01/05/26 09:00:55 **** condor_scheduniv_exec.10.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS 1\n",
    );
    assert_eq!(code(&pool.fedwing(&["watch"])), 4);
    let report = pool.json("report");
    let failed = &report["failed_jobs"][0];
    assert_eq!(
        (&failed["job"], &failed["message"]),
        (&Value::from("b"), &Value::from("memory ran out"))
    );
    assert_eq!(failed["ended"], "exit code 20 (out_of_memory)");
    let train = report["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .find(|stage| stage["kind"] == "train");
    assert_eq!(
        train.expect("training")["used"]["wall_s"],
        13.0,
        "of two tries, as kickstart timed them"
    );
    let resumed = pool.fedwing(&["resume"]);
    assert_eq!(code(&resumed), 5);
    assert!(
        stderr(&resumed).contains("`pegasus-run` is not on the PATH"),
        "{}",
        stderr(&resumed)
    );
}

#[test]
fn a_submit_directory_names_its_run_and_outputs_that_arrived_are_counted() {
    let pool = planned();
    pool.json("submit");
    pool.pegasus_job(11, "create_dir_e_0_local", 1, 0);
    pool.pegasus_job(12, "train_b", 20, 0);
    fs::write(
        pool.submit_dir().join("00/00/train_b.out.000"),
        record(12, 0, "fine"),
    )
    .expect("a record");
    fs::create_dir(pool.path().join("outputs")).expect("a folder");
    pool.write("outputs/b.bin", "abc");
    pool.append(
        &format!("{SUBMIT_DIR}/e-0.dag.dagman.out"),
        "01/05/26 09:00:55 **** condor_scheduniv_exec.10.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS 0\n",
    );
    let output = tests::fedwing([
        "status".as_ref(),
        pool.submit_dir().as_os_str(),
        "--json".as_ref(),
    ]);
    let status: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        (&status["state"], &status["jobs"]["done"]),
        (&Value::from("done"), &Value::from(1))
    );
    let report = pool.json("report");
    assert_eq!(
        report["totals"]["bytes_out"], 3,
        "what stayed on the pool is not there to be counted"
    );
    assert_eq!(report["jobs"]["done"], 2);
}
