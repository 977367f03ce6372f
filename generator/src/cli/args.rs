//! Commands and their flags.

use std::{num::NonZeroU32, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

/// Federated learning on chest X-rays, from a checked specification to reproducible results.
#[derive(Debug, Parser)]
#[command(name = "fedwing", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 unexpected, 2 usage, 3 specification rejected, 4 a job failed, 5 environment, 130 interrupted";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Checks a specification against every rule
    Check {
        /// The specification
        spec: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Writes a workflow with its catalogs and job binaries
    Generate {
        /// The specification
        spec: PathBuf,
        /// The folder to write; must not exist, or be empty
        #[arg(short, long = "output", value_name = "DIR")]
        output: PathBuf,
        /// The workflow system
        #[arg(long, value_enum, default_value_t = TargetArg::Pegasus)]
        target: TargetArg,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Runs a specification, or a Pegasus 5 workflow, on this machine
    Run {
        /// The specification, a workflow file, or a folder made by `generate`
        source: PathBuf,
        /// The run's folder; must not exist, or be empty
        #[arg(long)]
        dir: PathBuf,
        /// Jobs at once; one per CPU core when not given
        #[arg(long, value_name = "N")]
        jobs: Option<NonZeroU32>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Hands a generated workflow to its pool
    Submit {
        /// The folder it was generated into, or a DAG file
        dir: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tells how far a run is, on this machine or on a pool
    Status {
        /// The run's folder
        dir: PathBuf,
        /// Print the status as JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows how far a run is until it ends; Ctrl-C ends only the showing
    Watch {
        /// The run's folder
        dir: PathBuf,
        /// Print a status as JSON, on one line, whenever it changes
        #[arg(long)]
        json: bool,
    },
    /// Stops a run, on this machine or on a pool, so that it can be continued
    Cancel {
        /// The run's folder
        dir: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Continues a run that was killed, stopped or failed
    Resume {
        /// The run's folder
        dir: PathBuf,
        /// Jobs at once, on this machine; one per CPU core when not given
        #[arg(long, value_name = "N")]
        jobs: Option<NonZeroU32>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Makes the report of a run: HTML, Markdown and JSON in the run's folder
    Report {
        /// The run's folder
        dir: PathBuf,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of specifications
    Schema,
    /// Explains a diagnostic code
    Explain {
        /// The code, such as FL0207
        code: String,
        /// Print the page as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The workflow system to generate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// Pegasus 5
    Pegasus,
    /// HTCondor's DAGMan
    Dagman,
}
