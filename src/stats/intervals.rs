//! Intervals of a rate.

/// 97.5 % quantile of the standard normal distribution: a two-sided 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// 95 % confidence interval of a rate; (0, 1) without runs.
///
/// (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). Source: E. B. Wilson, "Probable inference, the law of succession, and
/// statistical inference", JASA 22 (1927). Meant for a glance, not for looking after every run.
pub fn wilson(successes: u64, runs: u64) -> (f64, f64) {
    if runs == 0 {
        return (0.0, 1.0);
    }
    let n = runs as f64;
    let rate = successes.min(runs) as f64 / n;
    let square = Z_95 * Z_95;
    let centre = rate + square / (2.0 * n);
    let half = Z_95 * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_has_known_values() {
        let close = |(low, high): (f64, f64), wanted: (f64, f64)| {
            assert!((low - wanted.0).abs() < 5e-5 && (high - wanted.1).abs() < 5e-5, "{low} {high}");
        };
        close(wilson(0, 10), (0.0, 0.2775));
        close(wilson(10, 10), (0.7225, 1.0));
        close(wilson(5, 10), (0.2366, 0.7634));
        close(wilson(81, 263), (0.2553, 0.3662));
        close(wilson(12, 10), (0.7225, 1.0));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
