//! Transactions, and the one lock of the store: whoever adds shares it, whoever removes or counts again is alone.
//!
//! So what a transaction has looked up stays there until its end, and an hour that is folded again misses no execution and counts
//! none twice. Both are held for as short as can be: a series, an hour, a batch.

use tokio_postgres::Client;

use crate::world::store::StoreError;

/// "fractal" in ASCII.
const KEY: i64 = 0x0066_7261_6374_616c;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// With others who add.
    Shared,
    Alone,
}

/// Runs `work` in one transaction. When it fails, nothing has happened.
pub(super) async fn atomically<T>(
    client: &Client,
    lock: Lock,
    work: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let shared = if lock == Lock::Shared { "_shared" } else { "" };
    // One message of two statements: what follows sees everything that was done before the lock was ours.
    let begun = client.batch_execute(&format!("begin; select pg_advisory_xact_lock{shared}({KEY})")).await;
    let done = match begun {
        Ok(()) => work(client).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(done) => {
            client.batch_execute("commit").await?;
            Ok(done)
        }
        Err(error) => {
            // A connection that cannot do this is broken, and is not used again.
            let _ = client.batch_execute("rollback").await;
            Err(error)
        }
    }
}
