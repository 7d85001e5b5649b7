//! Builds JSON in memory within a budget: a few bytes of JSON can take a hundred times as much.
//!
//! Invariant: what is built from one body never takes more memory than its [`Budget`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Budget of a small body, in bytes. A record takes about 200 KB.
const LEAST: usize = 2 * 1024 * 1024;
/// Budget of a large body, in bytes.
const MOST: usize = 16 * 1024 * 1024;
/// A longer text is cut by [`Budget::build_short`], in bytes. Nothing that is read from a document
/// is longer.
const LONGEST_TEXT: usize = 4 * 1024;

/// What a vector or a map takes at first, and for each further element, in bytes. A node of a map
/// has room for 11 members, a new vector for 4 elements, and both may be half empty.
const MAP: usize = 640;
const MEMBER: usize = 160;
const LIST: usize = 128;
const ELEMENT: usize = 96;
/// What the allocator adds to a text, in bytes.
const TEXT: usize = 16;

/// Memory that may still be built from a body, in bytes.
#[derive(Debug)]
pub struct Budget(usize);

/// Why JSON was not built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbuilt {
    NotJson,
    /// It would take more memory than is left.
    TooCostly,
}

impl Budget {
    /// The budget of a body of this many bytes: twice its size, within bounds.
    pub fn of(body: usize) -> Self {
        Self(body.saturating_mul(2).clamp(LEAST, MOST))
    }

    pub fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    pub fn left(&self) -> usize {
        self.0
    }

    /// Takes memory from the budget.
    ///
    /// # Errors
    /// [`Unbuilt::TooCostly`], and nothing is taken.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Unbuilt> {
        self.0 = self.0.checked_sub(bytes).ok_or(Unbuilt::TooCostly)?;
        Ok(())
    }

    /// Builds JSON exactly as [`serde_json::from_str`] does.
    ///
    /// # Errors
    /// [`Unbuilt`], and nothing is taken.
    pub fn build(&mut self, text: &str) -> Result<Value, Unbuilt> {
        self.build_within(text, usize::MAX)
    }

    /// Builds JSON whose long texts are cut. White space around a long text is cut first.
    ///
    /// # Errors
    /// [`Unbuilt`], and nothing is taken.
    pub fn build_short(&mut self, text: &str) -> Result<Value, Unbuilt> {
        self.build_within(text, LONGEST_TEXT)
    }

    fn build_within(&mut self, text: &str, longest: usize) -> Result<Value, Unbuilt> {
        let (mut left, mut is_spent) = (self.0, false);
        let mut json = serde_json::Deserializer::from_str(text);
        let builder = Builder { left: &mut left, is_spent: &mut is_spent, longest };
        let built = builder.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        match built {
            Ok(value) => {
                self.0 = left;
                Ok(value)
            }
            Err(_) if is_spent => Err(Unbuilt::TooCostly),
            Err(_) => Err(Unbuilt::NotJson),
        }
    }
}

/// What an object takes that is built already, at most, in bytes.
pub fn built_size(object: &Map<String, Value>) -> usize {
    let text = |text: &String| text.len() + TEXT;
    let members = object.iter().map(|(name, value)| text(name) + size(value) + MEMBER);
    MAP + members.sum::<usize>()
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() + TEXT,
        Value::Array(list) => LIST + list.iter().map(|element| size(element) + ELEMENT).sum::<usize>(),
        Value::Object(members) => built_size(members),
    }
}

/// Builds a value and everything in it.
struct Builder<'b> {
    left: &'b mut usize,
    is_spent: &'b mut bool,
    /// Limit of a text, in bytes.
    longest: usize,
}

impl Builder<'_> {
    fn again(&mut self) -> Builder<'_> {
        Builder { left: self.left, is_spent: self.is_spent, longest: self.longest }
    }

    fn charge<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        let left = self.left.checked_sub(bytes);
        *self.is_spent |= left.is_none();
        *self.left = left.ok_or_else(|| E::custom("the budget is spent"))?;
        Ok(())
    }

    fn text<E: Error>(&mut self, text: &str) -> Result<String, E> {
        let kept = if text.len() <= self.longest { text } else { short(text, self.longest) };
        self.charge(if kept.is_empty() { 0 } else { kept.len() + TEXT })?;
        Ok(kept.to_owned())
    }
}

fn short(text: &str, longest: usize) -> &str {
    let text = text.trim();
    text.get(..text.floor_char_boundary(longest)).unwrap_or_default()
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<Value, E> {
        self.text(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self.again())? {
            match list.len() {
                0 => self.charge(LIST)?,
                1..4 => {}
                _ => self.charge(ELEMENT)?,
            }
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key_seed(Name(self.again()))? {
            let is_new = !map.contains_key(&name);
            match map.len() {
                0 => self.charge(MAP)?,
                1..11 => {}
                _ if is_new => self.charge(MEMBER)?,
                _ => {}
            }
            let value = members.next_value_seed(self.again())?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// Builds the name of a member.
struct Name<'b>(Builder<'b>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(mut self, name: &str) -> Result<String, E> {
        self.0.text(name)
    }
}

#[cfg(test)]
mod tests;
