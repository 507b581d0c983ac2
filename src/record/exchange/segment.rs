//! Segments: the files in which executions are exchanged. A segment is gzip over JSON lines (`lines`), sorted by identity, and never
//! changes; its name says what is in it. Bytes in, values out: where segments are kept is not known here.
//!
//! Everything is bounded, because whoever may write to the repository may write a segment: the packed and the unpacked size, and the
//! length of a line.
//!
//! Small segments are joined as in a log-structured merge tree: only into one at least twice as large as each of its parts, so that a
//! record is written again as often as its writer's history has doubled, and no more.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Deserialize;

use crate::model::ExecutionId;

/// Bytes of a segment as it is stored. A larger one is not read.
pub const PACKED_MAX: u64 = 64 << 20;
/// Bytes of a segment when it is unpacked, written and read.
pub const BYTES_MAX: u64 = 64 << 20;
/// Bytes of one execution. A larger one is not exchanged.
pub const LINE_MAX: usize = 16 << 20;
/// A segment of so many unpacked bytes is not joined any more.
pub const FULL: u64 = 16 << 20;
/// Bytes that are packed into one new segment at once.
pub const NEW_MAX: u64 = 8 << 20;

/// What a segment's file name says: `<first>-<last>-<runs>-<bytes>-<digits>.jsonl.gz`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// When the first and the last run in it ended, in Unix milliseconds; twelve hexadecimal digits each.
    pub first: i64,
    pub last: i64,
    /// Lines.
    pub runs: u64,
    /// Unpacked.
    pub bytes: u64,
    /// The first digits of its object id, so that no two have one name.
    pub digits: String,
}

const DIGITS: usize = 16;
const EXTENSION: &str = ".jsonl.gz";

impl Name {
    /// Reads a file name; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Name> {
        let hex =
            |text: &str, length: usize| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parts: Vec<&str> = text.strip_suffix(EXTENSION)?.split('-').collect();
        let [first, last, runs, bytes, digits] = parts[..] else { return None };
        if ![first, last].iter().all(|time| hex(time, 12)) || !hex(digits, DIGITS) {
            return None;
        }
        let name = Name {
            first: i64::from_str_radix(first, 16).ok()?,
            last: i64::from_str_radix(last, 16).ok()?,
            runs: runs.parse().ok()?,
            bytes: bytes.parse().ok()?,
            digits: digits.into(),
        };
        // One way of writing a name, and no sums that overflow.
        (name.to_string() == text && name.first <= name.last && name.bytes <= BYTES_MAX && name.runs <= name.bytes)
            .then_some(name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:012x}-{:012x}-{}-{}-{}{EXTENSION}", self.first, self.last, self.runs, self.bytes, self.digits)
    }
}

/// A segment that is ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub content: Vec<u8>,
    pub first: i64,
    pub last: i64,
    pub runs: u64,
    pub bytes: u64,
}

impl Packed {
    /// Its name, once the object has an id.
    pub fn name(&self, object: &str) -> Name {
        let digits = object.get(..DIGITS).unwrap_or_default().to_string();
        Name { first: self.first, last: self.last, runs: self.runs, bytes: self.bytes, digits }
    }
}

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(String);

/// The parts of a line that are looked at without reading it.
#[derive(Debug, Deserialize)]
pub struct Head {
    pub id: ExecutionId,
    pub tool: String,
    #[serde(default)]
    pub marked: bool,
}

/// Lines by identity. Of one execution with and without a mark the one with it stays; two different marks stay both.
#[derive(Debug, Default)]
pub struct Lines(BTreeMap<(ExecutionId, bool), Vec<String>>);

impl Lines {
    /// Adds a line that says of itself what it is; anything else is left out.
    pub fn add(&mut self, line: &str) {
        if let Ok(head) = serde_json::from_str::<Head>(line)
            && head.id.bytes().is_some()
        {
            let same = self.0.entry((head.id, head.marked)).or_default();
            if !same.iter().any(|known| known == line) && (head.marked || same.is_empty()) {
                same.push(line.to_string());
            }
        }
    }

    /// Packs all of them; `None` when there are none.
    ///
    /// # Errors
    /// When they would not be read again.
    pub fn pack(mut self) -> Result<Option<Packed>, Damaged> {
        let marked: Vec<ExecutionId> = self.0.keys().filter(|(_, marked)| *marked).map(|(id, _)| id.clone()).collect();
        for id in marked {
            self.0.remove(&(id, false));
        }
        let (Some(first), Some(last)) = (self.0.keys().next(), self.0.keys().next_back()) else { return Ok(None) };
        let (first, last) = (first.0.ended().as_millisecond(), last.0.ended().as_millisecond());
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let (mut runs, mut bytes) = (0, 0);
        for line in self.0.values().flatten() {
            runs += 1;
            bytes += line.len() as u64 + 1;
            packer
                .write_all(line.as_bytes())
                .and_then(|()| packer.write_all(b"\n"))
                .map_err(|error| Damaged(error.to_string()))?;
        }
        let content = packer.finish().map_err(|error| Damaged(error.to_string()))?;
        if bytes > BYTES_MAX || content.len() as u64 > PACKED_MAX {
            return Err(Damaged(format!("{bytes} bytes are too much for one segment")));
        }
        Ok(Some(Packed { content, first, last, runs, bytes }))
    }
}

/// The text of a segment.
///
/// # Errors
/// When it is not gzip, too large, not UTF-8, or not what its name says.
pub fn unpack(name: &Name, content: &[u8]) -> Result<String, Damaged> {
    let mut text = Vec::new();
    let mut unpacker = GzDecoder::new(content).take(name.bytes + 1);
    unpacker.read_to_end(&mut text).map_err(|error| Damaged(format!("it cannot be unpacked: {error}")))?;
    if text.len() as u64 != name.bytes {
        return Err(Damaged(format!("it does not unpack to the {} bytes that its name says", name.bytes)));
    }
    let text = String::from_utf8(text).map_err(|_| Damaged("its text is not UTF-8".into()))?;
    if text.lines().count() as u64 != name.runs {
        return Err(Damaged(format!("it does not have the {} lines that its name says", name.runs)));
    }
    Ok(text)
}

/// A stored segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub name: Name,
    /// Its object id in git.
    pub object: String,
    /// Bytes as stored.
    pub packed: u64,
}

/// Which segments to join into one next; `None` when there are few enough. Full ones do not count and are left alone.
pub fn to_join(segments: &[Segment], most: usize) -> Option<Vec<usize>> {
    let mut small: Vec<usize> = (0..segments.len()).filter(|at| segments[*at].name.bytes < FULL).collect();
    if small.len() <= most.max(1) {
        return None;
    }
    let size = |at: usize| segments[at].name.bytes;
    small.sort_by_key(|at| (size(*at), segments[*at].name.clone()));
    // The smallest ones up to where the next is larger than all of them together. Where even the second is, each is larger than the
    // sum of those before, so there are no more of them than times a segment can double.
    let mut sum = 0;
    let mut end = 0;
    let mut joined = 0;
    for (count, at) in small.iter().enumerate() {
        let doubles = count > 0 && size(*at) <= sum;
        if joined > 0 && (!doubles || sum + size(*at) > 2 * FULL) {
            break;
        }
        sum += size(*at);
        end = count + 1;
        joined += usize::from(doubles);
    }
    if joined == 0 {
        end = 2;
    }
    small.truncate(end);
    Some(small)
}

/// The segments that stay when they may take no more room than this: the newest.
pub fn within(mut segments: Vec<Segment>, room: u64) -> Vec<Segment> {
    segments.sort_by(|a, b| (b.name.last, &b.name).cmp(&(a.name.last, &a.name)));
    let mut taken = 0;
    let stays = segments.iter().take_while(|segment| {
        taken += segment.packed;
        taken <= room
    });
    let stays = stays.count();
    segments.truncate(stays);
    segments
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn line(at: i64, marked: bool) -> String {
        let id = ExecutionId::derived(Timestamp::from_millisecond(at).expect("valid"), &[b"x"]);
        format!(r#"{{"v":1,"id":"{id}","tool":"t","at":{at},"exit":0{}}}"#, if marked { r#","marked":true"# } else { "" })
    }

    fn packed(lines: &[String]) -> Packed {
        let mut all = Lines::default();
        lines.iter().for_each(|line| all.add(line));
        all.pack().expect("packs").expect("is not empty")
    }

    #[test]
    fn a_segment_is_sorted_has_no_doubles_and_is_read_back_by_its_name() {
        let lines = [line(2000, false), line(1000, false), line(2000, false), line(3000, false), line(3000, true), "junk".into()];
        let packed = packed(&lines);
        let name = packed.name(&"ab".repeat(20));
        assert_eq!(name.to_string(), format!("0000000003e8-000000000bb8-3-{}-abababababababab.jsonl.gz", packed.bytes));
        assert_eq!(Name::parse(&name.to_string()), Some(name.clone()));
        let text = unpack(&name, &packed.content).expect("unpacks");
        assert_eq!(text, format!("{}\n{}\n{}\n", line(1000, false), line(2000, false), line(3000, true)));
        assert_eq!(Lines::default().pack().expect("packs"), None);
    }

    #[test]
    fn what_a_name_does_not_say_is_not_unpacked() {
        let packed = packed(&[line(1000, false), line(2000, false)]);
        let name = packed.name(&"ab".repeat(20));
        let said = |name: &Name, content: &[u8]| unpack(name, content).expect_err("is damaged").to_string();
        assert!(said(&Name { bytes: name.bytes - 1, ..name.clone() }, &packed.content).contains("bytes that its name says"));
        assert!(said(&Name { runs: 3, ..name.clone() }, &packed.content).contains("lines that its name says"));
        assert!(said(&name, &packed.content[..packed.content.len() / 2]).contains("cannot be unpacked"));
        assert!(said(&name, b"text").contains("cannot be unpacked"));
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b'0'; 10 << 20]).expect("packs");
        assert!(said(&name, &bomb.finish().expect("packs")).contains("bytes that its name says"));
    }

    #[test]
    fn names_of_others_are_refused() {
        let good = packed(&[line(1000, false)]).name(&"ab".repeat(20)).to_string();
        assert!(Name::parse(&good).is_some());
        let bad = [
            "",
            ".jsonl.gz",
            "../x",
            "a-b-c-d-e.jsonl.gz",
            &good.replace("0000000003e8-", "+000000003e8-"),
            &good.to_uppercase(),
        ];
        assert_eq!(bad.iter().filter_map(|text| Name::parse(text)).count(), 0);
        assert_eq!(Name::parse(&format!("0000000003e8-0000000003e8-1-{}-abababababababab.jsonl.gz", BYTES_MAX + 1)), None);
        assert_eq!(Name::parse("0000000003e8-0000000003e7-1-9-abababababababab.jsonl.gz"), None);
        assert_eq!(Name::parse("0000000003e8-0000000003e8-01-9-abababababababab.jsonl.gz"), None);
    }

    fn segment(bytes: u64, last: i64) -> Segment {
        let name = Name { first: 0, last, runs: 1, bytes, digits: format!("{last:016x}") };
        Segment { name, object: String::new(), packed: bytes }
    }

    /// Adds segments of one size and joins them; how many there are at most, and the bytes written.
    fn simulate(news: usize, bytes: u64, most: usize) -> (usize, u64) {
        let (mut segments, mut peak, mut written) = (Vec::new(), 0, 0);
        for at in 0..news {
            segments.push(segment(bytes, at as i64));
            written += bytes;
            while let Some(joined) = to_join(&segments, most) {
                assert!(joined.len() > 1);
                let sum: u64 = joined.iter().map(|at| segments[*at].name.bytes).sum();
                written += sum;
                let mut at = 0..;
                segments.retain(|_| !joined.contains(&at.next().expect("endless")));
                segments.push(segment(sum, at.next().expect("endless") as i64));
            }
            peak = peak.max(segments.iter().filter(|segment| segment.name.bytes < FULL).count());
        }
        (peak, written)
    }

    #[test]
    fn segments_stay_few_and_a_record_is_written_again_as_often_as_history_doubles() {
        let (peak, written) = simulate(20_000, 400, 16);
        assert!(peak <= 16, "{peak}");
        assert!(written < 20_000 * 400 * 14, "{}", written / (20_000 * 400));
        // Few are asked for: few there are, at a price.
        assert!(simulate(500, 400, 1).0 <= 1);
        let full: Vec<Segment> = (0..40).map(|at| segment(FULL, at)).collect();
        assert_eq!(to_join(&full, 16), None);
    }

    #[test]
    fn the_oldest_go_when_room_is_short() {
        let all: Vec<Segment> = (0..10).map(|at| segment(100, at)).collect();
        let stays: Vec<i64> = within(all, 350).iter().map(|segment| segment.name.last).collect();
        assert_eq!(stays, [9, 8, 7]);
    }
}
