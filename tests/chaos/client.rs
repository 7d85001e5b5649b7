//! The bridge's own client in OpenCRVS, and the faults of the client and of its release.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nidbridge::sandbox::opencrvs::{OpencrvsSim, Release, Service};
use tokio::time::sleep;

use super::actions::until_effective;
use super::faults::Target;
use super::options::Options;
use super::rig::Rig;

/// Marriages are registered too.
const KINDS: &str = "birth,death,marriage";
const RIGHTS: [&str; 4] = ["record.action.accept", "record.action.reject", "record.read", "record.search"];

/// The client, and the files from which the bridge reads its secrets.
pub struct BridgeClient {
    pub id: String,
    secret: PathBuf,
    next: PathBuf,
}

impl BridgeClient {
    /// Creates the client, if the release of the run has clients.
    pub fn create(options: &Options, opencrvs: &OpencrvsSim, dir: &Path) -> Option<Self> {
        if !options.has_client() {
            return None;
        }
        let scopes = RIGHTS.map(|right| format!("type={right}&event={KINDS}"));
        let credentials = opencrvs.add_client("NID Bridge", &scopes.each_ref().map(String::as_str));
        let (secret, next) = (dir.join("client-secret"), dir.join("client-secret-next"));
        let client = Self { id: credentials.client_id, secret, next };
        client.write(&credentials.client_secret);
        client.write_next("");
        Some(client)
    }

    fn write(&self, secret: &str) {
        std::fs::write(&self.secret, secret).expect("the file of the secret");
    }

    fn write_next(&self, secret: &str) {
        std::fs::write(&self.next, secret).expect("the file of the next secret");
    }

    /// The settings of the bridge that name the client.
    pub fn settings(&self, opencrvs: &OpencrvsSim) -> [(&'static str, String); 6] {
        [
            ("OPENCRVS_CLIENT_ID", self.id.clone()),
            ("OPENCRVS_CLIENT_SECRET_FILE", self.secret.display().to_string()),
            ("OPENCRVS_CLIENT_SECRET_NEXT_FILE", self.next.display().to_string()),
            ("OPENCRVS_CLIENT_KINDS", KINDS.to_owned()),
            ("OPENCRVS_EVENTS_URL", opencrvs.events_url()),
            ("OPENCRVS_SERVICE_USER", opencrvs.service_subject()),
        ]
    }
}

/// Sets how OpenCRVS treats the users who are assigned to events, and its client. Lifetimes are
/// those of production divided by twenty.
pub fn prepare(options: &Options, opencrvs: &OpencrvsSim) {
    opencrvs.behave(|behaviour| {
        behaviour.client_token_lifetime = Duration::from_secs(30);
        behaviour.registrar_leaves_after = Some(Duration::from_secs(10));
        behaviour.assigned_share = if options.calm { 0.0 } else { 0.1 };
        behaviour.assigned_for = Duration::from_secs(6);
        behaviour.stale_token_status = if options.seed.is_multiple_of(2) { 401 } else { 403 };
        behaviour.rotation_kills_tokens = false;
    });
}

fn client(rig: &Rig) -> &BridgeClient {
    rig.client.as_ref().expect("a run with a client")
}

fn refused(rig: &Rig) -> u64 {
    rig.opencrvs.token_requests().refused
}

/// Another secret, which the bridge is given only at the end. All access tokens die at once.
pub async fn rotate_secret(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let (client, before) = (client(rig), refused(rig));
    let secret = rig.opencrvs.rotate_secret(&client.id).expect("the client");
    rig.opencrvs.revoke_tokens(&client.id);
    until_effective(lasts, || refused(rig) > before).await;
    client.write(&secret);
    refused(rig) - before
}

/// The same, but access tokens live until they expire.
pub async fn rotate_secret_only(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let client = client(rig);
    let secret = rig.opencrvs.rotate_secret(&client.id).expect("the client");
    sleep(lasts).await;
    client.write(&secret);
    1
}

/// The bridge is given the next secret beforehand.
pub async fn rotate_to_next_secret(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let (client, before) = (client(rig), refused(rig));
    let secret = uuid::Uuid::new_v4().to_string();
    client.write_next(&secret);
    assert!(rig.opencrvs.rotate_secret_to(&client.id, &secret), "the client");
    rig.opencrvs.revoke_tokens(&client.id);
    // The bridge tries the first secret first.
    until_effective(lasts, || refused(rig) > before).await;
    client.write(&secret);
    client.write_next("");
    refused(rig) - before
}

/// All access tokens of the client die at once.
pub async fn revoke_tokens(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let given = || rig.opencrvs.token_requests().given;
    let before = given();
    rig.opencrvs.revoke_tokens(&client(rig).id);
    until_effective(lasts, || given() > before).await;
    given() - before
}

/// OpenCRVS is upgraded to 2.1 while its gateway and auth are down. The action tokens of what is in
/// flight die with it.
pub async fn upgrade(rig: &Rig, _: Target, lasts: Duration) -> u64 {
    let services = [Service::Gateway, Service::Auth];
    for service in services {
        rig.opencrvs.kill(service).await;
    }
    sleep(lasts).await;
    rig.opencrvs.upgrade(Release::V2_1);
    let pending = rig.opencrvs.pending_actions();
    let in_flight = pending.iter().filter(|action| action.release < Release::V2_1).count();
    eprintln!("chaos: the upgrade to 2.1 finds {in_flight} registrations of older releases in flight");
    for service in services {
        rig.opencrvs.restart(service).await.expect("the same address");
    }
    1
}
