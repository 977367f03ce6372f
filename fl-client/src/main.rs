//! The binary of the per-client jobs; `fl-client --help` lists them.

use std::process::ExitCode;

use contract::{args::Binary, cli};

/// Training frees and takes the same large blocks at every step; this allocator keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Binary::FlClient, env!("CARGO_PKG_VERSION"), fl_client::run::run)
}
