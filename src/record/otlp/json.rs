//! What the JSON form of OTLP does in its own way: identities in hexadecimal, numbers of 64 bits as text, `null` for what is not set.
//!
//! The form of the messages is in `proto.rs`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::proto::{AnyValue, ArrayValue, KeyValueList, Value};

/// A value, or `null` for its default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Bytes in hexadecimal digits of either case.
pub(super) fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: String = or_default(deserializer)?;
    let pairs = (0..text.len()).step_by(2);
    let byte = |at: usize| {
        let pair = text.get(at..at + 2).filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.map(byte).collect::<Option<_>>().ok_or_else(|| D::Error::custom("an identity is not pairs of hexadecimal digits"))
}

/// An integer, as a number or as text.
pub(super) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + FromStr + TryFrom<i128>,
{
    struct Number<T>(PhantomData<T>);
    impl<'de, T: Default + FromStr + TryFrom<i128>> Visitor<'de> for Number<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer, as a number or as text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(|_| E::custom("a text is no integer of its field's size"))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
            T::try_from(value.into()).map_err(|_| E::custom("an integer is too large for its field"))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
            T::try_from(value.into()).map_err(|_| E::custom("an integer is too large for its field"))
        }

        fn visit_unit<E: Error>(self) -> Result<T, E> {
            Ok(T::default())
        }
    }
    deserializer.deserialize_any(Number(PhantomData))
}

/// Writes an integer of 64 bits as text.
pub(super) fn text<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_string().serialize(serializer)
}

/// An integer that may be text.
#[derive(Deserialize)]
struct Int(#[serde(deserialize_with = "number")] i64);

/// A number, or the text of one that JSON cannot write.
#[derive(Deserialize)]
#[serde(untagged)]
enum Double {
    Number(f64),
    Text(String),
}

/// The keys of a value; the first that is there counts.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Int>,
    double_value: Option<Double>,
    array_value: Option<ArrayValue>,
    kvlist_value: Option<KeyValueList>,
    bytes_value: Option<String>,
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Keys::deserialize(deserializer)?;
        let value = if let Some(text) = keys.string_value {
            Some(Value::String(text))
        } else if let Some(value) = keys.bool_value {
            Some(Value::Bool(value))
        } else if let Some(Int(value)) = keys.int_value {
            Some(Value::Int(value))
        } else if let Some(value) = keys.double_value {
            Some(Value::Double(value.read().ok_or_else(|| D::Error::custom("`doubleValue` is no number"))?))
        } else if let Some(values) = keys.array_value {
            Some(Value::Array(values))
        } else if let Some(values) = keys.kvlist_value {
            Some(Value::List(values))
        } else if let Some(text) = keys.bytes_value {
            let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text));
            Some(Value::Bytes(bytes.map_err(|_| D::Error::custom("`bytesValue` is no base64"))?))
        } else {
            None
        };
        Ok(AnyValue { value })
    }
}

impl Double {
    fn read(self) -> Option<f64> {
        match self {
            Double::Number(value) => Some(value),
            Double::Text(text) => text.parse().ok(),
        }
    }
}

impl AnyValue {
    /// The value as plain JSON; bytes in base64.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            None => Json::Null,
            Some(Value::String(text)) => Json::String(text.clone()),
            Some(Value::Bool(value)) => Json::Bool(*value),
            Some(Value::Int(value)) => Json::from(*value),
            Some(Value::Double(value)) => Json::from(*value),
            Some(Value::Array(array)) => array.values.iter().map(AnyValue::to_json).collect(),
            Some(Value::List(list)) => list
                .values
                .iter()
                .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Json::Null, AnyValue::to_json)))
                .collect(),
            Some(Value::Bytes(bytes)) => Json::String(STANDARD.encode(bytes)),
        }
    }
}
