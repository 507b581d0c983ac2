//! A bounded copy of a stream.
//!
//! Deliberately not here: reading and writing; this only sees bytes that have passed.

use std::collections::VecDeque;

use super::Stream;

/// A bounded copy of a stream: its beginning and, if wanted, its end.
pub(super) struct Keep {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    tail_limit: usize,
    total: u64,
    pub(super) lost: Option<String>,
}

impl Keep {
    fn new(head_limit: usize, tail_limit: usize) -> Keep {
        Keep { head: Vec::new(), head_limit, tail: VecDeque::new(), tail_limit, total: 0, lost: None }
    }

    pub(super) fn head(limit: usize) -> Keep {
        Keep::new(limit, 0)
    }

    pub(super) fn both_ends(limit: usize) -> Keep {
        Keep::new(limit / 2, limit - limit / 2)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (first, later) = bytes.split_at(bytes.len().min(self.head_limit - self.head.len()));
        self.head.extend_from_slice(first);
        let later = &later[later.len().saturating_sub(self.tail_limit)..];
        let excess = (self.tail.len() + later.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..excess);
        self.tail.extend(later);
    }

    /// The last `count` bytes have not been used. Only for a copy without a tail.
    pub(super) fn forget_last(&mut self, count: u64) {
        self.total = self.total.saturating_sub(count);
        self.head.truncate(usize::try_from(self.total).unwrap_or(usize::MAX));
    }

    pub(super) fn take(&mut self) -> Stream {
        let mut bytes = std::mem::take(&mut self.head);
        let missing = self.total - (bytes.len() + self.tail.len()) as u64;
        if missing > 0 && self.tail_limit > 0 {
            bytes.extend_from_slice(format!("\n[{missing} bytes not kept]\n").as_bytes());
        }
        bytes.extend(std::mem::take(&mut self.tail));
        Stream { bytes, total: self.total, truncated: missing > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(mut keep: Keep, parts: &[&[u8]]) -> Stream {
        parts.iter().for_each(|part| keep.add(part));
        keep.take()
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        let whole = Stream { bytes: b"abcdef".to_vec(), total: 6, truncated: false };
        assert_eq!(kept(Keep::head(6), &[b"abc", b"", b"def"]), whole);
        assert_eq!(kept(Keep::both_ends(6), &[b"a", b"bcde", b"f"]), whole);
    }

    #[test]
    fn a_long_stream_keeps_its_beginning_and_standard_error_also_its_end() {
        let cut = Stream { bytes: b"abcd".to_vec(), total: 10, truncated: true };
        assert_eq!(kept(Keep::head(4), &[b"abcdefg", b"hij"]), cut);
        let ends = Stream { bytes: b"ab\n[5 bytes not kept]\nhij".to_vec(), total: 10, truncated: true };
        assert_eq!(kept(Keep::both_ends(5), &[b"abcdefg", b"hij"]), ends);
        assert_eq!(kept(Keep::both_ends(5), &[b"a", b"b", b"c", b"d", b"e", b"f", b"ghij"]), ends);
    }

    #[test]
    fn input_that_nobody_read_is_not_kept() {
        let mut keep = Keep::head(4);
        keep.add(b"abcdef");
        keep.forget_last(3);
        assert_eq!(keep.take(), Stream { bytes: b"abc".to_vec(), total: 3, truncated: false });
    }
}
