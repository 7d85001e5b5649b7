//! `nidbridge topology`: what the broker must have, declared, compared or printed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::output;
use crate::broker::{Link, LinkSettings, Topology, User, Users, definitions};
use crate::config::{self, Config, Part, Sources};
use crate::roles::parts::Door;
use crate::roles::{Failure, parts, start};

/// `nidbridge topology …`
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Declares what is missing in both vhosts (they must exist).
    Apply,
    /// Compares both vhosts with what they must have and changes nothing.
    Check,
    /// Prints both vhosts as the definitions that RabbitMQ imports.
    Print(Print),
}

/// `nidbridge topology print`
#[derive(Debug, Args)]
pub struct Print {
    /// The bridge's user.
    #[arg(long, default_value = "nidbridge", value_name = "NAME")]
    pub bridge_user: String,
    /// The user of the National ID system's vendor.
    #[arg(long, default_value = "vendor", value_name = "NAME")]
    pub vendor_user: String,
    /// A user that may do everything, also over HTTP; none without it.
    #[arg(long, value_name = "NAME")]
    pub administrator: Option<String>,
    /// A directory with a file for each user that is to be made: named as the user, holding the password.
    #[arg(long, value_name = "DIRECTORY")]
    pub passwords: Option<PathBuf>,
}

pub(crate) async fn run(command: TopologyCommand, file: Option<PathBuf>) -> Result<(), Failure> {
    match command {
        TopologyCommand::Print(print) => {
            let config = config::load(&Sources::of_process(file), Part::Tool)?.config;
            output::line(&printed(&config, &print)?)
        }
        TopologyCommand::Apply => {
            start::tool("topology", file, async |config, _| {
                for (topology, door) in parts::topologies(&config).into_iter().zip(doors(&config)) {
                    let link = connect(&config, &topology, &door).await?;
                    link.apply(&topology).await.with_context(|| in_vhost(&topology))?;
                    link.close().await;
                    tracing::info!(vhost = topology.vhost(), "declared");
                }
                Ok(())
            })
            .await
        }
        TopologyCommand::Check => start::tool("topology", file, async |config, _| check(&config).await).await,
    }
}

async fn check(config: &Config) -> Result<(), Failure> {
    let mut found = 0;
    for (topology, door) in parts::topologies(config).into_iter().zip(doors(config)) {
        let link = connect(config, &topology, &door).await?;
        let differences = link.check(&topology).await.with_context(|| in_vhost(&topology))?;
        link.close().await;
        for difference in &differences {
            output::line(&format!("{}: {difference}", in_vhost(&topology)))?;
        }
        found += differences.len();
    }
    match found {
        0 => output::line("both vhosts are as they must be"),
        found => Err(Failure::Failed(anyhow!(
            "{found} differences: `nidbridge topology apply` declares what is missing"
        ))),
    }
}

/// Nothing is declared or compared by connecting: that is then done and told by name.
fn doors(config: &Config) -> [Door; 2] {
    parts::doors(config, "topology")
        .map(|door| Door { settings: LinkSettings { apply_topology: false, ..door.settings }, ..door })
}

async fn connect(config: &Config, topology: &Topology, door: &Door) -> Result<Link, Failure> {
    let nothing = Topology::of(topology.vhost(), &[], &parts::topology_settings(config));
    parts::connected(door, nothing).await
}

fn in_vhost(topology: &Topology) -> String {
    format!("vhost `{}`", topology.vhost())
}

fn printed(config: &Config, print: &Print) -> Result<String, Failure> {
    let user = |name: &str| user(name, print.passwords.as_deref());
    let users = Users {
        bridge: user(&print.bridge_user)?,
        vendor: user(&print.vendor_user)?,
        administrator: print.administrator.as_deref().map(user).transpose()?,
    };
    let made = definitions(&parts::topologies(config), &users).context("this machine has no randomness")?;
    Ok(serde_json::to_string_pretty(&made).context("definitions")?)
}

fn user(name: &str, passwords: Option<&Path>) -> Result<User, Failure> {
    let Some(path) = passwords.map(|directory| directory.join(name)) else { return Ok(User::existing(name)) };
    let password =
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(User::new(name, SecretString::from(password.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
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
        let print = Print {
            bridge_user: "nidbridge".to_owned(),
            vendor_user: "vendor".to_owned(),
            administrator: Some("operator".to_owned()),
            passwords: None,
        };
        let mut made: Value = serde_json::from_str(&printed(&config, &print).unwrap()).unwrap();
        let shipped = shipped();
        made["users"] = shipped["users"].clone();
        assert_eq!(
            made, shipped,
            "`nidbridge topology print --administrator operator --passwords DIRECTORY` prints it anew"
        );
    }

    #[test]
    fn the_users_that_are_shipped_have_the_passwords_of_the_compose_file() {
        let users = shipped()["users"].as_array().unwrap().clone();
        let passwords = [
            ("nidbridge", "demo-only-bridge"),
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

    #[test]
    fn every_setting_of_the_compose_file_is_one_and_right() {
        let environment = COMPOSE
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": "))
            .filter(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let loaded = config::load(&Sources { file: None, environment }, Part::All).unwrap();
        let set = loaded.shown.iter().filter(|shown| shown.origin != "the default").count();
        assert_eq!((set, loaded.warnings), (7, Vec::new()));
    }
}
