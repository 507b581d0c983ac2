//! One pass over a text: where a word is by which secrets are known, something looks closer.
//!
//! The time is linear in the text: every look around a word is bounded, and what was found is not looked into again.

use super::cues::{CUES, Cue};
use super::{assigned, places, programs};

/// A place to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stands there instead needs quotes.
    pub(super) in_quotes: bool,
}

/// A text, and what was found in it so far.
pub(super) struct Scan<'a> {
    pub(super) text: &'a [u8],
    pub(super) found: Vec<Place>,
    /// Names that begin before were looked at.
    pub(super) names_until: usize,
    /// What stands beside secret words was looked at up to here.
    pub(super) beside_until: usize,
    /// So was the word that may be a line of a `.pgpass`, and the command line of this program.
    pub(super) pgpass_until: usize,
    pub(super) line_until: (&'static str, usize),
    /// Where the first last line of a key's armour is, looked for from the first position on.
    pub(super) armour_end: Option<(usize, Option<usize>)>,
    /// The place that reaches farthest.
    farthest: (usize, usize),
}

impl<'a> Scan<'a> {
    /// Everything in the text that looks like a secret, in no order, possibly overlapping.
    pub(super) fn of(text: &'a [u8]) -> Vec<Place> {
        let mut scan = Scan {
            text,
            found: Vec::new(),
            names_until: 0,
            beside_until: 0,
            pgpass_until: 0,
            line_until: ("", 0),
            armour_end: None,
            farthest: (0, 0),
        };
        CUES.each(text, |cue, start, end| {
            if !(scan.farthest.0 <= start && end <= scan.farthest.1) {
                scan.look(cue, start, end);
            }
        });
        scan.found
    }

    fn look(&mut self, cue: &Cue, start: usize, end: usize) {
        match cue {
            Cue::Token(token) => {
                if let Some(end) = token.end(self.text, start, end) {
                    self.add(start, end);
                }
            }
            Cue::Inner(inner) => {
                if let Some((start, end)) = inner.place(self.text, start, end) {
                    self.add(start, end);
                }
            }
            Cue::Name => assigned::at(self, start, end),
            Cue::ShortName => assigned::at(self, start, end - 1),
            Cue::Product => assigned::beside(self, start, end, true),
            Cue::Scheme => assigned::scheme(self, start, end),
            Cue::Url => places::url(self, start, end),
            Cue::PrivateKey => places::private_key(self, start, end),
            Cue::PgPass => places::pgpass(self, start),
            Cue::Program(program) => programs::line(self, program, start, end),
        }
    }

    /// This is a secret.
    pub(super) fn add(&mut self, start: usize, end: usize) {
        self.add_value(start, end, false);
    }

    pub(super) fn add_value(&mut self, start: usize, end: usize, in_quotes: bool) {
        if start < end {
            self.found.push(Place { start, end, in_quotes });
            if end > self.farthest.1 {
                self.farthest = (start, end);
            }
        }
    }
}
