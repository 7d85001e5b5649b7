//! Token exchange with the simulated auth.

use std::time::Duration;

use jiff::Timestamp;
use nidbridge::domain::{ActionId, RecordId};
use nidbridge::opencrvs::{
    ClientSettings, KeyStore, KeyStoreSettings, RecordToken, RenewalFault, TokenExchange, VerifiedToken,
};
use nidbridge::sandbox::opencrvs::{Calls, Claims, Fault, OpencrvsSettings, OpencrvsSim};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

struct Fixture {
    sim: OpencrvsSim,
    keys: KeyStore,
    exchange: TokenExchange,
    record: RecordId,
}

impl Fixture {
    async fn new() -> Self {
        let sim = OpencrvsSim::start(OpencrvsSettings::default()).await.unwrap();
        let auth = ClientSettings {
            url: Url::parse(&sim.auth_url()).unwrap(),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            proxy: None,
        };
        let exchange = TokenExchange::new(&auth).unwrap();
        let keys = KeyStore::new(KeyStoreSettings {
            auth,
            refetch: Duration::from_millis(10),
            cache: None,
            service_users: vec![],
        });
        Self { sim, keys: keys.unwrap(), exchange, record: RecordId::parse("record-1").unwrap() }
    }

    /// The record's token with so many seconds to live.
    fn token(&self, left_s: i64) -> SecretString {
        let claims = self.sim.record_claims(self.record.as_str());
        SecretString::from(self.sim.mint(&Claims { exp: claims.iat + left_s, ..claims }).unwrap())
    }

    async fn expiry(&self, token: &SecretString) -> Timestamp {
        match self.keys.verify(token.expose_secret()).await.unwrap() {
            VerifiedToken::Record(token) => token.expires_at,
            VerifiedToken::Service(token) => panic!("{token:?}"),
        }
    }

    async fn renew(&self, token: &SecretString) -> Result<RecordToken, RenewalFault> {
        let renewed = self.exchange.renew(&self.keys, &self.record, None, token).await;
        if let Err(fault) = &renewed {
            let told = format!("{fault} {fault:?}");
            assert!(!told.contains(token.expose_secret()) && !told.contains("http:"), "{told}");
        }
        renewed
    }
}

#[tokio::test]
async fn a_token_that_is_about_to_die_gets_a_successor_for_its_record() {
    let fixture = Fixture::new().await;
    let old = fixture.token(60);
    let died = fixture.expiry(&old).await;
    let fresh = fixture.renew(&old).await.unwrap();
    assert_eq!(fresh.record, fixture.record);
    assert!(fresh.expires_at > died);
    assert_eq!(fixture.renew(&fresh.raw).await.unwrap().record, fixture.record);
}

#[tokio::test]
async fn a_token_that_is_dead_or_of_another_key_is_not_renewed() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.renew(&fixture.token(-5)).await.unwrap_err(), RenewalFault::Refused);
    assert_eq!(fixture.renew(&SecretString::from("no.to.ken")).await.unwrap_err(), RenewalFault::Refused);
    let old = fixture.token(60);
    fixture.sim.rotate_key().unwrap();
    let fault = fixture.renew(&old).await.unwrap_err();
    assert!(!fault.is_transient() && fault == RenewalFault::Refused, "{fault}");
}

#[tokio::test]
async fn an_auth_in_trouble_is_asked_again_later() {
    let fixture = Fixture::new().await;
    let old = fixture.token(60);
    for (fault, expected) in [
        (Fault::http(503), RenewalFault::Unavailable),
        (Fault::CUT_BEFORE, RenewalFault::Unavailable),
        (Fault::NOT_JSON, RenewalFault::Unreadable),
        (Fault::http(404), RenewalFault::Unsupported(404)),
        (Fault::UNAUTHORIZED, RenewalFault::Refused),
    ] {
        fixture.sim.faults().next(Calls::Exchange, 1, fault);
        let told = fixture.renew(&old).await.unwrap_err();
        assert_eq!(told, expected);
        let passes = matches!(told, RenewalFault::Unavailable | RenewalFault::Unreadable);
        assert_eq!(told.is_transient(), passes, "{told}");
    }
    assert!(fixture.renew(&old).await.is_ok());
}

#[tokio::test]
async fn a_token_of_an_action_has_a_successor_of_the_same_action() {
    let fixture = Fixture::new().await;
    let claims = fixture.sim.action_claims("record-1", "action-1");
    let old = SecretString::from(fixture.sim.mint(&Claims { exp: claims.iat + 60, ..claims }).unwrap());
    let action = ActionId::parse("action-1").unwrap();
    let renewed = fixture.exchange.renew(&fixture.keys, &fixture.record, Some(&action), &old).await.unwrap();
    assert_eq!((renewed.action.as_ref(), &renewed.record), (Some(&action), &fixture.record));
    let died = fixture.expiry(&old).await;
    assert!(renewed.expires_at > died);
    // A user's own token makes one as well, but only if the action is named.
    let user = SecretString::from(fixture.sim.user_token("user-1", &[]).unwrap());
    let made = fixture.exchange.renew(&fixture.keys, &fixture.record, Some(&action), &user).await.unwrap();
    assert_eq!(made.action, Some(action));
}
