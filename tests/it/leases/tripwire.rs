//! A proxy to PostgreSQL that stops answering at a chosen commit.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Forwards to PostgreSQL. It forwards the commit of the first transaction that contains the word,
/// and keeps the answer back until [`Tripwire::release`].
pub struct Tripwire {
    /// The URL of the ledger through this proxy.
    pub url: String,
    stage: Arc<watch::Sender<Stage>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The chosen transaction is under way on one connection.
    Armed,
    /// PostgreSQL has answered the commit, and the answer is kept back.
    Tripped,
    Released,
}

impl Tripwire {
    pub async fn before(ledger: &str, word: &'static str) -> Self {
        let mut url = Url::parse(ledger).unwrap();
        let target = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let stage = Arc::new(watch::Sender::new(Stage::Open));
        let shared = Arc::clone(&stage);
        drop(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                let (ours, commits) = (Arc::clone(&shared), watch::Sender::new(false));
                let committing = commits.subscribe();
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                drop(tokio::spawn(ask(from_near, to_far, word, Arc::clone(&shared), commits)));
                drop(tokio::spawn(answer(from_far, to_near, ours, committing)));
            }
        }));
        Self { url: url.into(), stage }
    }

    pub fn is_tripped(&self) -> bool {
        *self.stage.borrow() == Stage::Tripped
    }

    pub fn release(&self) {
        self.stage.send_replace(Stage::Released);
    }
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// `commits`: whether the chosen commit goes over this connection.
async fn ask(
    mut near: OwnedReadHalf,
    mut far: OwnedWriteHalf,
    word: &'static str,
    stage: Arc<watch::Sender<Stage>>,
    commits: watch::Sender<bool>,
) {
    let mut ours = false;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = near.read(&mut buffer).await {
        let bytes = &buffer[..read];
        if *stage.borrow() == Stage::Open && has(bytes, word) {
            stage.send_replace(Stage::Armed);
            ours = true;
        }
        if ours && has(bytes, "COMMIT") {
            ours = false;
            commits.send_replace(true);
        }
        if far.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn answer(
    mut far: OwnedReadHalf,
    mut near: OwnedWriteHalf,
    stage: Arc<watch::Sender<Stage>>,
    commits: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = far.read(&mut buffer).await {
        if *commits.borrow() && *stage.borrow() == Stage::Armed {
            stage.send_replace(Stage::Tripped);
            drop(stage.subscribe().wait_for(|stage| *stage == Stage::Released).await);
        }
        if near.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
