//! Names for a generated test: what failed and how, in an alphabet that is harmless wherever a name may stand.

/// Characters of a failure's class that take part in a name.
const CLASS_CHARACTERS: usize = 48;

/// What the test is about.
pub(super) struct Incident<'a> {
    pub tool: &'a str,
    /// The class of the failure: text from outside.
    pub class: Option<&'a str>,
    pub id8: &'a str,
}

impl Incident<'_> {
    /// `calculator_zero_division_error_1a2b3c4d`: an identifier, once it does not begin with a digit.
    pub(super) fn slug(&self) -> String {
        let class = self.class.map(words).unwrap_or_default();
        words(self.tool).into_iter().chain(class).chain([self.id8.to_string()]).collect::<Vec<_>>().join("_")
    }

    /// `CalculatorZeroDivisionError1a2b3c4d`
    pub(super) fn camel(&self) -> String {
        let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        self.slug().split('_').filter(|word| !word.is_empty()).map(capital).collect()
    }

    /// `calculator: zero division error (1a2b3c4d)`
    pub(super) fn title(&self) -> String {
        match self.class.map(words).filter(|words| !words.is_empty()) {
            Some(words) => format!("{}: {} ({})", self.tool, words.join(" "), self.id8),
            None => format!("{}: recorded failure ({})", self.tool, self.id8),
        }
    }

    /// The class for a comment; letters, digits and a little punctuation of it.
    pub(super) fn failure(&self) -> Option<String> {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | ':' | '-');
        let class: String = self.class?.chars().filter(plain).take(CLASS_CHARACTERS).collect();
        Some(class.trim().to_string()).filter(|class| !class.is_empty())
    }
}

/// Lower-case words of ASCII letters and digits: `JSONDecodeError` is `json`, `decode`, `error`.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().take(CLASS_CHARACTERS).collect();
    let mut words: Vec<String> = Vec::new();
    let mut begins = true;
    for (at, c) in letters.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            begins = true;
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        begins |= c.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
            });
        match words.last_mut() {
            Some(word) if !begins => word.push(c.to_ascii_lowercase()),
            _ => words.push(c.to_ascii_lowercase().to_string()),
        }
        begins = false;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_after_the_tool_and_the_failure() {
        let incident = |class| Incident { tool: "unit-price", class, id8: "1a2b3c4d" };
        assert_eq!(incident(Some("ZeroDivisionError")).slug(), "unit_price_zero_division_error_1a2b3c4d");
        assert_eq!(incident(Some("json.JSONDecodeError")).slug(), "unit_price_json_json_decode_error_1a2b3c4d");
        assert_eq!(incident(Some("exit 3")).camel(), "UnitPriceExit31a2b3c4d");
        assert_eq!(incident(Some("time-out")).title(), "unit-price: time out (1a2b3c4d)");
        assert_eq!(incident(None).slug(), "unit_price_1a2b3c4d");
    }

    #[test]
    fn a_class_from_outside_can_be_nothing_but_a_name() {
        let incident = Incident { tool: "t", class: Some("\"\"\"\n*/ É';$(rm)`{{ id }}\u{202e}"), id8: "1" };
        assert_eq!(incident.slug(), "t_rm_id_1");
        assert_eq!(incident.failure().expect("letters"), "rm id");
        assert_eq!(Incident { class: Some("…"), ..incident }.failure(), None);
    }
}
