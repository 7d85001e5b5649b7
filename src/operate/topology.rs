//! `nidbridge topology`: declares, checks or prints the exchanges and queues that the broker must
//! have.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::output;
use super::session::{self, Session};
use super::tally::{Miss, Tally};
use crate::broker::{Link, LinkSettings, Topology, User};
use crate::config::{self, Config, Part, Sources};
use crate::pipeline::{Role, Users};
use crate::roles::parts::BrokerEndpoint;
use crate::roles::{Failure, parts};

/// `nidbridge topology …`
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Declare what is missing in both vhosts, which must exist.
    Apply,
    /// Compare both vhosts with what they must have; change nothing.
    Check,
    /// Print both vhosts as definitions that RabbitMQ can import.
    Print(PrintArgs),
}

/// `nidbridge topology print`
#[derive(Debug, Args)]
pub struct PrintArgs {
    /// Name of the bridge's user, which may do everything in both vhosts.
    #[arg(long, default_value = "nidbridge", value_name = "NAME")]
    pub bridge_user: String,
    /// Also users for the roles, each with the permissions that its role needs: the name of the
    /// bridge's user with `-front`, `-worker` or `-confirmer` behind it. They may declare nothing:
    /// run the roles with `BROKER_APPLY_TOPOLOGY=false`, and `nidbridge topology apply` as the
    /// bridge's user after an upgrade or a change of `RETRY_STEPS`, `CONFIRM_DELAY` or `FRONT_WAIT`.
    #[arg(long)]
    pub role_users: bool,
    /// Name of the user for the vendor of the National ID system.
    #[arg(long, default_value = "vendor", value_name = "NAME")]
    pub vendor_user: String,
    /// Name of a user with all permissions and access to RabbitMQ's management interface. Without
    /// this option there is no such user.
    #[arg(long, value_name = "NAME")]
    pub administrator: Option<String>,
    /// Also create the users, with the passwords in this directory: one file for each user, named
    /// as the user. Without this option the users must exist.
    #[arg(long, value_name = "DIRECTORY")]
    pub passwords: Option<PathBuf>,
}

pub(crate) async fn run(command: TopologyCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    match command {
        TopologyCommand::Print(args) => {
            let config = config::load(&Sources::of_process(file), Part::Tool)?.config;
            output::line(&print(&config, &args)?)
        }
        TopologyCommand::Apply => session::without_keys("topology", file, apply).await,
        TopologyCommand::Check => session::without_keys("topology", file, check).await,
    }
}

async fn apply(session: &mut Session) -> Result<(), Failure> {
    for (topology, endpoint) in vhosts(&session.config) {
        let link = connect(session, &topology, &endpoint).await?;
        link.apply(&topology).await.with_context(|| in_vhost(&topology))?;
        tracing::info!(vhost = topology.vhost(), "exchanges and queues declared");
    }
    Ok(())
}

async fn check(session: &mut Session) -> Result<(), Failure> {
    let mut tally = Tally::default();
    for (topology, endpoint) in vhosts(&session.config) {
        let link = connect(session, &topology, &endpoint).await?;
        for difference in link.check(&topology).await.with_context(|| in_vhost(&topology))? {
            tally.miss(Miss::Failed, in_vhost(&topology), &difference.to_string())?;
        }
    }
    tally.verdict(|_, count| {
        format!("{count} differences: `nidbridge topology apply` declares what is missing, and changes nothing that exists")
    })?;
    output::line("both vhosts are as they must be")
}

fn vhosts(config: &Config) -> impl Iterator<Item = (Topology, BrokerEndpoint)> + use<> {
    parts::topologies(config).into_iter().zip(parts::broker_endpoints(config, "topology"))
}

/// Connects without declaring anything, whatever the settings say: `apply` declares afterwards, and
/// `check` must not declare.
async fn connect(
    session: &mut Session,
    topology: &Topology,
    endpoint: &BrokerEndpoint,
) -> Result<Link, Failure> {
    let settings = LinkSettings { apply_topology: false, ..endpoint.settings.clone() };
    let endpoint = BrokerEndpoint { settings, setting: endpoint.setting };
    let nothing = Topology::empty(topology.vhost());
    session.link(&endpoint, nothing).await
}

fn in_vhost(topology: &Topology) -> String {
    format!("vhost `{}`", topology.vhost())
}

fn print(config: &Config, args: &PrintArgs) -> Result<String, Failure> {
    let user = |name: &str| user(name, args.passwords.as_deref());
    let users = Users {
        bridge: user(&args.bridge_user)?,
        vendor: user(&args.vendor_user)?,
        roles: role_users(args, &user)?,
        administrator: args.administrator.as_deref().map(user).transpose()?,
    };
    let definitions = users
        .definitions(&parts::topologies(config))
        .context("the random number generator of this machine failed")?;
    Ok(serde_json::to_string_pretty(&definitions).context("definitions")?)
}

fn role_users(
    args: &PrintArgs,
    user: &impl Fn(&str) -> Result<User, Failure>,
) -> Result<Vec<(Role, User)>, Failure> {
    let roles = Role::ALL.into_iter().filter(|_| args.role_users);
    roles.map(|role| Ok((role, user(&format!("{}-{}", args.bridge_user, role.name()))?))).collect()
}

fn user(name: &str, passwords: Option<&Path>) -> Result<User, Failure> {
    let Some(path) = passwords.map(|directory| directory.join(name)) else { return Ok(User::existing(name)) };
    let password =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(User::new(name, SecretString::from(password.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    const COMPOSE: &str = include_str!("../../docker-compose.yml");

    fn shipped() -> Value {
        serde_json::from_str(include_str!("../../deploy/rabbitmq/definitions.json")).unwrap()
    }

    #[test]
    fn the_definitions_that_are_shipped_are_those_of_the_code() {
        let config = config::load(&Sources::default(), Part::Tool).unwrap().config;
        let args = PrintArgs {
            bridge_user: "nidbridge".to_owned(),
            role_users: true,
            vendor_user: "vendor".to_owned(),
            administrator: Some("operator".to_owned()),
            passwords: None,
        };
        let mut made: Value = serde_json::from_str(&print(&config, &args).unwrap()).unwrap();
        let shipped = shipped();
        made["users"] = shipped["users"].clone();
        assert_eq!(
            made, shipped,
            "`nidbridge topology print --role-users --administrator operator --passwords DIRECTORY` prints it anew"
        );
    }

    #[test]
    fn the_users_that_are_shipped_have_the_passwords_of_the_compose_file() {
        let users = shipped()["users"].as_array().unwrap().clone();
        let passwords = [
            ("nidbridge", "demo-only-bridge"),
            ("nidbridge-front", "demo-only-front"),
            ("nidbridge-worker", "demo-only-worker"),
            ("nidbridge-confirmer", "demo-only-confirmer"),
            ("vendor", "demo-only-vendor"),
            ("operator", "demo-only-operator"),
        ];
        assert_eq!(users.len(), passwords.len());
        for (user, (name, password)) in users.iter().zip(passwords) {
            assert_eq!(user["name"], name);
            assert!(COMPOSE.contains(password), "{password}");
            let stored = STANDARD.decode(user["password_hash"].as_str().unwrap()).unwrap();
            let hash = digest(&SHA256, &[&stored[..4], password.as_bytes()].concat());
            assert_eq!(&stored[4..], hash.as_ref(), "{name}");
        }
    }

    /// The variables in these lines of the compose file.
    fn variables(text: &str) -> BTreeMap<String, String> {
        let set = text.lines().filter_map(|line| line.trim_start().split_once(": "));
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let set = set.filter(|(name, _)| is_name(name));
        set.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
    }

    #[test]
    fn each_role_of_the_compose_file_has_its_own_user_and_only_the_settings_that_it_needs() {
        let (shared, services) = COMPOSE.split_once("\nservices:\n").unwrap();
        let (settings, ledger) = shared.split_once("\nx-ledger:").unwrap();
        for (part, role, count) in
            [(Part::Front, "front", 5), (Part::Worker, "worker", 8), (Part::Confirmer, "confirmer", 7)]
        {
            let service = services.split_once(&format!("\n  {role}:\n")).unwrap().1;
            let service = service.split("\n\n").next().unwrap();
            let mut environment = variables(settings);
            environment.extend(variables(service));
            if service.contains("*ledger") {
                environment.extend(variables(ledger));
            }
            assert!(environment["AMQP_URL"].starts_with(&format!("amqp://nidbridge-{role}:")), "{role}");
            assert_eq!(environment.contains_key("LEDGER_URL"), role != "front", "{role}");
            assert_eq!(environment.contains_key("NID_AMQP_URL"), role == "worker", "{role}");
            let loaded = config::load(&Sources { file: None, environment }, part).unwrap();
            let set = loaded.shown.iter().filter(|shown| shown.origin != "the default").count();
            assert_eq!((set, loaded.warnings), (count, Vec::new()), "{role}");
        }
    }
}
