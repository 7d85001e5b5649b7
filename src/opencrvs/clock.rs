//! Compares this machine's clock with the clock of a service of OpenCRVS, by the header `Date` of
//! its responses.
//!
//! Invariant: a slow call never looks like a wrong clock, because the service's clock has to lie
//! outside the whole time between the request and the response.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;

use super::call::{ClientSettings, HttpClient, Response, send};

/// `Date` has whole seconds.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The health check of each service (opencrvs-core 1.7–2.1). It needs no token, and an error
/// response has a `Date`, too.
const PATH: &str = "ping";

/// The clock of one service.
pub struct ServiceClock(HttpClient);

impl ServiceClock {
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: &ClientSettings) -> Result<Self, reqwest::Error> {
        Ok(Self(HttpClient::new(settings)?))
    }

    /// How far this machine's clock is ahead of the service's; negative if it is behind. `None` if
    /// the service does not answer or gives no `Date`.
    pub async fn lead(&self) -> Option<SignedDuration> {
        let sent = Timestamp::now();
        let response = send(self.0.get(PATH)).await.ok()?;
        let date = date_of(&response)?;
        Some(lead(sent, date, Timestamp::now()))
    }
}

fn date_of(response: &Response) -> Option<Timestamp> {
    let text = response.header(&DATE)?;
    // RFC 9110: the zone is always `GMT`.
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// How far our clock was ahead, if the service stamped its response with `date` somewhere between
/// `sent` and `received`.
fn lead(sent: Timestamp, date: Timestamp, received: Timestamp) -> SignedDuration {
    let ahead = sent.duration_since(date) - RESOLUTION;
    let behind = date.duration_since(received);
    if ahead.is_positive() {
        ahead
    } else if behind.is_positive() {
        -behind
    } else {
        SignedDuration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-09-05T10:{text}Z").parse().unwrap()
    }

    #[test]
    fn only_a_date_outside_the_call_counts_as_a_difference() {
        let (sent, received) = (at("00:10.9"), at("00:40"));
        for within in ["00:10", "00:11", "00:25", "00:40"] {
            assert_eq!(lead(sent, at(within), received), SignedDuration::ZERO, "{within}");
        }
        assert_eq!(lead(sent, at("00:09"), received).as_millis(), 900);
        assert_eq!(lead(sent, at("00:41"), received), SignedDuration::from_secs(-1));
        assert_eq!(lead(sent, at("10:40"), received), SignedDuration::from_secs(-600));
    }

    #[test]
    fn a_date_header_is_read_as_http_writes_it() {
        let read = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read.unwrap(), "1994-11-06T08:49:37Z".parse().unwrap());
    }
}
