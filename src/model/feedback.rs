//! What people let us know without commanding anything: signs under what we said, and changes of our texts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A sign that somebody put under something on a forge. There are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    ThumbsUp,
    ThumbsDown,
    Heart,
    Hooray,
    Rocket,
    Laugh,
    Confused,
    Eyes,
}

impl Sign {
    /// All of them.
    pub const ALL: [Sign; 8] =
        [Sign::ThumbsUp, Sign::ThumbsDown, Sign::Heart, Sign::Hooray, Sign::Rocket, Sign::Laugh, Sign::Confused, Sign::Eyes];
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Sign::ThumbsUp => "👍",
            Sign::ThumbsDown => "👎",
            Sign::Heart => "❤️",
            Sign::Hooray => "🎉",
            Sign::Rocket => "🚀",
            Sign::Laugh => "😄",
            Sign::Confused => "😕",
            Sign::Eyes => "👀",
        })
    }
}

/// A text of a proposal that somebody can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextPart {
    Title,
    /// Between our marks: what is ours, and is put back.
    Inside,
    /// Around our marks: what is theirs, and stays.
    Outside,
}

impl fmt::Display for TextPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TextPart::Title => "the title",
            TextPart::Inside => "our text",
            TextPart::Outside => "the text around ours",
        })
    }
}
