//! Secrets: how they are made, how they are kept as digests, and the files that hold those which the
//! server needs itself. Nothing here is ever logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Files of secrets are smaller than this.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// `N` bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers, or nothing here could be safe");
    bytes
}

/// `N` random bytes in base64url.
pub(crate) fn token<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(random::<N>())
}

/// SHA-256. Secrets here have at least 128 random bits, so nothing slower is needed.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// The key in this file, which is made if there is none.
pub(crate) fn key(file: &Path) -> io::Result<[u8; 32]> {
    let Some(text) = read(file)? else {
        let key = random();
        write(file, &URL_SAFE_NO_PAD.encode(key))?;
        return Ok(key);
    };
    let key = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|key| key.try_into().ok());
    key.ok_or_else(|| {
        let text = format!("{} holds no key; remove it, and a new one is made", file.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// The content of a file that only its owner can read; `None` if there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(path, &error)),
    };
    let mode = file.metadata().map_err(|error| named(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!(
            "others than its owner may read {path} (mode {:03o}); whatever it holds may be known: \
             remove it, and a new one is made at the next start",
            mode & 0o777,
            path = path.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|error| named(path, &error))?;
    Ok(Some(text))
}

/// Puts a file of mode 0600 in place, whole or not at all, and durable when it returns.
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", token::<6>()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
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
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("mode 640"));
    }
}
