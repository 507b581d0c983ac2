//! What asking a model or an agent took, and what it led to.

use serde::{Deserialize, Serialize};

/// What something outside has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Questions that were asked, or runs of an agent.
    pub attempts: u64,
    /// Tokens of what was asked.
    pub input_tokens: u64,
    /// Tokens of what was answered.
    pub output_tokens: u64,
    /// Millionths of a dollar; 0 also where nobody knows.
    pub micro_usd: u64,
    /// Time of waiting for it.
    pub milliseconds: u64,
}

impl Cost {
    /// Both together.
    pub fn and(self, other: Cost) -> Cost {
        Cost {
            attempts: self.attempts.saturating_add(other.attempts),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
            milliseconds: self.milliseconds.saturating_add(other.milliseconds),
        }
    }

    /// What is left of it without another one that is part of it.
    pub fn without(self, other: Cost) -> Cost {
        Cost {
            attempts: self.attempts.saturating_sub(other.attempts),
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            micro_usd: self.micro_usd.saturating_sub(other.micro_usd),
            milliseconds: self.milliseconds.saturating_sub(other.milliseconds),
        }
    }

    /// Tokens of both.
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// In dollars.
    pub fn usd(self) -> f64 {
        self.micro_usd as f64 / 1e6
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cost { attempts, input_tokens, output_tokens, milliseconds, .. } = self;
        write!(f, "{attempts} asked, {input_tokens} + {output_tokens} tokens, ${:.4}, ", self.usd())?;
        write!(f, "{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(all: I) -> Cost {
        all.fold(Cost::default(), Cost::and)
    }
}

impl Asking {
    /// Whether nothing came of it, at no cost, as of the one before.
    pub fn is_repeated(&self, before: Option<&Asking>) -> bool {
        let same = |before: &Asking| before.outcome == self.outcome && before.question == self.question;
        self.cost == Cost::default() && before.is_some_and(same)
    }

    /// Whether it was for words for people, and not for a patch.
    pub fn is_prose(&self) -> bool {
        self.prompt.starts_with("prose-")
    }
}

/// One question to a model, or one run of an agent, as the log keeps it. What was said is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// `model` or `agent`.
    pub strategy: String,
    /// Who answered: the model, or the agent's name.
    pub by: String,
    /// Which prompt it was: a name and a digest of its templates.
    pub prompt: String,
    /// Digest of the question: the same one is not counted twice.
    pub question: String,
    pub cost: Cost,
    /// The answer was there already, and cost nothing now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// Nobody said how many tokens, or at which price: what is missing is estimated or left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What it led to, in our words.
    pub outcome: String,
    /// What is kept of what was said, without secrets: what an agent printed, or prose that a model wrote for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}
