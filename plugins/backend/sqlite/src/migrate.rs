//! Migrates a namespace from its version to the one its plugin needs. An applied migration never changes: its
//! checksum is compared on every call.

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use streamgate_contracts::database::v1::{MigrateResponse, Migration};

use crate::connection::{Link, MIGRATIONS_TABLE};
use crate::error::{Class, SqlError};
use crate::reserve::Reserve;

struct Applied {
    version: u32,
    name: String,
    checksum: Vec<u8>,
}

/// Applies the missing migrations, each in its own transaction.
pub(crate) fn run(
    link: &Link,
    reserve: &Reserve,
    migrations: &[Migration],
) -> Result<MigrateResponse, SqlError> {
    for (expected, migration) in (1..).zip(migrations) {
        if migration.version != expected {
            return Err(SqlError::invalid(format!(
                "migration `{}` has version {} instead of {expected}: versions start at 1 and have no gaps",
                migration.name, migration.version
            )));
        }
    }
    let own = link.own();
    let there = applied(own)?;
    for (have, want) in there.iter().zip(migrations) {
        if have.checksum != checksum(&want.sql) {
            return Err(misfit(format!(
                "migration {} (`{}`) was applied with another text than `{}` has now; restore its text and \
                 put the change into a new migration",
                have.version, have.name, want.name
            )));
        }
    }
    if let Some(newer) = there.get(migrations.len()) {
        return Err(misfit(format!(
            "the namespace has migration {} (`{}`), which this version of its plugin does not know; run the newer \
             version",
            newer.version, newer.name
        )));
    }
    let missing = &migrations[there.len()..];
    if !missing.is_empty() {
        reserve.hold()?;
    }
    for migration in missing {
        apply(link, migration).map_err(|error| SqlError {
            message: format!("migration {} (`{}`): {}", migration.version, migration.name, error.message),
            ..error
        })?;
        let file = own.path().unwrap_or_default();
        tracing::info!(file, version = migration.version, name = migration.name, "applied a migration");
    }
    Ok(MigrateResponse {
        version: u32::try_from(migrations.len()).unwrap_or(u32::MAX),
        applied: u32::try_from(missing.len()).unwrap_or(u32::MAX),
    })
}

fn applied(own: &Connection) -> Result<Vec<Applied>, SqlError> {
    let known: bool = own.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1)",
        [MIGRATIONS_TABLE],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(Vec::new());
    }
    let mut statement =
        own.prepare(&format!("SELECT version, name, checksum FROM {MIGRATIONS_TABLE} ORDER BY version"))?;
    let rows = statement.query_map([], |row| {
        Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn apply(link: &Link, migration: &Migration) -> Result<(), SqlError> {
    let own = link.own();
    own.execute_batch("BEGIN IMMEDIATE")?;
    let done = run_in_transaction(link, migration);
    if done.is_err() && !own.is_autocommit() {
        own.execute_batch("ROLLBACK")?;
    }
    done
}

fn run_in_transaction(link: &Link, migration: &Migration) -> Result<(), SqlError> {
    let own = link.own();
    own.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {MIGRATIONS_TABLE} (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, applied_at TEXT NOT NULL
        )"
    ))?;
    link.as_migration(|connection| connection.execute_batch(&migration.sql))?;
    own.execute(
        &format!(
            "INSERT INTO {MIGRATIONS_TABLE} (version, name, checksum, applied_at) \
             VALUES ($1, $2, $3, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
        ),
        rusqlite::params![migration.version, migration.name, checksum(&migration.sql)],
    )?;
    own.execute_batch("COMMIT")?;
    Ok(())
}

/// Line ends are ignored: a checkout may change them.
fn checksum(sql: &str) -> Vec<u8> {
    Sha256::digest(sql.replace("\r\n", "\n").as_bytes()).to_vec()
}

fn misfit(message: String) -> SqlError {
    SqlError::new(Class::Migration, message)
}
