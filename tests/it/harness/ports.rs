//! Free ports, of which no two test processes of this machine get the same one.
//!
//! Invariant: a port belongs to one test process until that process ends, also between the call of
//! [`free_port`] and the start of whatever listens there. Otherwise a role of one process would
//! answer the probes and the registrations of another.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below the ports of the private RabbitMQ nodes, and below those that the system picks at random.
const ALL: Range<u16> = 11_000..20_000;
/// Number of ports that a process claims at once.
const BLOCK: u16 = 50;

/// The blocks of this process.
static CLAIMED: Mutex<Claimed> = Mutex::new(Claimed { locks: Vec::new(), left: 0..0 });

struct Claimed {
    /// A locked file for each block. The system unlocks them when the process ends.
    locks: Vec<File>,
    left: Range<u16>,
}

impl Claimed {
    /// Claims another block.
    fn claim(&mut self) {
        let dir = std::env::temp_dir().join("nidbridge-ports");
        fs::create_dir_all(&dir).expect("a directory for the locks");
        let firsts = ALL.step_by(BLOCK.into());
        let locked = |first: u16| {
            let lock = File::create(dir.join(first.to_string())).ok()?;
            lock.try_lock().ok()?;
            Some((first, lock))
        };
        let (first, lock) = firsts.into_iter().find_map(locked).expect("a block of ports");
        self.locks.push(lock);
        self.left = first..first + BLOCK;
    }
}

pub fn free_port() -> u16 {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(port) = claimed.left.next() else {
            claimed.claim();
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
