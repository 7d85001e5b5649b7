//! HTTP requests of the harness: to the management API of the private node and to the admin
//! listeners of the roles.
//!
//! They block, because `Drop` cannot await.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};

/// Keeps no idle connections, because each request runs on a runtime of its own, which ends with
/// the request.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(60));
    client.build().expect("an HTTP client")
});

/// The management API of a node, with its user.
#[derive(Debug, Clone)]
pub struct Api {
    pub port: u16,
    pub user: String,
    pub password: String,
}

impl Api {
    /// Sends a request; returns the status and the body.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = CLIENT
            .request(method, format!("http://127.0.0.1:{}/api{path}", self.port))
            .basic_auth(&self.user, Some(&self.password))
            .header("Content-Type", "application/json")
            .body(body.to_owned());
        send(request).expect("an answer of the management API")
    }

    /// Sends a request that must succeed; returns the body.
    pub fn must(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}

/// Status and body of a path on a port of this machine; `None` if there is no complete answer
/// within 5 s.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    send(CLIENT.get(format!("http://127.0.0.1:{port}{path}")).timeout(Duration::from_secs(5))).ok()
}

/// Sends a request on a thread of its own, so that this function also works inside a runtime.
fn send(request: RequestBuilder) -> reqwest::Result<(u16, String)> {
    let exchange = async {
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(exchange)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("a thread"))
}
