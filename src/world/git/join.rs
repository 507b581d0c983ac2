//! Two logs become one: what is published at the remote, and what was recorded here meanwhile.
//!
//! Every improvement has its file, and whoever works on one holds the claim on its tool, so of two files one continues the other.
//! Where both went on, a loop had lost its claim: what is published counts. Its other records stay in history, because a joined log
//! is a commit with both as parents; a person's wishes among them are carried over.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use jiff::Timestamp;

use super::commit::signature;
use super::log::{LOG_REF, LogError, RETRIES, parse};
use super::{Identity, MoveError, Repo, id_of};
use crate::model::{CommitId, ImprovementId, Record};

/// What became of the log here.
#[derive(Debug, Default)]
pub struct Joined {
    /// Improvements with other records than before.
    pub changed: BTreeSet<ImprovementId>,
    /// Those of them whose records here came too late.
    pub late: BTreeSet<ImprovementId>,
}

/// A file of the log, one way or the other.
enum Wins {
    Ours,
    Theirs,
    /// Theirs, with these bytes after it.
    Late(Vec<u8>),
}

impl Repo {
    /// Takes what is published (`theirs`) into the log here.
    ///
    /// # Errors
    /// When the published log is of another format or damaged; the log here is as it was then.
    pub fn join_log(&self, theirs: &CommitId, by: &Identity, at: Timestamp) -> Result<Joined, LogError> {
        for _ in 0..RETRIES {
            let ours = self.log_tip()?;
            let (tip, joined) = match &ours {
                Some(ours) if self.contains(ours, theirs)? => return Ok(Joined::default()),
                Some(ours) => self.joined(ours, theirs, by, at)?,
                None => {
                    (theirs.clone(), Joined { changed: self.files_of_log(theirs)?.into_keys().collect(), ..Joined::default() })
                }
            };
            match self.move_ref(LOG_REF, ours.as_ref(), &tip, "fractal: join") {
                Ok(()) => return Ok(joined),
                Err(MoveError::Lost { .. }) => {}
                Err(error) => return Err(LogError::Git(error.into())),
            }
        }
        Err(LogError::Git(anyhow::anyhow!("`{LOG_REF}` moves faster than it can be joined")))
    }

    fn joined(&self, ours: &CommitId, theirs: &CommitId, by: &Identity, at: Timestamp) -> Result<(CommitId, Joined), LogError> {
        let (mine, published) = (self.files_of_log(ours)?, self.files_of_log(theirs)?);
        let mut joined = Joined::default();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (id, oid) in &published {
            let file = format!("improvements/{id}.jsonl");
            let content = self.inner.find_blob(*oid)?;
            let wins = match mine.get(id) {
                Some(same) if same == oid => continue,
                Some(mine) => compare(&file, self.inner.find_blob(*mine)?.content(), content.content())?,
                None => Wins::Theirs,
            };
            let oid = match wins {
                Wins::Ours => continue,
                Wins::Theirs => *oid,
                Wins::Late(wishes) => {
                    joined.late.insert(id.clone());
                    self.inner.blob(&[content.content(), wishes.as_slice()].concat())?
                }
            };
            parse(&file, content.content())?;
            joined.changed.insert(id.clone());
            update.upsert(file, oid, git2::FileMode::Blob);
        }
        if self.contains(theirs, ours)? {
            return Ok((theirs.clone(), joined));
        }
        let (ours, theirs) = (self.commit(ours)?, self.commit(theirs)?);
        let tree = self.inner.find_tree(update.create_updated(&self.inner, &ours.tree()?)?)?;
        let who = signature(by, at)?;
        let commit = self.inner.commit(None, &who, &who, "joined with what is published\n", &tree, &[&theirs, &ours])?;
        Ok((id_of(commit), joined))
    }

    fn files_of_log(&self, commit: &CommitId) -> Result<BTreeMap<ImprovementId, git2::Oid>, LogError> {
        let tree = self.log_tree_of(commit)?;
        let mut files = BTreeMap::new();
        let Ok(folder) = tree.get_path("improvements".as_ref()) else { return Ok(files) };
        for entry in &self.inner.find_tree(folder.id()).context("`improvements` is no folder")? {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            match name.strip_suffix(".jsonl") {
                Some(id) => drop(files.insert(ImprovementId(id.to_string()), entry.id())),
                None => return Err(LogError::Foreign(format!("it holds `improvements/{name}`"))),
            }
        }
        Ok(files)
    }
}

fn compare(file: &str, ours: &[u8], theirs: &[u8]) -> Result<Wins, LogError> {
    if ours.starts_with(theirs) {
        return Ok(Wins::Ours);
    }
    if theirs.starts_with(ours) {
        return Ok(Wins::Theirs);
    }
    let same = ours.split_inclusive(|byte| *byte == b'\n').zip(theirs.split_inclusive(|byte| *byte == b'\n'));
    let common: usize = same.take_while(|(mine, published)| mine == published).map(|(line, _)| line.len()).sum();
    let tail: Vec<Record> = parse(file, &ours[common..])?;
    let mut wishes = Vec::new();
    for wish in tail.iter().filter(|record| record.event.is_wish()) {
        serde_json::to_writer(&mut wishes, wish).context("writing a record")?;
        wishes.push(b'\n');
    }
    Ok(Wins::Late(wishes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: &str =
        "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"observed\",\"what\":{\"observation\":\"approved\",\"by\":\"Ana\"}}\n";
    const FACT: &str = "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"started\",\"key\":\"k\"}\n";

    fn won(ours: &str, theirs: &str) -> String {
        match compare("f", ours.as_bytes(), theirs.as_bytes()).expect("reads") {
            Wins::Ours => ours.to_string(),
            Wins::Theirs => theirs.to_string(),
            Wins::Late(wishes) => format!("{theirs}{}", String::from_utf8(wishes).expect("text")),
        }
    }

    #[test]
    fn the_file_that_continues_the_other_one_wins() {
        let long = format!("{FACT}{FACT}");
        assert_eq!((won(&long, FACT), won(FACT, &long), won("", FACT)), (long.clone(), long, FACT.to_string()));
    }

    #[test]
    fn where_both_went_on_what_is_published_counts_and_a_persons_wish_is_carried_over() {
        let done = FACT.replace("started", "done");
        let ours = format!("{FACT}{done}{WISH}{done}");
        assert_eq!(won(&ours, &format!("{FACT}{FACT}")), format!("{FACT}{FACT}{WISH}"));
    }

    #[test]
    fn records_that_cannot_be_read_are_not_thrown_away() {
        assert!(compare("f", b"{}\n", FACT.as_bytes()).is_err());
    }
}
