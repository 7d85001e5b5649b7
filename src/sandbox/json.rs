//! Merges JSON objects.

use serde_json::Value;

/// Adds the members of `members` to `object`. On a conflict the added member wins.
pub(super) fn with(mut object: Value, members: Value) -> Value {
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), members) {
        object.extend(members);
    }
    object
}
