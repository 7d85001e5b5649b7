//! The connections of a port: how many there are, and which one makes room for a new one.
//!
//! Invariant: only a connection without a running request makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Pause between two looks for an idle connection while each has a request.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Crowd {
    free: Arc<Semaphore>,
    members: Members,
    next: u64,
}

type Members = Arc<Mutex<HashMap<u64, Member>>>;

struct Member {
    /// Since when the connection has had no request; `None` while a request runs.
    idle_since: Option<Instant>,
    leave: CancellationToken,
}

/// The place of one connection, free again when it is dropped.
pub(super) struct Place {
    id: u64,
    leave: CancellationToken,
    members: Members,
    crowds_out: bool,
    _permit: OwnedSemaphorePermit,
}

/// A running request: until it is dropped, its connection makes no room.
pub(super) struct RunningRequest {
    id: u64,
    members: Members,
}

impl Crowd {
    pub(super) fn new(places: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(places)), members: Members::default(), next: 0 }
    }

    /// Waits for a free place. If there is none, the connection that has been idle for longest is
    /// told to leave. Returns `None` if the crowd is closed, which does not happen.
    pub(super) async fn enter(&mut self) -> Option<Place> {
        let mut crowds_out = false;
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            crowds_out |= self.crowd_out();
            // If each has a request, one of them may end it in the meantime.
            let left = Arc::clone(&self.free).acquire_owned();
            if let Ok(permit) = timeout(AGAIN, left).await {
                break permit.ok()?;
            }
        };
        let (id, leave) = (self.next, CancellationToken::new());
        self.next += 1;
        let member = Member { idle_since: Some(Instant::now()), leave: leave.clone() };
        locked(&self.members).insert(id, member);
        Some(Place { id, leave, members: Arc::clone(&self.members), crowds_out, _permit: permit })
    }

    /// Tells the connection that has been idle for longest to leave; `false` if each has a request.
    fn crowd_out(&self) -> bool {
        let members = locked(&self.members);
        let stays = members.values().filter(|member| !member.leave.is_cancelled());
        let idle = stays.filter_map(|member| Some((member.idle_since?, member)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, member)| member.leave.cancel()).is_some()
    }
}

impl Place {
    /// Whether another connection had to leave for this one.
    pub(super) fn crowds_out(&self) -> bool {
        self.crowds_out
    }

    /// Ends when this connection has to leave.
    pub(super) async fn left(&self) {
        self.leave.cancelled().await;
    }

    /// Whether a request runs.
    pub(super) fn is_busy(&self) -> bool {
        locked(&self.members).get(&self.id).is_some_and(|member| member.idle_since.is_none())
    }

    pub(super) fn request(&self) -> RunningRequest {
        if let Some(member) = locked(&self.members).get_mut(&self.id) {
            member.idle_since = None;
        }
        RunningRequest { id: self.id, members: Arc::clone(&self.members) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.members).remove(&self.id);
    }
}

impl RunningRequest {
    /// Lets the request run until the end of its response's body.
    pub(super) fn until_end_of(self, body: Body) -> Body {
        Body::new(body.map_frame(move |frame| {
            let _running = &self;
            frame
        }))
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        if let Some(member) = locked(&self.members).get_mut(&self.id) {
            member.idle_since = Some(Instant::now());
        }
    }
}

/// The map is whole after every operation, so it is used even if a thread panicked.
fn locked(members: &Members) -> MutexGuard<'_, HashMap<u64, Member>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}
