//! What a simulation puts in the place of the machine: a remote, a store, and what may happen around each write that others can see.
//! In real life nobody is there, and nothing of this is asked.

use std::collections::BTreeMap;

use anyhow::Result;

use super::forge::Shared;
use super::git::remote::Move;
use super::ground::Objects;
use super::store::{Store, StoreError};
use crate::model::CommitId;

/// Around the move of a ref.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// It is about to be moved.
    Before(&'a str),
    /// It was moved to this commit; `None` where the caller does not know it.
    After(&'a str, Option<&'a CommitId>),
}

/// The machine of one simulated loop.
pub trait Host: Send + Sync {
    /// Something may happen now. A simulated kill does not come back: it unwinds.
    fn moment(&self, moment: Moment<'_>);

    /// See `Repo::push`: all moves or none.
    ///
    /// # Errors
    /// When the remote refuses, or when nobody knows what became of the push.
    fn push(&self, moves: &[Move]) -> Result<()>;

    /// All refs of the remote.
    ///
    /// # Errors
    /// When the remote cannot be reached.
    fn remote_refs(&self) -> Result<BTreeMap<String, CommitId>>;

    /// The loop as claims name it.
    fn holder(&self) -> String;

    /// A text that was not there before.
    fn salt(&self) -> String;

    /// The execution store.
    ///
    /// # Errors
    /// When it is away.
    fn store(&self) -> Result<Box<dyn Store>, StoreError>;

    /// Where proposals are looked at and landed, where that is not git alone.
    fn forge(&self) -> Option<Shared> {
        None
    }

    /// Where its repositories have their objects.
    fn objects(&self) -> &Objects;
}
