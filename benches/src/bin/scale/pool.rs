//! Nodes that do nothing, by DAGMan on the personal pool of `containers/pool`.

use std::{
    error::Error,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use super::Cost;

/// The user of the pool's jobs; those of root are refused.
const USER: u32 = 1000;

/// Longest time a DAG may take.
const LONGEST: Duration = Duration::from_secs(400);

/// Runs so many nodes; gives the reason where there can be no pool here.
pub fn run(nodes: u32) -> Result<Result<Cost, String>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("benches lie in the workspace")?;
    let pool = root.join("containers/pool/pool");
    let built = Command::new(&pool).arg("build").output()?;
    match built.status.code() {
        Some(0) => {}
        Some(5) => {
            let words = String::from_utf8_lossy(&built.stderr);
            let why = words
                .lines()
                .next_back()
                .unwrap_or("it cannot be built")
                .to_owned();
            return Ok(Err(format!("no pool: {why}")));
        }
        _ => return Err(String::from_utf8_lossy(&built.stderr).into_owned().into()),
    }
    let folder = root.join("target/scale-pool");
    fs::create_dir_all(folder.join("noop"))?;
    let cost = Up::new(pool, &folder).and_then(|up| up.noop(&folder, nodes));
    fs::remove_dir_all(&folder)?;
    cost.map(Ok)
}

/// A pool that is up; it is taken down when this goes.
struct Up(PathBuf);

impl Up {
    fn new(pool: PathBuf, folder: &Path) -> Result<Self, Box<dyn Error>> {
        chown(folder, Some(USER), Some(USER))?;
        let up = Self(pool);
        let output = Command::new(&up.0)
            .arg("up")
            .arg(folder)
            .args(["--hosts", "4", "--slots", "4"])
            .output()?;
        match output.status.success() {
            true => Ok(up),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
        }
    }

    fn noop(&self, folder: &Path, nodes: u32) -> Result<Cost, Box<dyn Error>> {
        let noop = folder.join("noop");
        let submit = "executable = /bin/true\ntransfer_executable = False\nshould_transfer_files = YES\nrequest_memory = 16\n\
            log = nodes.log\nqueue\n";
        fs::write(noop.join("noop.sub"), submit)?;
        let dag: String = (0..nodes).map(|node| format!("JOB n{node} noop.sub\n")).collect();
        fs::write(noop.join("noop.dag"), dag)?;
        for path in [noop.clone(), noop.join("noop.sub"), noop.join("noop.dag")] {
            chown(path, Some(USER), Some(USER))?;
        }
        let begun = Instant::now();
        let submitted = Command::new(&self.0)
            .args([
                "run",
                "sh",
                "-c",
                "cd noop && condor_submit_dag noop.dag >submit.log",
            ])
            .output()?;
        if !submitted.status.success() {
            return Err(String::from_utf8_lossy(&submitted.stderr).into_owned().into());
        }
        let log = noop.join("noop.dag.dagman.out");
        let said = loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("EXITING WITH STATUS") {
                break said;
            }
            if begun.elapsed() > LONGEST {
                return Err(format!("{nodes} nodes did not end within {} s", LONGEST.as_secs()).into());
            }
            sleep(Duration::from_millis(200));
        };
        let seconds = begun.elapsed().as_secs_f64();
        let log = fs::read_to_string(noop.join("nodes.log"))?;
        let ended = log.lines().filter(|line| line.starts_with("005 ")).count();
        if !said.contains("EXITING WITH STATUS 0") || ended != nodes as usize {
            return Err(format!("of {nodes} nodes {ended} ended").into());
        }
        Ok(Cost {
            seconds,
            bytes: log.len() as u64,
            memory: None,
        })
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The measurement's own error, if any, says more.
        let _ = Command::new(&self.0).arg("down").output();
    }
}
