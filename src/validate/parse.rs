//! Every file that the patch writes parses in its language.

use super::trial::Found;
use crate::lang;
use crate::model::{Candidate, FileEdit};

pub(super) fn check(candidate: &Candidate) -> Found {
    for (path, edit) in &candidate.patch.edits {
        let FileEdit::Write(content) = edit else { continue };
        if let Err(why) = lang::parses(lang::detect(path, content), content) {
            return Found::failed(format!("`{path}`: {why}"));
        }
    }
    Found::passed(format!("{} file(s)", candidate.patch.edits.len()))
}
