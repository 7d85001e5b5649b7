//! Checks that all roles on a broker have the same ledger and the same sealing keys. The broker
//! retains one message that names them.
//!
//! A role with a ledger compares its ledger and keys with the message, or writes the message. A
//! front, which has no ledger, compares the key that it seals with. If no role with a ledger has
//! connected yet, the front writes its key into the message, and the first role with a ledger
//! checks that it has that key. Keys are compared by check values, from which no key can be
//! derived.
//!
//! Invariant: a role that does not belong here accepts and consumes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::names;
use crate::broker::{Admission, Gate, Verdict};
use crate::seal::Sealer;

/// The version of the retained message. A message of a newer release is left as it is.
const VERSION: u16 = 1;
/// AMQP `type` of the retained message.
const KIND: &str = "deployment.v1";

/// The retained message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Retained {
    v: u16,
    /// The id of the ledger. `None` until a role with a ledger has connected.
    #[serde(default)]
    deployment: Option<String>,
    /// Ids of keys with their check values: all keys of the roles with a ledger, or the keys of the
    /// fronts until the first such role has connected.
    #[serde(default)]
    keys: BTreeMap<String, String>,
}

/// What the check needs to know of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// A role with a ledger, and the ledger's id.
    WithLedger(String),
    Front,
    /// An operator's command on the ledger with this id. It does not change the retained message.
    Operator(String),
}

/// What the last connect to the broker showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmissionState {
    /// The broker has not been reached yet.
    Unknown,
    /// The broker has not been reached since the start, but before it admitted this front with this
    /// key.
    AdmittedEarlier,
    Admitted,
    /// The text says why, and what to do.
    Refused(String),
}

/// Compares this process with the retained message at each connect.
pub struct DeploymentCheck {
    member: Member,
    /// All keys, the sealing key first.
    keys: Vec<(String, String)>,
    admission: watch::Sender<AdmissionState>,
}

impl DeploymentCheck {
    pub fn new(member: Member, sealer: &Sealer) -> Arc<Self> {
        let keys = sealer.key_checks().map(|(id, check)| (id.to_owned(), check.to_owned())).collect();
        Arc::new(Self { member, keys, admission: watch::Sender::new(AdmissionState::Unknown) })
    }

    /// The gate for a link to the bridge's vhost.
    pub fn gate(self: &Arc<Self>) -> Gate {
        Gate {
            queue: names::DEPLOYMENT,
            lock: names::DEPLOYMENT_LOCK,
            exchange: names::DEPLOYMENT,
            kind: KIND,
            admission: Arc::<Self>::clone(self),
        }
    }

    pub fn admission(&self) -> watch::Receiver<AdmissionState> {
        self.admission.subscribe()
    }

    /// The key that this process seals with: its id and its check value, which shows no key.
    pub fn sealing_key(&self) -> String {
        self.keys.first().map(|(id, check)| format!("{id} {check}")).unwrap_or_default()
    }

    /// Records that the broker admitted this process before its start. Does nothing if the broker
    /// has been reached since.
    pub fn admitted_earlier(&self) {
        self.admission.send_if_modified(|admission| {
            let is_unknown = *admission == AdmissionState::Unknown;
            if is_unknown {
                *admission = AdmissionState::AdmittedEarlier;
            }
            is_unknown
        });
    }

    /// Waits until this process is refused, and returns the reason.
    pub async fn refused(&self) -> String {
        let mut admission = self.admission();
        let refused = admission.wait_for(|admission| matches!(admission, AdmissionState::Refused(_))).await;
        match refused.as_deref() {
            Ok(AdmissionState::Refused(why)) => why.clone(),
            // The sender is in `self`.
            Ok(AdmissionState::Unknown | AdmissionState::AdmittedEarlier | AdmissionState::Admitted)
            | Err(_) => std::future::pending().await,
        }
    }

    fn compare(&self, retained: Option<&[u8]>) -> Result<Option<Retained>, String> {
        let retained = match retained {
            None => Retained::default(),
            Some(body) => match serde_json::from_slice::<Retained>(body) {
                Ok(retained) if retained.v > VERSION => return Ok(None),
                Ok(retained) => retained,
                Err(_) => Retained::default(),
            },
        };
        match &self.member {
            Member::Front => self.compare_front(retained),
            Member::WithLedger(id) => self.compare_ledger(id, &retained).map(Some),
            Member::Operator(id) => self.compare_ledger(id, &retained).map(|_| None),
        }
    }

    fn compare_front(&self, mut retained: Retained) -> Result<Option<Retained>, String> {
        let Some((id, check)) = self.keys.first() else { return Ok(None) };
        match retained.keys.get(id) {
            Some(known) if known == check => Ok(None),
            Some(_) => Err(other_key(id)),
            None if retained.deployment.is_some() => Err(format!(
                "SEAL_KEYS (seal.keys): this front seals with key `{id}`, which the worker and the confirmer of this \
                 broker do not have: give it their keys, or add the key to theirs first and restart them"
            )),
            None => {
                retained.v = VERSION;
                retained.keys.insert(id.clone(), check.clone());
                Ok(Some(retained))
            }
        }
    }

    fn compare_ledger(&self, id: &str, retained: &Retained) -> Result<Retained, String> {
        if retained.deployment.as_deref().is_some_and(|known| known != id) {
            return Err(format!(
                "LEDGER_URL (ledger.url): this broker serves another ledger. Give all roles of one installation the same \
                 LEDGER_URL and AMQP_URL. If the ledger was replaced on purpose, purge the queue `{}` once",
                names::DEPLOYMENT
            ));
        }
        for (key, check) in &retained.keys {
            match self.keys.iter().find(|(known, _)| known == key) {
                Some((_, known)) if known == check => {}
                Some(_) => return Err(other_key(key)),
                // The key was retired, or another role has it already.
                None if retained.deployment.is_some() => {}
                None => {
                    return Err(format!(
                        "SEAL_KEYS (seal.keys): a front of this broker seals with key `{key}`, which is not among them: \
                         give the front these keys, or add its key behind the others. Then purge the queue `{}`",
                        names::DEPLOYMENT
                    ));
                }
            }
        }
        Ok(Retained {
            v: VERSION,
            deployment: Some(id.to_owned()),
            keys: self.keys.iter().cloned().collect(),
        })
    }
}

fn other_key(id: &str) -> String {
    format!(
        "SEAL_KEYS (seal.keys): key `{id}` is another key than the one that the other roles of this broker have under that \
         id: give all roles the same keys"
    )
}

impl Admission for DeploymentCheck {
    fn decide(&self, retained: Option<&[u8]>) -> Verdict {
        let verdict = match self.compare(retained) {
            Ok(None) => Verdict::Admit,
            Ok(Some(message)) => serde_json::to_vec(&message).map_or(Verdict::Admit, Verdict::Retain),
            Err(why) => Verdict::Refuse(why),
        };
        self.admission.send_replace(match &verdict {
            Verdict::Admit | Verdict::Retain(_) => AdmissionState::Admitted,
            Verdict::Refuse(why) => AdmissionState::Refused(why.clone()),
        });
        verdict
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::SecretString;

    use super::*;

    fn sealer(keys: &[(&str, u8)]) -> Sealer {
        let key = |(id, byte): &(&str, u8)| format!("{id}:{}", STANDARD.encode([*byte; 32]));
        let keys: Vec<String> = keys.iter().map(key).collect();
        Sealer::parse(&SecretString::from(keys.join(","))).unwrap()
    }

    fn front(keys: &[(&str, u8)]) -> Arc<DeploymentCheck> {
        DeploymentCheck::new(Member::Front, &sealer(keys))
    }

    fn with_ledger(id: &str, keys: &[(&str, u8)]) -> Arc<DeploymentCheck> {
        DeploymentCheck::new(Member::WithLedger(id.to_owned()), &sealer(keys))
    }

    /// Lets the processes connect one after the other. Returns who was admitted.
    fn admitted(processes: &[Arc<DeploymentCheck>]) -> Vec<bool> {
        let mut retained: Option<Vec<u8>> = None;
        let pass = |process: &Arc<DeploymentCheck>| match process.decide(retained.as_deref()) {
            Verdict::Admit => true,
            Verdict::Retain(body) => {
                retained = Some(body);
                true
            }
            Verdict::Refuse(why) => {
                assert_eq!(*process.admission().borrow(), AdmissionState::Refused(why));
                false
            }
        };
        processes.iter().map(pass).collect()
    }

    #[test]
    fn roles_of_one_installation_are_admitted_in_any_order() {
        let (front, one, other) =
            (front(&[("a", 1)]), with_ledger("l", &[("a", 1)]), with_ledger("l", &[("a", 1)]));
        for order in [[&front, &one, &other], [&one, &front, &other], [&one, &other, &front]] {
            assert_eq!(admitted(&order.map(Arc::clone)), [true; 3]);
        }
    }

    #[test]
    fn another_ledger_is_refused() {
        let roles = [with_ledger("l", &[("a", 1)]), with_ledger("m", &[("a", 1)]), front(&[("a", 1)])];
        assert_eq!(admitted(&roles), [true, false, true]);
    }

    #[test]
    fn an_operator_retains_nothing_and_is_refused_with_another_ledger_or_key() {
        let operator = |id: &str, keys: &[(&str, u8)]| {
            DeploymentCheck::new(Member::Operator(id.to_owned()), &sealer(keys))
        };
        assert_eq!(operator("l", &[("a", 1)]).decide(None), Verdict::Admit);
        let Verdict::Retain(body) = with_ledger("l", &[("a", 1)]).decide(None) else {
            panic!("nothing is retained")
        };
        assert_eq!(operator("l", &[("a", 1)]).decide(Some(&body)), Verdict::Admit);
        for other in [operator("m", &[("a", 1)]), operator("l", &[("a", 2)])] {
            assert!(matches!(other.decide(Some(&body)), Verdict::Refuse(_)));
        }
    }

    #[test]
    fn a_front_with_a_key_that_no_other_role_has_is_found_whoever_connects_first() {
        for key in [("b", 1), ("a", 2)] {
            let (front, role) = (front(&[key]), with_ledger("l", &[("a", 1)]));
            assert_eq!(admitted(&[Arc::clone(&role), Arc::clone(&front)]), [true, false], "{key:?}");
            assert_eq!(admitted(&[front, role]), [true, false], "{key:?}");
        }
    }

    #[test]
    fn keys_are_rotated_without_a_refusal() {
        let both = &[("b", 2), ("a", 1)];
        let roles = [
            with_ledger("l", &[("a", 1)]),
            front(&[("a", 1)]),
            with_ledger("l", &[("a", 1), ("b", 2)]),
            front(both),
            with_ledger("l", both),
            with_ledger("l", &[("b", 2)]),
            front(&[("b", 2)]),
            front(&[("a", 1)]),
        ];
        assert_eq!(admitted(&roles), [true, true, true, true, true, true, true, false]);
    }

    #[test]
    fn two_keys_under_one_id_are_told_apart_and_no_key_is_shown() {
        let (role, other) = (with_ledger("l", &[("a", 1)]), with_ledger("l", &[("a", 2)]));
        let Verdict::Retain(body) = role.decide(None) else { panic!("nothing is retained") };
        assert!(matches!(other.decide(Some(&body)), Verdict::Refuse(_)));
        let text = String::from_utf8(body).unwrap();
        assert!(!text.contains(&STANDARD.encode([1; 32])), "{text}");
    }

    #[test]
    fn a_message_of_a_newer_release_is_kept_and_an_unreadable_one_is_replaced() {
        let role = with_ledger("l", &[("a", 1)]);
        assert_eq!(role.decide(Some(br#"{"v":2,"ledgers":[]}"#)), Verdict::Admit);
        assert!(matches!(role.decide(Some(b"{")), Verdict::Retain(_)));
    }
}
