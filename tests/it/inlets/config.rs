//! Configuration: any text for any setting, from the environment and from the file.

use std::collections::BTreeMap;
use std::time::Duration;

use nidbridge::config::{Part, Sources, load, reference};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::checks::config::{check, sources};

const SECRET: &str = "Hunter2Canary";

fn settings() -> Vec<(String, String, bool)> {
    let rows = reference();
    let rows = rows.lines().skip(2).map(|row| {
        let mut names = row.split('`').skip(1).step_by(2);
        (names.next().unwrap().to_owned(), names.next().unwrap().to_owned(), row.contains("Secret."))
    });
    rows.collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,30}",
        "[0-9]{1,25}(ms|s|m|h|d|B|KiB|GiB)?",
        "[0-9]{1,3}s(,[0-9]{1,3}m){0,4}",
        "[a-z]{1,8}://[a-z@:/?#%\\[\\]0-9]{0,30}",
        select(vec![
            "true",
            "false",
            "0.0.0.0:0",
            "[::1]:80",
            "http://a:b@c/",
            "http://[::1",
            "amqp://u:p@h/%2f",
            "sqlite:x",
            "postgres://u:p@h/d",
            "{year}{tracking_id}",
            "{",
            "hold",
            "json",
            "info,nidbridge=debug",
            "a[b{c=d}]=e",
            "18446744073709551615d",
            "99999999999999999999s",
            "0s",
            "1s,1s",
            "9007199254740993GiB",
        ])
        .prop_map(str::to_owned),
    ]
}

fn toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_for_a_setting_is_accepted_or_refused_with_its_fix(
        set in proptest::collection::vec((any::<Index>(), text(), any::<bool>()), 1..6),
        part in select(vec![Part::All, Part::Front, Part::Worker, Part::Confirmer, Part::Operation, Part::Tool]),
    ) {
        let all = settings();
        let mut environment = BTreeMap::new();
        let mut file = BTreeMap::new();
        for (which, text, by_file) in set {
            let (key, variable, _) = which.get(&all);
            if by_file { file.insert(key.clone(), text); } else { environment.insert(variable.clone(), text); }
        }
        let named = tempfile::NamedTempFile::new().unwrap();
        let lines: String = file.iter().map(|(key, text)| format!("{key} = {}\n", toml(text))).collect();
        std::fs::write(named.path(), lines).unwrap();
        let from = Sources { file: Some(named.path().to_owned()), environment: environment.clone() };
        sources(&from);
        if let Err(faults) = load(&from, part) {
            // Every fault concerns a setting that was set, or a required one that was not.
            for fault in &faults.0 {
                prop_assert!(all.iter().any(|(key, variable, _)| fault.name == format!("{variable} ({key})")), "{}", fault);
            }
        }
    }

    #[test]
    fn a_file_of_any_text_is_accepted_or_its_fault_reported(text in prop_oneof!["\\PC{0,200}", "[\\[\\]{}a-z.='\"\n0-9]{0,200}"]) {
        let named = tempfile::NamedTempFile::new().unwrap();
        check(text.as_bytes(), named.path());
    }

    /// A password stays secret in the wrong setting, beside a typing error, and in a file that is
    /// no TOML.
    #[test]
    fn a_secret_is_in_no_fault_no_warning_and_nothing_that_is_shown(
        which in any::<Index>(),
        form in select(vec!["{}", "amqp://u:{}@h/v", "amqp://u:{}@h", "http://u:{}@h/v", "postgres://u:{}@h/d?x={}", "a:{}", "postgres://u:{}@h:x/d", "amqp://u:p@h/v?password={}", "{}{"]),
        style in 0_usize..7,
        by_file in any::<bool>(),
    ) {
        let secrets: Vec<_> = settings().into_iter().filter(|(_, _, secret)| *secret).collect();
        let (key, variable, _) = which.get(&secrets);
        let value = form.replace("{}", SECRET);
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut from = Sources { file: Some(named.path().to_owned()), ..Sources::default() };
        if by_file {
            let line = match style {
                0 => format!("{key} = \"{value}"),
                1 => format!("{key} = {value}"),
                2 => format!("{key} = ['{value}', 7.5]"),
                3 => format!("{key} = '{value}'\n{key} = '{value}'"),
                4 => format!("{key}.x = '{value}'"),
                5 => format!("{key}s = '{value}'"),
                _ => format!("{key} = '{value}'"),
            };
            std::fs::write(named.path(), line).unwrap();
        } else {
            let name = match style { 0 => format!("{variable}S"), 1 => variable.to_lowercase(), _ => variable.clone() };
            from.environment.insert(name, value);
        }
        let told = match load(&from, Part::All) {
            Ok(loaded) => format!("{:?} {:?} {:?}", loaded.shown, loaded.warnings, loaded.config),
            Err(faults) => format!("{faults} {faults:?}"),
        };
        prop_assert!(!told.contains(SECRET), "{}", told);
        if let Ok(loaded) = load(&from, Part::Tool) {
            let told = format!("{loaded:?}");
            prop_assert!(!told.contains(SECRET), "{}", told);
        }
    }

    #[test]
    fn a_duration_is_read_as_it_is_written(number in 1_u64..300_000_000, unit in select(vec![("ms", 1_u64), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)])) {
        let (unit, each) = unit;
        let environment = [("BROKER_DRAIN".to_owned(), format!("{number}{unit}"))].into();
        let loaded = load(&Sources { file: None, environment }, Part::Tool);
        let wanted = Duration::from_millis(number * each);
        match loaded {
            Ok(loaded) => prop_assert_eq!(loaded.config.broker.drain, wanted),
            Err(_) => prop_assert!(wanted > Duration::from_secs(3_600) , "{}{}", number, unit),
        }
    }
}

#[test]
fn a_file_that_is_nested_without_end_is_a_fault() {
    let named = tempfile::NamedTempFile::new().unwrap();
    let deep = "a.".repeat(20_000);
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("[{deep}b]"),
        format!("{deep}b = 1"),
        format!("a = {}", "{a=".repeat(50_000)),
    ] {
        assert!(check(text.as_bytes(), named.path()).is_none(), "{}", &text[..20]);
    }
}
