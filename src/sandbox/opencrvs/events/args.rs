//! The options of `nidbridge simulate opencrvs` for the events generation.

use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::sandbox::opencrvs::{Announced, OpencrvsSim, SimulateError};

/// The scopes of a client that is given on the command line.
const CLIENT_SCOPES: [&str; 4] = [
    "type=record.action.accept&event=birth,death,marriage",
    "type=record.action.reject&event=birth,death,marriage",
    "type=record.read&event=birth,death,marriage",
    "type=record.search&event=birth,death,marriage",
];

#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// A system client that exists from the start. It may accept, reject, read and search births,
    /// deaths and marriages.
    #[arg(long, value_name = "ID:SECRET")]
    pub client: Option<GivenClient>,
    /// The share of events to which a user is assigned after the front's 202 (2.1). Until the user
    /// leaves, the event cannot be answered.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub assigned: f64,
    /// How long such a user stays assigned, and the registrar after a trigger that failed.
    #[arg(long, default_value_t = 30_000, value_name = "MILLISECONDS")]
    pub assigned_for_ms: u64,
}

/// The credentials of a system client.
#[derive(Debug, Clone)]
pub struct GivenClient {
    id: String,
    secret: String,
}

impl FromStr for GivenClient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
                Ok(Self { id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err("write ID:SECRET".to_owned()),
        }
    }
}

impl EventsArgs {
    /// Applies the options to a simulation that has just started, and lets core announce itself to
    /// the front in the background.
    pub(in crate::sandbox::opencrvs) fn prepare(
        &self,
        sim: &OpencrvsSim,
        front: &Url,
    ) -> Result<(), SimulateError> {
        if !(0.0..=1.0).contains(&self.assigned) {
            return Err(SimulateError::Argument("--assigned goes from 0 to 1".to_owned()));
        }
        sim.behave(|behaviour| {
            behaviour.assigned_share = self.assigned;
            behaviour.assigned_for = Duration::from_millis(self.assigned_for_ms);
            behaviour.registrar_leaves_after = Some(behaviour.assigned_for);
        });
        if let Some(client) = &self.client {
            sim.add_client_with((&client.id, &client.secret), "NID Bridge", &CLIENT_SCOPES);
        }
        tracing::info!(
            release = ?sim.release(), events = sim.events_url(), "the events generation is simulated"
        );
        let (sim, front) = (sim.clone(), front.clone());
        drop(tokio::spawn(async move {
            match sim.announce_ready(&front).await {
                Ok(ended) => {
                    let clients = sim.clients();
                    let ids: Vec<&str> = clients.iter().map(|client| client.id.as_str()).collect();
                    tracing::info!(
                        clients = ids.join(" "),
                        "called /trigger/system/ready of the front: {}",
                        outcome(ended)
                    );
                }
                Err(error) => tracing::warn!(%error, "no bootstrap token can be signed"),
            }
        }));
        Ok(())
    }
}

fn outcome(announced: Announced) -> &'static str {
    match announced {
        Announced::Accepted { .. } => "it answered with a 2xx",
        Announced::NoIntegrations { .. } => "404 or 501, the country config registers no client itself",
        Announced::GaveUp { .. } => "no such answer came, OpenCRVS gives up",
        Announced::NotMade => "no, this release makes no such call",
    }
}
