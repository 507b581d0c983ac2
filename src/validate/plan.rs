//! Which checks a tool's traits allow. Pure. Unknown is unsafe.

use crate::model::{SideEffects, Tool};

/// See the module.
pub(super) struct Plan {
    /// Whether inputs that nobody has recorded may be run, or why not.
    pub varied: Result<(), String>,
    /// For people.
    pub words: String,
}

impl Plan {
    pub(super) fn of(tool: &Tool) -> Plan {
        let (varied, words) = match tool.effects {
            SideEffects::None => {
                (Ok(()), "it is declared to have no effects: recorded and new inputs are run freely".to_string())
            }
            SideEffects::Files => (
                Ok(()),
                "it is declared to touch files only: recorded and new inputs are run, each in a checkout of its own".to_string(),
            ),
            SideEffects::Unknown => {
                let why = "nobody has said what the tool does to the world (`effects`), so only what was recorded is repeated";
                (Err(why.to_string()), why.to_string())
            }
            SideEffects::Network | SideEffects::Destructive => {
                let why = "the tool talks to the network or destroys things, so nothing of it is run here";
                (Err(why.to_string()), why.to_string())
            }
        };
        Plan { varied, words }
    }
}
