//! Reads addresses and places. A document refers to a location only by its id; it contains neither
//! the name of the location nor the areas around it.

use serde_json::Value;

use super::view::{Fields, text};
use crate::domain::{Address, EventKind, Place};

/// Maximum number of address lines.
const MOST: usize = 16;

/// An address of the form `{addressType, country, administrativeArea, streetLevelDetails}`.
pub(super) fn address(value: &Value) -> Option<Address> {
    let kept = |at: &Value, name: &str| at.get(name).and_then(text).map(str::to_owned);
    let nothing = Value::Null;
    let street = value.get("streetLevelDetails").unwrap_or(&nothing);
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| kept(street, name));
    let read = Address {
        country: kept(value, "country"),
        state: kept(street, "state"),
        // The lowest level of the country's administrative structure, whatever that level is
        // called.
        district: kept(value, "administrativeArea").or_else(|| kept(street, "district2")),
        city: first(["town", "cityOrTown"]),
        postal_code: first(["zipCode", "postcodeOrZip"]),
        lines: lines(street),
        codes: Vec::new(),
    };
    (read != Address::default()).then_some(read)
}

/// The parts of an address below the town. Each country chooses their names, so they are listed in
/// the order of their names.
fn lines(street: &Value) -> Vec<String> {
    const NAMED: [&str; 6] = ["state", "district2", "town", "cityOrTown", "zipCode", "postcodeOrZip"];
    let Some(members) = street.as_object() else { return Vec::new() };
    members
        .iter()
        .filter(|(name, _)| !NAMED.contains(&name.as_str()))
        .filter_map(|(_, value)| text(value).map(str::to_owned))
        .take(MOST)
        .collect()
}

pub(super) fn place_of_event(fields: &Fields<'_>, kind: &EventKind) -> Option<Place> {
    match kind {
        EventKind::Birth => {
            let kind = fields.text("child", "placeOfBirth")?;
            Some(match kind {
                "HEALTH_FACILITY" => facility(fields.text("child", "birthLocation"), kind),
                "PRIVATE_HOME" => area(fields.value("child", "birthLocation.privateHome"), kind),
                _ => area(fields.value("child", "birthLocation.other"), kind),
            })
        }
        EventKind::Death => {
            let kind = fields.text("eventDetails", "placeOfDeath")?;
            Some(match kind {
                "HEALTH_FACILITY" => facility(fields.text("eventDetails", "deathLocation"), kind),
                "DECEASED_USUAL_RESIDENCE" => area(fields.value("deceased", "address"), kind),
                _ => area(fields.value("eventDetails", "deathLocationOther"), kind),
            })
        }
        EventKind::Marriage | EventKind::Other(_) => None,
    }
}

fn facility(id: Option<&str>, kind: &str) -> Place {
    Place { id: id.map(str::to_owned), kind: Some(kind.to_owned()), ..Place::default() }
}

fn area(address: Option<&Value>, kind: &str) -> Place {
    facility(address.and_then(|address| text(address.get("administrativeArea")?)), kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_parts_of_an_address_have_their_places_and_the_rest_are_its_lines() {
        let written = json!({
            "addressType": "DOMESTIC", "country": "FAR", "administrativeArea": "area-1",
            "streetLevelDetails": { "state": "Sulaka", "town": "Isamba", "zipCode": "9", "number": "7",
                                    "street": "Low Road", "district2": "Ibombo", "other": "" },
        });
        let read = address(&written).unwrap();
        assert_eq!((read.country.as_deref(), read.state.as_deref()), (Some("FAR"), Some("Sulaka")));
        assert_eq!((read.district.as_deref(), read.city.as_deref()), (Some("area-1"), Some("Isamba")));
        assert_eq!(
            (read.postal_code.as_deref(), read.lines),
            (Some("9"), vec!["7".to_owned(), "Low Road".to_owned()])
        );
        assert_eq!(address(&json!({ "addressType": "DOMESTIC" })), None);
    }
}
