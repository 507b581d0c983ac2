//! What somebody else's description of a tool says about what its runs do. A hint, never permission.

use serde::{Deserialize, Serialize};

/// The annotations with which an MCP server describes one of its tools (Model Context Protocol, `ToolAnnotations`), each as it was
/// said or absent. The server may be wrong or lie: nothing is run again because of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The tool does not change its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// It may destroy something; meaningful when it is not read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Calling it again with the same arguments changes nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// It talks to an open world of other systems, such as the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}
