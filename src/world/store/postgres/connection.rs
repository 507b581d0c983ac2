//! Connections to a server: how long anything may take, what is tried again, and the connections that wait for the next store.
//!
//! tokio-postgres is driven on a runtime of each connection's own, which gives every operation a limit in time: a server that
//! hangs must not hang `fractal exec`. What is done on a connection is in the other files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

use super::address::Place;
use super::tls;
use crate::world::blocking::drive;
use crate::world::store::StoreError;

/// A parameter of a statement. Types are given, so that a statement is one round trip and nothing is prepared.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long we wait for what.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub connecting: Duration,
    /// For locks of others.
    pub lock: Duration,
    /// For a whole operation, however large.
    pub work: Duration,
}

/// For a loop.
pub(super) const LONG: Patience =
    Patience { connecting: Duration::from_secs(10), lock: Duration::from_secs(20), work: Duration::from_secs(1800) };
/// For `fractal exec`, which somebody waits for.
pub(super) const BRIEF: Patience =
    Patience { connecting: Duration::from_secs(3), lock: Duration::from_secs(3), work: Duration::from_secs(5) };

/// Connections that wait, for each place.
const IDLE: usize = 4;
/// How often something is begun again because others were in the way.
const CONFLICTS: usize = 10;

struct Connection {
    runtime: Option<Runtime>,
    client: Client,
}

static POOL: Mutex<BTreeMap<String, Vec<Connection>>> = Mutex::new(BTreeMap::new());

/// A way to the server: a connection that is replaced when it breaks, and goes to the next store afterwards.
pub(super) struct Link {
    place: Place,
    patience: Patience,
    read_only: bool,
    held: RefCell<Option<Connection>>,
}

/// Whether an operation may be done once more when it is not known whether it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Harmless,
    Never,
}

impl Link {
    pub fn new(place: Place, patience: Patience, read_only: bool) -> Link {
        Link { place, patience, read_only, held: RefCell::new(None) }
    }

    pub fn shown(&self) -> &str {
        &self.place.shown
    }

    /// Does `work` on a connection. What others were in the way of is begun again; on a connection that broke, once more.
    pub fn run<T: Send>(
        &self,
        again: Again,
        mut work: impl AsyncFnMut(&Client) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let (mut conflicts, mut breaks) = (0, 0);
        loop {
            let connection = self.take()?;
            let done = connection.within(self.patience.work, &mut work);
            match done {
                Some(Err(error)) if connection.client.is_closed() || is_loss(&error) => {
                    forget_idle(&self.place);
                    if again == Again::Never || breaks > 0 {
                        return Err(self.away(said_by(&error)));
                    }
                    breaks += 1;
                }
                Some(Err(error)) if is_conflict(&error) && conflicts < CONFLICTS => {
                    self.held.replace(Some(connection));
                    conflicts += 1;
                }
                Some(done) => {
                    self.held.replace(Some(connection));
                    return done;
                }
                None => return Err(self.away(format!("no answer within {} s", self.patience.work.as_secs()))),
            }
        }
    }

    /// The connection that is held, one that waits, or a new one; ready for use.
    fn take(&self) -> Result<Connection, StoreError> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        while let Some(idle) = idle(&self.place) {
            if self.prepare(&idle).is_ok() {
                return Ok(idle);
            }
        }
        let new = Connection::open(&self.place, self.patience.connecting).map_err(|why| self.away(why))?;
        self.prepare(&new).map_err(|error| self.away(said_by(&error)))?;
        Ok(new)
    }

    fn prepare(&self, connection: &Connection) -> Result<(), StoreError> {
        let settings = format!(
            "set search_path = fractal; set lock_timeout = {}; set default_transaction_read_only = {}",
            self.patience.lock.as_millis(),
            self.read_only
        );
        let set = connection.within(self.patience.connecting, &mut async |client| Ok(client.batch_execute(&settings).await?));
        set.unwrap_or_else(|| Err(self.away("no answer".into())))
    }

    fn away(&self, why: String) -> StoreError {
        StoreError::Away { address: self.place.shown.clone(), why }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connection) = self.held.take().filter(|connection| !connection.client.is_closed()) else { return };
        if let Ok(mut pool) = POOL.lock() {
            let waiting = pool.entry(self.place.whole.clone()).or_default();
            if waiting.len() < IDLE {
                waiting.push(connection);
            }
        }
    }
}

fn idle(place: &Place) -> Option<Connection> {
    POOL.lock().ok()?.get_mut(&place.whole)?.pop()
}

/// When one connection broke, so did those that wait.
fn forget_idle(place: &Place) {
    drop(POOL.lock().ok().and_then(|mut pool| pool.remove(&place.whole)));
}

impl Connection {
    /// # Errors
    /// Why there is none.
    fn open(place: &Place, patience: Duration) -> Result<Connection, String> {
        let mut config = place.config.clone();
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(patience).min(patience));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let connecting = async || -> Result<Client, String> {
            // The other half of a connection does the talking; it ends with the runtime.
            if place.is_local() {
                let (client, talk) = config.connect(NoTls).await.map_err(|error| chain(&error))?;
                tokio::spawn(talk);
                return Ok(client);
            }
            let (client, talk) = config.connect(tls::connector(&place.trust)?).await.map_err(|error| chain(&error))?;
            tokio::spawn(talk);
            Ok(client)
        };
        let connected = drive(&runtime, || async { tokio::time::timeout(patience, connecting()).await });
        let client = connected.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())));
        match client {
            Ok(client) => Ok(Connection { runtime: Some(runtime), client }),
            Err(why) => {
                runtime.shutdown_background();
                Err(why)
            }
        }
    }

    /// What `work` gives; `None` when it takes longer.
    fn within<T: Send>(
        &self,
        limit: Duration,
        work: &mut (impl AsyncFnMut(&Client) -> Result<T, StoreError> + Send),
    ) -> Option<Result<T, StoreError>> {
        let runtime = self.runtime.as_ref()?;
        drive(runtime, move || async move { tokio::time::timeout(limit, work(&self.client)).await.ok() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // To drop a runtime is to wait for it, which async code must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An error with everything that led to it.
pub(in crate::world::store) fn chain(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_string();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn said_by(error: &StoreError) -> String {
    match error {
        StoreError::Postgres(error) => chain(error),
        other => other.to_string(),
    }
}

fn code(error: &StoreError) -> Option<&SqlState> {
    if let StoreError::Postgres(error) = error { error.code() } else { None }
}

/// The connection, or the server, is gone.
fn is_loss(error: &StoreError) -> bool {
    let gone = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW, SqlState::CONNECTION_FAILURE];
    code(error).is_some_and(|code| gone.contains(code))
}

/// Others were in the way, and nothing has happened.
fn is_conflict(error: &StoreError) -> bool {
    code(error).is_some_and(|code| [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}
