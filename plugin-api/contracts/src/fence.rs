//! Fences: of two runs of a job the later one has the larger number, and stores refuse the writes of the
//! earlier one. A run that was suspended past its lease learns of it with its first write.

use tonic::Status;

/// Field of a request on `storage`: `SCOPE=NUMBER`, where the scope is a directory above the object.
pub const HEADER: &str = "x-streamgate-fence";
/// Metadata key of an error status: the fence that is in force.
pub const SUPERSEDED_BY: &str = "superseded-by";

/// The refusal of a write whose fence is smaller than `newest`.
pub fn refusal(message: impl Into<String>, newest: u64) -> Status {
    let mut status = Status::failed_precondition(message);
    status.metadata_mut().insert(SUPERSEDED_BY, newest.into());
    status
}

/// The fence in force, if the status refuses a smaller one.
#[must_use]
pub fn superseded_by(status: &Status) -> Option<u64> {
    status.metadata().get(SUPERSEDED_BY)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_fence_is_in_force_and_no_other_status_does() {
        assert_eq!(superseded_by(&refusal("too late", u64::MAX)), Some(u64::MAX));
        assert_eq!(superseded_by(&Status::failed_precondition("too late")), None);
    }
}
