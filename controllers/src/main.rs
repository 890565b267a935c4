//! `helium-agent`: makes one cluster serve what the fleet shares.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    helium_controllers::command::main()
}
