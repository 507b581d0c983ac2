//! What a server and its tools are called here. Their own names come from outside: they are cleaned, and are only names.

use std::collections::BTreeSet;

use crate::model::{BlobId, check_tool_name};

/// The server's part of a name.
pub const SERVER: usize = 32;
/// A whole name, see `check_tool_name`.
const WHOLE: usize = 64;
/// Letters of a name's hash behind a name that had to be changed: two names never become one.
const HASH: usize = 6;

/// The names of one server's tools.
pub(super) struct Names {
    /// What somebody here calls the server.
    given: Option<String>,
    /// What it calls itself.
    own: Option<String>,
    /// Names the server when neither is known.
    command: String,
    /// Tools of fractal.toml. A server becomes one of them when somebody here says so, never by its own word.
    declared: BTreeSet<String>,
}

impl Names {
    pub(super) fn new(given: Option<String>, command: &[u8], declared: BTreeSet<String>) -> Self {
        Names { given, own: None, command: format!("mcp-{}", &BlobId::of(command).0[..HASH]), declared }
    }

    /// The first word of a server about itself stays.
    pub(super) fn learn(&mut self, own: &str) {
        self.own.get_or_insert_with(|| clean(own, SERVER));
    }

    /// `SERVER.TOOL`
    pub(super) fn of(&self, tool: &str) -> String {
        let within = |server: &str| format!("{server}.{}", clean(tool, WHOLE - 1 - server.len()));
        let own = || within(self.own.as_deref().unwrap_or(&self.command));
        match &self.given {
            Some(given) => within(given),
            None => Some(own()).filter(|name| !self.declared.contains(name)).unwrap_or_else(|| within(&self.command)),
        }
    }
}

/// A name as it is when it can be one here; otherwise what is left of it, with a part of its hash.
fn clean(name: &str, limit: usize) -> String {
    // With a dot before it as well: `lock` is a name, and `x.lock` is none.
    if name.len() <= limit && check_tool_name(name).is_ok() && name != "lock" {
        return name.to_string();
    }
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    let kept = &plain[..plain.len().min(limit - HASH - 1)];
    let hash = &BlobId::of(name.as_bytes()).0[..HASH];
    if kept.is_empty() { format!("x-{hash}") } else { format!("{kept}-{hash}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(given: Option<&str>, declared: &[&str]) -> Names {
        Names::new(given.map(String::from), b"python3 server.py", declared.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_server_is_called_as_somebody_here_says_else_as_it_says_else_by_its_command() {
        let mut given = names(Some("files"), &["files.read"]);
        given.learn("other");
        assert_eq!(given.of("read"), "files.read");
        let mut own = names(None, &[]);
        assert_eq!(own.of("read"), names(None, &[]).of("read"));
        assert!(own.of("read").starts_with("mcp-"), "{}", own.of("read"));
        own.learn("weather");
        own.learn("another");
        assert_eq!(own.of("get_forecast"), "weather.get_forecast");
    }

    #[test]
    fn a_server_does_not_become_a_declared_tool_by_its_own_word() {
        let mut own = names(None, &["files.read"]);
        own.learn("files");
        assert!(own.of("read").starts_with("mcp-"));
        assert_eq!(own.of("write"), "files.write");
    }

    #[test]
    fn names_that_cannot_be_names_are_changed_and_stay_two() {
        assert_eq!(clean("get_user", 31), "get_user");
        assert!(clean("user/get", 31).starts_with("user-get-"));
        assert_ne!(clean("user/get", 31), clean("user get", 31));
        assert_ne!(clean(&"a".repeat(40), 31), clean(&"a".repeat(41), 31));
    }

    proptest! {
        #[test]
        fn every_name_is_a_name_of_a_tool(server in "\\PC{0,70}", tool in "\\PC{0,140}") {
            let mut names = names(None, &[]);
            names.learn(&server);
            prop_assert_eq!(check_tool_name(&names.of(&tool)), Ok(()));
        }

        #[test]
        fn dots_and_dashes_too(tool in "[-./a]{0,70}lock") {
            prop_assert_eq!(check_tool_name(&names(Some("a"), &[]).of(&tool)), Ok(()));
        }
    }
}
