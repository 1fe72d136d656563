//! Which generation of a content's renditions is played. A new one is `coming` until it has as much as the
//! current one, so that no viewer is sent back; then it replaces that in one step, and the previous one stays
//! at its own addresses for players that began with it. Objects of a generation are removed before its rows,
//! so that a crash in between leaves the rest to be done.

use streamgate_contracts::catalogue::v1::{ContentState, Rendition, Turn};
use streamgate_contracts::db::{Batch, params};

use crate::limits;
use crate::store::{Rung, Store, StoreError};
use crate::usage;

/// Whether renditions may be put: all of one generation, the newest or the one after it.
pub(crate) fn check(known: &[Rung], specs: &[Rendition]) -> Result<(), StoreError> {
    let Some(generation) = specs.first().map(|spec| spec.generation) else { return Ok(()) };
    if specs.iter().any(|spec| spec.generation != generation) {
        return Err(StoreError::Invalid(
            "the renditions are of several generations; put one at a time".into(),
        ));
    }
    match newest(known) {
        Some(newest) if generation < newest => Err(StoreError::Precondition(format!(
            "generation {generation} was replaced; the newest one is {newest}"
        ))),
        _ => Ok(()),
    }
}

/// The newest generation, whether it is played or not.
pub(crate) fn newest(rungs: &[Rung]) -> Option<u32> {
    rungs.iter().map(|rung| rung.spec.generation).max()
}

/// The initial turn of a rendition.
pub(crate) fn begins(known: &[Rung], spec: &Rendition) -> Option<Turn> {
    let played = known.iter().find(|rung| rung.spec.turn.is_none());
    let waits = played.is_some_and(|played| played.spec.generation < spec.generation);
    waits.then_some(Turn { coming: true, until_ms: 0 })
}

/// Recomputes which of these are played.
pub(crate) fn settle(rungs: &mut [Rung], state: ContentState, now_ms: i64, until_ms: i64) {
    let Some(newest) = newest(rungs) else { return };
    for rung in rungs.iter_mut().filter(|rung| rung.spec.is_coming() && rung.spec.generation < newest) {
        // It was never announced.
        rung.spec.turn = Some(Turn { coming: false, until_ms: now_ms });
    }
    if !rungs.iter().any(|rung| rung.spec.is_coming()) {
        return;
    }
    if state != ContentState::Playable || has_as_much(rungs) {
        for rung in rungs.iter_mut() {
            match rung.spec.turn {
                None => rung.spec.turn = Some(Turn { coming: false, until_ms }),
                Some(Turn { coming: true, .. }) => rung.spec.turn = None,
                Some(_) => {}
            }
        }
    }
    drop_surplus(rungs, now_ms);
}

/// Maximum replaced generations that stay.
fn drop_surplus(rungs: &mut [Rung], now_ms: i64) {
    let replaced = |rung: &&mut Rung| rung.spec.replaced_until_ms().is_some();
    let mut generations: Vec<u32> = rungs.iter_mut().filter(replaced).map(|it| it.spec.generation).collect();
    generations.sort_unstable();
    generations.dedup();
    generations.truncate(generations.len().saturating_sub(limits::EARLIER_GENERATIONS));
    for rung in rungs.iter_mut().filter(|rung| generations.contains(&rung.spec.generation)) {
        let until_ms = rung.spec.replaced_until_ms().unwrap_or(now_ms).min(now_ms);
        rung.spec.turn = Some(Turn { coming: false, until_ms });
    }
}

/// Whether the coming generation is as far as the current one: the furthest of video and of audio, and each
/// rendition that both have. A rendition that only the current generation has is given up.
fn has_as_much(rungs: &[Rung]) -> bool {
    let (played, coming): (Vec<&Rung>, Vec<&Rung>) = rungs
        .iter()
        .filter(|rung| rung.spec.replaced_until_ms().is_none())
        .partition(|rung| rung.spec.turn.is_none());
    let furthest = |all: &[&Rung], kind: i32| {
        all.iter().filter(|it| it.spec.kind == kind).map(|it| reach(it)).max().unwrap_or(0)
    };
    played.iter().all(|old| {
        let same = coming.iter().find(|new| new.spec.name == old.spec.name);
        furthest(&coming, old.spec.kind) >= furthest(&played, old.spec.kind)
            && same.is_none_or(|new| reach(new) >= reach(old))
    })
}

/// How far a rendition is, in microseconds; a complete one counts as furthest.
fn reach(rung: &Rung) -> u128 {
    if rung.spec.complete {
        return u128::MAX;
    }
    u128::from(rung.totals.ticks) * 1_000_000 / u128::from(rung.spec.timescale.max(1))
}

/// Writes the turns that have changed.
pub(crate) fn write_turns(mut batch: Batch, id: &str, before: &[Rung], after: &[Rung]) -> Batch {
    for (before, after) in before.iter().zip(after) {
        if before.spec.turn != after.spec.turn {
            batch = batch.push_expect(
                "UPDATE renditions SET coming = $3, until_ms = $4 WHERE content = $1 AND name = $2",
                params![id, after.spec.folder(), after.spec.is_coming(), after.spec.replaced_until_ms()],
                1,
            );
        }
    }
    batch
}

/// With `ready`, the coming generation is played, whatever it has.
pub(crate) fn finish(batch: Batch, id: &str, until_ms: i64) -> Batch {
    batch
        .push(
            "UPDATE renditions SET until_ms = $2 WHERE content = $1 AND coming = 0 AND until_ms IS NULL AND EXISTS \
             (SELECT 1 FROM renditions AS others WHERE others.content = $1 AND others.coming = 1)",
            params![id, until_ms],
        )
        .push("UPDATE renditions SET coming = 0 WHERE content = $1 AND coming = 1", params![id])
}

impl Store {
    /// Content and folder of expired generations, the longest expired first.
    pub(crate) async fn due_renditions(
        &self,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT content, name FROM renditions WHERE until_ms <= $1 ORDER BY until_ms, content, name LIMIT $2";
        let rows = self.db.query(sql, params![now_ms, limit]).await?;
        rows.into_iter().map(|row| Ok((row.get("content")?, row.get("name")?))).collect()
    }

    /// Removes a rendition whose objects are gone. A replaced one is never played again, so no further check
    /// is needed.
    pub(crate) async fn forget_rendition(&self, id: &str, folder: &str) -> Result<(), StoreError> {
        let batch = self
            .db
            .batch()
            .push("DELETE FROM segments WHERE content = $1 AND rendition = $2", params![id, folder])
            .push("DELETE FROM renditions WHERE content = $1 AND name = $2", params![id, folder]);
        usage::recount(batch, id).frees_space().run().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use streamgate_contracts::catalogue::v1::RenditionKind;

    use super::*;
    use crate::timeline::Totals;

    const PLAYABLE: ContentState = ContentState::Playable;

    fn rung(name: &str, generation: u32, seconds: u64, turn: Option<Turn>) -> Rung {
        let kind = if name == "audio" { RenditionKind::Audio } else { RenditionKind::Video };
        let spec = Rendition {
            name: name.into(),
            kind: kind.into(),
            timescale: 1_000,
            generation,
            turn,
            ..Rendition::default()
        };
        Rung { spec, totals: Totals { segments: 1, bytes: 1, ticks: seconds * 1_000 } }
    }

    fn old(name: &str, seconds: u64) -> Rung {
        rung(name, 0, seconds, None)
    }

    fn new(name: &str, seconds: u64) -> Rung {
        rung(name, 1, seconds, Some(Turn { coming: true, until_ms: 0 }))
    }

    /// The folders that are played after it.
    fn played(mut rungs: Vec<Rung>, state: ContentState) -> Vec<String> {
        settle(&mut rungs, state, 5, 9);
        rungs.iter().filter(|it| it.spec.turn.is_none()).map(|it| it.spec.folder()).collect()
    }

    #[test]
    fn while_somebody_may_watch_the_next_generation_waits_until_it_has_as_much_of_all_that_both_have() {
        let both =
            |seconds, sound| vec![old("720p", 8), old("audio", 9), new("720p", seconds), new("audio", sound)];
        assert_eq!(played(both(7, 9), PLAYABLE), ["720p", "audio"]);
        assert_eq!(played(both(8, 8), PLAYABLE), ["720p", "audio"]);
        assert_eq!(played(both(8, 9), PLAYABLE), ["720p.1", "audio.1"]);
        assert_eq!(played(both(0, 0), ContentState::Transcoding), ["720p.1", "audio.1"]);
        let mut complete = both(7, 9);
        complete[2].spec.complete = true;
        assert_eq!(played(complete, PLAYABLE), ["720p.1", "audio.1"]);
    }

    #[test]
    fn a_rendition_that_there_will_not_be_again_is_waited_for_as_far_as_the_others_of_its_kind() {
        let other = |seconds| vec![old("720p", 8), old("480p", 5), new("480p", seconds)];
        assert_eq!(played(other(7), PLAYABLE), ["720p", "480p"]);
        assert_eq!(played(other(8), PLAYABLE), ["480p.1"]);
        assert_eq!(
            played(vec![old("720p", 8), old("audio", 8), new("720p", 9)], PLAYABLE),
            ["720p", "audio"]
        );
    }

    #[test]
    fn what_was_played_stays_for_its_time_and_what_was_never_played_goes_at_once() {
        let mut rungs = vec![old("720p", 8), new("720p", 3)];
        rungs.push(rung("720p", 2, 8, Some(Turn { coming: true, until_ms: 0 })));
        settle(&mut rungs, PLAYABLE, 5, 9);
        let until: Vec<_> = rungs.iter().map(|it| it.spec.replaced_until_ms()).collect();
        assert_eq!(until, [Some(9), Some(5), None]);
    }

    #[test]
    fn no_more_than_a_few_replaced_generations_stay() {
        let mut rungs: Vec<Rung> = (0..8)
            .map(|generation| rung("720p", generation, 8, Some(Turn { coming: false, until_ms: 9 })))
            .collect();
        rungs.push(rung("720p", 8, 8, None));
        rungs.push(rung("720p", 9, 8, Some(Turn { coming: true, until_ms: 0 })));
        settle(&mut rungs, PLAYABLE, 5, 9);
        let staying = rungs.iter().filter(|it| it.spec.replaced_until_ms() == Some(9));
        let staying: Vec<_> = staying.map(|it| it.spec.generation).collect();
        assert_eq!(staying, [5, 6, 7, 8]);
    }

    #[test]
    fn a_generation_before_the_newest_is_refused_and_so_are_several_at_once() {
        let known = [old("720p", 8), new("720p", 3)];
        let spec = |generation| rung("720p", generation, 0, None).spec;
        assert!(check(&known, &[spec(0)]).is_err());
        assert!(check(&known, &[spec(1), spec(2)]).is_err());
        assert!(check(&known, &[spec(1)]).is_ok() && check(&known, &[spec(2)]).is_ok());
        assert!(check(&[], &[]).is_ok());
    }
}
