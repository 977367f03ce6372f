//! The binary of the per-client jobs; `fl-client --help` lists them.

use std::process::ExitCode;

use contract::{args::Binary, cli};
use fl_client::memory::Guarded;

/// Training frees and takes the same large blocks at every step; this allocator keeps them, and ends the job by name where
/// there are no more.
#[global_allocator]
static ALLOCATOR: Guarded<mimalloc::MiMalloc> = Guarded(mimalloc::MiMalloc);

fn main() -> ExitCode {
    fl_client::allocator::keep_blocks();
    cli::main(Binary::FlClient, env!("CARGO_PKG_VERSION"), fl_client::run::run)
}
