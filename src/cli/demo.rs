//! stub
use super::Outcome;
/// stub
#[derive(clap::Args)]
pub(super) struct Demo {}
impl Demo { pub(super) fn run(&self) -> Outcome { Ok(std::process::ExitCode::SUCCESS) } }
