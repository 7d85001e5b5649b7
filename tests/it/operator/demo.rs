//! An interrupted demo reports that it was interrupted, and leaves nothing behind, even after `kill
//! -9`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{eventually, temporary};

const LONG: Duration = Duration::from_secs(120);

/// Starts a demo with a temporary directory of its own, and waits until it runs.
fn started(dir: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nidbridge"));
    command.args(["demo", "--registrations", "100000", "--rate", "2"]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TMPDIR", dir);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Ctrl-C ends it") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the demo does not start");
    }
    (child, said)
}

async fn interrupted(twice: bool) -> (Option<i32>, String) {
    let dir = temporary("demo");
    std::fs::create_dir_all(&dir).unwrap();
    let within = dir.clone();
    let (mut child, mut said) = tokio::task::spawn_blocking(move || started(&within)).await.unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    if twice {
        // Two signals at the same time may arrive as one.
        let ended = eventually(LONG, "it ends", async || {
            // The process may have ended already.
            kill_process(Pid::from_child(&child), Signal::INT).unwrap_or_default();
            child.try_wait().unwrap()
        });
        assert_eq!(ended.await.code(), Some(130));
    }
    let reading = tokio::task::spawn_blocking(move || {
        let mut all = String::new();
        drop(std::io::Read::read_to_string(&mut said, &mut all));
        all
    });
    let status = eventually(LONG, "it ends", async || child.try_wait().unwrap()).await;
    eventually(LONG, "nothing is left", async || {
        let left = std::fs::read_dir(&dir).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
    std::fs::remove_dir_all(&dir).unwrap();
    (status.code(), reading.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_says_so_and_leaves_nothing_behind() {
    let ((once, said), (twice, _)) = tokio::join!(interrupted(false), interrupted(true));
    assert_eq!((once, twice), (Some(75), Some(130)), "{said}");
    assert!(said.contains("interrupted: ") && said.contains("of 100000 registrations came"), "{said}");
}
