//! Process life, top to bottom: command line, then whatever it asks for, then the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookgate::cli::main()
}
