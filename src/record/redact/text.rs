//! Small questions about bytes at a place: runs, beginnings of words, what is random and what is dull.

/// Where lengths must be bounded so that no input is slow: the longest name, and the longest value that is looked into.
pub(super) const NAME_MAX: usize = 64;
pub(super) const VALUE_MAX: usize = 512;

/// How many bytes from `from` on satisfy `belongs`.
pub(super) fn run(text: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len())
}

/// How many bytes just before `at` satisfy `belongs`, at most [`VALUE_MAX`].
pub(super) fn before(text: &[u8], at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    before_within(text, at, VALUE_MAX, belongs)
}

/// The same, at most `limit`.
pub(super) fn before_within(text: &[u8], at: usize, limit: usize, belongs: impl Fn(u8) -> bool) -> usize {
    text[..at].iter().rev().take(limit).take_while(|byte| belongs(**byte)).count()
}

/// The text up to so many bytes behind `at`.
pub(super) fn until(text: &[u8], at: usize, bytes: usize) -> &[u8] {
    &text[..text.len().min(at + bytes)]
}

/// Whether a word can begin at `at`: after anything that is no part of a word, after `\n` written out, after `%20`, and after a
/// colour.
pub(super) fn begins(text: &[u8], at: usize) -> bool {
    let Some(last) = at.checked_sub(1).map(|at| text[at]) else { return true };
    if !(last.is_ascii_alphanumeric() || last == b'_') {
        return true;
    }
    let back = |by: usize| at.checked_sub(by).map(|at| text[at]);
    let written_out = matches!(last, b'n' | b'r' | b't') && back(2) == Some(b'\\');
    let encoded = back(3) == Some(b'%') && last.is_ascii_hexdigit() && back(2).is_some_and(|byte| byte.is_ascii_hexdigit());
    let colour = last == b'm' && {
        let digits = before(text, at - 1, |byte| byte.is_ascii_digit() || byte == b';');
        back(2 + digits) == Some(b'[')
    };
    written_out || encoded || colour
}

/// The end of a colour sequence of a terminal at `at`, else `at`.
pub(super) fn after_colour(text: &[u8], at: usize) -> usize {
    if text.get(at) != Some(&0x1b) || text.get(at + 1) != Some(&b'[') {
        return at;
    }
    let digits = run(text, at + 2, |byte| byte.is_ascii_digit() || byte == b';');
    if text.get(at + 2 + digits) == Some(&b'm') { at + 3 + digits } else { at }
}

/// Whether it only stands for a secret: `xxxx`, `****`, `…EXAMPLE`.
pub(super) fn is_dull(value: &[u8]) -> bool {
    if value.len() > VALUE_MAX {
        return false;
    }
    let mut seen = [0u64; 4];
    value.iter().for_each(|byte| seen[usize::from(byte >> 6)] |= 1 << (byte & 63));
    let distinct: u32 = seen.iter().map(|bits| bits.count_ones()).sum();
    let says_so = |end: &[u8]| value.ends_with(end);
    distinct <= 3.min(value.len() as u32 / 2) || says_so(b"EXAMPLE") || says_so(b"EXAMPLEKEY") || holds(value, b"xxxx")
}

/// Whether `part` is in `text`, whatever the case; both are short.
pub(super) fn holds(text: &[u8], part: &[u8]) -> bool {
    text.len() >= part.len() && text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Whether the characters look drawn by lot. Shannon's entropy of the text, and how often letters, capitals and digits follow
/// each other: long identifiers have the first, not the second.
pub(super) fn is_random(value: &[u8]) -> bool {
    if !(20..=VALUE_MAX).contains(&value.len()) || is_dull(value) {
        return false;
    }
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    let count = |wanted: u8| value.iter().filter(|byte| class(**byte) == wanted).count();
    let (digits, small, capitals) = (count(1), count(2), count(3));
    let changes = value.windows(2).filter(|pair| class(pair[0]) != class(pair[1]) && class(pair[0]) * class(pair[1]) > 0).count();
    let mixed = (digits >= 2 && small >= 2 && capitals >= 2) || (digits >= 4 && small + capitals >= 4);
    let quick = changes * 4 >= value.len();
    mixed && quick && entropy(value) >= 3.3
}

/// Shannon's entropy in bits a character.
pub(super) fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    value.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let length = value.len().max(1) as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

/// Whether all of it is hexadecimal digits, or a UUID.
pub(super) fn is_hex_or_uuid(value: &[u8]) -> bool {
    let hex = value.iter().all(u8::is_ascii_hexdigit) && value.len() >= 20;
    hex || is_uuid(value)
}

pub(super) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_begins_after_what_is_no_word_also_when_that_is_written_out() {
        assert!(begins(b"ghp_", 0) && begins(b"=ghp_", 1) && begins(b"\\nghp_", 2) && begins(b"%3Dghp_", 3));
        assert!(begins(b"\x1b[31mghp_", 5) && begins(b"\\u001b[1;31mghp_", 12));
        assert!(!begins(b"task-", 2) && !begins(b"m_x", 2) && !begins(b"\\xghp_", 2));
    }

    #[test]
    fn what_is_drawn_by_lot_is_random_and_words_are_not() {
        for random in ["wJalrXUtnFEMI/K7MDENG/bPxRfiCY7dKq2Lx", "3k9x2v8q1z7w5n4m6b0cplkj", "aG9tZTpzd2VldDpob21lMTIz"] {
            assert!(is_random(random.as_bytes()), "{random}");
        }
        for dull in
            ["AbstractSingletonProxyFactoryBean", "src/components/LoginForm/index2.tsx", "xxxxxxxxxxxxxxxxxxxxxxxx1A", "short1A"]
        {
            assert!(!is_random(dull.as_bytes()), "{dull}");
        }
        assert!(entropy(b"aaaa") == 0.0 && entropy(b"abcd") == 2.0);
    }
}
