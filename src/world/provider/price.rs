//! What models cost: the table in `templates/models/prices.toml`, and the configuration over it.

use serde::Deserialize;

use crate::config::{ModelConfig, Provider};

/// Dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

#[derive(Deserialize)]
struct Row {
    model: String,
    #[serde(flatten)]
    price: Price,
}

#[derive(Deserialize)]
struct Table {
    price: Vec<Row>,
}

impl Price {
    /// Millionths of a dollar for so many tokens, rounded up.
    pub fn micro_usd(self, input: u64, output: u64) -> u64 {
        (self.input * input as f64 + self.output * output as f64).ceil() as u64
    }
}

/// What the configured model costs; `None` where nobody knows. What runs on this machine costs nothing.
pub(super) fn of(config: &ModelConfig) -> Option<Price> {
    if config.input_usd > 0.0 || config.output_usd > 0.0 {
        return Some(Price { input: config.input_usd, output: config.output_usd });
    }
    match config.provider {
        Provider::Ollama => Some(Price { input: 0.0, output: 0.0 }),
        _ => listed(&config.name),
    }
}

fn listed(name: &str) -> Option<Price> {
    let table: Table = toml::from_str(include_str!("../../../templates/models/prices.toml")).ok()?;
    let name = name.rsplit('/').next().unwrap_or(name);
    let rows = table.price.into_iter().filter(|row| name.starts_with(&row.model));
    rows.max_by_key(|row| row.model.len()).map(|row| row.price)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_fits_has_the_price() {
        let price = |name| listed(name).map(|price| (price.input, price.output));
        assert_eq!(price("gpt-4o-2024-11-20"), Some((2.5, 10.0)));
        assert_eq!(price("openai/gpt-4o-mini"), Some((0.15, 0.6)));
        assert_eq!(price("claude-sonnet-4-20250514"), Some((3.0, 15.0)));
        assert_eq!(price("my-own-model"), None);
        assert_eq!(Price { input: 2.5, output: 10.0 }.micro_usd(1_000, 100), 3_500);
    }

    #[test]
    fn the_configuration_knows_better_and_what_runs_here_costs_nothing() {
        let own = ModelConfig { name: "gpt-4o".into(), input_usd: 1.0, output_usd: 2.0, ..ModelConfig::default() };
        assert_eq!(of(&own), Some(Price { input: 1.0, output: 2.0 }));
        let here = ModelConfig { provider: Provider::Ollama, name: "qwen".into(), ..ModelConfig::default() };
        assert_eq!(of(&here), Some(Price { input: 0.0, output: 0.0 }));
    }
}
