//! Reads lists and objects of raw JSON, of which only a part is needed.
//!
//! Invariant: nothing of them is kept in memory, however long they are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `f` with each element of a list. `None` if this is not a list.
pub(super) fn each_element<'a>(list: &'a RawValue, f: impl FnMut(&'a RawValue)) -> Option<()> {
    struct Elements<F>(F);

    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
            while let Some(element) = elements.next_element()? {
                self.0(element);
            }
            Ok(())
        }
    }

    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Elements(f)).ok()
}

/// The last member of this name. `None` also if this is not an object.
pub(super) fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Member(name)).ok()?
}

struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(self.0))? {
            match is_it {
                true => found = Some(members.next_value()?),
                false => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Whether a member has this name.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_of_a_name_and_every_element_are_found() {
        let raw = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        let found = |text: &'static str| member(raw(text), "a").map(RawValue::get);
        assert_eq!(found(r#"{"a":1,"b":{"a":2},"\u0061":null}"#), Some("null"));
        for without in ["{}", r#"{"b":{"a":2}}"#, r#"["a"]"#, "5"] {
            assert_eq!(found(without), None, "{without}");
        }
        let mut elements = Vec::new();
        assert_eq!(each_element(raw("[1, [2] ,{}]"), |one| elements.push(one.get())), Some(()));
        assert_eq!(elements, ["1", "[2]", "{}"]);
        assert_eq!(each_element(raw("{}"), |_| {}), None);
    }
}
