//! The owner of an upload. A part belongs to its creator. An upload with a content belongs to the content's
//! current owner: every request reads it from the catalogue and updates the row, by which uploads are
//! counted. An event only makes the update sooner.

use crate::audit::Caller;
use crate::fault::Fault;
use crate::store::{self, Kind, State, Upload};
use crate::transfer::Pump;
use crate::uploads::Uploads;
use streamgate_plugin_api::fair::Holder;

impl Pump {
    /// The upload, with its content's owner.
    pub(crate) async fn followed(&self, upload: Upload) -> Result<Upload, Fault> {
        if upload.kind == Kind::Partial || upload.state == State::Creating {
            return Ok(upload);
        }
        let content = self.dependencies.content(&upload.id).await.map_err(|status| {
            Fault::Unavailable(format!("its owner is unknown: the catalogue failed: {}", status.message()))
        })?;
        let owner = content.map(|content| content.owner).unwrap_or_default();
        // A deleted content, or one without an owner, changes nothing.
        if owner.is_empty() || store::principal_of(&upload.owner) == Some(&owner) {
            return Ok(upload);
        }
        let owner = store::owner(&Holder::Principal(owner));
        self.store.give_to(&upload.id, &owner).await?;
        Ok(Upload { owner, ..upload })
    }
}

impl Uploads {
    /// The upload, if it is the caller's.
    pub(crate) async fn own(&self, id: &str, caller: &Caller) -> Result<Upload, Fault> {
        caller.own(self.pump.followed(self.pump.store.get(id).await?).await?)
    }

    /// An event reports that the content of this id may have another owner: the previous owner's transfer is
    /// stopped.
    pub(crate) async fn follow(&self, id: &str) -> Result<(), Fault> {
        let Some(upload) = self.pump.store.find(id).await? else { return Ok(()) };
        let before = upload.owner.clone();
        let upload = self.pump.followed(upload).await?;
        if upload.owner != before && upload.state == State::Receiving {
            drop(self.take(id).await?);
        }
        Ok(())
    }
}
