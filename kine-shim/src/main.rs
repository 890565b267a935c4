//! The program `kine-shim`.

use std::process::ExitCode;

use clap::Parser as _;

/// Many small values of all sizes come and go: this allocator keeps them apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kine_shim::command::run(kine_shim::options::Options::parse())
}
