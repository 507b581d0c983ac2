//! The command line: one file per subcommand. The only place that prints.

mod backtest;
mod bench;
mod chart;
mod columns;
mod config;
mod control;
mod demo;
mod doctor;
mod exec;
mod executions;
mod forget;
mod import;
mod init;
mod log;
mod mark;
mod mcp;
mod moment;
mod onboard;
mod pin;
mod plain;
mod render;
mod repair;
mod run;
mod serve;
mod shadow;
mod simulate;
mod stats;
mod status;
mod sync;
mod templates;
mod tools;
mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::ConfigError;
use crate::engine::{BundleError, CycleError};
use crate::world::WorldError;
use crate::world::git::{LogError, OpenError};
use crate::world::lock::LockError;
use crate::world::store::StoreError;

/// Takes care of the tools in a git repository: records their runs, repairs the ones that fail too often, watches what follows, and
/// reverts what made them worse.
#[derive(Parser)]
#[command(name = "fractal", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    /// The repository to work on [default: the one around the current folder]
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    repo: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// `fractal exec` alone. To describe all the other commands to the parser takes as long as to run a small tool.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Alone {
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    repo: Option<PathBuf>,
    #[command(subcommand)]
    command: Only,
}

#[derive(Subcommand)]
enum Only {
    Exec(exec::Exec),
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 something outside failed (git, files, a damaged log); 2 a mistake in the call or in \
fractal.toml; 3 another loop is running on this repository; 4 `fractal repair` found no patch; 5 `fractal simulate` found a history in which something did not hold. `fractal exec` and `fractal mcp` end exactly as the tool or the server does: with \
its exit code or its signal, 124 after its time limit, 126 or 127 when it cannot be run.\n\nStart with `fractal demo`, or in a repository of yours with \
`fractal init`.";

#[derive(Subcommand)]
enum Command {
    /// Show the whole loop at work on a sample repository
    Demo(demo::Demo),
    /// Write a fractal.toml for this repository
    Init(init::Init),
    /// Run a tool as if it were run directly, and record the run
    Exec(exec::Exec),
    /// List recorded runs, show one, follow new ones, export them
    Executions(Box<executions::Executions>),
    /// Stand between a client and an MCP server, and record the calls of its tools
    Mcp(mcp::Mcp),
    /// Say that a recorded run gave a wrong answer
    Mark(mark::Mark),
    /// Record runs that other programs report: JSON lines, JUnit XML, GitHub workflow runs
    Import(import::Import),
    /// Remove executions for good, here and wherever they were sent
    Forget(forget::Forget),
    /// Exchange executions with others through a git remote
    Sync(sync::Sync),
    /// Run one cycle: detect, investigate, improve, land, watch, revert
    Run(run::Run),
    /// Run cycles on the configured interval until stopped
    Watch(run::Watch),
    /// Receive executions from programs that speak OpenTelemetry
    Serve(serve::Serve),
    /// Draw how a tool does, by version and over time, or list how all do
    Stats(stats::Stats),
    /// List the versions of a tool with how each of them does
    Versions(versions::Versions),
    /// Show how two versions of a tool differ, in their files and in how they do
    Diff(versions::Diff),
    /// Say which version of a tool `fractal exec` runs here, whatever is checked out
    Pin(pin::Pin),
    /// Show what the loop did and what it waits for
    Status(status::Status),
    /// List the tools, declared and found
    Tools(tools::Tools),
    /// List the fix templates, or show one with its cases
    Templates(templates::Templates),
    /// List improvements, newest first
    Log(log::Log),
    /// Show one improvement from detection to outcome
    Show(log::Show),
    /// Let an improvement land that waits for a person
    Approve(control::Approve),
    /// Revert a landed improvement
    Revert(control::Revert),
    /// Stop every outward act until `resume`
    Pause(control::Pause),
    /// Go on after `pause`
    Resume(control::Resume),
    /// Search for a change of one file that makes a command pass, outside the loop
    Repair(repair::Repair),
    /// Measure parts of the loop on cases with known answers
    Bench(bench::Bench),
    /// Put the rules to what has been: would they have been right?
    Backtest(backtest::Backtest),
    /// Play random histories of the whole engine, and check what must hold whatever happens
    Simulate(simulate::Simulate),
    #[command(hide = true)]
    Shadow(shadow::Shadow),
    /// Check the configuration, or print its reference or schema
    Config(config::Config),
    /// Show whether what is needed is there, and what protects this machine from what is run
    Doctor(doctor::Doctor),
}

/// `--json`, which every command that prints has.
#[derive(Args, Clone, Copy)]
struct Output {
    /// Print JSON: one value, or one a line for events
    #[arg(long)]
    json: bool,
}

/// What went wrong, what to do about it, and the exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

const OUTSIDE: u8 = 1;
const MISTAKE: u8 = 2;
const BUSY: u8 = 3;
const NO_PATCH: u8 = 4;
const BROKEN: u8 = 5;

impl Failure {
    fn mistake(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: Some(hint.into()), code: MISTAKE }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        CycleError::from(error).into()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure { message: error.message, hint: error.hint, code: MISTAKE }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let hint = match &error {
            OpenError::NotARepository(_) => {
                Some("run it inside a repository, or name one with `-C FOLDER`; `git init` makes one")
            }
            OpenError::Bare(_) => Some("clone it and run Fractal in the clone"),
            OpenError::Unborn => Some("commit something first"),
            OpenError::Detached => Some("check out a branch, or write `base = \"main\"` into fractal.toml"),
            OpenError::NoSuchBase(_) => Some("correct `base` in fractal.toml, or create the branch"),
            OpenError::Foreign(_) => Some("if you trust it: `git config --global --add safe.directory FOLDER`"),
            OpenError::Format(..) => Some("ids must be SHA-1 and refs plain files: git's defaults"),
            OpenError::Git(_) => None,
        };
        let outside = matches!(error, OpenError::Foreign(_) | OpenError::Format(..) | OpenError::Git(_));
        let code = if outside { OUTSIDE } else { MISTAKE };
        Failure { message: error.to_string(), hint: hint.map(str::to_string), code }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::Newer { .. } => Some("update Fractal; nothing was changed"),
            StoreError::Away { .. } => Some(
                "is the server running, and may this machine reach it? `store` in fractal.toml or `FRACTAL_STORE` names it; runs of \
                 tools wait on disk meanwhile",
            ),
            StoreError::NoSuchExecution(_) | StoreError::Ambiguous(_) => Some(
                "`fractal executions` lists the newest runs; `fractal exec --id-file FILE` writes the id of a run into a file",
            ),
            error if error.is_damage() => Some(
                "move it away (`fractal/executions.db` in the git directory): the next recorded run begins a new \
                 one, and what was decided is in git",
            ),
            _ => None,
        };
        let mistake = matches!(
            error,
            StoreError::NoSuchExecution(_) | StoreError::Ambiguous(_) | StoreError::Address(_) | StoreError::Unusable { .. }
        );
        Failure { message: error.to_string(), hint: hint.map(str::to_string), code: if mistake { MISTAKE } else { OUTSIDE } }
    }
}

impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Self {
        match error {
            WorldError::Open(error) => error.into(),
            WorldError::Config { file, error } => {
                Failure { message: format!("{file}: {}", error.message), hint: error.hint, code: MISTAKE }
            }
            WorldError::Store(error) => error.into(),
            WorldError::Other(error) => Failure { message: format!("{error:#}"), hint: None, code: OUTSIDE },
        }
    }
}

impl From<CycleError> for Failure {
    fn from(error: CycleError) -> Self {
        let message = error.to_string();
        match error {
            CycleError::World(error) => error.into(),
            CycleError::Store(error) => error.into(),
            CycleError::Lock(LockError::Held(_)) => {
                Failure { message, hint: Some("let it finish, or stop it; `fractal status` shows what it does".into()), code: BUSY }
            }
            CycleError::Log(LogError::Foreign(_) | LogError::Damaged { .. }) => Failure {
                message,
                hint: Some("nothing was changed; `git show refs/fractal/log` shows who wrote it, and a Fractal of the same version reads it".into()),
                code: OUTSIDE,
            },
            CycleError::Bundle(error) => Failure { hint: bundle_hint(&error).map(str::to_string), message, code: OUTSIDE },
            CycleError::Log(_) | CycleError::Lock(_) => Failure { message, hint: None, code: OUTSIDE },
            CycleError::Refused(_) => Failure::mistake(message, "`fractal log` lists the improvements and their stages"),
            CycleError::Other(error) => Failure { message: format!("{error:#}"), hint: None, code: OUTSIDE },
        }
    }
}

/// What to do about a bundle that is of no use.
fn bundle_hint(error: &BundleError) -> Option<&'static str> {
    match error {
        BundleError::Newer(_) | BundleError::Older(_) | BundleError::OtherProgram { .. } => {
            Some("use the same version of Fractal in all three zones; nothing was done")
        }
        BundleError::OtherConfig => Some("all three zones take fractal.toml from the same commit; nothing was done"),
        BundleError::Foreign(_) | BundleError::WrongZone { .. } => {
            Some("`--bundle` takes what the zone before wrote to its `--out`; nothing was done")
        }
        BundleError::Damaged(_) | BundleError::TooLarge(_) | BundleError::Refused(_) => Some(
            "somebody changed it on its way, or what ran in the zone before reached beyond its sandbox: look at that run before the next \
             one; nothing was done",
        ),
        BundleError::Other(_) => None,
    }
}

type Outcome = Result<ExitCode, Failure>;

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    // Whatever is no right call of it, the whole parser explains.
    let cli = match Alone::try_parse() {
        Ok(Alone { repo, command: Only::Exec(command) }) => Cli { repo, command: Command::Exec(command) },
        Err(_) => Cli::parse(),
    };
    let repo = cli.repo.clone().unwrap_or_else(|| PathBuf::from("."));
    if !matches!(cli.command, Command::Exec(_) | Command::Mcp(_)) {
        let level = crate::world::files::variable("FRACTAL_LOG").and_then(|level| level.parse().ok());
        // A simulation is full of what is worth a warning in life.
        let usual = if matches!(cli.command, Command::Simulate(_)) { tracing::Level::ERROR } else { tracing::Level::WARN };
        let level: tracing::Level = level.unwrap_or(usual);
        let ansi = render::Paint::for_stderr().is_on();
        tracing_subscriber::fmt().with_max_level(level).with_writer(|| render::Log).with_ansi(ansi).without_time().init();
    }
    let outcome = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Init(command) => command.run(&repo),
        Command::Exec(command) => command.run(&repo),
        Command::Executions(command) => command.run(&repo),
        Command::Mcp(command) => command.run(&repo),
        Command::Mark(command) => command.run(&repo),
        Command::Import(command) => command.run(&repo),
        Command::Forget(command) => command.run(&repo),
        Command::Sync(command) => command.run(&repo),
        Command::Run(command) => command.run(&repo),
        Command::Watch(command) => command.run(&repo),
        Command::Serve(command) => command.run(&repo),
        Command::Stats(command) => command.run(&repo),
        Command::Versions(command) => command.run(&repo),
        Command::Diff(command) => command.run(&repo),
        Command::Pin(command) => command.run(&repo),
        Command::Status(command) => command.run(&repo),
        Command::Tools(command) => command.run(&repo),
        Command::Templates(command) => command.run(),
        Command::Log(command) => command.run(&repo),
        Command::Show(command) => command.run(&repo),
        Command::Approve(command) => command.run(&repo),
        Command::Revert(command) => command.run(&repo),
        Command::Pause(command) => command.run(&repo),
        Command::Resume(command) => command.run(&repo),
        Command::Repair(command) => command.run(&repo),
        Command::Backtest(command) => command.run(&repo),
        Command::Bench(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Shadow(command) => command.run(&repo),
        Command::Config(command) => command.run(&repo),
        Command::Doctor(command) => command.run(&repo),
    };
    let outcome = outcome.and_then(|code| match render::lost() {
        Some(why) => Err(Failure { message: format!("standard output: {why}"), hint: None, code: OUTSIDE }),
        None => Ok(code),
    });
    outcome.unwrap_or_else(|failure| {
        render::complain(&failure.message, failure.hint.as_deref());
        ExitCode::from(failure.code)
    })
}

/// The help of every command, for the generated part of the README.
pub fn help() -> String {
    let mut command = Cli::command().term_width(110);
    command.render_help().to_string()
}

fn now() -> crate::world::clock::Clock {
    crate::world::clock::Clock::System
}

/// Who is at the keyboard, as git or the system knows them.
fn person() -> String {
    let known = ["GIT_AUTHOR_NAME", "USER", "LOGNAME"].iter().find_map(|name| crate::world::files::variable(name));
    known.unwrap_or_else(|| "a person".into())
}
