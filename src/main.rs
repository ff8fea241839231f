//! Process life, top to bottom: command line, then whatever it asks for, then the exit code.

use std::process::ExitCode;

/// Small blocks come and go with every request, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookgate::cli::main()
}
