//! The binary of the per-client jobs for machines with GPUs; `fl-client --help` lists them.
//!
//! Everything but [`OFFERS`] is the library of the CPU binary.

use std::process::ExitCode;

use contract::{args::Binary, cli};
use fl_client::memory::Guarded;

#[cfg(not(any(feature = "cuda", feature = "webgpu")))]
compile_error!("choose at least one kind of GPU: `--features cuda` or `--features webgpu`");

/// Training frees and takes the same large blocks at every step; this allocator keeps them, and ends the job by name where
/// there are no more.
#[global_allocator]
static ALLOCATOR: Guarded<mimalloc::MiMalloc> = Guarded(mimalloc::MiMalloc);

fn main() -> ExitCode {
    fl_client::device::offer(fl_client_gpu::OFFERS);
    cli::main(Binary::FlClient, env!("CARGO_PKG_VERSION"), fl_client::run::run)
}
