//! `[improve]`: how candidates are made, and which strategy is asked when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Span};

/// How candidates are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImproveConfig {
    /// Candidates that a search tries for one opportunity. Where nothing can be tried fast, it is the best few hundred of them.
    pub candidates: usize,
    /// Processor time of such a search.
    pub cpu: Span,
    /// Time spent at the gate for one opportunity.
    pub time: Span,
    /// Candidates of each strategy that are taken through the whole gate for one failure on one version, at most.
    pub gate_attempts: usize,
    /// A commit older than this is never proposed for a revert.
    pub revert_days: u32,
    /// Which strategies are asked, in this order, until the gate accepts something: `revert`, `template`, `model`, `agent`. The last two do
    /// nothing until `[model]` and `[agent]` say who that is.
    pub strategies: Vec<StrategyName>,
    /// Strategies that are asked too when the candidate of one before them in `strategies` was accepted: the gate compares up to two
    /// candidates of each with it on the same inputs, and the better one is taken. An A/B test, which costs what they cost.
    pub beside: Vec<StrategyName>,
    /// Where other strategies, or another order of them, are better: the first that fits counts.
    pub route: Vec<Route>,
}

/// A way to produce candidates, as the log calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StrategyName {
    /// Undoing the culprit.
    Revert,
    /// Fix templates and operators, and a search over them.
    Template,
    /// A language model.
    Model,
    /// A coding agent.
    Agent,
}

impl StrategyName {
    /// As the configuration and the log have it.
    pub fn word(self) -> &'static str {
        match self {
            StrategyName::Revert => "revert",
            StrategyName::Template => "template",
            StrategyName::Model => "model",
            StrategyName::Agent => "agent",
        }
    }
}

/// Which strategies are asked about some failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// `python`, `rust`, `javascript`, `shell`. Empty: any.
    pub language: String,
    /// The class of the failure, such as `KeyError`. Empty: any.
    pub class: String,
    /// As `[improve] strategies`.
    pub strategies: Vec<StrategyName>,
}

impl ImproveConfig {
    /// The strategies for a failure of this class in this language, in their order.
    pub fn strategies_for(&self, language: &str, class: &str) -> &[StrategyName] {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        let route = self.route.iter().find(|route| fits(&route.language, language) && fits(&route.class, class));
        route.map_or(&self.strategies, |route| &route.strategies)
    }
}

pub(super) fn defaults() -> ImproveConfig {
    ImproveConfig {
        candidates: 4000,
        cpu: Span::seconds(60),
        time: Span::seconds(120),
        gate_attempts: 5,
        revert_days: 30,
        strategies: vec![StrategyName::Revert, StrategyName::Template, StrategyName::Model, StrategyName::Agent],
        beside: Vec::new(),
        route: Vec::new(),
    }
}

/// Refuses strategies that are named twice.
pub(super) fn check(improve: &ImproveConfig) -> Result<(), ConfigError> {
    let routes = improve.route.iter().map(|route| ("improve.route.strategies", &route.strategies));
    for (name, strategies) in routes.chain([("improve.strategies", &improve.strategies), ("improve.beside", &improve.beside)]) {
        let twice = strategies.iter().enumerate().find(|(at, one)| strategies[..*at].contains(one));
        if let Some((_, one)) = twice {
            return Err(ConfigError { message: format!("`{name}` has `{}` twice", one.word()), hint: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_first_route_that_fits_says_which_strategies_are_asked() {
        let text = "[[improve.route]]\nlanguage = \"python\"\nclass = \"KeyError\"\nstrategies = [\"model\"]\n\
                    [[improve.route]]\nlanguage = \"python\"\nstrategies = []\n";
        let improve = Config::parse(text).expect("parses").improve;
        assert_eq!(improve.strategies_for("python", "KeyError"), [StrategyName::Model]);
        assert!(improve.strategies_for("python", "TypeError").is_empty());
        assert_eq!(improve.strategies_for("rust", "KeyError"), defaults().strategies);
        assert!(Config::parse("[improve]\nstrategies = [\"model\", \"model\"]").is_err());
        assert!(Config::parse("[improve]\nstrategies = [\"oracle\"]").is_err());
    }
}
