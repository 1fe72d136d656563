//! Concatenation (tus 1.0 §Concatenation): a final upload consists of its parts, copied one after the other.
//! Its progress is stored in its row, so that a restart continues there.

use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::handover::Unfinished;
use crate::incoming::{End, Incoming};
use crate::store::{State, Upload};
use crate::transfer::Pump;

impl Pump {
    /// Copies the parts of an upload in state `joining`, and moves it to `finishing`. The
    /// caller holds its lock.
    pub(crate) async fn join_parts(
        &self,
        upload: &mut Upload,
        stop: &CancellationToken,
    ) -> Result<(), Unfinished> {
        let mut begin = 0;
        for id in upload.parts.clone() {
            let part = self.store.find(&id).await.map_err(Fault::from)?;
            let Some(part) = part.filter(|part| part.is_whole()) else {
                return self.give_up(upload, "a part of the upload is missing; upload the file again").await;
            };
            let end = begin + part.received;
            while upload.received < end {
                let before = upload.received;
                let Some(body) = self.objects.open(&part.object(), before - begin).await? else {
                    return self
                        .give_up(upload, "a part of the upload was lost in storage; upload the file again")
                        .await;
                };
                let incoming = Incoming::new(body, end - before, None);
                self.run(upload, &incoming, Some(end - before), true, stop).await?;
                if upload.received == before || incoming.end() != Some(End::Whole) {
                    return Err(Unfinished::Service("storage", "a part is shorter than it was".into()));
                }
            }
            begin = end;
        }
        if upload.state == State::Joining {
            // The last piece advanced it; without any bytes there was no piece.
            let moved =
                self.store.step(&upload.id, State::Joining, State::Finishing, self.pace.expiry()).await;
            moved.map_err(Fault::from)?;
            upload.state = State::Finishing;
        }
        Ok(())
    }
}
