//! Submit files: what the jobs of a group have in common.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use contract::{
    exit::{JobExit, Retry},
    names::FAILURE_VARIABLE,
};

use super::{FILES, LOGS, PROGRAMS, groups::Group};
use crate::{
    check::Request,
    plan::{Place, Plan},
};

/// Held jobs are removed, and so fail their node, after this many seconds; those that a user holds stay.
const HOLD_SECONDS: u32 = 60;

/// The code of a hold for running longer than `allowed_job_duration`; of a job's own policy, its subcode.
const TOO_LONG: u32 = 46;

/// Writes the submit file of a group.
pub fn write(plan: &Plan, group: &Group<'_>, out: &mut impl Write) -> io::Result<()> {
    let Group {
        kind,
        binary,
        request,
        place,
        kept_program,
    } = group;
    let mut text = String::new();
    match place {
        Place::SubmitHost => here(&mut text, *request),
        Place::Anywhere => elsewhere(&mut text, *request, plan.retries),
        Place::Site(site) => {
            elsewhere(&mut text, *request, plan.retries);
            line(&mut text, "requirements", &format!("({})", site.requirements));
        }
    }
    match kept_program {
        Some(program) => {
            line(&mut text, "executable", program);
            line(&mut text, "transfer_executable", "False");
        }
        None => line(
            &mut text,
            "executable",
            &format!("{PROGRAMS}/{}", binary.as_str()),
        ),
    }
    line(&mut text, "arguments", "\"$(argv)\"");
    line(&mut text, "notification", "never");
    line(&mut text, "success_exit_code", &JobExit::Done.code().to_string());
    line(&mut text, "on_exit_remove", &is_over(place, plan.retries));
    for (name, value) in attributes(plan, kind) {
        line(&mut text, &format!("+FL_{name}"), &value);
    }
    text.push_str("queue\n");
    out.write_all(text.as_bytes())
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key} = {value}").expect("writing to a string cannot fail");
}

/// A job of the submit host runs where the files are, and asks no slot for anything. Its universe knows no
/// `allowed_job_duration`, so a policy of its own puts it on hold.
fn here(text: &mut String, request: Request) {
    line(text, "universe", "local");
    line(text, "initialdir", FILES);
    line(text, "output", &format!("../{LOGS}/$(node).out"));
    line(text, "error", &format!("../{LOGS}/$(node).err"));
    // They share a directory.
    let failure = format!("\"{FAILURE_VARIABLE}=../{LOGS}/$(node).failure.json\"");
    line(text, "environment", &failure);
    let seconds = request.walltime.0;
    line(
        text,
        "periodic_hold",
        &format!("(JobStatus == 2) && (time() - EnteredCurrentStatus > {seconds})"),
    );
    let reason = format!("\"The job ran longer than the {seconds} s it may\"");
    line(text, "periodic_hold_reason", &reason);
    line(text, "periodic_hold_subcode", &TOO_LONG.to_string());
    line(text, "periodic_remove", &held_too_long());
}

fn elsewhere(text: &mut String, request: Request, retries: u32) {
    let Request {
        cpus,
        memory,
        gpus,
        walltime,
    } = request;
    line(text, "universe", "vanilla");
    line(text, "output", &format!("{LOGS}/$(node).out"));
    line(text, "error", &format!("{LOGS}/$(node).err"));
    // After a failure nothing is transferred, these two neither; as streams they arrive while they are written.
    line(text, "stream_output", "True");
    line(text, "stream_error", "True");
    line(text, "should_transfer_files", "YES");
    // A job that fails has written nothing to wait for, so it ends by its own exit code and not on hold.
    line(text, "when_to_transfer_output", "ON_SUCCESS");
    line(text, "transfer_input_files", "$(reads)");
    line(text, "transfer_output_files", "$(writes)");
    line(text, "transfer_output_remaps", "\"$(remaps)\"");
    // Where it is not said, `success_exit_code` brings a limit of two.
    line(text, "max_retries", &retries.to_string());
    line(text, "request_cpus", &cpus.to_string());
    let memory = memory.mebibytes();
    let grown = format!("ifThenElse({}, {}, {memory})", ran_out_of_memory(), 2 * memory);
    line(text, "request_memory", &grown);
    if gpus > 0 {
        line(text, "request_gpus", &gpus.to_string());
    }
    line(text, "allowed_job_duration", &walltime.0.to_string());
    let release = format!("(NumShadowStarts <= {retries}) && ({})", hold_can_help());
    line(text, "periodic_release", &release);
    line(text, "periodic_remove", &held_too_long());
}

/// Whether a job is on hold for long, and not because somebody wanted it so.
fn held_too_long() -> String {
    format!("(JobStatus == 5) && (HoldReasonCode =!= 1) && (time() - EnteredCurrentStatus > {HOLD_SECONDS})")
}

/// Whether an attempt ended for want of memory: the job says so, it was killed, or its machine put it on hold for that.
fn ran_out_of_memory() -> String {
    format!(
        "ExitCode =?= {} || ExitSignal =?= 9 || {}",
        JobExit::OutOfMemory.code(),
        hold_for_memory("LastHoldReason")
    )
}

/// Whether a hold says that the job took more memory than it asked for: the code is that of control groups, or that of a
/// machine's own policy with the subcode that HTCondor's example gives.
fn hold_for_memory(reason: &str) -> String {
    format!("{reason}Code =?= 34 || ({reason}Code =?= 21 && {reason}SubCode =?= 102)")
}

/// Whether a job on hold can do better elsewhere: it lacked memory, or a transfer failed for another reason than a file
/// that is not there (`ENOENT`).
fn hold_can_help() -> String {
    let transfer = "(HoldReasonCode =?= 12 || HoldReasonCode =?= 13) && HoldReasonSubCode =!= 2";
    format!("{} || ({transfer})", hold_for_memory("HoldReason"))
}

/// Whether a job that ended leaves the queue: done, out of attempts, or failed in a way that another one repeats. DAGMan's
/// `UNLESS-EXIT` knows one exit code, the jobs' contract has several of them, so HTCondor decides.
fn is_over(place: &Place, retries: u32) -> String {
    let mut over = match place {
        // In this universe completions are not counted, and starts when the next one comes.
        Place::SubmitHost => format!("NumJobStarts >= {retries}"),
        Place::Anywhere | Place::Site(_) => format!("NumJobCompletions > {retries}"),
    };
    let useless = JobExit::ALL.iter().filter(|exit| exit.retry() == Retry::Useless);
    for exit in useless {
        write!(over, " || ExitCode =?= {}", exit.code()).expect("writing to a string cannot fail");
    }
    over
}

/// ClassAd attributes by which `condor_q`, `condor_history` and accounting tell an experiment's jobs apart.
fn attributes(plan: &Plan, kind: &str) -> [(&'static str, String); 6] {
    let quoted = |text: &str| format!("\"{text}\"");
    [
        ("Algorithm", quoted(plan.algorithm)),
        ("NumRounds", plan.rounds.to_string()),
        ("JobType", quoted(kind)),
        ("Dataset", quoted("$(dataset)")),
        ("Round", "$(round:undefined)".to_owned()),
        ("Client", "$(client:undefined)".to_owned()),
    ]
}
