//! What a search asks of others than our templates: beginning a talk with a model, and putting what it says beside a candidate of ours.

use std::collections::BTreeMap;

use anyhow::Result;

use super::asking::{self, Dialogue};
use super::improvement::Improvement;
use super::search::{Next, Search};
use crate::config::{AnswerForm, Config, Recordings};
use crate::deploy;
use crate::improve::model::{self, Example};
use crate::model::{Counts, Opportunity};
use crate::record::redact::Rules;
use crate::world::View;
use crate::world::files;
use crate::world::pause::pauses;
use crate::world::provider::{AskError, Models, Redact};

/// What leaves this machine, and what comes back, without secrets.
pub(super) fn redact(view: &View) -> Redact {
    redact_by(&view.config)
}

/// The same without a repository.
pub fn redact_by(config: &Config) -> Redact {
    let handed = handed(config);
    let values = handed.iter().map(|(_, value)| value.as_str());
    let rules = Rules::of(&config.record).knowing_values(&files::environment(), values);
    Box::new(move |text| String::from_utf8_lossy(&rules.redact(text.as_bytes())).into_owned())
}

/// Names with their values.
pub(super) type Variables = Vec<(String, String)>;

/// The variables of `[agent] env` that are set.
pub(super) fn handed(config: &Config) -> Variables {
    config.agent.env.iter().filter_map(|name| Some((name.clone(), files::variable(name)?))).collect()
}

/// The model that is configured, if there is one.
///
/// # Errors
/// When it cannot be asked.
pub(super) fn models(view: &View) -> Result<Option<Models>, AskError> {
    Models::open(&view.config.model, &view.repo.state_dir(), view.clock.clone(), redact(view))
}

impl Search<'_> {
    /// Whether anybody may be asked now: it costs something, and is seen outside. What is only replayed is neither.
    ///
    /// # Errors
    /// Why nobody is.
    pub(super) fn may_ask(&self) -> Result<(), String> {
        if self.wanted.view.config.model.recordings == Recordings::Replay {
            return Ok(());
        }
        if !self.wanted.spends {
            return Err("in a dry run nobody is asked".to_string());
        }
        pauses(&self.wanted.view.repo).first().map_or(Ok(()), |pause| Err(format!("nobody is asked while it is {pause}")))
    }

    /// Begins to ask the model; why it is not asked is among the reasons, if one is configured.
    pub(super) fn begin_talk(&mut self, improvement: &Improvement) -> Result<()> {
        let view = self.wanted.view;
        let models = match models(view) {
            Ok(Some(models)) => models,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.reasons.push(format!("the model was not asked: {error}"));
                return Ok(());
            }
        };
        let model = &view.config.model;
        let json = model.answers == AnswerForm::Json;
        match self.with_facts(improvement, json, model.prompt_kib << 10, model::prompt)? {
            Ok(prompt) => self.talk = Some(Dialogue::new(models, prompt)),
            Err(why) => self.reasons.push(format!("the model was not asked: {why}")),
        }
        Ok(())
    }

    /// What may be told of this failure: the seen half of the recordings, the tool's own files and its tests.
    pub(super) fn with_facts<T>(
        &mut self,
        improvement: &Improvement,
        json: bool,
        bytes: usize,
        what: impl FnOnce(&model::Asked<'_>) -> T,
    ) -> Result<T> {
        let view = self.wanted.view;
        self.sources = self.asked(improvement, |asked| asked.sources())?;
        let mut tests = BTreeMap::new();
        for file in view.repo.files_at(&self.wanted.investigation.commit, &self.wanted.tool.tests)? {
            if let (Some(path), 0o100644 | 0o100755) = (file.utf8(), file.mode) {
                tests.insert(path.to_string(), view.repo.blob(file.oid)?);
            }
        }
        let shown = self.gate.shown();
        let examples = |recordings: &[&_]| recordings.iter().filter_map(|recording| Example::of(recording)).collect::<Vec<_>>();
        let (failing, good) = (examples(&shown.failing), examples(&shown.good));
        Ok(self.asked(improvement, |asked| {
            let case = asked.case(&self.sources);
            let Opportunity { id, counts, failures, .. } = self.wanted.opportunity;
            let counts = Counts { failures: *failures, ..*counts };
            let id = id.as_str();
            what(&model::Asked { case: &case, id, counts, failing: &failing, good: &good, tests: &tests, json, bytes })
        }))
    }

    /// What the agent proposed, at the gate.
    pub(super) fn judge_proposed(&mut self, improvement: &Improvement) -> Result<Option<Next>> {
        let Some(candidate) = self.proposed.take() else { return Ok(None) };
        if self.asked(improvement, |asked| asked.is_turned_down(&candidate))? {
            self.reasons.push("the agent's change was tried before, and is not taken".to_string());
            return Ok(None);
        }
        self.others += 1;
        let tried = self.tried();
        if self.held.is_some() {
            self.put_beside(vec![(candidate, tried)]);
            return Ok(None);
        }
        let judged = self.visit(&candidate);
        if judged.verdict.accepted() {
            return Ok(self.accepted(vec![(candidate, tried)], judged));
        }
        Ok(Some(self.next_judged(&[(candidate, tried)], 0, judged)))
    }

    /// Lets a model say in words what an accepted candidate does, where that is wanted. Without a model, or with an answer that is more than
    /// words, our own wording stands alone.
    pub(super) fn with_words(&mut self, next: Next, improvement: &Improvement) -> Result<Next> {
        let view = self.wanted.view;
        let Next::Judged { candidate, judged, .. } = &next else { return Ok(next) };
        if !view.config.model.prose || !judged.verdict.accepted() {
            return Ok(next);
        }
        let (Ok(()), Ok(Some(models))) = (self.may_ask(), models(view)) else { return Ok(next) };
        let diff = deploy::summarise(view, &self.wanted.investigation.commit, candidate, 0)?.diff;
        let prompt = model::prose_prompt(&self.wanted.tool.name, &self.wanted.investigation.failure, &diff);
        self.purse(improvement);
        let Some(purse) = &mut self.purse else { return Ok(next) };
        let Some(asking) = asking::words(&models, &prompt, purse, view.clock.now()) else { return Ok(next) };
        self.ready = Some(next);
        Ok(Next::Asked(asking))
    }
}
