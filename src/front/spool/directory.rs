//! The directory of a spool on the disk, locked by one process.
//!
//! Invariant: a file gets its final name only once its content is synced to the disk; files that
//! are not ours are left alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::SpoolError;
use super::name::{FileKind, FileName};

const LOCK: &str = "lock";
/// The file with the key that the broker admitted this front with. It holds no secret.
const ADMITTED: &str = "admitted";
/// The file mode: only the owner may read the content, although it is sealed.
const OWNER_ONLY: u32 = 0o600;

pub(super) struct Directory {
    path: PathBuf,
    /// The number of the next temporary file.
    writes: AtomicU64,
    /// The operating system releases the lock when the process ends, even after a crash.
    _lock: File,
}

/// The files found in a directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) spooled: Vec<(FileName, u64)>,
    /// Number of temporary files that were deleted.
    pub(super) cleared: usize,
    /// Number of files that were set aside earlier.
    pub(super) corrupt: usize,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<(Self, Scan), SpoolError> {
        let unusable = |cause| SpoolError::Unusable { directory: path.to_owned(), cause };
        let lock = owner_only().create(true).open(path.join(LOCK)).map_err(unusable)?;
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

    /// The names of the files that were set aside, in order.
    pub(super) fn set_aside_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let Ok(file) = entry?.file_name().into_string() else { continue };
            if FileKind::of(&file) == FileKind::Corrupt {
                names.push(file);
            }
        }
        names.sort();
        Ok(names)
    }

    fn scan(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            match FileKind::of(&file) {
                FileKind::Spooled(name) => scan.spooled.push((name, entry.metadata()?.len())),
                FileKind::Temporary => {
                    fs::remove_file(entry.path())?;
                    scan.cleared += 1;
                }
                FileKind::Corrupt => scan.corrupt += 1,
                FileKind::Foreign => {}
            }
        }
        Ok(scan)
    }

    /// Writes and syncs a temporary file.
    pub(super) fn write(&self, name: &FileName, bytes: &[u8]) -> io::Result<PathBuf> {
        let temporary = self.path.join(name.temporary(self.writes.fetch_add(1, Ordering::Relaxed)));
        let written = write_through(&temporary, bytes);
        or_clear(written, &temporary).map(|()| temporary)
    }

    /// Renames a temporary file to its final name, replacing an earlier file of that name.
    pub(super) fn give_name(&self, temporary: &Path, name: &FileName) -> io::Result<()> {
        or_clear(fs::rename(temporary, self.path.join(name.as_str())), temporary)
    }

    /// Syncs the directory itself, which holds the names of the files.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn read(&self, name: &FileName) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name.as_str()))
    }

    /// Deletes a file. The directory is not synced, because a file that reappears after a crash is
    /// relayed once more, which does no harm.
    pub(super) fn remove(&self, name: &FileName) -> io::Result<()> {
        fs::remove_file(self.path.join(name.as_str()))
    }

    /// The key that the broker admitted this front with.
    pub(super) fn admitted(&self) -> io::Result<String> {
        fs::read_to_string(self.path.join(ADMITTED))
    }

    pub(super) fn write_admitted(&self, key: &str) -> io::Result<()> {
        if self.admitted().is_ok_and(|known| known == key) {
            return Ok(());
        }
        let temporary = self.path.join(format!("{ADMITTED}.new"));
        drop(fs::remove_file(&temporary));
        or_clear(write_through(&temporary, key.as_bytes()), &temporary)?;
        or_clear(fs::rename(&temporary, self.path.join(ADMITTED)), &temporary)?;
        self.sync()
    }

    pub(super) fn forget_admitted(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(ADMITTED)) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    pub(super) fn set_aside(&self, name: &FileName) -> io::Result<()> {
        fs::rename(self.path.join(name.as_str()), self.path.join(name.corrupt()))
    }
}

fn owner_only() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(OWNER_ONLY);
    options
}

/// Deletes the temporary file after a failure; if that fails too, the next start deletes it.
fn or_clear(done: io::Result<()>, temporary: &Path) -> io::Result<()> {
    if done.is_err() {
        drop(fs::remove_file(temporary));
    }
    done
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = owner_only().create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
