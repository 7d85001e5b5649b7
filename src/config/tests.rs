use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;

const KEY: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const LEDGER: (&str, &str) = ("LEDGER_URL", "sqlite:x.db");

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { file: None, environment }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn faults(sources: &Sources) -> Vec<String> {
    load(sources, Part::All).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_keys_are_the_only_setting_that_every_role_requires() {
    let loaded = load(&environment(&[("SEAL_KEYS", KEY)]), Part::All).unwrap();
    assert_eq!(loaded.config.broker.retry_steps.len(), 5);
    assert_eq!(loaded.config.front.max_body, 50 << 20);
    assert_eq!(loaded.config.confirm.quarantine, Duration::from_secs(600));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let missing = faults(&environment(&[]));
    assert!(
        matches!(missing.as_slice(), [only] if only.starts_with("SEAL_KEYS (seal.keys): is not set;")),
        "{missing:?}"
    );
    assert!(load(&environment(&[]), Part::Tool).is_ok());
}

#[test]
fn every_default_is_a_value_of_its_own_form() {
    assert!(load(&Sources::default(), Part::Tool).is_ok());
    let keys: Vec<&str> = settings().map(|setting| setting.key).collect();
    let variables: Vec<&str> = settings().flat_map(|setting| setting.env.iter().copied()).collect();
    for names in [keys, variables] {
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }
}

#[test]
fn the_environment_overrides_the_file_and_the_file_overrides_the_default() {
    let file = file(
        "[front]\nlisten = '127.0.0.1:1'\nhold = '1s'\n[broker]\nretry_steps = ['1s', '2s']\nchannels = 7",
    );
    let mut sources = environment(&[("SEAL_KEYS", KEY), ("FRONT_LISTEN", "127.0.0.1:2"), ("FRONT_HOLD", "")]);
    sources.file = Some(file.path().to_owned());
    let config = load(&sources, Part::All).unwrap().config;
    assert_eq!(config.front.listen.port(), 2);
    assert_eq!(config.front.hold, Duration::from_secs(1), "an empty variable is none");
    assert_eq!(config.broker.retry_steps, [Duration::from_secs(1), Duration::from_secs(2)]);
    assert_eq!(config.broker.channels, 7);
}

#[test]
fn a_value_may_come_from_a_mounted_file() {
    let mounted = file(&format!("{KEY}\n"));
    let path = mounted.path().to_str().unwrap();
    let config = load(&environment(&[("SEAL_KEYS_FILE", path)]), Part::All).unwrap().config;
    assert_eq!(config.seal_keys.expose_secret(), KEY);
    let twice = faults(&environment(&[("SEAL_KEYS_FILE", path), ("SEAL_KEYS", KEY)]));
    assert!(twice[0].contains("is set twice, by SEAL_KEYS and by SEAL_KEYS_FILE"), "{twice:?}");
    let gone = faults(&environment(&[("SEAL_KEYS_FILE", "/nowhere/at/all")]));
    assert!(gone[0].contains("SEAL_KEYS_FILE names \"/nowhere/at/all\""), "{gone:?}");
}

#[test]
fn names_that_opencrvs_uses_elsewhere_are_understood() {
    let sources = environment(&[("SEAL_KEYS", KEY), ("OPENCRVS_GATEWAY_URL", "http://gw:1/")]);
    assert_eq!(load(&sources, Part::All).unwrap().config.opencrvs.gateway_url.as_str(), "http://gw:1/");
    let both = environment(&[("GATEWAY_URL", "http://a"), ("OPENCRVS_GATEWAY_URL", "http://b")]);
    assert!(faults(&both)[0].contains("set twice, by GATEWAY_URL and by OPENCRVS_GATEWAY_URL"));
}

#[test]
fn all_faults_are_listed_at_once_with_their_names_and_fixes() {
    let file = file("[front]\nlistn = 'x'\n[number]\ntemplate = '{year}'\n");
    let mut sources = environment(&[
        ("FRONT_MAX_BODY", "50 megs"),
        ("CONFIRM_DELAY", "2"),
        ("GATEWAY_URL", "gateway:7070"),
        ("BROKER_CHANNELS", "0"),
        ("CONFIRM_NEGATIVE", "reject"),
    ]);
    sources.file = Some(file.path().to_owned());
    let faults = faults(&sources);
    for expected in [
        "front.listn: is not a setting; did you mean `front.listen`?",
        "FRONT_MAX_BODY (front.max_body): \"50 megs\" is not a size; write a size such as",
        "CONFIRM_DELAY (confirm.delay): \"2\" has no unit; write a duration such as 500ms, 5s, 10m, 24h or 7d",
        "GATEWAY_URL (opencrvs.gateway_url): \"gateway:7070\" does not begin with http:// or https://; write a URL",
        "BROKER_CHANNELS (broker.channels): \"0\" is less than 1; write a whole number of at least 1 (it is from",
        "CONFIRM_NEGATIVE (confirm.negative): \"reject\" is neither; write hold or confirm_with_comment",
        "NUMBER_TEMPLATE (number.template): \"{year}\" cannot be used: {tracking_id} is missing",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\n{faults:#?}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}

#[test]
fn settings_must_fit_each_other() {
    let sources = environment(&[
        ("SEAL_KEYS", KEY),
        ("CONFIRM_LEASE", "30s"),
        ("OPENCRVS_CONNECT_TIMEOUT", "31s"),
        ("FRONT_BODY_MEMORY", "1MiB"),
    ]);
    let faults = faults(&sources);
    let lease = "CONFIRM_LEASE (confirm.lease): 30s is not longer than OPENCRVS_TIMEOUT (30s)";
    assert!(faults.iter().any(|fault| fault.starts_with(lease)), "{faults:#?}");
    assert_eq!(faults.len(), 3, "{faults:#?}");
}

#[test]
fn the_file_of_a_clients_secret_is_remembered_by_its_path() {
    let secret = file("hush\n");
    let path = secret.path().to_str().unwrap();
    let sources = environment(&[
        ("SEAL_KEYS", KEY),
        ("OPENCRVS_CLIENT_ID", "7d1c0a52"),
        ("OPENCRVS_CLIENT_SECRET_FILE", path),
        ("OPENCRVS_CLIENT_SECRET_NEXT", "hush too"),
    ]);
    let loaded = load(&sources, Part::All).unwrap();
    let opencrvs = &loaded.config.opencrvs;
    let secrets = (&opencrvs.client_secret, &opencrvs.client_secret_next);
    let is_kept = |source: &SecretSource| matches!(source, SecretSource::File(kept) if kept == secret.path());
    assert!(secrets.0.as_ref().is_some_and(is_kept), "{secrets:?}");
    assert!(matches!(secrets.1, Some(SecretSource::Value(_))), "{secrets:?}");
    assert!(!format!("{loaded:?}").contains("hush"));
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "s3cr3t";
    let amqp = format!("amqp://bridge:{secret}@mq:5671/nidbridge?token={secret}");
    let ledger = format!("postgres://bridge:{secret}@db/nidbridge");
    let sources = environment(&[("SEAL_KEYS", KEY), ("AMQP_URL", &amqp), ("LEDGER_URL", &ledger)]);
    let loaded = load(&sources, Part::All).unwrap();
    let shown = |key| loaded.shown.iter().find(|shown| shown.key == key).unwrap().value.clone();
    assert_eq!(shown("broker.url"), "amqp://***@mq:5671/nidbridge?***");
    assert_eq!(shown("ledger.url"), "postgres://***@db/nidbridge");
    assert_eq!(shown("seal.keys"), "(set)");
    assert_eq!(shown("opencrvs.country_config_url"), "(not set)");
    assert!(!format!("{loaded:?}").contains(secret));

    let wrong = environment(&[
        ("SEAL_KEYS", "a:s3cr3t"),
        ("AMQP_URL", "http://bridge:s3cr3t@mq"),
        ("LEDGER_URL", "mysql://s3cr3t"),
        ("GATEWAY_URL", "http://u:s3cr3t@gateway"),
    ]);
    let faults = faults(&wrong);
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(!faults.concat().contains(secret), "{faults:#?}");
}

#[test]
fn a_broken_file_is_reported_by_its_line_and_never_quoted() {
    let file = file("[seal]\nkeys = s3cr3t\n");
    let sources = Sources { file: Some(file.path().to_owned()), environment: BTreeMap::new() };
    let faults = faults(&sources).concat();
    assert!(faults.contains("is not TOML, line 2:"), "{faults}");
    assert!(!faults.contains("s3cr3t"), "{faults}");
}

#[test]
fn a_variable_that_is_nearly_one_of_ours_is_a_warning() {
    let sources = environment(&[
        ("SEAL_KEYS", KEY),
        ("FRONT_LISTN", "0.0.0.0:1"),
        ("SEAL_KEY_FILE", "/x"),
        ("PATH", "/bin"),
        ("HOME", "/"),
        ("FRONT_COLOUR", "blue"),
    ]);
    let warnings = load(&sources, Part::All).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "FRONT_LISTN is not a setting: did you mean FRONT_LISTEN?",
            "SEAL_KEY is not a setting: did you mean SEAL_KEYS?"
        ]
    );
}

#[test]
fn the_reference_names_every_setting_and_no_secret() {
    let text = reference();
    for setting in settings() {
        assert!(text.contains(&format!("| `{}` | `{}`", setting.key, setting.variable())), "{}", setting.key);
    }
    assert!(
        text.contains("| `front.listen` | `FRONT_LISTEN` | `0.0.0.0:3040` | Address and port on which the front listens."),
        "{text}"
    );
}

#[test]
fn a_field_mapping_is_shown_with_its_conditions_and_has_a_short_form_for_one_field() {
    let url = ("COUNTRY_CONFIG_URL", "http://country");
    let with = |settings: &[(&str, &str)]| environment(&[&[("SEAL_KEYS", KEY), url], settings].concat());
    let loaded = |settings: &[(&str, &str)]| load(&with(settings), Part::All).unwrap();
    let mapping = |settings: &[(&str, &str)]| loaded(settings).config.confirm.mapping();
    assert_eq!(mapping(&[]), None);
    let long = [("CONFIRM_FIELDS", "* : child.nid = id")];
    let short = [("CONFIRM_IDENTIFIER_FIELD", "child.nid")];
    assert_eq!(mapping(&long), mapping(&short));
    let loaded = loaded(&long);
    let shown = loaded.shown.iter().find(|shown| shown.key == "confirm.fields").unwrap();
    assert_eq!(shown.value, "*: child.nid = id when issued");

    let both = faults(&with(&[long, short].concat()));
    let told = "CONFIRM_IDENTIFIER_FIELD (confirm.identifier_field): is set, and CONFIRM_FIELDS (confirm.fields) as well;";
    assert!(matches!(both.as_slice(), [only] if only.starts_with(told)), "{both:#?}");
    let wrong = faults(&with(&[("CONFIRM_FIELDS", "birth: child.nid")]));
    let told = "cannot be used: at character 17: `=` must follow the name; write fields for each kind";
    assert!(matches!(wrong.as_slice(), [only] if only.contains(told)), "{wrong:#?}");
}

#[test]
fn only_the_host_of_a_webhook_is_shown() {
    use setting::Form as _;
    let shown =
        forms::SecretUrl::show("https://me:Sesame@alerts.example:8443/hooks/Sesame?key=Sesame#Sesame");
    assert_eq!(shown, "https://alerts.example/***");
    assert_eq!(forms::SecretUrl::show("Sesame"), "(set)");
}

#[test]
fn a_wait_that_is_longer_than_the_timeout_of_the_proxy_is_a_warning() {
    let warnings =
        |wait| load(&environment(&[("SEAL_KEYS", KEY), ("FRONT_WAIT", wait)]), Part::Front).unwrap().warnings;
    assert_eq!(warnings("birth=14s"), Vec::<String>::new());
    assert!(matches!(warnings("birth=1s,20s").as_slice(), [one] if one.contains("proxy_read_timeout")));
}

#[test]
fn requirements_between_settings_are_checked_for_the_roles_that_use_them() {
    const ALL: [Part; 6] =
        [Part::All, Part::Front, Part::Worker, Part::Confirmer, Part::Operation, Part::Tool];
    let front = [Part::All, Part::Front];
    let confirmer = [Part::All, Part::Confirmer];
    for (set, named, asked) in [
        (("FRONT_EVENTS", "true"), "FRONT_SPOOL", &front[..]),
        (("FRONT_BODY_MEMORY", "1KiB"), "FRONT_BODY_MEMORY", &front),
        (("CONFIRM_LEASE", "1s"), "CONFIRM_LEASE", &confirmer),
        (("CONFIRM_IDENTIFIER_FIELD", "child.nid"), "COUNTRY_CONFIG_URL", &confirmer),
        (("CONFIRM_FIELDS", "*: child.nid = id"), "CONFIRM_FIELDS (confirm.fields) is", &confirmer),
        (("OPENCRVS_CLIENT_ID", "7d1c0a52"), "OPENCRVS_CLIENT_SECRET", &confirmer),
        (("OPENCRVS_CLIENT_SECRET", "hush"), "OPENCRVS_CLIENT_ID", &confirmer),
        (("OPENCRVS_CLIENT_SECRET_NEXT", "hush"), "OPENCRVS_CLIENT_SECRET_NEXT", &confirmer),
        (("OPENCRVS_REGISTER_CLIENT", "true"), "OPENCRVS_REGISTER_CLIENT", &front),
        (("BREAKER_PAUSE", "1h"), "BREAKER_PAUSE", &ALL),
    ] {
        for part in ALL {
            let told = load(&environment(&[("SEAL_KEYS", KEY), LEDGER, set]), part).map(|_| ());
            let named = told.err().map(|faults| {
                assert!(faults.to_string().contains(named), "{part:?} {faults}");
            });
            assert_eq!(named.is_some(), asked.contains(&part), "{set:?} {part:?}");
        }
    }
    // A front with sync answers itself gives the ID to OpenCRVS, so it requires the same settings
    // as a confirmer.
    let holding =
        [("SEAL_KEYS", KEY), LEDGER, ("FRONT_WAIT", "5s"), ("CONFIRM_IDENTIFIER_FIELD", "child.nid")]
            .as_slice();
    assert!(load(&environment(holding), Part::Front).is_err());
    assert!(load(&environment(holding), Part::Worker).is_ok());
}

#[test]
fn a_separate_role_requires_ledger_url_and_only_all_in_one_has_a_default() {
    let (all, keys) = ([Part::All, Part::Front, Part::Operation, Part::Tool], ("SEAL_KEYS", KEY));
    for part in all {
        assert!(load(&environment(&[keys]), part).is_ok(), "{part:?}");
    }
    for part in [Part::Worker, Part::Confirmer] {
        let faults = load(&environment(&[keys]), part).unwrap_err().to_string();
        assert!(faults.contains("LEDGER_URL (ledger.url)"), "{faults}");
        let empty = [keys, ("LEDGER_URL", "")];
        assert!(load(&environment(&empty), part).is_err(), "an empty variable counts as not set");
        assert!(load(&environment(&[keys, LEDGER]), part).is_ok());
        let file = file("[ledger]\nurl = \"sqlite:x.db\"\n");
        let sources = Sources { file: Some(file.path().to_owned()), ..environment(&[keys]) };
        assert!(load(&sources, part).is_ok());
    }
}
