//! What people can say to us in a comment on a proposal: one word of a fixed list behind `/fractal`. Nothing else of a comment is read.

use std::fmt;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Why,
    Retry,
    Rebase,
    Hold,
    Unhold,
    Approve,
    Merge,
    Revert,
    Ignore,
    Pause,
    Resume,
}

/// All of them, with what each does, in the order of the help.
pub const COMMANDS: [(Command, &str, &str); 12] = [
    (Command::Help, "help", "lists these commands"),
    (Command::Why, "why", "says what it waits for"),
    (Command::Retry, "retry", "looks for a repair anew; what was proposed before is not proposed again"),
    (Command::Rebase, "rebase", "builds and validates it anew on the newest base"),
    (Command::Hold, "hold", "keeps it from landing, and from being closed, until `unhold`"),
    (Command::Unhold, "unhold", "lifts `hold`"),
    (Command::Approve, "approve", "lets it land although policy wants a person; checks still have to pass"),
    (Command::Merge, "merge", "the same as `approve`"),
    (Command::Revert, "revert", "reverts it after it has landed"),
    (Command::Ignore, "ignore", "closes it, and never proposes the same change again"),
    (Command::Pause, "pause", "stops everything that Fractal does outwardly in this repository"),
    (Command::Resume, "resume", "lifts `pause`"),
];

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = COMMANDS.iter().find(|(command, ..)| command == self).map_or("?", |(_, word, _)| word);
        f.write_str(word)
    }
}

/// What a comment says to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// Nothing: people talk.
    No,
    Command(Command),
    /// Something that we do not know.
    Unknown,
}

/// Reads a comment: the first line that begins with `/fractal` counts. Quotes and blocks of code are somebody else's words.
pub fn addressed(text: &str) -> Addressed {
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            in_code = !in_code;
            continue;
        }
        let mut words = line.split_whitespace();
        if in_code || line.starts_with("    ") || words.next() != Some("/fractal") {
            continue;
        }
        let word = words.next().unwrap_or("help").to_ascii_lowercase();
        let known = COMMANDS.iter().find(|(_, name, _)| *name == word);
        return known.map_or(Addressed::Unknown, |(command, ..)| Addressed::Command(*command));
    }
    Addressed::No
}

/// The commands, in Markdown.
pub fn help() -> String {
    let lines: Vec<String> = COMMANDS.iter().map(|(_, word, does)| format!("- `/fractal {word}` {does}")).collect();
    format!("Commands, of people who may write here:\n\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_known_word_at_the_beginning_of_a_line_is_a_command() {
        for (text, expected) in [
            ("/fractal approve", Addressed::Command(Command::Approve)),
            ("looks good\n\n/fractal  MERGE now please", Addressed::Command(Command::Merge)),
            ("/fractal", Addressed::Command(Command::Help)),
            ("/fractal $(rm -rf /)", Addressed::Unknown),
            ("/fractal merge-all", Addressed::Unknown),
            ("please /fractal merge", Addressed::No),
            ("> /fractal merge", Addressed::No),
            ("```\n/fractal merge\n```", Addressed::No),
            ("    /fractal merge", Addressed::No),
            ("/fractals merge", Addressed::No),
            ("", Addressed::No),
        ] {
            assert_eq!(addressed(text), expected, "{text}");
        }
    }

    #[test]
    fn the_help_names_every_command() {
        for (command, word, _) in COMMANDS {
            assert_eq!(addressed(&format!("/fractal {word}")), Addressed::Command(command));
            assert!(help().contains(&format!("`/fractal {command}`")));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC*") {
            addressed(&text);
        }
    }
}
