//! `helium-apiserver`: an aggregated Kubernetes API server over a shared store.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    helium_apiserver::command::main()
}
