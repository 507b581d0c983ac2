//! Files that somebody hands us to read: opened, or standard input; unzipped on the way; how far we are.
//! Deliberately not here: what is in them.

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
