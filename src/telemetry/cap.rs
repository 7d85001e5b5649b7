//! The most that libraries may log, whatever `LOG_FILTER` says.
//!
//! Invariant: no library logs at a level at which it prints what it carries: at `debug` and `trace`,
//! `lapin` prints frames and passwords, `hyper` heads and bodies, `rustls` messages, `sqlx`
//! statements. Only the bridge's own lines, which are searched for personal data in tests, may have
//! these levels.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// A filter beside that of `LOG_FILTER`: a line has to pass both.
pub(super) fn of_libraries() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
        // At `warn`, it prints messages that the broker returned.
        .with_target("lapin", LevelFilter::ERROR)
        // At `info`, it prints notices of the database, which can quote a row.
        .with_target("sqlx", LevelFilter::WARN)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn only_the_bridge_itself_may_log_below_info() {
        let cap = of_libraries();
        for target in ["nidbridge", "nidbridge::front::routes"] {
            assert!(cap.would_enable(target, &Level::TRACE), "{target}");
        }
        for (target, highest) in [
            ("lapin::channel", Level::ERROR),
            ("sqlx::query", Level::WARN),
            ("hyper::proto::h1::io", Level::INFO),
            ("hyper_util::client", Level::INFO),
            ("rustls::client::hs", Level::INFO),
            ("reqwest::connect", Level::INFO),
            ("log", Level::INFO),
            ("a_library_of_tomorrow", Level::INFO),
        ] {
            for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(cap.would_enable(target, &level), level <= highest, "{target} {level}");
            }
        }
    }
}
