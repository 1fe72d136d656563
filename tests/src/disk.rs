//! A disk that is really small: a tmpfs, where the tests may mount one (root, or a user namespace).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs on a folder, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed; then the test is skipped.
    #[must_use]
    pub fn mount(folder: &Path, mebibytes: u64) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "tmpfs"])
            .arg(folder)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_path_buf()))
    }

    /// Fills every free byte, until [`Self::free`].
    pub fn fill(&self) {
        let Ok(mut file) = File::create(self.ballast()) else { return };
        // The large blocks first; a remaining page counts too.
        for bytes in [64 << 10, 4 << 10, 1] {
            let block = vec![0; bytes];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Frees what [`Self::fill`] filled.
    pub fn free(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
