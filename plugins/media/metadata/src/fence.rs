//! Fencing of a content's writers. The largest fence so far is in the content's row, which every write
//! replaces at the revision that it was read at: so check and write are one step.

use streamgate_contracts::catalogue::v1::Content;

use crate::store::StoreError;

/// Allows a write with this fence, and stores it. 0 is a caller without a job, which is never fenced.
pub(crate) fn pass(content: &mut Content, fence: u64) -> Result<(), StoreError> {
    match fence {
        0 => Ok(()),
        _ if fence < content.fence => {
            Err(StoreError::Superseded { id: content.id.clone(), fence, newest: content.fence })
        }
        _ if i64::try_from(fence).is_err() => {
            Err(StoreError::Invalid(format!("the fence {fence} is larger than {}", i64::MAX)))
        }
        _ => {
            content.fence = fence;
            Ok(())
        }
    }
}
