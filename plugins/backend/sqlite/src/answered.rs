//! The answers of committed batches, so that a batch that is repeated because its answer was lost gets the
//! same answer and does not run twice.
//!
//! A row is written in the savepoint of its batch, so that it is on disk if and only if the effect is. It is
//! kept for at least [`KEPT`]. Its age is counted on the monotonic clock of a run, and starts over for rows
//! of an earlier run: setting a clock cannot make a key expire too soon.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _};
use streamgate_contracts::database::v1::{ExecuteResponse, StatementResult};

use crate::connection::BATCHES_TABLE;
use crate::error::{Class, SqlError};

/// Bytes of a key.
pub(crate) const LONGEST_KEY: usize = 64;
/// How long an answer is kept. The contract promises two minutes.
const KEPT: Duration = Duration::from_secs(180);
/// Resolution of ages.
const GRAIN: Duration = Duration::from_secs(10);
const MOST_MARKS: usize = 64;
/// How many answers one commit removes.
const AT_ONCE: i64 = 2_000;

/// What the writer knows about the table.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Whether the table exists on disk.
    ready: bool,
    /// The last row of the transaction in progress, and of those before.
    written: i64,
    committed: i64,
    /// Rows up to this number are at least as old as the instant; in order.
    marks: VecDeque<(Instant, i64)>,
    /// Rows up to this one have or had marks.
    marked: i64,
}

impl Answered {
    /// Prepares the table in a transaction that has just begun.
    pub(crate) fn begin(&mut self, own: &Connection) -> Result<(), SqlError> {
        if self.ready {
            self.written = self.committed;
            return Ok(());
        }
        own.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {BATCHES_TABLE} \
             (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, answer BLOB NOT NULL)"
        ))?;
        self.written =
            own.query_row(&format!("SELECT coalesce(max(id), 0) FROM {BATCHES_TABLE}"), [], |row| {
                row.get(0)
            })?;
        Ok(())
    }

    /// The answer of the batch with this key; `None` for an empty key.
    pub(crate) fn find(
        &self,
        own: &Connection,
        key: &[u8],
    ) -> Result<Option<Vec<StatementResult>>, SqlError> {
        if key.is_empty() {
            return Ok(None);
        }
        let mut find = own.prepare_cached(&format!("SELECT answer FROM {BATCHES_TABLE} WHERE key = $1"))?;
        let answer: Option<Vec<u8>> = find.query_row([key], |row| row.get(0)).optional()?;
        let Some(answer) = answer else { return Ok(None) };
        let answer = ExecuteResponse::decode(&*answer)
            .map_err(|error| SqlError::new(Class::Broken, format!("a kept answer is damaged: {error}")))?;
        Ok(Some(answer.results))
    }

    /// Stores the answer of a batch that took effect; nothing without a key.
    pub(crate) fn keep(
        &mut self,
        own: &Connection,
        key: &[u8],
        results: Vec<StatementResult>,
    ) -> Result<Vec<StatementResult>, SqlError> {
        if key.is_empty() {
            return Ok(results);
        }
        let answer = ExecuteResponse { results };
        let mut keep =
            own.prepare_cached(&format!("INSERT INTO {BATCHES_TABLE} (key, answer) VALUES ($1, $2)"))?;
        self.written = keep.insert(rusqlite::params![key, answer.encode_to_vec()])?;
        Ok(answer.results)
    }

    /// The transaction that [`Answered::begin`] was called in is on disk.
    pub(crate) fn committed(&mut self, now: Instant) {
        self.ready = true;
        self.committed = self.written;
        let due = self.marks.back().is_none_or(|(at, _)| now.duration_since(*at) >= GRAIN);
        if due {
            self.mark(now);
        }
    }

    fn mark(&mut self, now: Instant) {
        if self.committed > self.marked {
            // Only if removal fails repeatedly: the younger mark represents both.
            if self.marks.len() >= MOST_MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((now, self.committed));
            self.marked = self.committed;
        }
    }

    /// Removes some expired answers, in their own transaction; whether there were any.
    pub(crate) fn forget(&mut self, own: &Connection, now: Instant) -> Result<bool, SqlError> {
        let Some(&(at, last)) = self.marks.front() else {
            return Ok(false);
        };
        if now.duration_since(at) < KEPT {
            return Ok(false);
        }
        let mut forget = own.prepare_cached(&format!(
            "DELETE FROM {BATCHES_TABLE} WHERE id <= \
             (SELECT min($1, min(id) + $2) FROM {BATCHES_TABLE})"
        ))?;
        if forget.execute([last, AT_ONCE - 1])? == 0 {
            self.marks.pop_front();
            // Rows after the last mark, while no further writes came.
            self.mark(now);
        }
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(own: &Connection, answered: &mut Answered, key: u64, now: Instant) {
        own.execute_batch("BEGIN").unwrap();
        answered.begin(own).unwrap();
        answered.keep(own, &key.to_be_bytes(), Vec::new()).unwrap();
        own.execute_batch("COMMIT").unwrap();
        answered.committed(now);
    }

    fn kept(own: &Connection) -> Vec<i64> {
        let mut rows = own.prepare(&format!("SELECT id FROM {BATCHES_TABLE} ORDER BY id")).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_then_removed_even_without_further_writes() {
        let own = Connection::open_in_memory().unwrap();
        let (mut answered, began) = (Answered::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        for second in 0..100 {
            write(&own, &mut answered, second, at(second));
        }
        while answered.forget(&own, at(179)).unwrap() {}
        assert_eq!(kept(&own).len(), 100);
        while answered.forget(&own, at(231)).unwrap() {}
        // Not one too soon, and none later than a grain.
        assert!(kept(&own).len() <= 100 - 41 && kept(&own).contains(&53), "{:?}", kept(&own));
        while answered.forget(&own, at(1000)).unwrap() {}
        while answered.forget(&own, at(2000)).unwrap() {}
        assert!(kept(&own).is_empty() && answered.marks.is_empty());
        assert!(answered.find(&own, &7_u64.to_be_bytes()).unwrap().is_none());
    }

    #[test]
    fn what_an_earlier_run_left_is_kept_for_its_time_anew() {
        let own = Connection::open_in_memory().unwrap();
        let began = Instant::now();
        write(&own, &mut Answered::default(), 1, began);
        let mut answered = Answered::default();
        let later = began + Duration::from_secs(3600);
        write(&own, &mut answered, 2, later);
        assert!(!answered.forget(&own, later + Duration::from_secs(179)).unwrap());
        assert!(answered.find(&own, &1_u64.to_be_bytes()).unwrap().is_some());
        while answered.forget(&own, later + KEPT).unwrap() {}
        assert!(kept(&own).is_empty());
    }

    #[test]
    fn a_transaction_that_is_rolled_back_leaves_no_answer_and_no_table_behind() {
        let own = Connection::open_in_memory().unwrap();
        let mut answered = Answered::default();
        own.execute_batch("BEGIN").unwrap();
        answered.begin(&own).unwrap();
        answered.keep(&own, b"k", Vec::new()).unwrap();
        own.execute_batch("ROLLBACK").unwrap();
        write(&own, &mut answered, 1, Instant::now());
        assert_eq!(kept(&own), [1]);
        assert!(answered.find(&own, b"k").unwrap().is_none());
    }
}
