//! Runs the tool as its users do.

use std::process::{Command, Output};

fn disk_units(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_disk_units"))
        .args(arguments)
        .output()
        .expect("disk_units starts")
}

#[test]
fn small_sizes_stay_bytes() {
    assert_eq!(disk_units(&["0", "1023"]).stdout, b"0 B\n1023 B\n");
}

#[test]
fn larger_sizes_get_a_unit() {
    assert_eq!(disk_units(&["1536", "5242880"]).stdout, b"1.5 KiB\n5.0 MiB\n");
}

#[test]
fn other_words_are_refused() {
    let output = disk_units(&["much"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
