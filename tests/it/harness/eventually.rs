//! Waiting for a condition: the only place in the tests where time passes on purpose.

use std::time::Duration;

use tokio::time::Instant;

/// Asks until the answer is there; fails the test with `what` when the deadline passes first.
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
