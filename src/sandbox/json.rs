//! JSON documents that are put together from parts.

use serde_json::Value;

/// The object with the members of another one added, which win where both have one.
pub(super) fn with(mut object: Value, members: Value) -> Value {
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
    object
}
