//! The one forge of a process: what it remembers of its answers, and of how much it was asked, is good for every cycle. Everybody may look;
//! only the holder of the permission to write gets to what changes something.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::ci::{Artifact, CiRun};
use super::{Board, Check, Comment, Forge, ForgeError, Level, Proposal, Review, Rules, Signs};
use crate::model::{CommitId, Sign};

/// See the module.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Box<dyn Forge>>>);

impl Shared {
    /// Shares a forge.
    pub fn new(forge: Box<dyn Forge>) -> Self {
        Shared(Arc::new(Mutex::new(forge)))
    }

    /// The forge itself, for whoever may change something there.
    pub(in crate::world) fn whole(&self) -> MutexGuard<'_, Box<dyn Forge>> {
        // What one call left half done is no business of the next: each is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Forge::place`].
    pub fn place(&self) -> String {
        self.whole().place()
    }

    /// See [`Forge::rules`].
    ///
    /// # Errors
    /// See [`ForgeError`]; so below.
    pub fn rules(&self, base: &str) -> Result<Rules, ForgeError> {
        self.whole().rules(base)
    }

    /// See [`Forge::proposals`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn proposals(&self, base: &str) -> Result<Vec<Proposal>, ForgeError> {
        self.whole().proposals(base)
    }

    /// See [`Forge::proposal`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn proposal(&self, number: u64) -> Result<Proposal, ForgeError> {
        self.whole().proposal(number)
    }

    /// See [`Forge::checks`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn checks(&self, commit: &CommitId) -> Result<Vec<Check>, ForgeError> {
        self.whole().checks(commit)
    }

    /// See [`Forge::comments`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn comments(&self, on: Option<u64>, since: Option<Timestamp>) -> Result<Vec<Comment>, ForgeError> {
        self.whole().comments(on, since)
    }

    /// See [`Forge::reviews`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError> {
        self.whole().reviews(number)
    }

    /// See [`Forge::signs`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn signs(&self, on: u64) -> Result<Vec<Signs>, ForgeError> {
        self.whole().signs(on)
    }

    /// See [`Forge::signed`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn signed(&self, on: u64, comment: Option<u64>) -> Result<BTreeSet<(String, Sign)>, ForgeError> {
        self.whole().signed(on, comment)
    }

    /// See [`Forge::level`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn level(&self, person: &str) -> Result<Level, ForgeError> {
        self.whole().level(person)
    }

    /// See [`Forge::board`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn board(&self, key: &str) -> Result<Option<Board>, ForgeError> {
        self.whole().board(key)
    }

    /// See [`Forge::runs`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn runs(&self, since: Timestamp) -> Result<Vec<CiRun>, ForgeError> {
        self.whole().runs(since)
    }

    /// See [`Forge::jobs`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn jobs(&self, run: &CiRun) -> Result<Vec<CiRun>, ForgeError> {
        self.whole().jobs(run)
    }

    /// See [`Forge::artifacts`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn artifacts(&self, name: &str, after: u64) -> Result<Vec<Artifact>, ForgeError> {
        self.whole().artifacts(name, after)
    }

    /// See [`Forge::content`].
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub fn content(&self, artifact: &Artifact) -> Result<Vec<u8>, ForgeError> {
        self.whole().content(artifact)
    }
}
