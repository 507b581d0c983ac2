//! Where a generated test goes: beside the tests that there are, under a name like theirs.

/// How test files are called, around what they are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Naming {
    pub before: String,
    /// With the extension.
    pub after: String,
}

impl Naming {
    pub(super) fn new(before: &str, after: &str) -> Naming {
        Naming { before: before.into(), after: after.into() }
    }

    /// What a file's name tells: `test_x.py`, `x_test.py`, `x.spec.mjs`, `x.bats`; `None` when it does not say that it is a test.
    pub(super) fn of(path: &str) -> Option<Naming> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (stem, extension) = name.rsplit_once('.')?;
        for word in ["test", "tests", "spec"] {
            for separator in ["_", "-", "."] {
                let (before, after) = (format!("{word}{separator}"), format!("{separator}{word}"));
                if stem.len() > before.len() && stem.starts_with(&before) {
                    return Some(Naming { before, after: format!(".{extension}") });
                }
                if stem.len() > after.len() && stem.ends_with(&after) {
                    return Some(Naming { before: String::new(), after: format!("{after}.{extension}") });
                }
            }
        }
        (extension == "bats").then(|| Naming::new("", ".bats"))
    }

    pub(super) fn name(&self, stem: &str) -> String {
        format!("{}{stem}{}", self.before, self.after)
    }
}

/// From a folder, which is empty or ends with `/`, up to the root.
pub(super) fn up(folder: &str) -> String {
    let up = "../".repeat(folder.matches('/').count());
    if up.is_empty() { ".".to_string() } else { up.trim_end_matches('/').to_string() }
}

/// The folder of a file, with a `/` at its end where it is not the root.
pub(super) fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}
