//! Settings of the front, and of OpenCRVS, which calls it and is called back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::config::forms::{
    EventsSources, FhirSources, HttpUrl, Kinds, Listen, Names, Networks, Optional, Path, Positive, Renewable,
    SecretUrl, Size, Span, Switch, Text,
};
use crate::config::secret::SecretSource;
use crate::config::setting::settings;
use crate::config::waits::Waits;
use crate::domain::{EventKind, FieldSources};

settings! {
    /// The front: the HTTP server that OpenCRVS calls.
    pub struct FrontConfig in "front" {
        /// Address and port on which the front listens.
        listen: SocketAddr, Listen, "0.0.0.0:3040", ["FRONT_LISTEN"];
        /// Maximum size of a registration's body.
        max_body: usize, Size, "50MiB", ["FRONT_MAX_BODY"];
        /// Memory for all registration bodies together. A quarter of it is reserved for bodies of
        /// up to 256 KiB. When it is used up, further callers wait.
        body_memory: usize, Size, "256MiB", ["FRONT_BODY_MEMORY"];
        /// Longest wait for that memory. Then OpenCRVS gets 503.
        memory_wait: Duration, Span, "10s", ["FRONT_MEMORY_WAIT"];
        /// Longest pause within a body before its request is refused.
        body_timeout: Duration, Span, "30s", ["FRONT_BODY_TIMEOUT"];
        /// Minimum rate at which a body must arrive, per second, on average after the first
        /// `FRONT_BODY_TIMEOUT`. The request of a slower body is refused.
        body_rate: usize, Size, "64KiB", ["FRONT_BODY_RATE"];
        /// Maximum number of open connections. When there are more, the front closes the one that
        /// has been idle for longest. Each needs an open file.
        connections: u32, Positive<u32>, "4096", ["FRONT_CONNECTIONS"];
        /// Time for the head of a request, counted from the opening of the connection or from the
        /// previous response. An idle connection is closed after it.
        head_timeout: Duration, Span, "15s", ["FRONT_HEAD_TIMEOUT"];
        /// Time for which a request waits while the broker is unavailable, before it is spooled or
        /// refused (503; events: 400).
        hold: Duration, Span, "15s", ["FRONT_HOLD"];
        /// File that caches the last valid public key of OpenCRVS auth, so that the front can
        /// restart without auth.
        key_cache: Option<PathBuf>, Optional<Path>, "", ["FRONT_KEY_CACHE"];
        /// Directory in which this front alone stores registrations while the broker is
        /// unavailable.
        spool: Option<PathBuf>, Optional<Path>, "", ["FRONT_SPOOL"];
        /// Also publish spool files that are not authenticated, as releases before this one wrote
        /// them. On only while a front is upgraded whose spool holds such files: whoever can write
        /// to the directory can add or change them.
        spool_unsigned: bool, Switch, "false", ["FRONT_SPOOL_UNSIGNED"];
        /// Whether the front accepts registrations of the events generation (OpenCRVS 1.9 and 2.x).
        /// Needs the spool.
        events: bool, Switch, "false", ["FRONT_EVENTS"];
        /// Time for which the front keeps a request of OpenCRVS open, to give the answer inside it
        /// (sync answer). If the answer comes later, or if this is not set, OpenCRVS gets 202. Set
        /// the same value for worker and confirmer.
        wait: Waits, Waits, "", ["FRONT_WAIT"];
        /// Maximum number of callers that wait for a sync answer. Further ones get 202 at once.
        waiters: u32, Positive<u32>, "1000", ["FRONT_WAITERS"];
        /// Idle timeout of a request that is proxied to the country's configuration service. The
        /// total duration is not limited.
        pass_patience: Duration, Span, "2m", ["FRONT_PASS_PATIENCE"];
        /// Maximum number of requests that are proxied at the same time. Further ones get 503. Each
        /// needs two open files. One caller has at most three quarters of them; then it gets 429.
        pass_limit: u32, Positive<u32>, "4096", ["FRONT_PASS_LIMIT"];
        /// Reverse proxies before the front. They say who the caller of a proxied request is
        /// (`X-Forwarded-For`); the `X-Forwarded-*` headers of others are replaced.
        trusted_proxies: Vec<IpNet>, Networks, "127.0.0.0/8,::1/128", ["TRUSTED_PROXIES"];
        /// Maximum size of all files in the spool. While it is full, registrations are refused
        /// (503; events: 400).
        spool_max: usize, Size, "1GiB", ["FRONT_SPOOL_MAX"];
    }
}

settings! {
    /// From which fields of OpenCRVS's documents the members of a request are read.
    pub struct FieldsConfig in "fields" {
        /// Fields of the country's forms from which each member is read (events generation). `|`
        /// separates several sources of a member: the first one with a value counts. `dateOfEvent`
        /// is the field that the event's configuration names, and `none` says that the country does
        /// not record the member. Parts of a name may be set one by one, such as
        /// `child.name.surname`. A member that is not named keeps its default. Set the same value
        /// for front, worker and confirmer: a worker that reads other fields parks genuine
        /// registrations (`not_in_opencrvs`).
        events: FieldSources, EventsSources, FieldSources::EVENTS, ["FIELDS_EVENTS"];
        /// Sources of each member (FHIR generation). `patient` is its place in the FHIR resource;
        /// for an ID that is the identifier of the type `CONFIRM_IDENTIFIER_TYPE`.
        /// `identifier.TYPE` is an identifier of another type, `none` says that the country does
        /// not record the member, and everything else is a field of the questionnaire. Set the same
        /// value for front and worker.
        fhir: FieldSources, FhirSources, FieldSources::FHIR, ["FIELDS_FHIR"];
    }
}

settings! {
    /// OpenCRVS.
    pub struct OpencrvsConfig in "opencrvs" {
        /// URL of OpenCRVS's auth service.
        auth_url: Url, HttpUrl, "http://auth:4040", ["AUTH_URL", "OPENCRVS_AUTH_URL"];
        /// URL of OpenCRVS's gateway.
        gateway_url: Url, HttpUrl, "http://gateway:7070", ["GATEWAY_URL", "OPENCRVS_GATEWAY_URL"];
        /// URL of the country's configuration service. The front proxies every other request to it;
        /// all roles read the country's forms from it.
        country_config_url: Option<Url>, Optional<HttpUrl>, "",
            ["COUNTRY_CONFIG_URL", "OPENCRVS_COUNTRY_CONFIG_URL"];
        /// Timeout of one call to OpenCRVS.
        timeout: Duration, Span, "30s", ["OPENCRVS_TIMEOUT"];
        /// Timeout of opening a connection to OpenCRVS.
        connect_timeout: Duration, Span, "5s", ["OPENCRVS_CONNECT_TIMEOUT"];
        /// URL of an HTTP proxy for the calls to auth, gateway and events service. Variables such
        /// as `HTTPS_PROXY` are ignored, because the calls carry tokens.
        proxy: Option<SecretString>, Optional<SecretUrl>, "", ["OPENCRVS_PROXY"];
        /// Maximum time by which OpenCRVS's clock may be ahead of the front's. If a submission is
        /// dated further in the future, the bridge alerts an operator and orders it by the time of
        /// its acceptance.
        stamp_tolerance: Duration, Span, "5m", ["STAMP_TOLERANCE"];
        /// Shortest pause between two fetches of the public key of auth.
        key_refetch: Duration, Span, "5s", ["OPENCRVS_KEY_REFETCH"];
        /// Id of the bridge's own client in OpenCRVS, which calls it an integration. OpenCRVS 2.1
        /// takes answers only from a client, and some releases of 2.0 take them from a client as
        /// well. Set it for worker and confirmer. Without it, the bridge answers only with the
        /// tokens that come with the registrations.
        client_id: Option<String>, Optional<Text>, "", ["OPENCRVS_CLIENT_ID"];
        /// Secret of that client. The file of `OPENCRVS_CLIENT_SECRET_FILE` is read again each time
        /// an access token is fetched, so a new secret in it needs no restart.
        client_secret: Option<SecretSource>, Renewable, "", ["OPENCRVS_CLIENT_SECRET"];
        /// Next secret of that client, for a rotation without a gap: it is used when OpenCRVS
        /// refuses the first one. The file of `OPENCRVS_CLIENT_SECRET_NEXT_FILE` may be empty until
        /// the rotation.
        client_secret_next: Option<SecretSource>, Renewable, "", ["OPENCRVS_CLIENT_SECRET_NEXT"];
        /// Subject (claim `sub`) of the service token that comes with each registration of OpenCRVS
        /// 2.1. Separate several by commas.
        service_user: Vec<String>, Names, "__SERVICE_USER__", ["OPENCRVS_SERVICE_USER"];
        /// Whether the front registers the client in OpenCRVS when OpenCRVS reports that it is
        /// ready (`GET /trigger/system/ready`).
        register_client: bool, Switch, "false", ["OPENCRVS_REGISTER_CLIENT"];
        /// Name under which the front registers the client.
        client_name: String, Text, "NID Bridge", ["OPENCRVS_CLIENT_NAME"];
        /// URL of OpenCRVS's events service, at which the front registers the client.
        events_url: Url, HttpUrl, "http://events:5555", ["OPENCRVS_EVENTS_URL"];
        /// Kinds of event for which the client is registered, and for which it searches OpenCRVS
        /// for registrations that no front has: every kind that the country registers.
        client_kinds: Vec<EventKind>, Kinds, "birth,death,marriage", ["OPENCRVS_CLIENT_KINDS"];
        /// Time between two searches of OpenCRVS for registrations that no front has. The search
        /// needs a client that may search, read and accept.
        unheard_interval: Duration, Span, "1m", ["OPENCRVS_UNHEARD_INTERVAL"];
        /// Time that a registration must have waited in OpenCRVS before the confirmer takes it in.
        /// Choose more than `FRONT_HOLD`.
        unheard_after: Duration, Span, "3m", ["OPENCRVS_UNHEARD_AFTER"];
    }
}
