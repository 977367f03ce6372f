//! A copy of this program, kept at a site, so that the site's other jobs need not bring it.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use contract::{
    exit::JobExit,
    job::{JobError, write_whole},
};

/// Puts a copy of this program at `target` and proves that it runs there.
///
/// # Errors
/// `Io` naming the file, also if the file system does not let programs run.
pub fn keep(target: &Path) -> Result<(), JobError> {
    let own = env::current_exe().map_err(|error| JobError::reading("this program", &error))?;
    let mut from = fs::File::open(&own).map_err(|error| JobError::reading(&own, &error))?;
    write_whole(target, |out| {
        io::copy(&mut from, out)?;
        out.get_ref().set_permissions(fs::Permissions::from_mode(0o755))
    })?;
    runs(target)
}

fn runs(program: &Path) -> Result<(), JobError> {
    let reason = match Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("it ended with {status}"),
        Err(error) => error.to_string(),
    };
    Err(JobError::new(
        JobExit::Io,
        format!("the program's copy does not run where the site keeps it: {reason}"),
    )
    .about(program)
    .help("let programs run on that file system, or write `program: sent` at this site in the specification"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_can_be_run_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("program");
        fs::write(&target, "older").unwrap();
        // The test program knows no `--version`: what is looked at here is the copy.
        let kept = keep(&target);
        assert_eq!(
            fs::read(&target).unwrap(),
            fs::read(env::current_exe().unwrap()).unwrap()
        );
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(kept);
    }

    #[test]
    fn a_copy_that_does_not_run_is_an_error_that_says_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
        let error = runs(&program).unwrap_err();
        assert_eq!(error.exit, JobExit::Io);
        assert!(error.help.as_deref().unwrap().contains("program: sent"));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        runs(&program).unwrap();
    }
}
