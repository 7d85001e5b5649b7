//! The directory on the disk: one process has it, files come into it whole.
//!
//! Invariant: a file has its final name only once its content is on the disk; nothing that is not ours is touched.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::SpoolError;
use super::name::{self, Kind, Name};

const LOCK: &str = "lock";
/// What is sealed is still nobody else's business.
const OWNER_ONLY: u32 = 0o600;

pub(super) struct Directory {
    path: PathBuf,
    writes: AtomicU64,
    /// The system lets it go with the process, however that ends.
    _lock: File,
}

/// What was found in a directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) spooled: Vec<(Name, u64)>,
    /// Half-written files that were removed.
    pub(super) cleared: usize,
    /// Files that were set aside earlier.
    pub(super) corrupt: usize,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<(Self, Scan), SpoolError> {
        let unusable = |cause| SpoolError::Unusable { directory: path.to_owned(), cause };
        let lock = owned().create(true).open(path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let directory = Self { path: path.to_owned(), writes: AtomicU64::new(0), _lock: lock };
        let scan = directory.scan().map_err(unusable)?;
        directory.sync().map_err(unusable)?;
        Ok((directory, scan))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn scan(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            match name::kind(&file) {
                Kind::Spooled(name) => scan.spooled.push((name, entry.metadata()?.len())),
                Kind::Temporary => {
                    fs::remove_file(entry.path())?;
                    scan.cleared += 1;
                }
                Kind::Corrupt => scan.corrupt += 1,
                Kind::Foreign => {}
            }
        }
        Ok(scan)
    }

    /// Writes a file through to the disk under a name that nobody reads.
    pub(super) fn write(&self, name: &Name, bytes: &[u8]) -> io::Result<PathBuf> {
        let temporary = self.path.join(name.temporary(self.writes.fetch_add(1, Ordering::Relaxed)));
        let written = write_through(&temporary, bytes);
        or_clear(written, &temporary).map(|()| temporary)
    }

    /// Gives it its own name; a file that has it is replaced.
    pub(super) fn give_name(&self, temporary: &Path, name: &Name) -> io::Result<()> {
        or_clear(fs::rename(temporary, self.path.join(name.as_str())), temporary)
    }

    /// Puts the names themselves on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn read(&self, name: &Name) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name.as_str()))
    }

    /// Not made durable: a file that comes back after a crash is relayed once more, which does no harm.
    pub(super) fn remove(&self, name: &Name) -> io::Result<()> {
        fs::remove_file(self.path.join(name.as_str()))
    }

    pub(super) fn set_aside(&self, name: &Name) -> io::Result<()> {
        fs::rename(self.path.join(name.as_str()), self.path.join(name.corrupt()))
    }
}

fn owned() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(OWNER_ONLY);
    options
}

/// What is not cleared away now, the next start clears.
fn or_clear(done: io::Result<()>, temporary: &Path) -> io::Result<()> {
    if done.is_err() {
        drop(fs::remove_file(temporary));
    }
    done
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = owned().create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
