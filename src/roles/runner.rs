//! Runs the consumers and background tasks of a role until all of them have ended.
//!
//! Invariant: when the process is to stop, every task is waited for. A task that fails stops the
//! others, which still finish the work that they have.

use std::future::Future;
use std::sync::Arc;

use anyhow::anyhow;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::broker::{Breaker, ConsumerSettings, Handler, Link, WorkQueue, consume};
use crate::config::BrokerConfig;
use crate::pipeline::settings;

type Task = BoxFuture<'static, Result<(), Failure>>;

/// What a role runs: registered first, then started together by [`Runner::run`].
pub(crate) struct Runner {
    broker: BrokerConfig,
    stop: CancellationToken,
    consumers: Vec<Consumer>,
    tasks: Vec<Task>,
}

/// A registered consumer, whose settings can still be changed.
pub(crate) struct Consumer {
    settings: ConsumerSettings,
    start: Box<dyn FnOnce(ConsumerSettings) -> Task + Send>,
}

impl Runner {
    pub(crate) fn new(broker: &BrokerConfig, stop: CancellationToken) -> Self {
        Self { broker: broker.clone(), stop, consumers: Vec::new(), tasks: Vec::new() }
    }

    /// Registers a consumer of `queue` that handles up to `prefetch` messages at a time.
    pub(crate) fn consume<H: Handler>(
        &mut self,
        link: &Link,
        queue: WorkQueue,
        prefetch: u16,
        handler: Arc<H>,
    ) -> &mut Consumer {
        let (link, stop) = (link.clone(), self.stop.clone());
        let start = move |settings| -> Task {
            Box::pin(async move {
                consume(&link, &queue, settings, handler, stop).await;
                Ok(())
            })
        };
        self.consumers.push_mut(Consumer {
            settings: settings::consumer(&self.broker, prefetch),
            start: Box::new(start),
        })
    }

    /// Registers a task that cannot fail. It is given the token that tells it to stop.
    pub(crate) fn background<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.stop.clone());
        self.tasks.push(Box::pin(async move {
            task.await;
            Ok(())
        }));
    }

    /// Registers a task whose failure ends the role.
    pub(crate) fn task<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.tasks.push(Box::pin(task(self.stop.clone())));
    }

    /// Runs all registered consumers and tasks until all of them have ended.
    ///
    /// # Errors
    /// The first failure of a task. A panic is a failure, too.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut running: JoinSet<_> = self.tasks.into_iter().collect();
        for Consumer { settings, start } in self.consumers {
            running.spawn(start(settings));
        }
        let mut first = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended
                .unwrap_or_else(|cause| Err(Failure::Failed(anyhow!("a task ended by a panic: {cause}"))));
            if ended.is_err() && first.is_ok() {
                self.stop.cancel();
                first = ended;
            }
        }
        first
    }
}

impl Consumer {
    /// Consumes only while these breakers are closed.
    pub(crate) fn needs<const N: usize>(&mut self, breakers: [&Breaker; N]) -> &mut Self {
        self.settings.breakers = breakers.map(Clone::clone).to_vec();
        self
    }

    /// Consumes only while these links, to which the handler publishes, are connected.
    pub(crate) fn publishes_to<const N: usize>(&mut self, links: [&Link; N]) -> &mut Self {
        self.settings.onward = links.map(Link::state).to_vec();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Part, Sources};

    fn runner(stop: &CancellationToken) -> Runner {
        let config = config::load(&Sources::default(), Part::Tool).unwrap().config;
        Runner::new(&config.broker, stop.clone())
    }

    #[tokio::test]
    async fn a_task_that_fails_or_panics_stops_the_others_and_they_are_waited_for() {
        let broken: [fn() -> Result<(), Failure>; 2] =
            [|| Err(Failure::Failed(anyhow!("no listener"))), || panic!("a bug")];
        for broken in broken {
            let stop = CancellationToken::new();
            let (finished, done) = tokio::sync::oneshot::channel();
            let mut runner = runner(&stop);
            runner.task(|_| async move { broken() });
            runner.background(|stop| async move {
                stop.cancelled().await;
                tokio::task::yield_now().await;
                assert!(finished.send(()).is_ok());
            });
            assert!(runner.run().await.is_err());
            assert!(done.await.is_ok() && stop.is_cancelled());
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_early_stops_nothing() {
        let stop = CancellationToken::new();
        let mut runner = runner(&stop);
        runner.background(|_| async {});
        assert!(runner.run().await.is_ok());
        assert!(!stop.is_cancelled());
    }
}
