//! The server step of a round: see the library.

use std::process::ExitCode;

use contract::{args::Binary, cli};

fn main() -> ExitCode {
    cli::main(
        Binary::FlAggregator,
        env!("CARGO_PKG_VERSION"),
        fl_aggregator::run,
    )
}
