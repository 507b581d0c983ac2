//! Writes sizes in bytes for people: `disk_units 1536` prints `1.5 KiB`.

use std::process::ExitCode;

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// Formats a number of bytes with one decimal in the largest unit that fits.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

fn main() -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(bytes) => println!("{}", human(bytes)),
            Err(_) => {
                eprintln!("disk_units: not a size in bytes: {argument}");
                status = ExitCode::from(2);
            }
        }
    }
    status
}
