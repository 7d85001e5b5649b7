//! The gateway (Node) closes a connection that was idle for 5 s, and a request that arrives at that
//! moment is lost. The bridge therefore does not reuse a connection that was idle for nearly that
//! long.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nidbridge::domain::RecordId;
use nidbridge::opencrvs::ClientSettings;
use nidbridge::opencrvs::fhir::Gateway;
use nidbridge::sandbox::population::{Mix, Population};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::submitted;
use crate::harness::eventually;
use crate::harness::world::{SOON, World};

/// Well below Node's `keepAliveTimeout` of 5 s.
const TOO_LONG: Duration = Duration::from_millis(3_100);

/// A connection to the gateway: the time of its last byte, and its longest pause before a request.
struct Activity {
    last: Instant,
    longest: Duration,
}

type Connections = Arc<Mutex<Vec<Activity>>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let world = World::with_front(&[]).await;
    let declaration = Population::new(71, Mix::default()).next().unwrap();
    submitted(&world, &declaration).await;
    let (url, connections) = watched(&world.opencrvs.gateway_url()).await;
    let gateway = Gateway::new(&ClientSettings {
        url,
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        proxy: None,
    })
    .unwrap();
    let token = world.opencrvs.mint(&world.opencrvs.record_claims(&declaration.record)).unwrap();
    let (token, record) = (SecretString::from(token), RecordId::parse(&declaration.record).unwrap());
    // A connection is free a moment after its response was read, so a read may still miss it.
    let open = eventually(SOON, "a connection that was just used is used again", async || {
        let before = connections.lock().unwrap().len();
        gateway.read(&token, &record).await.unwrap();
        (before > 0 && connections.lock().unwrap().len() == before).then_some(before)
    })
    .await;
    eventually(SOON, "the connections are idle for long", async || {
        connections
            .lock()
            .unwrap()
            .iter()
            .all(|connection| connection.last.elapsed() > TOO_LONG)
            .then_some(())
    })
    .await;
    gateway.read(&token, &record).await.unwrap();
    let connections = connections.lock().unwrap();
    let longest = connections.iter().map(|connection| connection.longest).max().unwrap();
    assert_eq!(connections.len(), open + 1, "an old connection was used after a pause of {longest:?}");
}

/// Forwards to the gateway and measures the pauses.
async fn watched(gateway: &str) -> (Url, Connections) {
    let mut url = Url::parse(gateway).unwrap();
    let target = url.port().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let connections = Connections::default();
    let seen = Arc::clone(&connections);
    drop(tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let connection = {
                let mut all = seen.lock().unwrap();
                all.push(Activity { last: Instant::now(), longest: Duration::ZERO });
                all.len() - 1
            };
            drop(tokio::spawn(forward(client, target, Arc::clone(&seen), connection)));
        }
    }));
    (url, connections)
}

fn asked(connections: &Connections, connection: usize) {
    let mut connections = connections.lock().unwrap();
    let pause = connections[connection].last.elapsed();
    connections[connection].longest = connections[connection].longest.max(pause);
}

async fn forward(mut client: TcpStream, target: u16, connections: Connections, connection: usize) {
    let Ok(mut gateway) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    let (mut there, mut back) = (vec![0_u8; 16 * 1024], vec![0_u8; 16 * 1024]);
    loop {
        let done = tokio::select! {
            read = client.read(&mut there) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    asked(&connections, connection);
                    gateway.write_all(&there[..read]).await
                }
            },
            read = gateway.read(&mut back) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => client.write_all(&back[..read]).await,
            },
        };
        connections.lock().unwrap()[connection].last = Instant::now();
        if done.is_err() {
            return;
        }
    }
}
