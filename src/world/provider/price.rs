//! What models cost: the table in `templates/models/prices.toml`, and the configuration over it.

use serde::Deserialize;

use crate::config::{ModelConfig, Price, Provider};

/// A price, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Priced {
    pub price: Price,
    /// For people.
    pub by: String,
}

#[derive(Deserialize)]
struct Row {
    model: String,
    input: f64,
    output: f64,
}

#[derive(Deserialize)]
struct Table {
    /// When the providers listed these prices.
    date: String,
    price: Vec<Row>,
}

/// What the configured model costs; `None` where nobody knows. What runs on this machine costs nothing.
pub(super) fn of(config: &ModelConfig) -> Option<Priced> {
    let own = config.prices.iter().map(|(name, price)| (name.as_str(), *price));
    if let Some(price) = fitting(&config.name, own) {
        return Some(Priced { price, by: "`[model.prices]`".into() });
    }
    if config.provider == Provider::Ollama {
        return Some(Priced { price: Price { input: 0.0, output: 0.0 }, by: "`ollama`, which runs here".into() });
    }
    let table: Table = toml::from_str(include_str!("../../../templates/models/prices.toml")).ok()?;
    let rows = table.price.iter().map(|row| (row.model.as_str(), Price { input: row.input, output: row.output }));
    Some(Priced { price: fitting(&config.name, rows)?, by: format!("the table of {}", table.date) })
}

/// Of the names that a model's name begins with, the longest has the price; what stands before a `/` may be left out.
fn fitting<'r>(name: &str, rows: impl Iterator<Item = (&'r str, Price)>) -> Option<Price> {
    let short = name.rsplit('/').next().unwrap_or(name);
    let fitting = rows.filter(|(row, _)| !row.is_empty() && (short.starts_with(row) || name.starts_with(row)));
    fitting.max_by_key(|(row, _)| row.len()).map(|(_, price)| price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(config: &ModelConfig) -> Option<(f64, f64)> {
        of(config).map(|priced| (priced.price.input, priced.price.output))
    }

    fn named(name: &str) -> ModelConfig {
        ModelConfig { name: name.into(), ..ModelConfig::default() }
    }

    #[test]
    fn the_longest_name_that_fits_has_the_price() {
        assert_eq!(price(&named("gpt-4o-2024-11-20")), Some((2.5, 10.0)));
        assert_eq!(price(&named("openai/gpt-4o-mini")), Some((0.15, 0.6)));
        assert_eq!(price(&named("claude-sonnet-4-20250514")), Some((3.0, 15.0)));
        assert_eq!(price(&named("my-own-model")), None);
        assert_eq!(Price { input: 2.5, output: 10.0 }.micro_usd(1_000, 100), 3_500);
    }

    #[test]
    fn the_configuration_knows_better_and_what_runs_here_costs_nothing() {
        let row = |name: &str, input, output| (name.to_string(), Price { input, output });
        let prices = [row("gpt-4o", 1.0, 2.0), row("vendor/my-", 0.0, 0.0), row("", 9.0, 9.0)].into_iter().collect();
        let own = ModelConfig { prices, ..named("gpt-4o-mini") };
        assert_eq!(price(&own), Some((1.0, 2.0)));
        assert_eq!(of(&own).map(|priced| priced.by), Some("`[model.prices]`".into()));
        assert_eq!(price(&ModelConfig { name: "vendor/my-own-model".into(), ..own.clone() }), Some((0.0, 0.0)));
        assert_eq!(price(&ModelConfig { name: "another".into(), ..own }), None);
        let here = ModelConfig { provider: Provider::Ollama, ..named("qwen") };
        assert_eq!(price(&here), Some((0.0, 0.0)));
    }
}
