//! The names of states in the HTTP API and in events.

use crate::catalogue::v1::ContentState;
use crate::jobs::v1::JobState;

/// An unknown state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a state; the states are {known}")]
pub struct UnknownState {
    /// What was given.
    pub given: String,
    /// The known names, separated by commas.
    pub known: &'static str,
}

impl ContentState {
    /// The lower-case name of the HTTP API; `""` for `UNSPECIFIED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Transcoding => "transcoding",
            Self::Playable => "playable",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    ///
    /// # Errors
    /// [`UnknownState`] if there is no such state.
    pub fn from_name(name: &str) -> Result<Self, UnknownState> {
        const ALL: [ContentState; 6] = [
            ContentState::Uploading,
            ContentState::Uploaded,
            ContentState::Transcoding,
            ContentState::Playable,
            ContentState::Ready,
            ContentState::Failed,
        ];
        ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| UnknownState {
            given: name.to_owned(),
            known: "uploading, uploaded, transcoding, playable, ready, failed",
        })
    }
}

impl JobState {
    /// The lower-case name of the HTTP API; `""` for `UNSPECIFIED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    ///
    /// # Errors
    /// [`UnknownState`] if there is no such state.
    pub fn from_name(name: &str) -> Result<Self, UnknownState> {
        const ALL: [JobState; 5] =
            [JobState::Queued, JobState::Running, JobState::Completed, JobState::Dead, JobState::Cancelled];
        ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| UnknownState {
            given: name.to_owned(),
            known: "queued, running, completed, dead, cancelled",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_name() {
        for number in 1..=6 {
            let state = ContentState::try_from(number).expect("1 to 6 are states");
            assert_eq!(ContentState::from_name(state.name()), Ok(state));
        }
        for number in 1..=5 {
            let state = JobState::try_from(number).expect("1 to 5 are states");
            assert_eq!(JobState::from_name(state.name()), Ok(state));
        }
        assert!(ContentState::from_name("").is_err());
        assert!(JobState::from_name("Queued").is_err());
    }
}
