//! `fractal serve`: receive executions from programs that speak OpenTelemetry.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Failure, OUTSIDE, Outcome, Output, render, run};
use crate::model::plain_line;
use crate::record::serve::{Event, Receiver, Tell};
use crate::world::git::Repo;
use crate::world::http::Server;
use crate::world::read_config;

/// What the help says besides the options is at its end.
#[derive(clap::Args)]
#[command(after_long_help = ATTRIBUTES)]
pub(super) struct Serve {
    /// Address and port to listen on, instead of `[serve] listen`; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    output: Output,
}

const ATTRIBUTES: &str = "\
Accepts OTLP over HTTP at /v1/traces and /v1/logs, as protobuf or JSON, also compressed. A request
is answered once its executions are safe, and what is sent again is not recorded again. SIGTERM,
SIGINT and SIGHUP end it after what was accepted is stored. GET /healthz says how many wait.

A span is an execution when it names a tool; other spans are accepted and left alone:
  fractal.tool             on a resource, for the first span of the process
  process.command_args, process.command, process.executable.path, process.executable.name
                           a program, best one of the repository, which is found by its file
  gen_ai.tool.name         with gen_ai.operation.name = execute_tool,
                           or mcp.method.name = tools/call

What else is read of it:
  process.exit.code        how it ended; else the status and error.type
  event `exception`        why it failed
  vcs.ref.head.revision    the commit that ran; without it, the version is unknown
  fractal.stdin, fractal.stdout, fractal.stderr, process.working_directory
  gen_ai.tool.call.arguments, gen_ai.tool.call.result
  fractal.caller           who ran it; else service.name

A log record is one when it names a tool and has process.exit.code or fractal.tool; it took
fractal.duration_ms.

For a program that sends already:
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  OTEL_RESOURCE_ATTRIBUTES=fractal.tool=NAME,vcs.ref.head.revision=$(git rev-parse HEAD)";

/// Threads that read requests, at most.
const READERS: usize = 4;

impl Serve {
    pub(super) fn run(&self, repo: &Path) -> Outcome {
        let config = read_config(&Repo::open(repo)?)?.serve;
        let built = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build();
        let runtime = built.map_err(|error| anyhow::Error::new(error).context("starting the runtime"))?;
        let tell = teller(self.output.json);
        runtime
            .block_on(async {
                let stopping = run::stop_signal()?;
                let address = self.listen.as_deref().unwrap_or(&config.listen);
                let server = Server::bind(address).await.map_err(|error| Failure {
                    message: format!("{error:#}"),
                    hint: Some("another address or port: `--listen 127.0.0.1:0`, or `[serve] listen`".into()),
                    code: OUTSIDE,
                })?;
                warn_beyond_loopback(server.address());
                let receiver = Arc::new(Receiver::open(repo, tell.clone())?);
                tell(&Event::Listening { address: server.address().to_string() });
                let limit = usize::try_from(config.body_mib << 20).unwrap_or(usize::MAX);
                let answering = receiver.clone();
                server.run(limit, move |request| answering.clone().answer(request), stopping).await;
                Ok::<_, Failure>(receiver)
            })
            .map(|receiver| {
                runtime.shutdown_background();
                let stored = Arc::into_inner(receiver).map(Receiver::close).unwrap_or_default();
                tell(&Event::Stopped { new: stored.new, known: stored.known });
                ExitCode::SUCCESS
            })
    }
}

fn warn_beyond_loopback(address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            "whoever reaches {address} can add executions: nothing is encrypted or authenticated, so put a proxy before it"
        );
    }
}

fn teller(json: bool) -> Tell {
    let refused = AtomicU64::new(0);
    Arc::new(move |event| match event {
        event if json => render::say_json(event),
        Event::Listening { address } => {
            render::say(&format!("listening on http://{address} for OpenTelemetry (/v1/traces, /v1/logs)"));
        }
        Event::StoreAway { why } => {
            tracing::warn!("the store is away, executions wait on disk: {}", plain_line(why, 300));
        }
        Event::SpoolTrouble { why } => {
            tracing::warn!("executions cannot wait on disk, or not be fetched from there: {}", plain_line(why, 300));
        }
        Event::StoreBack { waited } => {
            render::say(&format!("the store is there; {waited} executions that waited on disk are in it"))
        }
        Event::Refused { count, why } => {
            // Each time that their number doubles: whoever floods us does not flood the log.
            let before = refused.fetch_add(*count, Ordering::Relaxed);
            let after = before + count;
            if before == 0 || after.ilog2() > before.ilog2() {
                render::say(&format!(
                    "refused for good: {after} spans or log records so far; the last because {}",
                    plain_line(why, 300)
                ));
            }
        }
        Event::Stored { .. } => {}
        Event::Stopped { new, known } => {
            render::say(&format!("stopped: {new} executions stored, {known} were known already"));
        }
    })
}
