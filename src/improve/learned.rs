//! What became of earlier repairs: it moves the templates and operators that made them up or down.
//!
//! Derived from the log whenever it is needed, never stored.

use std::collections::BTreeMap;

use crate::model::Language;

/// Earlier repairs count like so many of unknown outcome, half of them good: two repairs do not turn the order upside down.
const PRIOR: f64 = 4.0;
/// The least that is left of a template's weight: it may still be right elsewhere.
const LEAST: f64 = 0.5;

/// Repairs by language and template: those that were kept, and those that were taken back or turned down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    counts: BTreeMap<(Language, String), (u32, u32)>,
    /// Repairs that proved themselves, oldest first.
    pub repaired: Vec<Repaired>,
}

/// A repair that proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Of the failure.
    pub class: String,
    pub diff: String,
}

impl Learned {
    /// Counts one repair. `source` is as in the log: a name, or several with ` + ` between them.
    pub fn record(&mut self, language: Language, source: &str, good: bool) {
        for name in source.split(" + ") {
            let (kept, undone) = self.counts.entry((language, name.to_string())).or_default();
            *(if good { kept } else { undone }) += 1;
        }
    }

    /// What a template's weight is multiplied by, from [`LEAST`] to below 2: twice the mean of the Beta distribution that has
    /// [`PRIOR`] / 2 added to either count, so that it is 1 for what was never tried.
    pub(super) fn factor(&self, language: Language, name: &str) -> f64 {
        let (kept, undone) = self.counts.get(&(language, name.to_string())).copied().unwrap_or_default();
        let (kept, undone) = (f64::from(kept), f64::from(undone));
        (2.0 * (kept + PRIOR / 2.0) / (kept + undone + PRIOR)).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_rises_and_what_was_undone_falls_within_bounds() {
        let mut learned = Learned::default();
        let of = |learned: &Learned, name| learned.factor(Language::Python, name);
        assert_eq!(of(&learned, "a"), 1.0);
        learned.record(Language::Python, "a + b", true);
        learned.record(Language::Python, "c", false);
        // 2 · (1 + 2) / (1 + 4), and 2 · 2 / 5.
        assert_eq!((of(&learned, "a"), of(&learned, "b"), of(&learned, "c")), (1.2, 1.2, 0.8));
        (0..1000).for_each(|_| learned.record(Language::Python, "c", false));
        (0..1000).for_each(|_| learned.record(Language::Python, "a", true));
        assert!(of(&learned, "c") == LEAST && of(&learned, "a") > 1.9 && of(&learned, "a") < 2.0);
        assert_eq!(learned.factor(Language::Rust, "a"), 1.0);
    }
}
