//! The bundle: the answers of one zone for the next one, as data. One file of two lines: a seal, and what it seals.
//!
//! Owns the format, its bounds and its digest. The digest says that a bundle arrived as it was sent, and nothing of who sent it: whoever
//! reads one treats it as text from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::model::{
    Analysis, Asking, Candidate, Character, Check, CommitId, FileEdit, ImprovementId, Investigation, Patch, PatchId, Rival,
    SideEffects, Trust,
};
use crate::validate::regression_test::Recipe;
use crate::world::View;
use crate::world::files::Draft;
use crate::world::incoming::Incoming;

/// The format that is written, and the only one that is read: the zones of one run are of one program.
const FORMAT: u32 = 1;
/// Bytes of a whole bundle, and of its first line.
const BYTES_MAX: u64 = 32 << 20;
const SEAL_MAX: usize = 1 << 10;
/// Answers of one kind, and candidates of one search.
const ANSWERS_MAX: usize = 2_000;
const CANDIDATES_MAX: usize = 200;
/// Files of one candidate, and characters of what it is called.
const FILES_MAX: usize = 200;
const NAME_MAX: usize = 300;

/// Why a bundle is of no use. Nothing was written because of it.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("`{0}` is not a bundle of Fractal")]
    Foreign(String),
    #[error("the bundle has format {0}, which is newer than this program, which reads format {FORMAT}")]
    Newer(u32),
    #[error("the bundle has format {0}; this program reads format {FORMAT}")]
    Older(u32),
    #[error("the bundle is not what was sealed: {0}")]
    Damaged(String),
    #[error("the bundle is larger than it may be: {0}")]
    TooLarge(String),
    #[error("the bundle was made in the zone `{made}`, and the zone `{here}` takes one of `{wanted}`")]
    WrongZone { made: Maker, here: &'static str, wanted: Maker },
    #[error("the bundle was made by version {made} of Fractal, and this is {here}")]
    OtherProgram { made: String, here: String },
    #[error("the bundle was made with another configuration than the one that is here")]
    OtherConfig,
    /// What it holds is nothing that a zone before this one finds.
    #[error("the bundle is refused: {0}")]
    Refused(String),
    #[error("{0:#}")]
    Other(anyhow::Error),
}

/// The zone that made a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    Propose,
    Verify,
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Maker::Propose => "propose",
            Maker::Verify => "verify",
        })
    }
}

/// What a bundle was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeFor {
    pub base: String,
    pub tip: CommitId,
    /// The tip of the log; none where there is no log yet.
    pub log: Option<CommitId>,
    /// A digest of the whole configuration.
    pub config: String,
    pub program: String,
}

impl MadeFor {
    /// What is here now.
    pub(super) fn here(view: &View) -> anyhow::Result<MadeFor> {
        let config = serde_json::to_string(&view.config)?;
        Ok(MadeFor {
            base: view.base.clone(),
            tip: view.repo.tip(&view.base)?,
            log: view.repo.log_tip()?,
            config: blake3::hash(config.as_bytes()).to_hex().to_string(),
            program: env!("CARGO_PKG_VERSION").to_string(),
        })
    }

    /// Whether what was made for `self` is of use `here`. `Ok` with a reason: not any more, which is nobody's fault.
    ///
    /// # Errors
    /// When another program or another configuration made it: then something is set up wrongly.
    pub(super) fn fits(&self, here: &MadeFor) -> Result<Option<String>, BundleError> {
        if self.program != here.program {
            return Err(BundleError::OtherProgram { made: self.program.clone(), here: here.program.clone() });
        }
        if self.config != here.config {
            return Err(BundleError::OtherConfig);
        }
        if self.base != here.base {
            return Ok(Some(format!("it was made for the branch `{}`, and `{}` is the base here", self.base, here.base)));
        }
        if self.tip != here.tip {
            return Ok(Some(format!(
                "it was made for `{}` at {}, which is at {} now",
                self.base,
                self.tip.short(),
                here.tip.short()
            )));
        }
        let same_log = self.log == here.log;
        Ok((!same_log).then(|| "more was recorded about improvements since it was made".to_string()))
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle {
    pub zone: Maker,
    pub made_for: MadeFor,
    pub answers: Answers,
}

/// What the stages answered. Of two answers to one question the later one is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    pub characters: Vec<Answer<OfTool, Seen>>,
    pub investigations: Vec<Answer<OfOpportunity, Investigation>>,
    pub searches: Vec<Answer<OfOpportunity, Vec<Came>>>,
    pub together: Vec<Answer<Together, Said>>,
    pub analyses: Vec<Answer<Watched, Analysis>>,
    pub not_repaired: Vec<Answer<Undone, Vec<String>>>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer<Q, A> {
    pub question: Q,
    pub answer: A,
}

/// The answer to a question.
pub(super) fn find<'a, Q: PartialEq, A>(answers: &'a [Answer<Q, A>], question: &Q) -> Option<&'a A> {
    answers.iter().find(|answer| answer.question == *question).map(|answer| &answer.answer)
}

/// Keeps an answer.
pub(super) fn keep<Q: PartialEq, A>(answers: &mut Vec<Answer<Q, A>>, question: Q, answer: A) {
    answers.retain(|known| known.question != question);
    answers.push(Answer { question, answer });
}

/// What a tool does to the world, as a commit has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfTool {
    pub tool: String,
    pub commit: CommitId,
}

/// An opportunity of a tool on a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfOpportunity {
    pub tool: String,
    pub id: ImprovementId,
    pub commit: CommitId,
}

/// One candidate of a group, on the tree that holds the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Together {
    pub tool: String,
    pub id: ImprovementId,
    pub tree: String,
    pub patch: PatchId,
}

/// A watch of what landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watched {
    pub tool: String,
    pub before: CommitId,
    pub after: CommitId,
}

/// The inverse of what landed, on a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Undone {
    pub tool: String,
    pub commit: CommitId,
    pub patch: PatchId,
}

/// See [`Character`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    pub effects: SideEffects,
    pub because: String,
}

impl Seen {
    pub(super) fn of(character: &Character) -> Seen {
        Seen { effects: character.effects, because: character.because.clone() }
    }

    pub(super) fn character(&self) -> Character {
        Character { effects: self.effects, because: self.because.clone() }
    }
}

/// What the gate said of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Said {
    /// How its checks ended, and what its regression test is made of.
    Checked { checks: Vec<Check>, recipe: Option<Recipe> },
    /// It could not run.
    CannotRun(String),
}

/// What came of a search, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Came {
    Judged(Box<JudgedHere>),
    /// What somebody else was asked, and what that cost: it is accounted for where something can be written.
    Asked(Asking),
    Later {
        reason: String,
    },
    Over {
        tried: u64,
        reason: String,
    },
    CannotRun(String),
}

/// One candidate at the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgedHere {
    pub candidate: Written,
    pub tried: u64,
    pub checks: Vec<Check>,
    pub recipe: Option<Recipe>,
    /// What came to the gate with it, for the zone that asks the gate again.
    pub beside: Vec<(Written, u64)>,
    /// What it was compared with, for the log.
    pub compared: Vec<Rival>,
}

/// A candidate with its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub strategy: String,
    pub source: String,
    pub title: String,
    pub trust: Trust,
    pub rank: f64,
    pub files: BTreeMap<String, Content>,
}

/// The whole new content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Content {
    Text(String),
    Base64(String),
    Deleted,
}

impl Written {
    pub(super) fn of(candidate: &Candidate) -> Written {
        let content = |edit: &FileEdit| match edit {
            FileEdit::Write(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Content::Text(text.to_string()),
                Err(_) => Content::Base64(STANDARD.encode(bytes)),
            },
            FileEdit::Delete => Content::Deleted,
        };
        Written {
            strategy: candidate.strategy.clone(),
            source: candidate.source.clone(),
            title: candidate.title.clone(),
            trust: candidate.trust,
            rank: candidate.rank,
            files: candidate.patch.edits.iter().map(|(path, edit)| (path.clone(), content(edit))).collect(),
        }
    }

    /// The candidate; an error when it is called something that is no single line, or has a file that cannot be read.
    pub(super) fn candidate(&self) -> Result<Candidate, String> {
        for (what, name) in [("strategy", &self.strategy), ("source", &self.source), ("title", &self.title)] {
            if name.len() > NAME_MAX || name.chars().any(char::is_control) {
                return Err(format!("the {what} of a candidate is not a line of at most {NAME_MAX} bytes"));
            }
        }
        if self.files.len() > FILES_MAX {
            return Err(format!("a candidate has more than {FILES_MAX} files"));
        }
        let mut patch = Patch::default();
        for (path, content) in &self.files {
            let edit = match content {
                Content::Text(text) => FileEdit::Write(text.clone().into_bytes()),
                Content::Base64(text) => {
                    FileEdit::Write(STANDARD.decode(text).map_err(|error| format!("`{}`: {error}", path.escape_debug()))?)
                }
                Content::Deleted => FileEdit::Delete,
            };
            patch.edits.insert(path.clone(), edit);
        }
        let Written { strategy, source, title, trust, rank, .. } = self.clone();
        Ok(Candidate { strategy, source, title, trust, patch, rank })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    fractal_bundle: u32,
    bytes: u64,
    digest: String,
}

/// Of a seal of any format.
#[derive(Deserialize)]
struct AnySeal {
    fractal_bundle: u32,
}

impl Answers {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let Answers { characters, investigations, searches, together, analyses, not_repaired } = self;
        [characters.len(), investigations.len(), searches.len(), together.len(), analyses.len(), not_repaired.len()].iter().sum()
    }

    fn is_bounded(&self) -> Result<(), BundleError> {
        let Answers { characters, investigations, searches, together, analyses, not_repaired } = self;
        let most = [characters.len(), investigations.len(), searches.len(), together.len(), analyses.len(), not_repaired.len()];
        if most.iter().any(|count| *count > ANSWERS_MAX) {
            return Err(BundleError::TooLarge(format!("more than {ANSWERS_MAX} answers of one kind")));
        }
        let beside = |came: &Came| match came {
            Came::Judged(judged) => 1 + judged.beside.len().max(judged.compared.len()),
            Came::Asked(_) | Came::Later { .. } | Came::Over { .. } | Came::CannotRun(_) => 1,
        };
        if searches.iter().any(|search| search.answer.iter().map(beside).sum::<usize>() > CANDIDATES_MAX) {
            return Err(BundleError::TooLarge(format!("more than {CANDIDATES_MAX} candidates of one search")));
        }
        Ok(())
    }
}

impl Bundle {
    /// Whether one can be written there: better known before hours of work than after.
    ///
    /// # Errors
    /// When it cannot.
    pub(super) fn can_be_written(path: &Path) -> Result<(), BundleError> {
        Draft::of(path).map(drop).map_err(BundleError::Other)
    }

    /// Writes it whole or not at all, over one that is there. Returns its digest.
    ///
    /// # Errors
    /// When it cannot be written, or is larger than what would be read.
    pub(super) fn write(&self, path: &Path) -> Result<String, BundleError> {
        self.answers.is_bounded()?;
        let content = serde_json::to_string(self).map_err(|error| BundleError::Other(error.into()))?;
        let digest = blake3::hash(content.as_bytes()).to_hex().to_string();
        let seal = Seal { fractal_bundle: FORMAT, bytes: content.len() as u64, digest: digest.clone() };
        let seal = serde_json::to_string(&seal).map_err(|error| BundleError::Other(error.into()))?;
        let text = format!("{seal}\n{content}\n");
        if text.len() as u64 > BYTES_MAX {
            return Err(too_large());
        }
        let write = || -> anyhow::Result<()> {
            let mut draft = Draft::of(path)?;
            draft.write_all(text.as_bytes())?;
            draft.finish()
        };
        write().map_err(BundleError::Other)?;
        Ok(digest)
    }

    /// Reads one that arrived from elsewhere.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub(super) fn read(path: &Path) -> Result<Bundle, BundleError> {
        let foreign = || BundleError::Foreign(path.display().to_string());
        let reading = || format!("reading the bundle `{}`", path.display());
        let incoming = Incoming::open(path).with_context(reading).map_err(BundleError::Other)?;
        let mut bytes = Vec::new();
        incoming.reader.take(BYTES_MAX + 1).read_to_end(&mut bytes).with_context(reading).map_err(BundleError::Other)?;
        let end = bytes.iter().take(SEAL_MAX).position(|byte| *byte == b'\n').ok_or_else(foreign)?;
        let AnySeal { fractal_bundle: format } = serde_json::from_slice(&bytes[..end]).map_err(|_| foreign())?;
        match format {
            FORMAT => {}
            newer if newer > FORMAT => return Err(BundleError::Newer(newer)),
            older => return Err(BundleError::Older(older)),
        }
        if bytes.len() as u64 > BYTES_MAX {
            return Err(too_large());
        }
        let seal: Seal = serde_json::from_slice(&bytes[..end]).map_err(|_| foreign())?;
        let content = bytes[end + 1..].strip_suffix(b"\n").unwrap_or_default();
        if content.len() as u64 != seal.bytes {
            return Err(BundleError::Damaged(format!("{} bytes instead of {}", content.len(), seal.bytes)));
        }
        if blake3::hash(content).to_hex().as_str() != seal.digest {
            return Err(BundleError::Damaged("its digest is another one".into()));
        }
        let bundle: Bundle = serde_json::from_slice(content).map_err(|error| BundleError::Refused(error.to_string()))?;
        bundle.answers.is_bounded()?;
        Ok(bundle)
    }
}

fn too_large() -> BundleError {
    BundleError::TooLarge(format!("more than {} MiB", BYTES_MAX >> 20))
}
