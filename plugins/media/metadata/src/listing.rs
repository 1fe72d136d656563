//! The SQL of lists and searches, and of visibility: the catalogue's copy of the openness from `access`,
//! which narrows them down. It is never authoritative, see `policies.rs`.

use streamgate_contracts::access::v1::Openness;
use streamgate_contracts::catalogue::v1::ContentState;
use streamgate_contracts::db::{DbError, Row, params, places};

use crate::cursor::{Cursor, Order, title_key};
use crate::policies::{PRESENTABLE, Sight, is_listed};
use crate::positions::POSITION;
use crate::search::escape_like;
use crate::store::{COLUMNS, Entry, Store, StoreError};

/// The filter of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<ContentState>,
    /// Words that title, description, tags or file name contain, in any case and order.
    pub(crate) text: Option<String>,
    /// Only contents that are visible to everyone by their policy and their state.
    pub(crate) listed: bool,
    /// Only this principal's; empty: those without an owner.
    pub(crate) owner: Option<String>,
    /// Only what is shared with the caller.
    pub(crate) shared: bool,
    /// Only what is shared with this name.
    pub(crate) with: Option<String>,
    /// Not this principal's.
    pub(crate) not_owner: Option<String>,
    pub(crate) order: Order,
    /// Of the same order.
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: usize,
}

impl Store {
    /// Stores the openness of a content's policy, which changes its visibility. The revision stays: the
    /// content itself is unchanged.
    pub(crate) async fn note_openness(&self, id: &str, openness: Openness) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE contents SET unlisted_position = CASE WHEN listed = 1 AND $2 = 0 THEN {POSITION} \
             ELSE unlisted_position END, listed = $2, openness = $3, position = {POSITION} \
             WHERE id = $1 AND openness <> $3"
        );
        let values = params![id, is_listed(openness), openness as i32];
        match self.change().push_expect(&sql, values, 1).run().await {
            // It is stored already, or the content was deleted; either way nothing changes.
            Ok(_) | Err(DbError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a content that is shared: whom it is shown to is another question now. The revision stays.
    pub(crate) async fn note_bars(&self, id: &str) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE contents SET taken_position = {POSITION}, position = {POSITION} \
             WHERE id = $1 AND shares IS NOT NULL"
        );
        match self.change().push_expect(&sql, params![id], 1).run().await {
            // It is shared with no one, or gone.
            Ok(_) | Err(DbError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The stored openness of contents after an id, in the order of their ids.
    pub(crate) async fn noted_listings(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Openness)>, StoreError> {
        let sql = "SELECT id, openness FROM contents WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.db.query(sql, params![after, limit]).await?;
        let noted = |row: Row| {
            let openness = Openness::try_from(row.get::<i32>("openness")?).unwrap_or_default();
            Ok((row.get("id")?, openness))
        };
        rows.into_iter().map(noted).collect()
    }

    /// One page visible to a sight, by the stored openness, and whether there is more.
    pub(crate) async fn list(
        &self,
        filter: &Filter,
        sight: &Sight,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        let (mut entries, more) = match filter.shared || !(sight.all || filter.owner.is_some()) {
            true => self.parts(filter, sight).await?,
            false => self.part(filter).await?,
        };
        self.add_rungs(&mut entries).await?;
        Ok((entries, more))
    }

    /// Public contents, own contents, and shared ones. Each is read by its own index: one condition for all
    /// would read every row.
    async fn parts(&self, filter: &Filter, sight: &Sight) -> Result<(Vec<Entry>, bool), StoreError> {
        let mut parts = Vec::new();
        if !filter.shared {
            parts.push(Filter { listed: true, ..filter.clone() });
            let owners = sight.caller.owners().into_iter();
            parts.extend(owners.map(|owner| Filter { owner: Some(owner), ..filter.clone() }));
        }
        let names = self.names_with_shares(sight.caller.names()).await?.into_iter();
        let not_owner = filter.shared.then(|| sight.caller.id.clone());
        parts.extend(names.map(|name| Filter {
            with: Some(name),
            not_owner: not_owner.clone(),
            ..filter.clone()
        }));
        let (mut entries, mut more) = (Vec::new(), false);
        for part in parts {
            let (some, more_of_them) = self.part(&part).await?;
            more |= more_of_them;
            entries.extend(some);
        }
        entries.sort_by(|one, two| {
            let (one, two) = (&one.content, &two.content);
            let by_age = || (one.created_at_ms, &one.id).cmp(&(two.created_at_ms, &two.id));
            match filter.order {
                Order::Newest => by_age().reverse(),
                Order::Oldest => by_age(),
                Order::Title => (title_key(one), &one.id).cmp(&(title_key(two), &two.id)),
            }
        });
        entries.dedup_by(|one, two| one.content.id == two.content.id);
        more |= entries.len() > filter.limit;
        entries.truncate(filter.limit);
        Ok((entries, more))
    }

    /// Those of some names with whom anything is shared.
    async fn names_with_shares(&self, names: &[String]) -> Result<Vec<String>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT DISTINCT name FROM shared WHERE name IN ({})", places(names.len()));
        let rows = self.db.query(&sql, names.iter().flat_map(|name| params![name]).collect()).await?;
        rows.into_iter().map(|row| row.get("name").map_err(StoreError::from)).collect()
    }

    /// One page without the renditions, and whether there is more.
    async fn part(&self, filter: &Filter) -> Result<(Vec<Entry>, bool), StoreError> {
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut values = Vec::new();
        if let Some(state) = filter.state {
            values.extend(params![state as i32]);
            conditions.push(format!("state = ${}", values.len()));
        }
        if filter.listed {
            let states = PRESENTABLE.map(|state| (state as i32).to_string());
            conditions.push(format!("listed = 1 AND state IN ({})", states.join(", ")));
        }
        if let Some(owner) = &filter.owner {
            values.extend(params![owner]);
            conditions.push(format!("owner = ${}", values.len()));
        }
        if let Some(owner) = &filter.not_owner {
            values.extend(params![owner]);
            conditions.push(format!("owner <> ${}", values.len()));
        }
        let (table, age, title, id) = match &filter.with {
            None => ("contents", "created_at_ms", "title_key", "id"),
            Some(name) => {
                values.extend(params![name]);
                conditions.push(format!("name = ${}", values.len()));
                ("shared JOIN contents ON id = content", "began_at_ms", "sort_title", "content")
            }
        };
        let (column, beyond, direction) = match filter.order {
            Order::Newest => (age, '<', "DESC"),
            Order::Oldest => (age, '>', "ASC"),
            Order::Title => (title, '>', "ASC"),
        };
        for word in filter.text.iter().flat_map(|text| text.split_whitespace()) {
            values.extend(params![format!("%{}%", escape_like(&word.to_lowercase()))]);
            conditions.push(format!("search LIKE ${} ESCAPE '\\'", values.len()));
        }
        if let Some(after) = &filter.after {
            match filter.order {
                Order::Title => values.extend(params![&after.title, &after.id]),
                Order::Newest | Order::Oldest => values.extend(params![after.created_at_ms, &after.id]),
            }
            let (key, last) = (values.len() - 1, values.len());
            conditions.push(format!("({column}, {id}) {beyond} (${key}, ${last})"));
        }
        values.extend(params![filter.limit + 1]);
        let sql = format!(
            "SELECT {COLUMNS} FROM {table} WHERE {} ORDER BY {column} {direction}, {id} {direction} LIMIT ${}",
            conditions.join(" AND "),
            values.len()
        );
        let mut entries = self.bare_entries(&sql, values).await?;
        let more = entries.len() > filter.limit;
        entries.truncate(filter.limit);
        Ok((entries, more))
    }
}
