//! How a failed test reads in what pytest prints, in its long and its short style: places, and the lines that begin with `E`.
//! Owns no rule about what a failure means.

use std::sync::LazyLock;

use regex::Regex;

use super::{FRAMES, Trace, frame, regex};
use crate::model::Frame;

/// `tests/test_a.py:17: in test_total`, or at the end of an entry `shop.py:6: ZeroDivisionError`, or `test_a.py:17:`.
static PLACE: LazyLock<Regex> = LazyLock::new(|| regex(r"^([^\s:][^:]*\.pyw?):(\d+):(?: in (.+)|(?: [A-Za-z_][\w.]*)?)$"));
static DEFINED: LazyLock<Regex> = LazyLock::new(|| regex(r"^>?\s*(?:async )?def (\w+)\("));
static SAID: LazyLock<Regex> = LazyLock::new(|| regex(r"^E  +(\S.*)$"));
static RAISED: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?:: .*)?$"));

/// The last failure of a chain.
pub(super) fn read(text: &str, root: &str) -> Option<Trace> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut defined = None;
    let mut said: Option<&str> = None;
    for line in text.lines().map(str::trim_end) {
        if line.ends_with("another exception occurred:") || line.ends_with("direct cause of the following exception:") {
            (frames, defined, said) = (Vec::new(), None, None);
        } else if let Some(place) = PLACE.captures(line) {
            let part = |index: usize| place.get(index).map(|found| found.as_str());
            let function = part(3).or(defined.take());
            if frames.len() >= FRAMES {
                frames.remove(0);
            }
            frames.push(frame(part(1).unwrap_or_default(), part(2).unwrap_or_default(), function, root));
        } else if let Some(found) = DEFINED.captures(line) {
            defined = found.get(1).map(|name| name.as_str());
        } else if said.is_none() {
            said = SAID.captures(line).and_then(|found| found.get(1)).map(|found| found.as_str());
        }
    }
    let message = said?;
    frames.reverse();
    let raised = RAISED.captures(message).and_then(|found| found.get(1)).map(|name| name.as_str().to_string());
    // `assert 1 == 2` says no class: pytest leaves it out.
    let error_type = raised.or_else(|| message.starts_with("assert ").then(|| "AssertionError".to_string()));
    (!frames.is_empty()).then(|| Trace { error_type, message: message.to_string(), frames })
}

#[cfg(test)]
mod tests {
    use super::super::read_failure;
    use super::*;

    fn places(trace: &Trace) -> Vec<(&str, u32, Option<&str>)> {
        trace.frames.iter().map(|f| (f.path.as_str(), f.line, f.function.as_deref())).collect()
    }

    const LONG: &str = "count = 0\n\n    @pytest.mark.parametrize(\"count\", [2, 0])\n    def test_unit_price(count):\n\
        >       assert unit_price(10, count) == 5\n               ^^^^\n\ntest_shop.py:17: \n_ _ _ _ _ _\n\ntotal = 10, count = 0\n\n    \
        def unit_price(total, count):\n>       return total / count\nE       ZeroDivisionError: division by zero\n\n\
        shop.py:6: ZeroDivisionError\n";
    const SHORT: &str = "test_shop.py:17: in test_unit_price\n    assert unit_price(10, count) == 5\nshop.py:6: in unit_price\n    \
        return total / count\nE   ZeroDivisionError: division by zero\n";

    #[test]
    fn both_styles_tell_the_same_failure() {
        for text in [LONG, SHORT] {
            let trace = read_failure(text.as_bytes(), "/r");
            assert_eq!(trace.error_type.as_deref(), Some("ZeroDivisionError"));
            assert_eq!(trace.message, "ZeroDivisionError: division by zero");
            assert_eq!(places(&trace), [("shop.py", 6, Some("unit_price")), ("test_shop.py", 17, Some("test_unit_price"))]);
            assert!(trace.frames.iter().all(|frame| frame.in_repo));
        }
    }

    #[test]
    fn a_bare_assertion_and_a_chain() {
        let trace =
            read_failure(b"    def test_a():\n>       assert 1 == 2\nE       assert 1 == 2\n\ntest_a.py:2: AssertionError\n", "");
        assert_eq!(
            (trace.error_type.as_deref(), places(&trace)),
            (Some("AssertionError"), vec![("test_a.py", 2, Some("test_a"))])
        );
        let chain =
            format!("{SHORT}\nDuring handling of the above exception, another exception occurred:\na.py:3: in f\nE   shop.Odd\n");
        let trace = read_failure(chain.as_bytes(), "");
        assert_eq!((trace.error_type.as_deref(), places(&trace)), (Some("Odd"), vec![("a.py", 3, Some("f"))]));
    }

    #[test]
    fn other_output_is_not_mistaken_for_it() {
        assert_eq!(read("E   lonely\n", ""), None);
        assert_eq!(read("main.py:3: warning\nsomething failed\n", ""), None);
    }
}
