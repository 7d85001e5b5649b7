//! The promises of the module `broker`, each tested against a real node.

mod browsing;
mod cluster;
mod consuming;
mod faults;
mod publishing;
mod topology;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nidbridge::broker::{
    ConsumerSettings, Handler, Incoming, Link, Outgoing, Settlement, Target, WorkQueue, consume,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The longest that a test waits for something that has to happen.
pub const SOON: Duration = Duration::from_secs(30);

/// A message whose id is also its body.
pub fn message(id: &str) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        kind: "story.v1",
        content_type: "application/json",
        correlation_id: None,
        headers: BTreeMap::new(),
        body: id.as_bytes().to_vec(),
    }
}

/// Publishes to a queue and fails the test without a confirm.
pub async fn put(link: &Link, queue: &str, id: &str) {
    link.publisher().publish(&Target::queue(queue), message(id)).await.expect("a confirm");
}

pub struct Script<F>(F);

impl<F, A> Handler for Script<F>
where
    F: Fn(Incoming) -> A + Send + Sync + 'static,
    A: Future<Output = Settlement> + Send,
{
    const NAME: &'static str = "story";

    fn handle(&self, message: Incoming) -> impl Future<Output = Settlement> + Send {
        (self.0)(message)
    }
}

/// A consumer that runs beside the test.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start<F, A>(link: &Link, queue: &WorkQueue, settings: ConsumerSettings, script: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = Settlement> + Send + 'static,
    {
        let (link, queue, stop) = (link.clone(), queue.clone(), CancellationToken::new());
        let until = stop.clone();
        let task = tokio::spawn(async move {
            consume(&link, &queue, settings, Arc::new(Script(script)), until).await;
        });
        Self { stop, task }
    }

    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the consumer ends by itself");
    }
}

/// Settings with which a lost consumer comes back soon.
pub fn consumer() -> ConsumerSettings {
    ConsumerSettings {
        prefetch: 8,
        drain: Duration::from_secs(10),
        patience: Duration::from_secs(10),
        reopen_max: Duration::from_millis(300),
        idle: Duration::from_millis(500),
        ..ConsumerSettings::default()
    }
}

/// The next thing that a handler reported to the test.
pub async fn told<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(SOON, from.recv()).await.expect("in time").expect("a handler that tells")
}
