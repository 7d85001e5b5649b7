//! A command that the broker refuses ends at once and names the setting that is wrong. Less serious
//! problems, such as an empty setting, are warnings.

use super::ended;
use crate::harness::ledgers::Engine;
use crate::harness::world::World;

/// The default of `LOG_FILTER`.
const LOGS: (&str, &str) = ("LOG_FILTER", "info,lapin=off,sqlx=error");

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_broker_refuses_ends_at_once_and_names_the_setting() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    let url = world.vhosts().link_settings("x").url;
    let url = secrecy::ExposeSecret::expose_secret(&url).to_owned();
    let (front, vhost) = url.rsplit_once('/').unwrap();
    let password = front.split([':', '@']).nth(2).unwrap();
    let wrong_password = url.replace(password, "wrong");
    let wrong_vhost = format!("{front}/nowhere");
    let resume = ["attempts", "resume", "5c1b3f0e-0000-4000-8000-000000000000", "--reason", "x"];
    for command in [
        &["topology", "apply"][..],
        &["topology", "check"],
        &["recover"],
        &["queue", "list"],
        &["queue", "replay", "replies.work.parked", "--reason", "x"],
        &resume,
    ] {
        for (wrong, why) in
            [(&wrong_password, "does not accept the user"), (&wrong_vhost, "has no vhost `nowhere`")]
        {
            let told = ended(&world, command, &[("AMQP_URL", wrong), LOGS]).await;
            assert_eq!(told.code, Some(78), "{command:?}: {}", told.stderr);
            assert!(told.stderr.contains("AMQP_URL (broker.url): RabbitMQ") && told.stderr.contains(why));
            assert!(told.stderr.lines().count() <= 2, "a storm: {}", told.stderr);
            assert!(!told.stderr.contains(password) && !told.stderr.contains("wrong@"), "{}", told.stderr);
        }
    }
    let told = ended(&world, &["queue", "list"], &[("NID_AMQP_URL", &wrong_vhost)]).await;
    assert!(
        told.code == Some(78) && told.stderr.contains("NID_AMQP_URL (broker.nid_url)"),
        "{}",
        told.stderr
    );
    let applied = ended(&world, &["topology", "apply"], &[]).await;
    let checked = ended(&world, &["topology", "check"], &[("BROKER_MAX_LENGTH", "7")]).await;
    assert_eq!((applied.code, checked.code), (Some(0), Some(1)), "{}", applied.stderr);
    assert!(checked.stdout.contains(&format!("vhost `{vhost}`")), "{}", checked.stdout);
    let printed = ended(&world, &["topology", "print"], &[("AMQP_URL", "amqp://u:p@h/civil%2Fid")]).await;
    let names = |vhost: &str| printed.stdout.contains(&format!("\"vhost\": \"{vhost}\""));
    assert!(names("civil/id") && !names("nidbridge"), "{}", printed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_setting_and_what_was_not_checked_are_reported() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    let told = ended(&world, &["config", "check"], &[("LEDGER_URL", ""), ("CONFIRM_DELAY", "2s")]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("LEDGER_URL is empty") && told.stdout.contains("nidbridge.db"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("CONFIRM_DELAY"), "{}", told.stdout);
    assert!(told.stdout.contains("Nothing was contacted"), "{}", told.stdout);
    let unchecked = "was not checked: COUNTRY_CONFIG_URL is not set";
    for (events, is_told) in [("true", true), ("false", false)] {
        let spool = world.dir.join("spool").display().to_string();
        let settings = [
            ("FRONT_EVENTS", events),
            ("FIELDS_EVENTS", "child.dob = none"),
            ("FRONT_SPOOL", spool.as_str()),
        ];
        let told = ended(&world, &["config", "check"], &settings).await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        assert_eq!(told.stdout.contains(unchecked), is_told, "{}", told.stdout);
    }
    let causes = ended(&world, &["causes"], &[]).await;
    assert!(causes.code == Some(0) && causes.stdout.contains("| `unsealable` | "), "{}", causes.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_finds_a_ledger_or_fails_and_never_makes_one() {
    let world = World::empty(Engine::Sqlite, &[]).await;
    let mistyped = world.dir.join("typo.db");
    let url = format!("sqlite:{}", mistyped.display());
    for command in [
        &["attempts", "list"][..],
        &["attempts", "show", "x"],
        &["recover"],
        &["reconcile"],
        &["seal", "rotate"],
        &["tokens", "replace", "--subject-token-file", "/dev/null", "--all-orphaned"],
    ] {
        let told = ended(&world, command, &[("LEDGER_URL", &url), LOGS]).await;
        assert!(told.code.is_some_and(|code| code != 0), "{command:?}: {}", told.stdout);
        assert!(!mistyped.exists(), "{command:?} has made a ledger");
    }
    let told = ended(&world, &["attempts", "list"], &[("LEDGER_URL", &url), LOGS]).await;
    assert_eq!(told.code, Some(69), "{}", told.stderr);
    assert!(told.stderr.contains("LEDGER_URL (ledger.url): there is no ledger"), "{}", told.stderr);
}
