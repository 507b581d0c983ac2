//! What a tool is like when it runs, who says so, and what may therefore be run of it again. Unknown is unsafe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hints, SideEffects};

/// What a tool does when it runs. Absent: nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traits {
    /// The same input gives the same answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
    /// It reads files besides its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads_files: Option<bool>,
    /// It writes files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes_files: Option<bool>,
    /// It talks to the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
    /// It deletes, sends or spends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Running it again with the same input changes nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
}

impl Traits {
    /// What `effects` says.
    pub fn of(effects: SideEffects) -> Traits {
        let says = |network, destructive, writes| Traits {
            network: Some(network),
            destructive: Some(destructive),
            writes_files: writes,
            ..Traits::default()
        };
        match effects {
            SideEffects::Unknown => Traits::default(),
            SideEffects::None => Traits { reads_files: Some(false), ..says(false, false, Some(false)) },
            SideEffects::Files => says(false, false, None),
            SideEffects::Network => Traits { network: Some(true), ..Traits::default() },
            SideEffects::Destructive => Traits { destructive: Some(true), ..Traits::default() },
        }
    }

    /// These, and where nothing is known, `other`'s.
    pub fn or(self, other: Traits) -> Traits {
        Traits {
            deterministic: self.deterministic.or(other.deterministic),
            reads_files: self.reads_files.or(other.reads_files),
            writes_files: self.writes_files.or(other.writes_files),
            network: self.network.or(other.network),
            destructive: self.destructive.or(other.destructive),
            idempotent: self.idempotent.or(other.idempotent),
        }
    }
}

/// What may be run of a tool, from what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    pub effects: SideEffects,
    /// Who says so, for people.
    pub because: String,
}

impl Character {
    /// What was declared counts, unless it was seen to be wrong in the dangerous direction. What was seen counts where nothing was
    /// declared. A hint of somebody else's is believed when it warns, and never when it reassures.
    pub fn of(declared: Traits, observed: Option<Traits>, hints: Option<&Hints>) -> Character {
        let character = |effects, because: &str| Character { effects, because: because.to_string() };
        if let Some(effects) = harm(declared) {
            return character(effects, "declared in fractal.toml");
        }
        let is_declared = declared.network.is_some() && declared.destructive.is_some();
        if let Some(effects) = observed.and_then(harm) {
            let said = if is_declared { ", although something else is declared" } else { "" };
            return character(effects, &format!("seen when recorded runs were repeated in the sandbox{said}"));
        }
        if is_declared {
            let harmless = declared.writes_files == Some(false) && declared.reads_files != Some(true);
            let writes = observed.is_some_and(|observed| observed.writes_files == Some(true));
            return match (harmless, writes) {
                (true, false) => character(SideEffects::None, "declared in fractal.toml"),
                (true, true) => character(SideEffects::Files, "seen to write files, although it is declared to have no effects"),
                (false, _) => character(SideEffects::Files, "declared in fractal.toml"),
            };
        }
        if let Some(warned) = hints.and_then(warning) {
            return character(warned, "an MCP server's annotations say so, and nobody has declared anything else");
        }
        match observed {
            Some(Traits { network: Some(false), destructive: Some(false), writes_files, reads_files, .. }) => {
                let quiet = writes_files == Some(false) && reads_files == Some(false);
                let effects = if quiet { SideEffects::None } else { SideEffects::Files };
                character(effects, "seen when recorded runs were repeated in the sandbox")
            }
            _ => character(SideEffects::Unknown, "nobody has said what it does to the world, and it could not be observed"),
        }
    }
}

fn harm(traits: Traits) -> Option<SideEffects> {
    match (traits.destructive, traits.network) {
        (Some(true), _) => Some(SideEffects::Destructive),
        (_, Some(true)) => Some(SideEffects::Network),
        _ => None,
    }
}

fn warning(hints: &Hints) -> Option<SideEffects> {
    match (hints.destructive, hints.open_world) {
        (Some(true), _) if hints.read_only != Some(true) => Some(SideEffects::Destructive),
        (_, Some(true)) => Some(SideEffects::Network),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(network: bool, destructive: bool, writes: bool) -> Option<Traits> {
        Some(Traits {
            network: Some(network),
            destructive: Some(destructive),
            writes_files: Some(writes),
            reads_files: Some(false),
            ..Traits::default()
        })
    }

    fn effects(declared: SideEffects, observed: Option<Traits>, hints: Option<&Hints>) -> SideEffects {
        Character::of(Traits::of(declared), observed, hints).effects
    }

    #[test]
    fn unknown_is_unsafe_until_somebody_has_said_or_seen() {
        assert_eq!(effects(SideEffects::Unknown, None, None), SideEffects::Unknown);
        assert_eq!(effects(SideEffects::Unknown, seen(false, false, false), None), SideEffects::None);
        assert_eq!(effects(SideEffects::Unknown, seen(false, false, true), None), SideEffects::Files);
        assert_eq!(effects(SideEffects::Unknown, seen(true, false, false), None), SideEffects::Network);
    }

    #[test]
    fn what_is_declared_counts_unless_it_is_seen_to_be_more_harmful() {
        for declared in [SideEffects::None, SideEffects::Files, SideEffects::Network, SideEffects::Destructive] {
            assert_eq!(effects(declared, None, None), declared);
            assert_eq!(effects(declared, seen(false, false, false), None), declared);
        }
        assert_eq!(effects(SideEffects::None, seen(false, false, true), None), SideEffects::Files);
        assert_eq!(effects(SideEffects::None, seen(true, false, false), None), SideEffects::Network);
        assert_eq!(effects(SideEffects::Files, seen(false, true, false), None), SideEffects::Destructive);
    }

    #[test]
    fn a_hint_is_believed_when_it_warns_and_never_when_it_reassures() {
        let warns = Hints { destructive: Some(true), ..Hints::default() };
        let reassures = Hints { read_only: Some(true), open_world: Some(false), ..Hints::default() };
        assert_eq!(effects(SideEffects::Unknown, seen(false, false, false), Some(&warns)), SideEffects::Destructive);
        assert_eq!(effects(SideEffects::Unknown, None, Some(&reassures)), SideEffects::Unknown);
        assert_eq!(effects(SideEffects::Unknown, seen(true, false, false), Some(&reassures)), SideEffects::Network);
        assert_eq!(effects(SideEffects::Files, None, Some(&warns)), SideEffects::Files);
    }
}
