//! The latency that the front adds to a proxied request, with 1,000 busy connections.
//!
//! Each connection sends one request a second, at its own offset within the second. The time of a
//! request is measured from the moment at which it was due, so that queueing is included. The
//! baseline is the same load on the country's service itself, in alternating rounds of the same
//! run. Caller, front and service share the machine.
//!
//! `cargo bench --bench passthrough -- --help`

#![allow(unreachable_pub, reason = "nothing outside of this program sees its items")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and prints what it found"
)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Parser)]
#[command(about = "The latency that the front adds to a proxied request")]
struct Options {
    /// Number of connections; each sends one request a second.
    #[arg(long, default_value_t = 1_000)]
    connections: u32,
    /// Duration of each measurement in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Number of measurements of the front, and as many of the service itself.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Cargo passes this argument.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A front process that is killed when the value is dropped.
struct Front(Child);

impl Drop for Front {
    fn drop(&mut self) {
        self.0.kill().expect("a front to end");
        self.0.wait().expect("its end");
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let country = TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let direct = country.local_addr().expect("an address");
    // About the size of a country's forms and translations.
    let form = "x".repeat(4 * 1024);
    let router = Router::new().route("/forms", get(async move || form.clone()));
    drop(tokio::spawn(async move { axum::serve(country, router).await }));
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address");
    let _front = front(free.to_string(), format!("http://{direct}")).await;
    let (mut bare, mut through) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        bare.extend(measure(&options, &format!("http://{direct}/forms")).await);
        through.extend(measure(&options, &format!("http://{free}/forms")).await);
        println!("round {round}: direct {}, through the front {}", shown(&mut bare), shown(&mut through));
    }
    let added = at(&through, 0.5).saturating_sub(at(&bare, 0.5));
    let ratio = at(&through, 0.5).as_secs_f64() / at(&bare, 0.5).as_secs_f64();
    println!("the front adds {added:.3?} at the median: {ratio:.1} times the bare limit");
}

async fn front(listen: String, upstream: String) -> Front {
    let child = Command::new(env!("CARGO_BIN_EXE_nidbridge"))
        .arg("front")
        .env_clear()
        .envs([("FRONT_LISTEN", listen.as_str()), ("COUNTRY_CONFIG_URL", upstream.as_str())])
        .envs([("ADMIN_LISTEN", "127.0.0.1:0"), ("LOG_FILTER", "error")])
        // Neither setting is used to proxy a request.
        .envs([
            ("AMQP_URL", "amqp://127.0.0.1:1/none"),
            ("SEAL_KEYS", "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ])
        .stdin(Stdio::null())
        .spawn()
        .expect("the front");
    let front = Front(child);
    let http = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while http.get(format!("http://{listen}/forms")).send().await.is_err() {
        assert!(Instant::now() < deadline, "the front does not answer");
        sleep(Duration::from_millis(50)).await;
    }
    front
}

/// The times of all requests after the first second, in which the connections are opened.
async fn measure(options: &Options, url: &str) -> Vec<Duration> {
    let begin = Instant::now() + Duration::from_millis(200);
    let mut callers = JoinSet::new();
    for n in 0..options.connections {
        let (url, seconds) = (url.to_owned(), options.seconds);
        let first = begin + Duration::from_secs(1) * n / options.connections;
        callers.spawn(async move {
            let http = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("a client");
            let mut times = Vec::new();
            for second in 0..=seconds {
                let due = first + Duration::from_secs(1) * second;
                sleep_until(due).await;
                let answer = http.get(&url).send().await.expect("an answer");
                assert!(answer.status().is_success(), "{}", answer.status());
                assert_eq!(answer.bytes().await.expect("a body").len(), 4 * 1024);
                if second > 0 {
                    times.push(due.elapsed());
                }
            }
            times
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[place]
}

fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let [median, p99] = [0.5, 0.99].map(|share| at(times, share));
    format!("p50 {median:.3?} p99 {p99:.3?} ({} requests)", times.len())
}
