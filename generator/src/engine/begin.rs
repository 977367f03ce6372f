//! Begins or continues a run: everything that is checked and written before the first job starts.
//!
//! Start at [`run`] and [`resume`].

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    EngineError, Message, Observer, Options, Totals, Weight,
    digest::{Fact, Identity, SourceFact, fact_of, in_parallel, source_fact},
    files::Store,
    graph::{FileIndex, From, Graph, JobIndex, kinds},
    launch,
    resume::{Assessment, assess},
    schedule::{TooLarge, fits},
    turn::Turn,
};
use crate::{
    plan::Dag,
    record::{Event, History, Journal, RunDir, RunOutcome, Stamp},
};

/// Runs every job of `dag` in the folder `dir`, which holds no run yet, and records what happens.
///
/// Returns when every job that can be done is done, or once the run was stopped. A failed job is an outcome, not an
/// error: what depends on it does not run, everything else does.
///
/// # Errors
/// [`EngineError`]: nothing was started, except for `Io` and `Record`, after which `resume` continues.
pub fn run(
    dag: &Dag,
    dir: &RunDir,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, EngineError> {
    let graph = Graph::new(dag)?;
    let everything = vec![true; graph.jobs.len()];
    check_requests(&graph, options, observer)?;
    check_programs(&graph, &everything, options)?;
    let sources = look_at_sources(&graph, &everything, observer)?;
    let dir = made_folder(dir)?;
    let mut journal = Journal::create(&dir.record(), &started(dag, options))?;
    make_folders(&dir)?;
    record_sources(&graph, &sources, None, &mut journal)?;
    let mut store = Store::new(&graph, &dir);
    store.place_given(&graph, &sources)?;
    observer.run_started(&Totals {
        jobs: graph.jobs.len() as u64,
        kept: 0,
        slots: options.machine.slots.get(),
    });
    Turn::new(&graph, dir, options, observer, journal, store)?.run()
}

/// Continues the run of the same `dag` in `dir`: does what is not done, and again what is missing or changed.
///
/// # Errors
/// [`EngineError::OtherRun`] if the folder holds a run of something else; else as [`run`].
pub fn resume(
    dag: &Dag,
    dir: &RunDir,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<RunOutcome, EngineError> {
    let graph = Graph::new(dag)?;
    check_requests(&graph, options, observer)?;
    let root = fs::canonicalize(dir.root()).map_err(EngineError::io("open the run's folder", dir.root()))?;
    let dir = RunDir::new(root);
    let (mut journal, history) = Journal::reopen(&dir.record())?;
    check_same(&graph, &history, options, &dir)?;
    let measured = measure_sources(&graph);
    let present: Vec<Option<SourceFact>> = measured.iter().map(|fact| fact.as_ref().ok().cloned()).collect();
    let mut store = Store::new(&graph, &dir);
    let assessment = assess(&graph, &history, &present, |files| {
        compare(&graph, &mut store, files)
    });
    let Assessment {
        to_do,
        again,
        harmed,
        facts,
    } = &assessment;
    check_programs(&graph, to_do, options)?;
    require_sources(&graph, &measured, to_do, observer)?;

    let kept = to_do.iter().filter(|to_do| !**to_do).count() as u64;
    journal.append(&Event::RunResumed {
        at: Stamp::now(),
        kept,
        redone: again.iter().map(|&job| graph.job(job).id.to_string()).collect(),
        slots: options.machine.slots.get(),
    })?;
    record_sources(&graph, &present, Some(&history), &mut journal)?;
    clear(&dir, &going_on(&graph, to_do))?;
    make_folders(&dir)?;
    for (file, fact) in facts.iter().enumerate() {
        match (store.fact(file as FileIndex), fact) {
            // Compared above: what was seen then is known already.
            (Some(_), Some(_)) => {}
            (None, Some(fact)) => store.learn(file as FileIndex, *fact, None),
            (_, None) => store.forget(&graph, file as FileIndex)?,
        }
    }
    store.place_given(&graph, &present)?;
    observer.run_started(&Totals {
        jobs: graph.jobs.len() as u64,
        kept,
        slots: options.machine.slots.get(),
    });
    tell_harmed(&graph, harmed, observer);
    let turn = Turn::new(&graph, dir, options, observer, journal, store)?;
    turn.continuing(history, assessment).run()
}

/// Names the files that are made again, the first of them where there are many.
fn tell_harmed(graph: &Graph<'_>, harmed: &[FileIndex], observer: &mut dyn Observer) {
    const SHOWN: usize = 5;
    let mut tell = |text: String| {
        observer.message(&Message {
            weight: Weight::Warning,
            text,
        });
    };
    for &file in harmed.iter().take(SHOWN) {
        let file = graph.file(file);
        if let From::Job(writer) = file.from {
            let (name, job) = (&file.name, &graph.job(writer).id);
            tell(format!(
                "`{name}` is missing or not what `{job}` left; `{job}` runs again"
            ));
        }
    }
    if harmed.len() > SHOWN {
        tell(format!("so are {} more files", harmed.len() - SHOWN));
    }
}

fn started(dag: &Dag, options: &Options) -> Event {
    // A machine without a name is none the worse for it.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Event::RunStarted {
        fedwing_record: Event::VERSION,
        at: Stamp::now(),
        fedwing: env!("CARGO_PKG_VERSION").to_owned(),
        name: dag.name.clone(),
        source: options.origin.source.clone(),
        digest: options.origin.digest.clone(),
        synthetic: options.origin.synthetic,
        jobs: dag.jobs.len() as u64,
        slots: options.machine.slots.get(),
        host: host.trim().to_owned(),
    }
}

/// The run's folder, made and absolute: links lead into it.
fn made_folder(dir: &RunDir) -> Result<RunDir, EngineError> {
    fs::create_dir_all(dir.root()).map_err(EngineError::io("make the folder", dir.root()))?;
    let root = fs::canonicalize(dir.root()).map_err(EngineError::io("open the folder", dir.root()))?;
    Ok(RunDir::new(root))
}

fn make_folders(dir: &RunDir) -> Result<(), EngineError> {
    for folder in [dir.files(), dir.jobs(), dir.logs()] {
        fs::create_dir_all(&folder).map_err(EngineError::io("make the folder", &folder))?;
    }
    Ok(())
}

/// The directories of jobs that go on from the checkpoint an attempt may have left there: those whose every input is now
/// what it was then, because the job that wrote it is kept.
fn going_on(graph: &Graph<'_>, to_do: &[bool]) -> BTreeSet<OsString> {
    let kept = |file: &FileIndex| match graph.file(*file).from {
        From::Job(writer) => !to_do[writer as usize],
        From::Content(_) => true,
        From::Source(_) => false,
    };
    let jobs = (0..graph.jobs.len() as JobIndex).filter(|&job| {
        let node = graph.node(job);
        let goes_on = !graph.job(job).checkpoints.is_empty() && node.sources.is_empty();
        to_do[job as usize] && goes_on && node.inputs.iter().all(kept)
    });
    let names = jobs.map(|job| RunDir::new("").job(&graph.job(job).id));
    names
        .filter_map(|path| path.file_name().map(OsString::from))
        .collect()
}

/// Removes what attempts left that nobody will look at any more: all but the directories named `kept`.
fn clear(dir: &RunDir, kept: &BTreeSet<OsString>) -> Result<(), EngineError> {
    let folder = dir.jobs();
    let failed = |error| EngineError::io("empty the folder", &folder)(error);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if kept.contains(&entry.file_name()) {
            continue;
        }
        match entry.file_type().map_err(failed)?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// Refuses jobs that never fit the machine; says which get fewer cores than they ask for.
fn check_requests(
    graph: &Graph<'_>,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<(), EngineError> {
    for job in &graph.dag.jobs {
        fits(&job.request, &options.machine).map_err(|too_large| match too_large {
            TooLarge::Memory { asked } => EngineError::Memory {
                job: job.id.to_string(),
                asked,
                has: options.machine.memory,
            },
            TooLarge::Gpus { asked } => EngineError::Gpus {
                job: job.id.to_string(),
                asked,
                has: options.machine.gpus.len(),
            },
        })?;
    }
    let cpus = options.machine.cpus.get();
    let clamped = graph.dag.jobs.iter().filter(|job| job.request.cpus > cpus);
    let clamped = kinds(clamped.map(|job| &job.label.kind));
    if !clamped.is_empty() {
        observer.message(&Message {
            weight: Weight::Note,
            text: format!("jobs that ask for more than the {cpus} CPUs here are given {cpus}: {clamped}"),
        });
    }
    Ok(())
}

/// Refuses programs that cannot be executed, before anything runs.
fn check_programs(graph: &Graph<'_>, to_do: &[bool], options: &Options) -> Result<(), EngineError> {
    let mut seen = BTreeSet::<PathBuf>::new();
    let mut problems = BTreeSet::new();
    for (job, _) in graph.dag.jobs.iter().zip(to_do).filter(|(_, to_do)| **to_do) {
        match launch::program(job, options) {
            Ok(path) if seen.contains(path) => {}
            Ok(path) => {
                problems.extend(why_not_executable(path));
                seen.insert(path.to_owned());
            }
            Err(problem) => {
                problems.insert(problem);
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(EngineError::Programs(problems.into_iter().collect()))
    }
}

fn why_not_executable(path: &Path) -> Option<String> {
    let problem = if path.is_relative() {
        "not an absolute path".to_owned()
    } else {
        match fs::metadata(path) {
            Err(error) => error.to_string(),
            Ok(metadata) if !metadata.is_file() => "not a file".to_owned(),
            Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => "not executable".to_owned(),
            Ok(_) => return None,
        }
    };
    Some(format!("`{}`: {problem}", path.display()))
}

fn measure_sources(graph: &Graph<'_>) -> Vec<io::Result<SourceFact>> {
    in_parallel(&graph.sources, |source| {
        if Path::new(source.path).is_relative() {
            return Err(io::Error::other("not an absolute path"));
        }
        source_fact(Path::new(source.path))
    })
}

fn look_at_sources(
    graph: &Graph<'_>,
    to_do: &[bool],
    observer: &mut dyn Observer,
) -> Result<Vec<Option<SourceFact>>, EngineError> {
    let measured = measure_sources(graph);
    require_sources(graph, &measured, to_do, observer)?;
    Ok(measured.into_iter().map(Result::ok).collect())
}

/// Refuses to go on without a source that a job reads which is to be done; of others it only says that they are gone.
fn require_sources(
    graph: &Graph<'_>,
    measured: &[io::Result<SourceFact>],
    to_do: &[bool],
    observer: &mut dyn Observer,
) -> Result<(), EngineError> {
    let mut problems = Vec::new();
    for (source, result) in graph.sources.iter().zip(measured) {
        let Err(error) = result else { continue };
        match source.readers.iter().find(|&&job| to_do[job as usize]) {
            Some(&reader) => {
                let reader = &graph.job(reader).id;
                problems.push(format!("`{}`, read by job `{reader}`: {error}", source.path));
            }
            None => observer.message(&Message {
                weight: Weight::Warning,
                text: format!(
                    "`{}` is gone; the jobs that read it are done and are kept",
                    source.path
                ),
            }),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(EngineError::SourcesMissing(problems))
    }
}

/// Records sources as they are now; those that are as `history` knows them are left out.
fn record_sources(
    graph: &Graph<'_>,
    sources: &[Option<SourceFact>],
    history: Option<&History>,
    journal: &mut Journal,
) -> Result<(), EngineError> {
    for (source, fact) in graph.sources.iter().zip(sources) {
        let Some(SourceFact {
            size,
            digest,
            file: _,
        }) = fact
        else {
            continue;
        };
        let known = history.and_then(|history| history.sources.get(source.path)?.last());
        if known.is_some_and(|(_, known)| known == digest) {
            continue;
        }
        journal.append(&Event::SourceSeen {
            at: Stamp::now(),
            path: source.path.to_owned(),
            size: *size,
            digest: digest.clone(),
        })?;
    }
    Ok(())
}

/// Refuses to continue a run with another graph.
fn check_same(
    graph: &Graph<'_>,
    history: &History,
    options: &Options,
    dir: &RunDir,
) -> Result<(), EngineError> {
    let run = &history.run;
    let pairs = [
        ("name", run.name.clone(), graph.dag.name.clone()),
        (
            "specification's digest",
            run.digest.clone(),
            options.origin.digest.clone(),
        ),
        (
            "number of jobs",
            run.jobs.to_string(),
            graph.jobs.len().to_string(),
        ),
    ];
    match pairs.into_iter().find(|(_, recorded, given)| recorded != given) {
        Some((what, recorded, given)) => Err(EngineError::OtherRun {
            folder: dir.root().to_owned(),
            what,
            recorded,
            given,
        }),
        None => Ok(()),
    }
}

/// Compares files with what they must contain, on all cores, and remembers those that do.
fn compare(graph: &Graph<'_>, store: &mut Store, files: &[(FileIndex, Fact)]) -> Vec<bool> {
    let seen = in_parallel(files, |(file, fact)| {
        let path = store.path(graph, *file);
        let metadata = fs::metadata(&path).ok()?;
        let same = metadata.is_file() && metadata.len() == fact.size.0 && fact_of(&path).ok()? == *fact;
        same.then(|| Identity::of(&metadata))
    });
    for ((file, fact), identity) in files.iter().zip(&seen) {
        if identity.is_some() {
            store.learn(*file, *fact, *identity);
        }
    }
    seen.iter().map(Option::is_some).collect()
}
