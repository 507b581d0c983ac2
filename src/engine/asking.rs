//! Asking a model about one failure: the first question with several samples, then one after the other with what the gate found wrong. Says
//! what is next; who records it and who judges is `search`.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::improvement::Improvement;
use crate::config::{AnswerForm, BudgetConfig, Config};
use crate::improve::model::{self, Author, Prompt, Proposed};
use crate::improve::{Reserved, Spent, Till};
use crate::model::{Asking, Candidate, Cost, PatchId, beginning, plain_line};
use crate::world::clock::Stopwatch;
use crate::world::provider::{AskError, Models, Question, Reply, Role, Stop};

/// What was spent on one opportunity, and what all opportunities spend from.
pub struct Purse<'a> {
    config: &'a Config,
    till: &'a Till,
    /// By this opportunity since it was detected, as the log has it.
    logged: Cost,
    /// Since then, by us.
    own: Cost,
    /// By a run that is under way, at most.
    running: Cost,
}

/// What became of a question.
pub(super) struct Paid {
    pub(super) answer: Result<Reply, AskError>,
    pub(super) cost: Cost,
    /// Nobody said what it cost.
    pub(super) estimated: bool,
}

impl<'a> Purse<'a> {
    pub(super) fn of(config: &'a Config, till: &'a Till, improvement: &Improvement) -> Purse<'a> {
        Purse { logged: improvement.cost(), ..Purse::new(config, till) }
    }

    /// Of something for which nothing was spent yet.
    pub fn new(config: &'a Config, till: &'a Till) -> Purse<'a> {
        Purse { config, till, logged: Cost::default(), own: Cost::default(), running: Cost::default() }
    }

    /// What was taken out of it.
    pub fn spent(&self) -> Cost {
        self.own
    }

    /// Takes room for something that costs at most so much.
    ///
    /// # Errors
    /// The limit that it would pass.
    fn reserve(&self, now: Timestamp, most: Cost) -> Result<Reserved<'a>, Spent> {
        self.till.reserve(&self.config.budget, self.logged.and(self.own).and(self.running), now, most)
    }

    /// Takes room for a run that may ask too.
    ///
    /// # Errors
    /// As [`Till::reserve`].
    pub(super) fn begin(&mut self, now: Timestamp, most: Cost) -> Result<Reserved<'a>, Spent> {
        let reserved = self.reserve(now, most)?;
        self.running = most;
        Ok(reserved)
    }

    /// The run is over.
    pub(super) fn end(&mut self, reserved: Reserved<'a>, question: &str, cost: Cost) {
        self.running = Cost::default();
        self.settle(reserved, question, cost);
    }

    fn settle(&mut self, reserved: Reserved<'a>, question: &str, cost: Cost) {
        reserved.settle(question, cost);
        self.own = self.own.and(cost);
    }

    /// Asks, if there is room for it. What is answered from a recording costs what it cost then, once.
    ///
    /// # Errors
    /// Why nobody was asked: a limit, or nobody knows the price and there is a limit in dollars.
    pub(super) fn ask(&mut self, models: &Models, question: &Question, now: Timestamp) -> Result<Paid, Spent> {
        let nothing = |error| Ok(Paid { answer: Err(error), cost: Cost::default(), estimated: false });
        match models.recorded(question) {
            Ok(Some(reply)) => {
                let cost = self.till.count(&reply.question, reply.cost);
                self.own = self.own.and(cost);
                return Ok(Paid { cost, estimated: reply.estimated, answer: Ok(reply) });
            }
            Ok(None) => {}
            Err(error) => return nothing(error),
        }
        affordable(models, &self.config.budget).map_err(|why| Spent { why, is_for_now: false })?;
        let most = models.most(question);
        let (reserved, watch) = (self.reserve(now, most)?, Stopwatch::start());
        match models.ask(question) {
            Ok(reply) => {
                self.settle(reserved, &reply.question, reply.cost);
                Ok(Paid { cost: reply.cost, estimated: reply.estimated, answer: Ok(reply) })
            }
            Err(error @ AskError::Broken(_)) => {
                // It may have cost all that was asked for; nobody says.
                let milliseconds = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
                let cost = Cost { output_tokens: 0, milliseconds, ..most };
                self.settle(reserved, "", cost);
                Ok(Paid { answer: Err(error), cost, estimated: true })
            }
            // Nobody was there who could have taken anything.
            Err(error) => nothing(error),
        }
    }
}

/// Whether a limit in dollars can be kept.
///
/// # Errors
/// Why it cannot: nobody knows what the model costs.
pub fn affordable(models: &Models, budget: &BudgetConfig) -> Result<(), String> {
    let (None, Some(level)) = (models.priced(), budget.in_dollars()) else { return Ok(()) };
    let name = plain_line(models.name(), 60);
    Err(format!(
        "nobody knows what `{name}` costs, and `[budget.{level}] usd` is a limit in dollars; say what it costs in `[model.prices]`, or \
         set `usd = 0` at every level to go without"
    ))
}

/// A candidate that somebody proposed, with what they said.
pub struct Sampled {
    pub candidate: Candidate,
    answer: String,
}

/// See the module.
pub struct Dialogue {
    models: Models,
    prompt: Prompt,
    /// What is said after the first question.
    messages: Vec<(Role, String)>,
    round: usize,
    /// Answers to the present question that were asked for.
    samples: usize,
    /// Candidates of the present round, most wanted first once all samples are there.
    waiting: VecDeque<Sampled>,
    /// How many samples of the first round came to the same patch.
    support: BTreeMap<PatchId, usize>,
    abstained: Vec<String>,
    /// Answers of this round with what was wrong with each, and how far it got.
    wrong: Vec<(String, String, usize)>,
    /// Why nobody is asked any more.
    over: Option<String>,
    /// That is for now: later it may be otherwise.
    is_for_now: bool,
}

impl Dialogue {
    /// Begins with this question.
    pub fn new(models: Models, prompt: Prompt) -> Dialogue {
        Dialogue {
            models,
            messages: vec![(Role::User, prompt.question.clone())],
            prompt,
            round: 0,
            samples: 0,
            waiting: VecDeque::new(),
            support: BTreeMap::new(),
            abstained: Vec::new(),
            wrong: Vec::new(),
            over: None,
            is_for_now: false,
        }
    }

    /// Whether another question is to be asked before anything is judged.
    pub fn asks(&mut self, config: &Config) -> bool {
        let wanted = if self.round == 0 { config.model.samples } else { 1 };
        if self.over.is_some() {
            return false;
        }
        if self.samples < wanted {
            return true;
        }
        if !self.waiting.is_empty() {
            return false;
        }
        self.next_round(config)
    }

    /// Whether all samples of the round are there.
    pub(super) fn is_complete(&self, config: &Config) -> bool {
        self.over.is_some() || self.samples >= if self.round == 0 { config.model.samples } else { 1 }
    }

    fn next_round(&mut self, config: &Config) -> bool {
        let best = std::mem::take(&mut self.wrong).into_iter().max_by_key(|(_, _, far)| *far);
        match best {
            _ if self.round + 1 >= config.model.rounds => {
                self.over = Some(format!("none of the model's answers to {} questions passed the gate", self.round + 1));
            }
            None => self.over = Some(self.nothing()),
            Some((answer, finding, _)) => {
                // What went before is not told again: the newest answer is the one that is repaired.
                self.messages.truncate(1);
                self.messages.push((Role::Assistant, answer));
                self.messages.push((Role::User, model::again(&finding)));
                (self.round, self.samples) = (self.round + 1, 0);
            }
        }
        self.over.is_none()
    }

    fn nothing(&self) -> String {
        match self.abstained.first() {
            Some(why) => format!("the model abstains: {why}"),
            None => "the model gave no answer that can be used".to_string(),
        }
    }

    /// Asks once more, if there is room for it. `None`: nobody was asked, and why is in [`Dialogue::reason`].
    pub fn ask(
        &mut self,
        config: &Config,
        purse: &mut Purse<'_>,
        now: Timestamp,
        sources: &BTreeMap<String, Vec<u8>>,
    ) -> Option<Asking> {
        let question = self.question(config);
        let paid = match purse.ask(&self.models, &question, now) {
            Ok(paid) => paid,
            Err(spent) => {
                (self.over, self.is_for_now) = (Some(format!("the model was not asked: {spent}")), spent.is_for_now);
                return None;
            }
        };
        self.samples += 1;
        let mut asking = nothing_yet(&self.models, &self.prompt, self.models.digest(&question));
        (asking.cost, asking.estimated) = (paid.cost, paid.estimated);
        match paid.answer {
            Ok(reply) => {
                asking.recorded = reply.recorded;
                asking.outcome = self.take(config, &reply, sources);
            }
            Err(error) => {
                if !matches!(error, AskError::Broken(_)) {
                    self.over = Some(format!("the model was not asked: {error}"));
                    self.is_for_now = matches!(error, AskError::Away(_) | AskError::Setup(_));
                }
                asking.outcome = plain_line(&format!("no answer: {error}"), 200);
            }
        }
        self.end_of_samples(config);
        Some(asking)
    }

    fn question(&self, config: &Config) -> Question {
        let (model, at) = (&config.model, self.round + self.samples);
        let temperature = model.temperatures.get(at % model.temperatures.len().max(1)).copied();
        Question {
            system: self.prompt.system.clone(),
            messages: self.messages.clone(),
            temperature,
            answer_tokens: model.answer_tokens,
            form: (model.answers == AnswerForm::Json).then(model::schema),
            sample: self.samples,
        }
    }

    /// What an answer comes to, in our words.
    fn take(&mut self, config: &Config, reply: &Reply, sources: &BTreeMap<String, Vec<u8>>) -> String {
        match reply.stop {
            Stop::Refused => {
                self.abstained.push("it does not want to".into());
                return "refuses to answer".into();
            }
            Stop::Length => {
                let why = format!("The answer was longer than {} tokens, and cut.", config.model.answer_tokens);
                self.wrong.push((begun(&reply.text), why, 0));
                return "the answer is cut: it is too long".into();
            }
            Stop::End => {}
        }
        let source = format!("{} {}", plain_line(self.models.name(), 60), self.prompt.version);
        let author = Author { strategy: "model", source: &source, trust: config.model.trust };
        match model::proposed(&reply.text, sources, author) {
            Proposed::Abstains(why) => {
                self.abstained.push(why.clone());
                format!("abstains: {why}")
            }
            Proposed::Unusable(why) => {
                self.wrong.push((reply.text.clone(), format!("The answer cannot be used: {why}."), 0));
                plain_line(&format!("cannot be used: {why}"), 200)
            }
            Proposed::Patch(candidate) => {
                let id = candidate.patch.id();
                let outcome = format!("proposes patch {}: {}", id.short(), candidate.title);
                let count = self.support.entry(id).or_default();
                *count += 1;
                if *count == 1 {
                    self.waiting.push_back(Sampled { candidate: *candidate, answer: reply.text.clone() });
                }
                outcome
            }
        }
    }

    /// Once all samples are there: what most of them say comes first, and when most of them say nothing, nothing is tried.
    fn end_of_samples(&mut self, config: &Config) {
        if self.round > 0 || self.samples < config.model.samples {
            return;
        }
        if 2 * self.abstained.len() > self.samples {
            self.waiting.clear();
            self.over = Some(self.nothing());
        }
        let support = &self.support;
        let count = |sampled: &Sampled| support.get(&sampled.candidate.patch.id()).copied().unwrap_or(0);
        self.waiting.make_contiguous().sort_by_key(|sampled| std::cmp::Reverse(count(sampled)));
    }

    /// The next candidate to be judged.
    pub fn candidate(&mut self) -> Option<Sampled> {
        self.waiting.pop_front()
    }

    /// What else waits, without taking it.
    pub(super) fn others(&self) -> impl Iterator<Item = &Candidate> {
        self.waiting.iter().map(|sampled| &sampled.candidate)
    }

    /// Whether the samples agree on this patch: it is the only one, or more than one came to it.
    pub(super) fn agrees(&self, patch: &PatchId) -> bool {
        self.support.len() < 2 || self.support.get(patch).is_some_and(|count| *count > 1)
    }

    /// What was wrong with a candidate, and how many checks it passed.
    pub fn note(&mut self, sampled: Sampled, finding: String, far: usize) {
        self.wrong.push((sampled.answer, finding, far + 1));
    }

    /// Asks nobody any more for now.
    pub(super) fn end(&mut self, why: String) {
        (self.over, self.is_for_now) = (Some(why), true);
    }

    /// Whether asking again later may be otherwise.
    pub(super) fn is_for_now(&self) -> bool {
        self.is_for_now
    }

    /// That nobody was asked yet, for the log.
    pub(super) fn waits(&self) -> Asking {
        let outcome = plain_line(&format!("waits: {}", self.reason()), 200);
        Asking { outcome, ..nothing_yet(&self.models, &self.prompt, String::new()) }
    }

    /// Why there is nothing more.
    pub fn reason(&self) -> String {
        self.over.clone().unwrap_or_else(|| self.nothing())
    }
}

/// What is repeated of an answer that is too long to be repeated.
fn begun(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { "(nothing)".to_string() } else { beginning(text, 2000).to_string() }
}

/// Tokens of a few sentences.
const WORDS: u64 = 400;

/// Asks for words about a change; `None` when there is no room for it.
pub(super) fn words(models: &Models, prompt: &Prompt, purse: &mut Purse<'_>, now: Timestamp) -> Option<Asking> {
    let question = Question {
        system: prompt.system.clone(),
        messages: vec![(Role::User, prompt.question.clone())],
        temperature: None,
        answer_tokens: WORDS,
        form: None,
        sample: 0,
    };
    let paid = purse.ask(models, &question, now).ok()?;
    let mut asking = nothing_yet(models, prompt, models.digest(&question));
    (asking.cost, asking.estimated) = (paid.cost, paid.estimated);
    match paid.answer {
        Ok(reply) => {
            asking.recorded = reply.recorded;
            match model::prose(&reply.text) {
                Ok(prose) => (asking.outcome, asking.said) = ("words for people".into(), Some(prose)),
                Err(why) => asking.outcome = format!("its words are not used: {why}"),
            }
        }
        Err(error) => asking.outcome = plain_line(&format!("no words: {error}"), 200),
    }
    Some(asking)
}

/// A question that has no answer.
fn nothing_yet(models: &Models, prompt: &Prompt, question: String) -> Asking {
    Asking {
        strategy: "model".into(),
        by: models.name().to_string(),
        prompt: prompt.version.clone(),
        question,
        cost: Cost::default(),
        recorded: false,
        estimated: false,
        outcome: String::new(),
        said: None,
    }
}
