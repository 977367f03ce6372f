//! Commands and their flags.

use std::{num::NonZeroU32, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::ops::Layouts;

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
    /// Shows what a specification or a sweep would do, at what cost, and what is not settled: the document to approve
    Show {
        /// The specification
        spec: PathBuf,
        /// What is known of a dataset: what `fl-client profile`, or the `stats` or `prepare` job of an earlier run, wrote;
        /// repeat the flag
        #[arg(long = "profile", value_name = "[DATASET=]FILE")]
        profiles: Vec<String>,
        /// Look at the data where it is on this machine, with `fl-client profile`
        #[arg(long)]
        look: bool,
        /// A pool file, to say how long the experiment would take there (see `fedwing simulate`)
        #[arg(long, value_name = "POOL")]
        pool: Option<PathBuf>,
        /// Write the graph of jobs as DOT
        #[arg(long, value_name = "FILE")]
        dot: Option<PathBuf>,
        /// Write the graph of jobs as a picture
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Print the document as JSON
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
    /// Lists the points of a sweep, or prints the specification of one
    Points {
        /// The specification
        spec: PathBuf,
        /// The point whose specification to print
        #[arg(long, value_name = "NAME")]
        point: Option<String>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Predicts how long a specification takes on a pool, and where the time goes
    Simulate {
        /// The specification
        spec: PathBuf,
        /// The pool file
        #[arg(long)]
        pool: PathBuf,
        /// `flat`, `rounds`, `chunks:N` or `all`; the specification's own when not given
        #[arg(long)]
        layout: Option<Layouts>,
        /// A run of the same data, whose statistics say how many samples there are; assumed when not given
        #[arg(long, value_name = "RUN")]
        data: Option<PathBuf>,
        /// Print the predictions as JSON
        #[arg(long)]
        json: bool,
    },
    /// Derives a pool file for `simulate` from a run, on this machine or on a pool
    Calibrate {
        /// The run's folder
        dir: PathBuf,
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
