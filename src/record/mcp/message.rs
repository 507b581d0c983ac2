//! The messages of MCP (JSON-RPC 2.0) as far as a recording needs them.
//!
//! Deliberately not here: which call a message belongs to. Text is borrowed from the line, lists are read up to a bound, so that
//! reading a line takes little more memory than the line.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::Hints;

/// Messages of a batch, tools of a list, blocks of a content that are read.
const MANY: usize = 1_000;

/// A request, a notification or an answer.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    pub(super) method: Option<String>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The messages of a line: one, or a batch as the revision of 2025-03-26 has it. What is none is left out.
pub(super) fn messages(line: &[u8]) -> Vec<Message<'_>> {
    if line.trim_ascii_start().first() != Some(&b'[') {
        return serde_json::from_slice(line).into_iter().collect();
    }
    let batch: First<&RawValue> = serde_json::from_slice(line).unwrap_or_default();
    batch.0.into_iter().filter_map(|raw| read(Some(raw))).collect()
}

impl Message<'_> {
    /// See [`id_of`].
    pub(super) fn id(&self) -> Option<String> {
        id_of(self.id?.get().as_bytes())
    }
}

/// An id as text that is the same for equal ids: `1` and `"1"` are two.
pub(super) fn id_of(json: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(json).ok()?;
    (value.is_string() || value.is_number()).then(|| value.to_string())
}

/// A part of a message, if it is there and has the form.
pub(super) fn read<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The first elements of a list.
#[derive(Debug)]
struct First<T>(Vec<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        First(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let mut first = Vec::new();
                while first.len() < MANY {
                    let Some(element) = list.next_element()? else { return Ok(First(first)) };
                    first.push(element);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Reader(std::marker::PhantomData))
    }
}

/// Who a program says that it is.
#[derive(Deserialize)]
pub(super) struct Implementation {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
}

/// Who speaks: in `initialize` and its answer, and in every message since the revision of 2026-07-28.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Speaker<'a> {
    #[serde(borrow)]
    client_info: Option<&'a RawValue>,
    #[serde(borrow)]
    server_info: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    client: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/serverInfo")]
    server: Option<&'a RawValue>,
}

impl Speaker<'_> {
    pub(super) fn client(&self) -> Option<Implementation> {
        read(self.client_info).or_else(|| read(read::<Meta<'_>>(self.meta)?.client))
    }

    pub(super) fn server(&self) -> Option<Implementation> {
        read(self.server_info).or_else(|| read(read::<Meta<'_>>(self.meta)?.server))
    }
}

/// `params` of `tools/call`.
#[derive(Deserialize)]
pub(super) struct CallParams<'a> {
    pub(super) name: String,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// `params` of what is about a request or a task: `notifications/cancelled`, `tasks/result`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About<'a> {
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    pub(super) task_id: Option<String>,
    pub(super) reason: Option<String>,
}

impl About<'_> {
    pub(super) fn request(&self) -> Option<String> {
        id_of(self.request_id?.get().as_bytes())
    }
}

/// JSON with its keys in order and no spaces, so that equal arguments are equal text. Numbers beyond 64 bits are rounded.
pub(super) fn canonical(json: &RawValue) -> Option<String> {
    let mut value: Value = serde_json::from_str(json.get()).ok()?;
    value.sort_all_objects();
    Some(value.to_string())
}

/// `error` of an answer.
#[derive(Deserialize)]
pub(super) struct RpcError<'a> {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// `result` of `tools/call` and `tasks/result`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult<'a> {
    pub(super) is_error: Option<bool>,
    pub(super) result_type: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    structured_content: Option<&'a RawValue>,
    pub(super) task: Option<Task>,
}

/// A promise of a result (revision of 2025-11-25).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub(super) task_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    mime_type: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    blob: Option<&'a RawValue>,
    uri: Option<String>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

impl CallResult<'_> {
    /// The text of the content, with a note in place of what is no text; without any, the structured content.
    pub(super) fn text(&self) -> String {
        let Some(content) = self.content else { return self.structured() };
        match read::<First<Block<'_>>>(Some(content)) {
            Some(blocks) if blocks.0.is_empty() => self.structured(),
            Some(blocks) => blocks.0.iter().map(Block::shown).collect::<Vec<_>>().join("\n"),
            None => format!("[content of another form, {} bytes]", content.get().len()),
        }
    }

    fn structured(&self) -> String {
        self.structured_content.map(|json| json.get().to_string()).unwrap_or_default()
    }
}

impl Block<'_> {
    fn shown(&self) -> Cow<'_, str> {
        if let Some(text) = &self.text {
            return Cow::Borrowed(text);
        }
        match read::<Block<'_>>(self.resource) {
            Some(Block { text: Some(text), .. }) => Cow::Owned(text.into_owned()),
            Some(inner) => Cow::Owned(inner.note(&self.kind)),
            None => Cow::Owned(self.note(&self.kind)),
        }
    }

    fn note(&self, kind: &str) -> String {
        // Four letters of base64 are three bytes; the quotes around them are no letters.
        let size = self.data.or(self.blob).map(|data| format!("{} bytes", data.get().len().saturating_sub(2) / 4 * 3));
        let kind = Some(kind.to_string()).filter(|kind| !kind.is_empty());
        let parts = [kind, self.mime_type.clone(), self.uri.clone(), size].into_iter().flatten();
        format!("[{}]", parts.collect::<Vec<_>>().join(", "))
    }
}

/// What an answer to `tools/list` says of each tool that it says something of.
pub(super) fn hints(result: Option<&RawValue>) -> Vec<(String, Hints)> {
    #[derive(Deserialize)]
    struct Listed<'a> {
        #[serde(borrow)]
        tools: First<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Tool {
        name: String,
        annotations: Option<Annotations>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Annotations {
        read_only_hint: Option<bool>,
        destructive_hint: Option<bool>,
        idempotent_hint: Option<bool>,
        open_world_hint: Option<bool>,
    }
    let tools = read::<Listed<'_>>(result).map_or_else(Vec::new, |listed| listed.tools.0);
    let said = tools.into_iter().filter_map(|raw| read::<Tool>(Some(raw)));
    said.filter_map(|tool| {
        let annotations = tool.annotations?;
        let hints = Hints {
            read_only: annotations.read_only_hint,
            destructive: annotations.destructive_hint,
            idempotent: annotations.idempotent_hint,
            open_world: annotations.open_world_hint,
        };
        Some((tool.name, hints))
    })
    .collect()
}
