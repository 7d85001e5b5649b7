//! Writes the fuzzers' seed inputs: `seeds CORPUS [FIXTURES]`.
//!
//! Documents, tokens and messages come from the simulated OpenCRVS. Real documents come from the
//! fixtures, if there are any, and are not kept in the repository.

use std::path::Path;
use std::{env, fs, io};

use jiff::Timestamp;
use nidbridge::config::reference;
use nidbridge::domain::{AttemptKey, Dialect, EventKind, RecordId, Registration, TrackingId};
use nidbridge::inlets::spool;
use nidbridge::pipeline::RegistrationMessage;
use nidbridge::sandbox::opencrvs::Claims;
use nidbridge::sandbox::population::{AttemptFacts, Mix, Population};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let Some(corpus) = arguments.next() else {
        return Err(io::Error::other("usage: seeds CORPUS [FIXTURES]"));
    };
    let corpus = Path::new(&corpus);
    for (target, seeds) in [
        ("bundle", bundles()),
        ("reply", replies()),
        ("gateway", answers()),
        ("token", tokens()),
        ("amqp", headers()),
    ] {
        put(&corpus.join(target), seeds)?;
    }
    put(&corpus.join("config"), configurations())?;
    put(&corpus.join("spool"), files())?;
    if let Some(fixtures) = arguments.next() {
        for (target, folder) in
            [("bundle", "fhir"), ("bundle", "events"), ("reply", "nid"), ("gateway", "events")]
        {
            copy(&Path::new(&fixtures).join(folder), &corpus.join(target))?;
        }
    }
    Ok(())
}

fn put(folder: &Path, seeds: Vec<Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    seeds
        .iter()
        .enumerate()
        .try_for_each(|(number, seed)| fs::write(folder.join(format!("seed-{number}")), seed))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::write(to.join(file.file_name()), fs::read(file.path())?)?;
    }
    Ok(())
}

fn bundles() -> Vec<Vec<u8>> {
    let mix = Mix { deaths: 0.4, marriages: 0.2, register_path: 0.5, unfit: 0.1 };
    let facts = AttemptFacts { last_modified: "2026-01-05T10:00:00.000Z".to_owned(), earlier: Vec::new() };
    Population::new(3, mix).take(20).map(|one| one.bundle(&facts).to_string().into_bytes()).collect()
}

fn replies() -> Vec<Vec<u8>> {
    let event = |status: &str, name: &str, value: Value| {
        let data = json!({
            "request_id": "b3821b1b-0cf8-5bdc-b94e-ecbc9af4a30e", "submission": 1, "status": status, name: value
        });
        let event = json!({
            "specversion": "1.0", "id": "r-1", "source": "/nid", "type": "crvs.nid.reply.v1",
            "time": "2026-10-23T10:00:00Z", "datacontenttype": "application/json", "data": data
        });
        event.to_string().into_bytes()
    };
    vec![
        event("issued", "national_id", json!("1234567890")),
        event("recorded", "national_id_kind", json!("uin")),
        event("rejected", "reason", json!({ "code": "other", "message": "m", "fields": ["subject.name"] })),
        event("retry", "retry_after_s", json!(30)),
        event("pending", "nid_reference", json!("r")),
    ]
}

/// Two bytes of status before each body: 4 × the status, or any odd number for 200.
fn answers() -> Vec<Vec<u8>> {
    let error = |message: &str, code: &str| json!({ "errors": [{ "message": message, "extensions": { "code": code } }], "data": null });
    let record = json!({
        "id": "r", "registration": { "trackingId": "BXXDBIC", "registrationNumber": "2026BXXDBIC", "status": [
            { "type": "WAITING_VALIDATION", "timestamp": "2026-10-23T10:00:00.000Z" },
            { "type": "REGISTERED", "timestamp": "1700000000000" }
        ] }
    });
    let bodies = [
        json!({ "data": { "confirmRegistration": "task" } }),
        json!({ "data": { "fetchRegistration": record } }),
        error("Unauthorized", "UNAUTHENTICATED"),
        error("Failed to confirm registration: Forbidden", "INTERNAL_SERVER_ERROR"),
        error("Failed to fetch record 7", "INTERNAL_SERVER_ERROR"),
        error("x", "RATE_LIMIT_EXCEEDED"),
    ];
    let with = |status: u16, body: &Value| [&status.to_be_bytes(), body.to_string().as_bytes()].concat();
    bodies.iter().flat_map(|body| [with(1, body), with(4 * 401, body), with(4 * 503, body)]).collect()
}

fn tokens() -> Vec<Vec<u8>> {
    // A long life, because seeds are kept.
    let claims = Claims::record("registrar", "record", Timestamp::now(), 10 * 365 * 86_400);
    let anonymous = Claims::anonymous(Timestamp::now());
    let claims = [serde_json::to_vec(&claims), serde_json::to_vec(&anonymous)].into_iter().flatten();
    claims.chain([b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_vec()]).collect()
}

/// AMQP properties in their wire encoding: headers, message id, type, user.
fn headers() -> Vec<Vec<u8>> {
    let text = |name: &str, value: &str| {
        let mut field = vec![u8::try_from(name.len()).unwrap_or_default()];
        field.extend(name.as_bytes());
        field.push(b'S');
        field.extend(u32::try_from(value.len()).unwrap_or_default().to_be_bytes());
        field.extend(value.as_bytes());
        field
    };
    let ours = [
        text("x-attempt", "3"),
        text("x-first-seen", "2026-01-01T00:00:00Z"),
        text("x-original-exchange", "nid.replies"),
        text("x-original-routing-key", "reply.birth"),
        text("x-original-user", "vendor"),
        text("traceparent", "00-1-2-01"),
    ]
    .concat();
    // x-death: a list of one table, and a number
    let death = [text("queue", "q"), text("reason", "expired")].concat();
    let death = [&[b'F'][..], &u32::try_from(death.len()).unwrap_or_default().to_be_bytes(), &death].concat();
    let death = [&b"\x07x-deathA"[..], &u32::try_from(death.len()).unwrap_or_default().to_be_bytes(), &death]
        .concat();
    let count = b"\x10x-delivery-countl\x00\x00\x00\x00\x00\x00\x00\x02".to_vec();
    let whole = |table: &[u8], user: &str| {
        let mut out = (1_u16 << 13 | 1 << 7 | 1 << 5 | 1 << 4).to_be_bytes().to_vec();
        out.extend(u32::try_from(table.len()).unwrap_or_default().to_be_bytes());
        out.extend(table);
        for text in ["m", "reply.v1", user] {
            out.push(u8::try_from(text.len()).unwrap_or_default());
            out.extend(text.as_bytes());
        }
        out
    };
    let odd = [death, count].concat();
    vec![whole(&ours, "nidbridge"), whole(&ours, "vendor"), whole(&odd, "vendor"), whole(b"", "nidbridge")]
}

/// Each setting by its variable and by its key, with its default value.
fn configurations() -> Vec<Vec<u8>> {
    let (mut environment, mut file) = (String::new(), String::new());
    for row in reference().lines().skip(2) {
        let mut names = row.split('`').skip(1).step_by(2);
        if let (Some(key), Some(variable), Some(default)) = (names.next(), names.next(), names.next()) {
            environment.push_str(&format!("{variable}={default}\n"));
            file.push_str(&format!("{key} = '{default}'\n"));
        }
    }
    vec![
        environment.into_bytes(),
        file.into_bytes(),
        b"[front]\nlisten = '127.0.0.1:1'\n[broker]\nchannels = 7\n".to_vec(),
    ]
}

fn files() -> Vec<Vec<u8>> {
    let stamp = Timestamp::UNIX_EPOCH;
    let (Ok(record), Ok(tracking_id)) = (RecordId::parse("record"), TrackingId::parse("BXXDBIC")) else {
        return Vec::new();
    };
    let key = AttemptKey { dialect: Dialect::Fhir, record, mark: stamp.to_string(), stamp };
    let name = spool::name(&key).into_bytes();
    let registration = Registration {
        key,
        kind: EventKind::Birth,
        tracking_id,
        office: Some("CRVS_OFFICE_1".to_owned()),
        accepted_at: stamp,
        wait: std::time::Duration::ZERO,
        token_expires_at: Some(stamp),
        number: None,
        unheard: false,
    };
    let message = RegistrationMessage {
        v: 1,
        registration,
        sealed_view: "v1.a.x".to_owned(),
        sealed_token: Some("v1.a.y".to_owned()),
    };
    let trace = [("traceparent".to_owned(), "00-1-2-01".to_owned())].into();
    let file = spool::write(&message, &trace).unwrap_or_default();
    let content = file.split(|byte| *byte == b'\n').nth(1).map(<[u8]>::to_vec).unwrap_or_default();
    vec![name, file, content]
}
