//! The command `fractal`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    fractal::cli::main()
}
