//! Archives as forges pack files in them: ZIP, as APPNOTE.TXT of PKWARE describes it, without its 64-bit form, encryption and parts. Names of
//! members are not looked at: nothing is ever unpacked to a place.

use std::io::{self, Cursor, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;

/// Section 4.3.7, 4.3.12 and 4.3.16: what a member, its entry in the directory and the end of the directory begin with.
const MEMBER: [u8; 4] = *b"PK\x03\x04";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
/// Bytes of these without what follows them, and of the longest comment at the end.
const MEMBER_LEN: usize = 30;
const ENTRY_LEN: usize = 46;
const END_LEN: usize = 22;
const COMMENT_MAX: usize = 0xffff;
/// Members of an archive that are read.
const MEMBERS: usize = 1000;

/// Whether bytes begin as an archive does, with members or without.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&MEMBER) || bytes.starts_with(&END)
}

/// The members of an archive in the order of its directory, to be unpacked while they are read.
///
/// # Errors
/// When it is damaged, or of a kind that is not read.
pub(super) fn members(archive: &[u8]) -> io::Result<Vec<Box<dyn Read>>> {
    let tail = archive.len().saturating_sub(END_LEN + COMMENT_MAX);
    // Its comment goes to the end of the file, and may say anything.
    let is_end = |end: &&[u8]| end.starts_with(&END) && number(end, 20, 2).is_ok_and(|comment| end.len() == END_LEN + comment);
    let end = (tail..archive.len()).rev().map(|at| &archive[at..]).find(is_end);
    let end = end.ok_or_else(|| damaged("its directory has no end"))?;
    let (count, mut at) = (number(end, 10, 2)?, number(end, 16, 4)?);
    if count > MEMBERS {
        return Err(damaged(&format!("it has {count} members, more than {MEMBERS}")));
    }
    let mut found: Vec<Box<dyn Read>> = Vec::new();
    for _ in 0..count {
        let entry =
            archive.get(at..).filter(|entry| entry.starts_with(&ENTRY)).ok_or_else(|| damaged("its directory breaks off"))?;
        let after: usize = [28, 30, 32].into_iter().map(|place| number(entry, place, 2)).sum::<io::Result<usize>>()?;
        at += ENTRY_LEN + after;
        let name = entry.get(ENTRY_LEN..ENTRY_LEN + number(entry, 28, 2)?);
        if name.is_some_and(|name| name.ends_with(b"/")) {
            continue;
        }
        if number(entry, 8, 2)? & 1 != 0 {
            return Err(damaged("a member is encrypted"));
        }
        let packed = packed(archive, number(entry, 42, 4)?, number(entry, 20, 4)?)?;
        let source: Box<dyn Read> = match number(entry, 10, 2)? {
            0 => Box::new(packed),
            8 => Box::new(DeflateDecoder::new(packed)),
            way => return Err(damaged(&format!("a member is packed in a way that is not read ({way})"))),
        };
        let sum = u32::try_from(number(entry, 16, 4)?).unwrap_or_default();
        found.push(Box::new(Checked { source, crc: Crc::new(), sum }));
    }
    Ok(found)
}

/// The packed bytes of the member at a place.
fn packed(archive: &[u8], at: usize, size: usize) -> io::Result<Cursor<Vec<u8>>> {
    let gone = || damaged("a member breaks off");
    let member = archive.get(at..).filter(|member| member.starts_with(&MEMBER)).ok_or_else(gone)?;
    let from = MEMBER_LEN + number(member, 26, 2)? + number(member, 28, 2)?;
    Ok(Cursor::new(member.get(from..from + size).ok_or_else(gone)?.to_vec()))
}

/// A whole number of so many bytes, the smallest first.
fn number(record: &[u8], at: usize, bytes: usize) -> io::Result<usize> {
    let record = record.get(at..at + bytes).ok_or_else(|| damaged("it breaks off"))?;
    Ok(record.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive cannot be read: {why}"))
}

/// Compares what was read with its checksum at the end.
struct Checked {
    source: Box<dyn Read>,
    crc: Crc,
    sum: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.crc.update(&buffer[..count]);
        match count {
            0 if !buffer.is_empty() && self.crc.sum() != self.sum => Err(damaged("a member is not what was packed")),
            count => Ok(count),
        }
    }
}
