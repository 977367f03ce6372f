//! What is done before DAGMan is started again, so that nothing is lost and nothing is done twice.
//!
//! DAGMan empties the node log when it starts, so the log is kept beside it. And a job that ended well between the moment
//! DAGMan wrote its rescue file and the moment it removed the job is not in that file: DAGMan would do it again. A further
//! rescue file names all that the logs say is done.

use std::{
    collections::HashSet,
    fs,
    io::{self, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use contract::job::write_whole;

use super::{error::OperateError, observe::Observer};
use crate::{
    evidence::{Follow, Life, NodeState, beside, dag_file, kept_log, lock_file, read_text, rescue_file},
    ops::OpError,
};

/// How long jobs of the DAGMan before have to leave the queue.
const LEAVING: Duration = Duration::from_secs(60);

/// How often the logs are looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

/// How a DAG is submitted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// From a rescue file.
    Rescue,
    /// DAGMan died and jobs of it are in the queue: the next one reads the node log and takes them over.
    Recover,
}

/// Waits until the jobs of the last DAGMan have left the queue, writes down what is done, and keeps the node logs.
pub fn prepare(observer: &mut Observer) -> Result<Again, OpError> {
    let begun = Instant::now();
    while observer.dag().is_some_and(is_leaving) && begun.elapsed() < LEAVING {
        thread::sleep(PAUSE);
        observer.look()?;
    }
    let Some(dag) = observer.dag() else {
        return Ok(Again::Rescue);
    };
    let dags = dag.all();
    if dags
        .iter()
        .any(|dag| !has_ended(dag) && dag.nodes().in_queue() > 0)
    {
        return Ok(Again::Recover);
    }
    for dag in dags {
        complete_rescue(dag)?;
        keep_log(dag.path())?;
    }
    Ok(Again::Rescue)
}

fn is_leaving(dag: &Follow) -> bool {
    dag.all()
        .iter()
        .any(|dag| has_ended(dag) && dag.nodes().in_queue() > 0)
}

fn has_ended(dag: &Follow) -> bool {
    matches!(dag.nodes().life(), Life::Ended(_))
}

/// Writes a rescue file after the newest, where the logs know of nodes that are done and not in it, or where a DAGMan died
/// without writing one. What such a DAGMan left to make the next one read the node log is taken away then: that one would
/// count jobs which were removed with it as failed.
fn complete_rescue(dag: &Follow) -> Result<(), OpError> {
    let died = match dag.nodes().life() {
        Life::NotStarted => return Ok(()),
        Life::Started => true,
        // One that was done, or wrote no rescue file, does not go on from one.
        Life::Ended(_) if dag.rescue() == 0 => return Ok(()),
        Life::Ended(_) => false,
    };
    let newest = rescue_file(dag.path(), dag.rescue());
    let text = read_text(&newest, dag_file::MAX_BYTES).map_err(|source| OperateError::Read {
        path: newest.clone(),
        source,
    })?;
    let known: HashSet<String> = dag_file::parse(&text.unwrap_or_default())
        .done
        .into_iter()
        .collect();
    let nodes = dag.nodes();
    let pairs = nodes.all().iter().zip(nodes.states());
    let done: Vec<&str> = pairs
        .filter(|(_, state)| *state == NodeState::Done)
        .map(|(node, _)| node.name.as_str())
        .collect();
    if !died && done.iter().all(|name| known.contains(*name)) {
        return Ok(());
    }
    let path = rescue_file(dag.path(), dag.rescue() + 1);
    let written = write_whole(&path, |out| {
        writeln!(out, "# Written by fedwing: what the logs say is done")?;
        done.iter().try_for_each(|name| writeln!(out, "DONE {name}"))
    });
    written?;
    if died {
        forget_lock(dag.path())?;
    }
    Ok(())
}

fn forget_lock(dag: &Path) -> Result<(), OperateError> {
    let path = lock_file(dag);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OperateError::Rescue { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Copies the node log, where there is one with something in it.
fn keep_log(dag: &Path) -> Result<(), OpError> {
    let log = beside(dag, "nodes.log");
    match fs::metadata(&log).map(|about| about.len()) {
        Ok(0) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    let free = (1..)
        .map(|number| kept_log(dag, number))
        .find(|path| !path.exists());
    let Some(kept) = free else { return Ok(()) };
    let mut from = fs::File::open(&log).map_err(|source| OperateError::Keep { path: log, source })?;
    Ok(write_whole(&kept, |out| io::copy(&mut from, out).map(drop))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
000 (2.000.000) 2026-01-05 09:00:00 Job submitted from host: <x>
    DAG Node: a
...
005 (2.000.000) 2026-01-05 09:00:01 Job terminated.
\t(1) Normal termination (return value 0)
...
000 (3.000.000) 2026-01-05 09:00:01 Job submitted from host: <x>
    DAG Node: b
...
005 (3.000.000) 2026-01-05 09:00:03 Job terminated.
\t(1) Normal termination (return value 0)
...
";

    /// A DAG that was removed while `b` ended: DAGMan's rescue file knows of `a` alone.
    fn stopped_run() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "e.dag",
            "JOB a a.sub\nJOB b b.sub\nJOB c c.sub\nPARENT a b CHILD c\n",
        );
        write("e.dag.nodes.log", LOG);
        write("e.dag.rescue001", "# Rescue DAG file\nDONE a\n");
        write(
            "e.dag.dagman.out",
            "01/05/26 09:00:00 ** condor_scheduniv_exec.1.0 (CONDOR_DAGMAN) STARTING UP\n\
             01/05/26 09:00:02 Received SIGUSR1\n\
             01/05/26 09:00:02 **** condor_scheduniv_exec.1.0 (condor_DAGMAN) pid 5 EXITING WITH STATUS 2\n",
        );
        folder
    }

    #[test]
    fn a_job_that_ended_while_dagman_did_is_named_as_done() {
        let folder = stopped_run();
        let dag = Follow::open(&folder.path().join("e.dag")).unwrap();
        complete_rescue(&dag).unwrap();
        let text = fs::read_to_string(folder.path().join("e.dag.rescue002")).unwrap();
        assert_eq!(dag_file::parse(&text).done, ["a", "b"]);
        // Once it is there, there is nothing to add.
        let dag = Follow::open(&folder.path().join("e.dag")).unwrap();
        complete_rescue(&dag).unwrap();
        assert!(!folder.path().join("e.dag.rescue003").exists());
    }

    #[test]
    fn a_dagman_that_died_with_its_jobs_is_followed_by_one_that_knows_what_is_done() {
        let folder = stopped_run();
        let path = |name: &str| folder.path().join(name);
        fs::remove_file(path("e.dag.rescue001")).unwrap();
        fs::write(path("e.dag.lock"), "PID = 5").unwrap();
        let begun = "01/05/26 09:00:00 ** condor_scheduniv_exec.1.0 (CONDOR_DAGMAN) STARTING UP\n";
        fs::write(path("e.dag.dagman.out"), begun).unwrap();
        let dag = Follow::open(&path("e.dag")).unwrap();
        complete_rescue(&dag).unwrap();
        let text = fs::read_to_string(path("e.dag.rescue001")).unwrap();
        assert_eq!(dag_file::parse(&text).done, ["a", "b"]);
        assert!(!path("e.dag.lock").exists());
    }

    #[test]
    fn what_an_emptied_log_said_is_read_from_the_copy() {
        let folder = stopped_run();
        let path = folder.path().join("e.dag");
        keep_log(&path).unwrap();
        fs::write(folder.path().join("e.dag.nodes.log"), "").unwrap();
        keep_log(&path).unwrap();
        let dag = Follow::open(&path).unwrap();
        assert_eq!(dag.nodes().attempts(1).len(), 1);
        assert_eq!(dag.nodes().states()[..2], [NodeState::Done; 2]);
        assert!(!kept_log(&path, 2).exists(), "nothing to keep of an empty log");
    }
}
