//! Reads locations of the bundle: their codes, and the codes of the locations that contain them.

use serde_json::Value;

use super::bundle::Bundle;
use super::{codes, text};
use crate::domain::{Code, Place};

/// Maximum number of administrative levels, more than any country has. It also ends a cycle of
/// locations.
const DEEPEST: usize = 12;

/// The place that an encounter, an office or an address refers to.
pub(super) fn place(bundle: &Bundle, reference: &str) -> Option<Place> {
    let location = bundle.resolve(reference)?;
    Some(Place {
        id: text(location, "/id").map(str::to_owned),
        code: code(location),
        kind: location.get("type").and_then(|kind| codes(kind).next()).map(str::to_owned),
        codes: above(bundle, location),
    })
}

/// The codes of a location and of all locations that contain it, the widest area first.
pub(super) fn chain(bundle: &Bundle, reference: &str) -> Vec<Code> {
    let Some(location) = bundle.resolve(reference) else { return Vec::new() };
    let mut codes = above(bundle, location);
    codes.extend(code(location));
    codes
}

fn above(bundle: &Bundle, location: &Value) -> Vec<Code> {
    let mut found = Vec::new();
    let mut at = location;
    for _ in 0..DEEPEST {
        let Some(parent) = text(at, "/partOf/reference").and_then(|reference| bundle.resolve(reference))
        else {
            break;
        };
        found.extend(code(parent));
        at = parent;
    }
    found.reverse();
    found
}

/// The code of a location: its statistical code (`ADMIN_STRUCTURE_…`) or, without one, its internal
/// id (`CRVS_OFFICE_…`, `HEALTH_FACILITY_…`).
fn code(location: &Value) -> Option<Code> {
    let identifiers = location.get("identifier").and_then(Value::as_array)?;
    ["/statistical-code", "/internal-id"].into_iter().find_map(|ends| {
        let of_system = |id: &&Value| text(id, "/system").is_some_and(|system| system.ends_with(ends));
        let code = identifiers.iter().find(of_system).and_then(|id| super::identifying(id, "/value"));
        // Codes are stored in columns and logged.
        code.filter(|code| !code.chars().any(char::is_control))
    })
}
