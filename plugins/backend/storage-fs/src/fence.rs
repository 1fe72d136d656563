//! Fencing of writers below a directory: only the largest number so far may write. A run of a job that was
//! suspended, and whose job has another worker by now, overwrites nothing of that worker.
//!
//! The number of `media/ID` is the file `media/ID/fence` of a separate tree, so it survives restarts, and the
//! runs of a swap share it. A write holds the file with a shared lock from its check of the number until its
//! object is in place; a larger number is written under an exclusive lock, and so follows every write that
//! passed before. All of it blocks; call it from blocking threads.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use http::{HeaderMap, HeaderName};
use rustix::fs::FlockOperation;

use crate::error::Error;
use crate::key::Name;
use crate::tree::Tree;

/// `SCOPE=NUMBER`: SCOPE is a directory in the bucket.
pub(crate) const FENCE: HeaderName = HeaderName::from_static("x-streamgate-fence");
/// The content of the file: all digits of a number, so that it is replaced in one write.
const DIGITS: usize = 20;
const FILE: &str = "fence";

/// The fence stated by a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    scope: String,
    file: Name,
    number: u64,
}

impl Fence {
    /// The fence of a request on `bucket`, if it states one.
    pub(crate) fn of(headers: &HeaderMap, bucket: &str) -> Result<Option<Self>, Error> {
        let Some(value) = headers.get(FENCE) else { return Ok(None) };
        let parts = value.to_str().ok().and_then(|value| value.rsplit_once('='));
        let parts = parts.and_then(|(scope, number)| Some((scope, number.parse::<u64>().ok()?)));
        let (scope, number) = parts
            .ok_or(Error::Malformed("x-streamgate-fence must be SCOPE=NUMBER: a directory and a number"))?;
        let file = Name::new(bucket, &format!("{scope}/{FILE}"))?;
        Ok(Some(Self { scope: format!("{bucket}/{scope}"), file, number }))
    }

    /// The same, if its scope is a directory above `name`.
    pub(crate) fn above(headers: &HeaderMap, name: &Name) -> Result<Option<Self>, Error> {
        let fence = Self::of(headers, name.bucket())?;
        let covers =
            |fence: &Self| name.path().strip_prefix(&fence.scope).is_some_and(|rest| rest.starts_with('/'));
        match fence {
            Some(fence) if !covers(&fence) => {
                Err(Error::Malformed("the scope of x-streamgate-fence must be a directory above the object"))
            }
            fence => Ok(fence),
        }
    }
}

/// An allowed write. No larger number is accepted while this lives.
#[derive(Debug)]
pub(crate) struct Passed {
    _locked: File,
}

/// The numbers in force.
#[derive(Debug)]
pub(crate) struct Fences {
    tree: Tree,
}

impl Fences {
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// Removed together with the objects of the scope.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Allows a write whose number is the largest so far, and stores that number durably.
    pub(crate) fn pass(&self, fence: &Fence) -> Result<Passed, Error> {
        let path = fence.file.path();
        let failed = |error| Error::of(error, path);
        let file = File::from(self.tree.open_or_create(path).map_err(failed)?.0);
        let lock = |operation| {
            rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation))
                .map_err(|error| failed(error.into()))
        };
        loop {
            lock(FlockOperation::LockShared)?;
            let newest = read(&file).map_err(failed)?;
            match fence.number.cmp(&newest) {
                Ordering::Less => {
                    let Fence { scope, number, .. } = fence;
                    tracing::info!(scope, number, newest, "a write of a replaced run was refused");
                    return Err(Error::Superseded { scope: scope.clone(), fence: *number, newest });
                }
                Ordering::Equal => return Ok(Passed { _locked: file }),
                Ordering::Greater => {}
            }
            // Between the two locks another writer may have come: both are followed by a check.
            lock(FlockOperation::LockExclusive)?;
            if fence.number > read(&file).map_err(failed)? {
                self.raise(&file, fence).map_err(failed)?;
            }
        }
    }

    fn raise(&self, file: &File, fence: &Fence) -> io::Result<()> {
        file.write_all_at(format!("{:0DIGITS$}", fence.number).as_bytes(), 0)?;
        file.sync_all()?;
        self.tree.sync_entry(fence.file.path())
    }
}

/// The number in a file; 0 for an empty one, which a crash leaves before the first is on disk.
fn read(file: &File) -> io::Result<u64> {
    let mut text = [0; DIGITS];
    match file.read_at(&mut text, 0)? {
        0 => Ok(0),
        length => {
            let number = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok());
            number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a fence is not a number"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn fence(number: u64) -> Fence {
        let headers = HeaderMap::from_iter([(FENCE, format!("a=b={number}").parse().unwrap())]);
        Fence::of(&headers, "media").unwrap().unwrap()
    }

    #[test]
    fn a_fence_is_a_directory_above_the_object_and_a_number() {
        let of = |value: &str, key: &str| {
            let headers = HeaderMap::from_iter([(FENCE, value.parse().unwrap())]);
            Fence::above(&headers, &Name::new("media", key).unwrap())
        };
        let fence = of("a/b=7", "a/b/c/1.m4s").unwrap().unwrap();
        assert_eq!((fence.file.path(), fence.number), ("media/a/b/fence", 7));
        for (value, key) in [
            ("a=7", "ab/c"),
            ("a=7", "a"),
            ("a/b=7", "a/c"),
            ("a", "a/b"),
            ("a=", "a/b"),
            ("a=-1", "a/b"),
            ("=7", "a/b"),
            ("..=7", "a/b"),
            ("a/../../x=7", "a/b"),
            ("a=99999999999999999999", "a/b"),
        ] {
            assert!(of(value, key).is_err(), "{value} for {key} was let through");
        }
        assert_eq!(Fence::of(&HeaderMap::new(), "media").unwrap(), None);
    }

    #[test]
    fn no_smaller_number_passes_while_a_larger_one_is_in_force_however_many_come_at_once() {
        let root = tempfile::tempdir().unwrap();
        // Two runs of a swap.
        let runs = [(), ()].map(|()| Fences::new(Tree::open(root.path()).unwrap()));
        let in_force = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (fences, in_force) = (&runs[thread % 2], &in_force);
                scope.spawn(move || {
                    for number in 1..=100 {
                        let Ok(passed) = fences.pass(&fence(number)) else { continue };
                        assert!(in_force.fetch_max(number, Ordering::SeqCst) <= number);
                        drop(passed);
                    }
                });
            }
        });
        assert_eq!(in_force.into_inner(), 100);
        assert!(runs[0].pass(&fence(99)).is_err());
        assert!(Fences::new(Tree::open(root.path()).unwrap()).pass(&fence(100)).is_ok());
    }
}
