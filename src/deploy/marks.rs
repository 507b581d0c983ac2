//! The two marks around our part of a proposal's text. What stands outside is people's and stays; what stands inside is ours. The mark below
//! carries a digest of what stands between, so that a change by somebody else is seen without remembering what we wrote.

use crate::model::digest;

/// How the marks begin.
const BEGIN: &str = "<!-- fractal:begin ";
const END: &str = "<!-- fractal:end";
const CLOSE: &str = "-->";
/// Signs of a digest.
const DIGEST: usize = 16;

/// A text taken apart.
struct Parts<'a> {
    before: &'a str,
    /// With the mark above and without the one below.
    inside: &'a str,
    /// What the mark below says; texts of old say nothing.
    sealed: Option<&'a str>,
    after: &'a str,
}

impl Parts<'_> {
    fn of(text: &str) -> Option<Parts<'_>> {
        let begin = text.find(BEGIN)?;
        let end = begin + text[begin..].find(END)?;
        let seal = end + END.len();
        let close = seal + text[seal..].find(CLOSE)?;
        let sealed = Some(text[seal..close].trim()).filter(|sealed| !sealed.is_empty());
        Some(Parts { before: &text[..begin], inside: &text[begin..end], sealed, after: &text[close + CLOSE.len()..] })
    }
}

/// What somebody else changed in a text of ours, as digests of what stands there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// `None`: as we wrote it.
    pub inside: Option<String>,
    /// Of nothing, where nothing stands there.
    pub outside: String,
}

/// A short digest of a text, whatever its line ends and the space around it.
pub fn digest_of(text: &str) -> String {
    let plain = text.replace("\r\n", "\n");
    digest(&[plain.trim().as_bytes()]).chars().take(DIGEST).collect()
}

/// A text of ours with a digest of itself in the mark below it.
pub(super) fn sealed(body: &str) -> String {
    match Parts::of(body) {
        Some(Parts { before, inside, after, .. }) => format!("{before}{inside}{END} {} {CLOSE}{after}", digest_of(inside)),
        None => body.to_string(),
    }
}

/// What is not as we left it.
pub fn changed(text: &str) -> Changed {
    match Parts::of(text) {
        Some(Parts { before, inside, sealed, after }) => {
            let now = digest_of(inside);
            let outside = format!("{}\n{}", before.trim(), after.trim());
            Changed { inside: sealed.is_some_and(|sealed| sealed != now).then_some(now), outside: digest_of(&outside) }
        }
        // Somebody took the marks out, and what is left is theirs.
        None => Changed { inside: Some(digest_of("")), outside: digest_of(text) },
    }
}

/// The text of a proposal with our part of it as it is to be now: what stands outside of our two marks stays. `None` when it says that
/// already, or when a person took the marks out.
pub fn renewed(text: &str, body: &str) -> Option<String> {
    // Forges give back other line ends than they got.
    let text = text.replace("\r\n", "\n");
    let Parts { before, after, .. } = Parts::of(&text)?;
    let ours = &text[before.len()..text.len() - after.len()];
    let body = body.trim_end();
    (ours != body).then(|| format!("{before}{body}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(words: &str) -> String {
        sealed(&format!("<!-- fractal:begin 01 -->\n{words}\n<!-- fractal:end -->\n"))
    }

    #[test]
    fn what_people_wrote_around_our_part_of_a_text_stays() {
        let (ours, other) = (body("18 of 50"), body("19 of 50"));
        let around = format!("Ana: please look\r\n\r\n{}\r\n\r\nI did.", ours.trim_end().replace('\n', "\r\n"));
        assert_eq!(renewed(&around, &ours), None, "it says that already");
        let expected = format!("Ana: please look\n\n{}\n\nI did.", other.trim_end());
        assert_eq!(renewed(&around, &other), Some(expected));
        assert_eq!(renewed("a person's text", &other), None);
        // Written before there were digests.
        let old = "<!-- fractal:begin 01 -->\n18 of 50\n<!-- fractal:end -->";
        assert_eq!(renewed(&format!("x\n{old}"), &other), Some(format!("x\n{}", other.trim_end())));
    }

    #[test]
    fn a_change_is_seen_where_it_was_made_and_line_ends_are_none() {
        let (ours, nothing) = (body("18 of 50"), digest_of(""));
        let as_left = Changed { inside: None, outside: nothing.clone() };
        assert_eq!(changed(&ours), as_left);
        assert_eq!(changed(&format!("{}  \r\n", ours.replace('\n', "\r\n"))), as_left);
        let inside = changed(&ours.replace("18", "80"));
        assert!(inside.inside.is_some() && inside.outside == nothing, "{inside:?}");
        assert_ne!(inside, changed(&ours.replace("18", "81")));
        let outside = changed(&format!("Ana: wait\n{ours}"));
        assert!(outside.inside.is_none() && outside.outside != nothing, "{outside:?}");
        assert_eq!(outside, changed(&format!("Ana: wait\r\n\r\n{ours}")));
        let gone = changed("mine");
        assert!(gone.inside.is_some() && gone.outside != nothing, "{gone:?}");
        let old = "<!-- fractal:begin 01 -->\nany\n<!-- fractal:end -->";
        assert_eq!(changed(old), as_left, "nobody knows what it was");
    }
}
