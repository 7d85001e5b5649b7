//! Waiting for a condition. Nothing else in the tests sleeps.

use std::time::Duration;

use tokio::time::Instant;

/// Polls until `ask` returns something. Fails the test with `what` after `within`.
pub async fn eventually<T>(within: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
