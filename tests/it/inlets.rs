//! Property tests of every parser of outside input, with generated inputs and with damaged copies
//! of valid inputs.
//!
//! None of these tests needs a broker or a database. The properties are in [`checks`], which the
//! fuzz targets use as well.

mod amqp;
mod bundle;
mod checks;
mod config;
mod gateway;
mod reply;
mod spool;
mod token;

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON, sometimes with a name from the list.
fn json(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,24}".prop_map(Value::from),
        proptest::sample::select(names).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        let name = prop_oneof![4 => proptest::sample::select(names).prop_map(str::to_owned), 1 => ".{0,12}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// JSON pointers to everything in a document except its root.
fn pointers(value: &Value) -> Vec<String> {
    fn walk(above: &str, value: &Value, found: &mut Vec<String>) {
        let mut next = |name: &str, inner: &Value| {
            let pointer = format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"));
            found.push(pointer.clone());
            walk(&pointer, inner, found);
        };
        match value {
            Value::Object(members) => members.iter().for_each(|(name, inner)| next(name, inner)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(number, inner)| next(&number.to_string(), inner));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

fn remove(document: &mut Value, pointer: &str) {
    let (above, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Object(members) => drop(members.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(name.parse().unwrap())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            unreachable!("it holds something")
        }
    }
}
