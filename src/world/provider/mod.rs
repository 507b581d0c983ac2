//! Language models: a question goes out, an answer comes back, and what it cost is counted. Keys come from the environment or a file
//! and are shown to nobody but the provider.
//!
//! Everything that goes out or is kept passes one door: it is redacted there. Deliberately not here: what is asked, what an answer means,
//! and how much may be spent.

mod anthropic;
mod chat;
mod http;
mod price;
mod recording;
mod responses;
mod stream;

use std::path::Path;

use serde_json::Value;

pub use self::price::Priced;
use self::recording::Recorder;
use super::clock::{Clock, Stopwatch};
use super::files;
use crate::config::{ModelConfig, Provider as Kind, Recordings};
use crate::model::Cost;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

/// A question, as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What the model is told of its task.
    pub system: String,
    /// What was said so far; the last is the user's.
    pub messages: Vec<(Role, String)>,
    pub temperature: Option<f64>,
    pub answer_tokens: u64,
    /// The form of the answer: a name and a JSON schema. Without it, text.
    pub form: Option<(&'static str, Value)>,
    /// Which of several answers to the same question this is.
    pub sample: usize,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// It was finished.
    End,
    /// It was too long.
    Length,
    /// The model, or its provider, does not want to.
    Refused,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub text: String,
    pub stop: Stop,
    /// With what it cost when it was given.
    pub cost: Cost,
    /// Nobody said how many tokens it took, or what they cost.
    pub estimated: bool,
    /// Digest of the question.
    pub question: String,
    /// It was there already.
    pub recorded: bool,
}

/// Why there is none, by what follows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody can be asked as things are: a key, an address, rights.
    #[error("{0}")]
    Setup(String),
    /// Nobody answers, or not before long.
    #[error("{0}")]
    Away(String),
    /// What came back is none; the cost is what it may have taken.
    #[error("{0}")]
    Broken(String),
    /// Only what is kept is answered, and this is not.
    #[error("this was never asked: nothing recorded answers it (`[model] recordings = \"replay\"`)")]
    NotRecorded,
}

/// What passes through [`Models`] is changed by this first.
pub type Redact = Box<dyn Fn(&str) -> String + Send + Sync>;

/// A provider with a model of its own choice.
pub struct Models {
    config: ModelConfig,
    price: Option<Priced>,
    wire: Option<http::Wire>,
    recorder: Recorder,
    redact: Redact,
}

/// What a provider's protocol makes of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    text: String,
    stop: Option<Stop>,
    tokens: Option<(u64, u64)>,
}

impl Models {
    /// The model that the configuration names; `None` when it names none. `state` is the folder for recordings.
    ///
    /// # Errors
    /// When it cannot be asked: there is no key, or no place to ask.
    pub fn open(config: &ModelConfig, state: &Path, clock: Clock, redact: Redact) -> Result<Option<Models>, AskError> {
        if config.provider == Kind::None {
            return Ok(None);
        }
        let key = if config.recordings == Recordings::Replay { None } else { key(config.provider)? };
        Models::with_key(config, key, state, clock, redact).map(Some)
    }

    /// The same with this key, whatever the environment says.
    ///
    /// # Errors
    /// When there is no place to ask.
    pub fn with_key(
        config: &ModelConfig,
        key: Option<String>,
        state: &Path,
        clock: Clock,
        redact: Redact,
    ) -> Result<Models, AskError> {
        let wire = match config.recordings {
            Recordings::Replay => None,
            Recordings::On | Recordings::Off => Some(http::Wire::open(config, key, clock)?),
        };
        Ok(Models { price: price::of(config), config: config.clone(), wire, recorder: Recorder::new(config, state), redact })
    }

    /// The model, for the log.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it costs; `None` where nobody knows.
    pub fn priced(&self) -> Option<&Priced> {
        self.price.as_ref()
    }

    fn micro_usd(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        self.priced().map_or(0, |known| known.price.micro_usd(input_tokens, output_tokens))
    }

    /// Digest of a question: the same question to the same model has the same one, wherever the model is asked.
    pub fn digest(&self, question: &Question) -> String {
        self.digest_of(&self.redacted(question))
    }

    fn digest_of(&self, redacted: &Question) -> String {
        let body = body(&self.config, redacted).to_string();
        blake3::hash(format!("{}\n{body}", redacted.sample).as_bytes()).to_hex()[..32].to_string()
    }

    fn redacted(&self, question: &Question) -> Question {
        let messages = question.messages.iter().map(|(role, text)| (*role, (self.redact)(text))).collect();
        Question { system: (self.redact)(&question.system), messages, ..question.clone() }
    }

    /// The answer that is there already, if one is.
    ///
    /// # Errors
    /// [`AskError::NotRecorded`] when there is none and nobody may be asked for it.
    pub fn recorded(&self, question: &Question) -> Result<Option<Reply>, AskError> {
        let found = self.recorder.find(&self.digest(question));
        if found.is_none() && self.wire.is_none() { Err(AskError::NotRecorded) } else { Ok(found) }
    }

    /// What a question may cost at most: all the tokens that an answer may have, and all the time that it may take.
    pub fn most(&self, question: &Question) -> Cost {
        let (input_tokens, output_tokens) = (estimate(question), question.answer_tokens);
        let micro_usd = self.micro_usd(input_tokens, output_tokens);
        let milliseconds = u64::try_from(self.config.timeout.0.as_millis()).unwrap_or(u64::MAX);
        Cost { attempts: 1, input_tokens, output_tokens, micro_usd, milliseconds }
    }

    /// Asks. A question that was asked before, and kept, is not sent again.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&self, question: &Question) -> Result<Reply, AskError> {
        let redacted = self.redacted(question);
        let digest = self.digest_of(&redacted);
        if let Some(reply) = self.recorder.find(&digest) {
            return Ok(reply);
        }
        let Some(wire) = &self.wire else { return Err(AskError::NotRecorded) };
        let (watch, body) = (Stopwatch::start(), body(&self.config, &redacted));
        let said = wire.ask(&body)?;
        let text = (self.redact)(&wire.without_key(&said.text));
        let (input_tokens, output_tokens) = said.tokens.unwrap_or_else(|| (estimate(&redacted), tokens(said.text.len())));
        let milliseconds = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let micro_usd = self.micro_usd(input_tokens, output_tokens);
        let reply = Reply {
            text,
            stop: said.stop.unwrap_or(Stop::End),
            cost: Cost { attempts: 1, input_tokens, output_tokens, micro_usd, milliseconds },
            estimated: said.tokens.is_none() || self.price.is_none(),
            question: digest,
            recorded: false,
        };
        self.recorder.keep(&self.config, &body, &reply);
        Ok(reply)
    }
}

/// Tokens that a question may have, guessed from its length: rather too many.
fn estimate(question: &Question) -> u64 {
    tokens(question.system.len() + question.messages.iter().map(|(_, text)| text.len()).sum::<usize>())
}

/// English and code have about four bytes to a token.
fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(3) as u64
}

/// What is sent, without anything that says who asks and whom.
fn body(config: &ModelConfig, question: &Question) -> Value {
    match config.provider {
        Kind::Anthropic => anthropic::body(config, question),
        Kind::OpenAiResponses => responses::body(config, question),
        _ => chat::body(config, question),
    }
}

/// The provider's key; `None` where none is needed.
fn key(kind: Kind) -> Result<Option<String>, AskError> {
    let own = kind.variable();
    if let Some(key) = files::variable("FRACTAL_MODEL_KEY") {
        return Ok(Some(key.trim().to_string()));
    }
    if let Some(path) = files::variable("FRACTAL_MODEL_KEY_FILE") {
        let wrong = |why: String| AskError::Setup(format!("`FRACTAL_MODEL_KEY_FILE`: {why}"));
        let bytes = files::read(Path::new(&path)).map_err(|error| wrong(format!("{error:#}")))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("what it names is not text".into()))?;
        return Ok(Some(text.trim().to_string()));
    }
    match own.map(|name| (name, files::variable(name))) {
        None => Ok(None),
        Some((_, Some(key))) => Ok(Some(key.trim().to_string())),
        Some((name, None)) => {
            Err(AskError::Setup(format!("there is no key; set `FRACTAL_MODEL_KEY`, `FRACTAL_MODEL_KEY_FILE` or `{name}`")))
        }
    }
}
