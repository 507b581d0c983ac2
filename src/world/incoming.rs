//! Files that somebody hands us to read: opened, or standard input; unzipped on the way; how far we are. And packed files that are in memory.
//! Deliberately not here: what is in them.

mod zip;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;

const BUFFER: usize = 256 << 10;
/// Bytes looked at to tell what a file is.
const HEAD: u64 = 64 << 10;

/// A file on its way in.
pub struct Incoming {
    /// The first bytes, unzipped; the reader delivers them too.
    pub head: Vec<u8>,
    /// When the file was changed last; `None` for what is no file.
    pub modified: Option<Timestamp>,
    /// Its size on disk, when that is known.
    pub size: Option<u64>,
    pub reader: Box<dyn BufRead>,
    read: Rc<Cell<u64>>,
}

impl Incoming {
    /// Opens a file, or standard input for `-`. Gzip is known by its first bytes, whatever the file's name is.
    ///
    /// # Errors
    /// When it cannot be opened, or its beginning cannot be read.
    pub fn open(path: &Path) -> io::Result<Incoming> {
        let read = Rc::new(Cell::new(0));
        let (source, modified, size): (Box<dyn Read>, _, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None, None)
        } else {
            let file = File::open(path)?;
            let about = file.metadata()?;
            let since = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = since.and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
            let is_file = about.is_file();
            (Box::new(file), modified.filter(|_| is_file), is_file.then_some(about.len()))
        };
        let mut reader = unzipped(Counted { source, read: Rc::clone(&read) })?;
        let mut head = Vec::new();
        reader.by_ref().take(HEAD).read_to_end(&mut head)?;
        let reader = Box::new(Cursor::new(head.clone()).chain(reader));
        Ok(Incoming { head, modified, size, reader, read })
    }

    /// Bytes read so far, before unzipping.
    pub fn read(&self) -> u64 {
        self.read.get()
    }
}

fn unzipped(mut source: Counted) -> io::Result<Box<dyn BufRead>> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut first = Vec::new();
    source.by_ref().take(MAGIC.len() as u64).read_to_end(&mut first)?;
    let is_zipped = first == MAGIC;
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(first).chain(source));
    Ok(match is_zipped {
        true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole))),
        false => Box::new(whole),
    })
}

/// The files in a packed file that is in memory: an archive, gzip, or the file itself. Of each at most `bound` bytes are unpacked, and no
/// name of one is looked at.
///
/// # Errors
/// When it is damaged, or an archive of a kind that is not read; then none is given. What is damaged further in is found in reading.
pub fn unpacked(bytes: Vec<u8>, bound: u64) -> io::Result<Vec<Box<dyn BufRead>>> {
    let sources =
        if zip::is_archive(&bytes) { zip::members(&bytes)? } else { vec![Box::new(Cursor::new(bytes)) as Box<dyn Read>] };
    let open = |source| {
        let reader = unzipped(Counted { source, read: Rc::default() })?;
        Ok(Box::new(BufReader::with_capacity(BUFFER, Bounded { source: reader, left: bound })) as Box<dyn BufRead>)
    };
    sources.into_iter().map(open).collect()
}

/// Fails when more comes than is wanted.
struct Bounded {
    source: Box<dyn BufRead>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is larger than what is read of one file, unpacked"))?;
        Ok(count)
    }
}

struct Counted {
    source: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// What Python packs of these members, with checksums before the data or, as streams are packed, after them.
    fn archive(program: &str) -> Vec<u8> {
        let script = format!("import sys,io,zipfile\nout=sys.stdout.buffer\n{program}");
        let done = Command::new("python3").args(["-c", &script]).stderr(Stdio::inherit()).output().expect("python runs");
        assert!(done.status.success());
        done.stdout
    }

    const SEEKABLE: &str = "
b=io.BytesIO()
with zipfile.ZipFile(b,'w',zipfile.ZIP_DEFLATED) as z:
    z.writestr('../../etc/x','a'*5000)
    z.writestr('folder/','')
    z.writestr(zipfile.ZipInfo('b'),'stored')
    z.comment=b'PK\\x05\\x06 is no end'
out.write(b.getvalue())";
    const STREAMED: &str = "
class S(io.RawIOBase):
    def writable(self): return True
    def write(self,b): return out.write(b)
with zipfile.ZipFile(S(),'w',zipfile.ZIP_DEFLATED) as z:
    z.writestr('x','b'*70000)";

    fn read(bytes: Vec<u8>, bound: u64) -> io::Result<Vec<Vec<u8>>> {
        let read = |mut source: Box<dyn BufRead>| {
            let mut all = Vec::new();
            source.read_to_end(&mut all).map(|_| all)
        };
        unpacked(bytes, bound)?.into_iter().map(read).collect()
    }

    #[test]
    fn archives_as_others_pack_them_are_read_whole() {
        assert_eq!(read(archive(SEEKABLE), 9999).expect("reads"), [vec![b'a'; 5000], b"stored".to_vec()]);
        assert_eq!(read(archive(STREAMED), 99_999).expect("reads"), [vec![b'b'; 70_000]]);
        assert_eq!(read(b"plain".to_vec(), 9).expect("reads"), [b"plain"]);
        assert_eq!(read(Vec::new(), 9).expect("reads"), [b""]);
    }

    #[test]
    fn no_more_is_unpacked_than_is_wanted_and_damage_is_found() {
        assert!(read(archive(STREAMED), 69_999).is_err());
        let whole = archive(SEEKABLE);
        // Cut off or changed anywhere behind its first bytes, it is read or refused; nothing is made up and nothing panics.
        for at in 4..whole.len() {
            assert!(read(whole[..at].to_vec(), 9999).is_err(), "cut off at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            if let Ok(found) = read(changed, 9999) {
                // A folder whose name is changed is an empty file.
                let whole = |one: &Vec<u8>| *one == vec![b'a'; 5000] || one == b"stored" || one.is_empty();
                assert!(found.iter().all(whole), "changed at {at}");
            }
        }
    }
}
