//! The state of a link, combined from its two connections.
//!
//! Invariant: a link is connected only while both connections are; every change reaches the
//! observer.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::connection::ConnectionState;
use crate::broker::observer::Observer;

/// The state of a link.
///
/// The causes are texts with the whole chain of errors, because states are cloned, compared and
/// shown. The errors themselves were logged when they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Both connections are open and the topology is as it should be.
    Connected,
    /// The broker blocks publishers, usually for lack of memory or disk; consuming goes on.
    Blocked(String),
    /// At least one connection is not open.
    Away(String),
    /// The broker refuses a connection, or differs from the topology, until somebody changes
    /// something.
    Refused(String),
}

impl LinkState {
    /// Whether messages can be published and consumed.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Whether both connections are open.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Connected | Self::Blocked(_) => true,
            Self::Away(_) | Self::Refused(_) => false,
        }
    }

    /// What is wrong; `None` if nothing is.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Connected => None,
            Self::Blocked(why) | Self::Away(why) | Self::Refused(why) => Some(why),
        }
    }
}

/// Publishes the state of a link and reports it to the observer.
pub(super) struct StateReporter {
    name: &'static str,
    published: watch::Sender<LinkState>,
    observer: Arc<dyn Observer>,
    /// Whether the link was open before and is away now.
    lost: bool,
}

impl StateReporter {
    pub(super) fn new(name: &'static str, observer: Arc<dyn Observer>) -> (Self, watch::Receiver<LinkState>) {
        let (published, state) = watch::channel(LinkState::Away("connecting".to_owned()));
        (Self { name, published, observer, lost: false }, state)
    }

    pub(super) async fn run(
        mut self,
        mut publishing: watch::Receiver<ConnectionState>,
        mut consuming: watch::Receiver<ConnectionState>,
        stop: CancellationToken,
    ) {
        loop {
            let state = both(&publishing.borrow_and_update(), &consuming.borrow_and_update());
            self.report(state);
            let changed = tokio::select! {
                () = stop.cancelled() => break,
                changed = publishing.changed() => changed,
                changed = consuming.changed() => changed,
            };
            if changed.is_err() {
                break;
            }
        }
        self.report(LinkState::Away("closed".to_owned()));
    }

    fn report(&mut self, state: LinkState) {
        self.observer.connected(self.name, state.is_connected());
        let (was, is) = (self.published.borrow().is_open(), state.is_open());
        if self.lost && is {
            self.observer.reconnected(self.name);
        }
        self.lost = !is && (was || self.lost);
        self.published.send_if_modified(|known| {
            let news = *known != state;
            if news {
                *known = state;
            }
            news
        });
    }
}

fn both(publishing: &ConnectionState, consuming: &ConnectionState) -> LinkState {
    match (publishing, consuming) {
        (ConnectionState::Refused(cause), _) | (_, ConnectionState::Refused(cause)) => {
            LinkState::Refused(cause.clone())
        }
        (ConnectionState::Away(cause), _) | (_, ConnectionState::Away(cause)) => {
            LinkState::Away(cause.clone())
        }
        (ConnectionState::Blocked(_, why), _) | (_, ConnectionState::Blocked(_, why)) => {
            LinkState::Blocked(why.clone())
        }
        (ConnectionState::Ready(_), ConnectionState::Ready(_)) => LinkState::Connected,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Seen {
        connected: Mutex<Vec<bool>>,
        reconnects: Mutex<u32>,
    }

    impl Observer for Seen {
        fn connected(&self, _: &'static str, connected: bool) {
            self.connected.lock().unwrap().push(connected);
        }

        fn reconnected(&self, link: &'static str) {
            assert_eq!(link, "story");
            *self.reconnects.lock().unwrap() += 1;
        }
    }

    #[test]
    fn one_reconnect_is_reported_for_each_loss() {
        let seen = Arc::new(Seen::default());
        let observer: Arc<dyn Observer> = Arc::<Seen>::clone(&seen);
        let (mut reporter, _state) = StateReporter::new("story", observer);
        let away = || LinkState::Away("lost".to_owned());
        let states =
            [away(), LinkState::Connected, LinkState::Blocked("disk".to_owned()), LinkState::Connected];
        for state in states {
            reporter.report(state);
        }
        assert_eq!(*seen.reconnects.lock().unwrap(), 0, "it was never lost");
        for state in [away(), away(), LinkState::Connected, away(), LinkState::Connected] {
            reporter.report(state);
        }
        assert_eq!(*seen.reconnects.lock().unwrap(), 2);
        assert_eq!(seen.connected.lock().unwrap().last(), Some(&true));
    }
}
