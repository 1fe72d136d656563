//! The SQL that writes renditions and their segments, each together with its content.

use bytes::Bytes;
use prost::Message as _;
use streamgate_contracts::catalogue::v1::{Content, ContentState, Rendition, RenditionSegments};
use streamgate_contracts::db::{DbError, params};
use streamgate_plugin_api::time::now_ms;

use crate::store::{ATTEMPTS, Rung, Store, StoreError, news_of, write_row};
use crate::timeline::{self, Totals};
use crate::{fence, generations, limits, usage};

impl Store {
    /// Adds renditions, or replaces those of the same names.
    pub(crate) async fn put_renditions(
        &self,
        id: &str,
        specs: &[Rendition],
        fence: u64,
    ) -> Result<Content, StoreError> {
        for _ in 0..ATTEMPTS {
            let before = self.get(id).await?;
            let mut after = before.clone();
            fence::pass(&mut after, fence)?;
            if before.state() == ContentState::Uploading {
                let reason = "a content that is still uploading has no renditions";
                return Err(StoreError::Precondition(reason.into()));
            }
            if let Some(spec) = specs.iter().find(|it| before.texts.iter().any(|text| text.name == it.name)) {
                return Err(StoreError::Invalid(format!("`{}` is the name of a text", spec.name)));
            }
            let known = self.rungs_of(&[id]).await?.remove(id).unwrap_or_default();
            generations::check(&known, specs)?;
            let mut rungs = with_specs(&known, specs);
            generations::settle(&mut rungs, before.state(), now_ms(), self.until_ms());
            if newest(&rungs) > limits::RENDITIONS {
                return Err(StoreError::Invalid(format!("at most {} renditions", limits::RENDITIONS)));
            }
            if after.fence == before.fence && rungs == known {
                return Ok(before);
            }
            let mut batch = write_row(self.change(), &before, &mut after);
            batch = generations::write_turns(batch, id, &known, &rungs);
            for (place, rung) in rungs.iter().enumerate() {
                let before = known.get(place).map(|rung| packed(&rung.spec));
                let (folder, spec) = (rung.spec.folder(), packed(&rung.spec));
                batch = match before {
                    Some(before) if before == spec => batch,
                    Some(_) => {
                        let sql = "UPDATE renditions SET spec = $3 WHERE content = $1 AND name = $2";
                        batch.push_expect(sql, params![id, folder, spec], 1)
                    }
                    None => {
                        let sql = "INSERT INTO renditions (content, name, position, spec, segments, bytes, ticks, coming) \
                            VALUES ($1, $2, $3, $4, 0, 0, 0, $5)";
                        batch.push(sql, params![id, folder, place, spec, rung.spec.is_coming()])
                    }
                };
            }
            match usage::count(batch, Some(&before), &after).publish(news_of(&after)).run().await {
                Ok(_) => return Ok(after),
                Err(DbError::Conflict { .. } | DbError::UniqueViolation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    /// Adds segments, or replaces those of the same numbers, and changes the content, all in one transaction.
    pub(crate) async fn put_segments(
        &self,
        id: &str,
        added: &[RenditionSegments],
        apply: impl Fn(&mut Content) -> Result<(), StoreError>,
    ) -> Result<Content, StoreError> {
        for _ in 0..ATTEMPTS {
            let before = self.get(id).await?;
            let mut after = before.clone();
            apply(&mut after)?;
            let known = self.rungs_of(&[id]).await?.remove(id).unwrap_or_default();
            let mut rungs = known.clone();
            let newest = generations::newest(&known);
            let mut batch = write_row(self.change(), &before, &mut after);
            for group in added {
                let name = &group.rendition;
                let Some(rung) = rungs.iter_mut().find(|rung| rung.spec.folder() == *name) else {
                    let reason = format!("there is no rendition `{name}`; put it before its segments");
                    return Err(StoreError::Precondition(reason));
                };
                if Some(rung.spec.generation) != newest {
                    let reason = format!("`{name}` accepts no segments: there is a newer generation");
                    return Err(StoreError::Precondition(reason));
                }
                let stored = self.chunks(id, name, &timeline::chunks_of(&group.segments)).await?;
                let merged = timeline::merge(name, rung.totals, stored, group.segments.clone())?;
                rung.totals = merged.totals;
                let Totals { segments, bytes, ticks } = merged.totals;
                batch = batch.push_expect(
                    "UPDATE renditions SET segments = $3, bytes = $4, ticks = $5 WHERE content = $1 AND name = $2",
                    params![id, name, segments, bytes, ticks],
                    1,
                );
                for (chunk, data) in merged.chunks {
                    batch = batch.push(
                        "INSERT INTO segments (content, rendition, chunk, data) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (content, rendition, chunk) DO UPDATE SET data = excluded.data",
                        params![id, name, chunk, data],
                    );
                }
            }
            generations::settle(&mut rungs, before.state(), now_ms(), self.until_ms());
            batch = generations::write_turns(batch, id, &known, &rungs);
            match usage::count(batch, Some(&before), &after).publish(news_of(&after)).run().await {
                Ok(_) => return Ok(after),
                Err(DbError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Busy(id.to_owned()))
    }

    async fn chunks(
        &self,
        id: &str,
        rendition: &str,
        wanted: &[u32],
    ) -> Result<Vec<(u32, Bytes)>, StoreError> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
        let sql = "SELECT chunk, data FROM segments WHERE content = $1 AND rendition = $2 \
            AND chunk BETWEEN $3 AND $4 ORDER BY chunk";
        let rows = self.db.query(sql, params![id, rendition, *first, *last]).await?;
        let mut chunks = Vec::with_capacity(rows.len());
        for row in rows {
            let chunk: u32 = row.get("chunk")?;
            if wanted.binary_search(&chunk).is_ok() {
                chunks.push((chunk, row.get("data")?));
            }
        }
        Ok(chunks)
    }
}

/// The renditions with the new ones: in the previous order, then the new ones.
fn with_specs(known: &[Rung], specs: &[Rendition]) -> Vec<Rung> {
    let mut rungs = known.to_vec();
    for spec in specs {
        match rungs.iter_mut().find(|rung| rung.spec.folder() == spec.folder()) {
            Some(rung) => rung.spec = Rendition { turn: rung.spec.turn, ..spec.clone() },
            None => {
                let turn = generations::begins(known, spec);
                let spec = Rendition { turn, ..spec.clone() };
                rungs.push(Rung { spec, totals: Totals::default() });
            }
        }
    }
    rungs
}

/// The number of renditions of the newest generation.
fn newest(rungs: &[Rung]) -> usize {
    let newest = generations::newest(rungs);
    rungs.iter().filter(|rung| Some(rung.spec.generation) == newest).count()
}

/// A rendition in the form of its row.
fn packed(spec: &Rendition) -> Bytes {
    Rendition { turn: None, ..spec.clone() }.encode_to_vec().into()
}
