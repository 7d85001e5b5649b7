//! Properties of every configuration. In the input, lines `NAME=value` are the environment and the
//! rest is the file.

use std::collections::BTreeMap;
use std::path::Path;

use nidbridge::config::{Loaded, Part, Sources, load};

/// Reads the configuration as a command does. The file is written to this path.
pub fn check(input: &[u8], path: &Path) -> Option<Loaded> {
    let text = String::from_utf8_lossy(input);
    let mut environment = BTreeMap::new();
    let mut file = String::new();
    for line in text.lines() {
        match line.split_once('=') {
            // `NAME_FILE` would read a file that the input chooses.
            Some((name, value)) if is_variable(name) && !name.ends_with("_FILE") => {
                environment.insert(name.to_owned(), value.to_owned());
            }
            Some(_) | None => {
                file.push_str(line);
                file.push('\n');
            }
        }
    }
    std::fs::write(path, file).expect("a file");
    sources(&Sources { file: Some(path.to_owned()), environment })
}

/// The same with environment and file given.
pub fn sources(sources: &Sources) -> Option<Loaded> {
    let loaded = load(sources, Part::Tool);
    match (loaded, load(sources, Part::Tool)) {
        (Ok(loaded), Ok(again)) => {
            assert_eq!(loaded.shown, again.shown);
            round(&loaded);
            Some(loaded)
        }
        (Err(faults), Err(again)) => {
            assert_eq!(faults, again, "the same faults in the same order");
            assert!(!faults.0.is_empty() && faults.0.iter().all(|fault| !fault.fix.is_empty()), "{faults}");
            None
        }
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("the same configuration is right and wrong"),
    }
}

/// A configuration made of the shown values shows the same values.
fn round(loaded: &Loaded) {
    let reference = nidbridge::config::reference();
    let mut environment = BTreeMap::new();
    for shown in &loaded.shown {
        let row = reference.lines().find(|row| row.starts_with(&format!("| `{}` |", shown.key)));
        let row = row.expect("every setting is in the reference");
        if row.contains("Secret.") || shown.value == "(not set)" {
            continue;
        }
        let name = row.split('`').nth(3).expect("a variable");
        environment.insert(name.to_owned(), shown.value.clone());
    }
    let again = load(&Sources { file: None, environment }, Part::Tool);
    let again = again.unwrap_or_else(|faults| panic!("what is shown is not right: {faults}"));
    for (one, two) in loaded.shown.iter().zip(&again.shown) {
        let same = one.value == two.value || two.value == "(not set)" || two.origin == "the default";
        assert!(same, "{one:?}, {two:?}");
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
