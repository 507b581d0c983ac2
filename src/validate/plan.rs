//! Which checks a tool's traits allow. Pure. Unknown is unsafe.

use crate::model::{Character, SideEffects};

/// See the module.
pub(super) struct Plan {
    /// Whether inputs that nobody has recorded may be run, or why not.
    pub varied: Result<(), String>,
    /// For people.
    pub words: String,
}

impl Plan {
    pub(super) fn of(character: &Character) -> Plan {
        let because = &character.because;
        let (varied, words) = match character.effects {
            SideEffects::None => (Ok(()), format!("it has no effects ({because}): recorded and new inputs are run freely")),
            SideEffects::Files => (
                Ok(()),
                format!("it touches files only ({because}): recorded and new inputs are run, each in a checkout of its own"),
            ),
            SideEffects::Unknown => {
                let why = format!("what it does to the world is not known ({because}), so only what was recorded is repeated");
                (Err(why.clone()), why)
            }
            SideEffects::Network | SideEffects::Destructive => {
                let why = format!("it talks to the network or destroys things ({because}), so nothing of it is run here");
                (Err(why.clone()), why)
            }
        };
        Plan { varied, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_inputs_are_for_tools_that_are_known_to_be_harmless() {
        let plan = |effects| Plan::of(&Character { effects, because: "somebody said so".into() });
        for effects in [SideEffects::None, SideEffects::Files] {
            assert!(plan(effects).varied.is_ok() && plan(effects).words.contains("somebody said so"));
        }
        for effects in [SideEffects::Unknown, SideEffects::Network, SideEffects::Destructive] {
            assert!(plan(effects).varied.is_err_and(|why| why.contains("somebody said so")));
        }
    }
}
