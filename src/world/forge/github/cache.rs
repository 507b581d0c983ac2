//! Answers that are kept with their marks (`ETag`): what has not changed since is not counted against the limit of requests.

use std::collections::BTreeMap;

/// Answers that are kept.
const ENTRIES: usize = 256;
/// Bytes of them.
const BYTES: usize = 8 << 20;

/// What GitHub answered, as far as anybody looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub mark: String,
    pub body: Vec<u8>,
    /// Where the next page is.
    pub next: Option<String>,
    /// The rights of the token that asked, where GitHub names them.
    pub scopes: Option<String>,
}

/// Kept answers by what was asked; those that were not asked for longest go first.
#[derive(Default)]
pub(super) struct Cache {
    entries: BTreeMap<String, (u64, Kept)>,
    bytes: usize,
    uses: u64,
}

impl Cache {
    pub fn get(&mut self, path: &str) -> Option<Kept> {
        self.uses += 1;
        let (used, kept) = self.entries.get_mut(path)?;
        *used = self.uses;
        Some(kept.clone())
    }

    pub fn put(&mut self, path: &str, kept: Kept) {
        self.uses += 1;
        self.remove(path);
        if kept.body.len() > BYTES / 4 {
            return;
        }
        self.bytes += kept.body.len();
        self.entries.insert(path.to_string(), (self.uses, kept));
        while self.entries.len() > ENTRIES || self.bytes > BYTES {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(path, _)| path.clone());
            let Some(oldest) = oldest else { return };
            self.remove(&oldest);
        }
    }

    pub fn remove(&mut self, path: &str) {
        if let Some((_, gone)) = self.entries.remove(path) {
            self.bytes -= gone.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> Kept {
        Kept { mark: "\"1\"".into(), body: vec![b' '; bytes], ..Kept::default() }
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let mut cache = Cache::default();
        (0..ENTRIES).for_each(|number| cache.put(&number.to_string(), kept(1)));
        assert!(cache.get("0").is_some());
        cache.put("one more", kept(1));
        assert!(cache.get("0").is_some() && cache.get("1").is_none());
    }

    #[test]
    fn it_holds_no_more_than_its_bytes() {
        let mut cache = Cache::default();
        for number in 0..20 {
            cache.put(&number.to_string(), kept(BYTES / 5));
            cache.put("same", kept(BYTES / 5));
            assert!(cache.bytes <= BYTES && cache.entries.len() <= 5);
            assert_eq!(cache.bytes, cache.entries.values().map(|(_, kept)| kept.body.len()).sum::<usize>());
        }
        cache.put("large", kept(BYTES / 2));
        assert!(cache.get("large").is_none() && cache.get("same").is_some());
    }
}
