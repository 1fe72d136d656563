//! A plugin's secrets: random values, and files that only their owner may read. Nothing here is ever logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Maximum size of secret files.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// `N` bytes from the system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers, or nothing here could be safe");
    bytes
}

/// `N` random bytes in base64url.
pub fn token<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random::<N>())
}

/// The content of a file that only its owner may read; `None` if there is no file.
///
/// # Errors
/// If others may read it, or it cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(path, &error)),
    };
    let mode = file.metadata().map_err(|error| named(path, &error))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!(
            "{}: it is readable by others than its owner (mode {mode:03o}), so the secret may be known: remove it, and a \
             new one is created at the next start",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(|error| named(path, &error))?;
    Ok(Some(content))
}

/// Replaces a file with one of mode 0600, atomically, and durable when it returns.
///
/// # Errors
/// The system's error.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, |fresh| fs::rename(fresh, path))
}

/// The content of this file, which is created if it is missing. Concurrent creators all get the same.
///
/// # Errors
/// As [`read`] and [`write`].
pub fn once(path: &Path, make: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    if let Some(content) = read(path)? {
        return Ok(content);
    }
    put(path, &make(), |fresh| match fs::hard_link(fresh, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::remove_file(fresh),
    })?;
    read(path)?.ok_or_else(|| named(path, &io::ErrorKind::NotFound.into()))
}

fn put(path: &Path, content: &[u8], place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", token::<6>()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        place(&fresh)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written.map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_for_its_owner_alone_and_refused_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(once(&path, || b"three".to_vec()).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("mode 640"));
        assert!(once(&path, Vec::new).unwrap_err().to_string().contains("mode 640"));
    }

    #[test]
    fn of_many_that_make_a_file_at_once_all_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| once(&path, || random::<32>().to_vec()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
