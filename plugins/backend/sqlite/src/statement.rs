//! One statement: parameters in, rows out. It knows nothing of transactions.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement as Prepared};
use streamgate_contracts::database::v1::value::Kind;
use streamgate_contracts::database::v1::{Row, Statement, StatementResult, Value};

use crate::connection::BATCHES_TABLE;
use crate::error::{Class, SqlError};

/// What one call may return, over all its statements.
#[derive(Debug, Clone)]
pub(crate) struct Allowance {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Allowance {
    fn take(&mut self, bytes: usize) -> Result<(), SqlError> {
        if self.rows == 0 {
            return Err(SqlError::new(Class::TooMuch, "more rows than `max_rows`"));
        }
        if bytes > self.bytes {
            return Err(SqlError::new(Class::TooMuch, "more bytes than `max_result_size`"));
        }
        self.rows -= 1;
        self.bytes -= bytes;
        Ok(())
    }
}

/// Runs a statement that may write.
pub(crate) fn execute(
    connection: &Connection,
    statement: &Statement,
    allowance: &mut Allowance,
) -> Result<StatementResult, SqlError> {
    let mut prepared = prepare(connection, &statement.sql, &statement.params)?;
    let before = connection.total_changes();
    let (columns, rows) = fetch(&mut prepared, allowance)?;
    // Statements other than INSERT, UPDATE and DELETE leave both counters unchanged.
    let rows_affected = if connection.total_changes() == before { 0 } else { connection.changes() };
    match statement.expect_rows {
        Some(expected) if expected != rows_affected => Err(SqlError::new(
            Class::Conflict,
            format!("{rows_affected} rows were affected, but {expected} were expected"),
        )),
        _ => Ok(StatementResult { rows_affected, columns, rows }),
    }
}

/// Whether it may change something that no row counter shows: every statement that does not plainly begin as
/// a read, insert, update or delete.
pub(crate) fn changes_schema(statement: &Statement) -> bool {
    let word = statement.sql.split_ascii_whitespace().next().unwrap_or_default();
    !["select", "values", "with", "insert", "update", "delete", "replace"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

/// Runs a statement that must not write.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    allowance: &mut Allowance,
) -> Result<(Vec<String>, Vec<Row>), SqlError> {
    let mut prepared = prepare(connection, sql, params)?;
    if !prepared.readonly() {
        return Err(SqlError::invalid("a query must not write; send this statement with Execute"));
    }
    fetch(&mut prepared, allowance)
}

fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    params: &[Value],
) -> Result<rusqlite::CachedStatement<'c>, SqlError> {
    // The plugin's own statements are in the same cache, prepared with its own rights.
    if sql.contains(BATCHES_TABLE) {
        return Err(SqlError::invalid(format!("the table {BATCHES_TABLE} is reserved for the database")));
    }
    if sql.contains('\0') {
        return Err(SqlError::invalid("the SQL contains a NUL character"));
    }
    if sql.trim().is_empty() {
        return Err(SqlError::invalid("the SQL is empty"));
    }
    let mut prepared = connection.prepare_cached(sql)?;
    bind(&mut prepared, params)?;
    Ok(prepared)
}

/// `$3` is the third value, wherever and however often it occurs; SQLite itself would number the names in
/// their order of appearance.
fn bind(prepared: &mut Prepared<'_>, params: &[Value]) -> Result<(), SqlError> {
    let mut highest = 0;
    for index in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(index);
        let number =
            name.and_then(|name| name.strip_prefix('$')).and_then(|digits| digits.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number > 0) else {
            let name = name.unwrap_or("?").to_owned();
            return Err(SqlError::invalid(format!("the parameter `{name}` must be written as $1, $2, …")));
        };
        let Some(value) = params.get(number - 1) else {
            return Err(SqlError::invalid(format!("${number} has no value: {} were given", params.len())));
        };
        prepared.raw_bind_parameter(index, bound(value))?;
        highest = highest.max(number);
    }
    if highest < params.len() {
        return Err(SqlError::invalid(format!(
            "{} values were given, but the highest parameter in the SQL is ${highest}",
            params.len()
        )));
    }
    Ok(())
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match &value.kind {
        None => ValueRef::Null,
        Some(Kind::Integer(value)) => ValueRef::Integer(*value),
        Some(Kind::Real(value)) => ValueRef::Real(*value),
        Some(Kind::Text(value)) => ValueRef::Text(value.as_bytes()),
        Some(Kind::Blob(value)) => ValueRef::Blob(value),
    })
}

fn fetch(
    prepared: &mut Prepared<'_>,
    allowance: &mut Allowance,
) -> Result<(Vec<String>, Vec<Row>), SqlError> {
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns.len());
        let mut bytes = 0;
        for (index, column) in columns.iter().enumerate() {
            let value = row.get_ref(index)?;
            bytes += size(value);
            values.push(owned(value, column)?);
        }
        allowance.take(bytes)?;
        found.push(Row { values });
    }
    Ok((columns, found))
}

fn size(value: ValueRef<'_>) -> usize {
    // A row of numbers has a size too: field tags and the number itself.
    4 + match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}

fn owned(value: ValueRef<'_>, column: &str) -> Result<Value, SqlError> {
    let kind = match value {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(Kind::Integer(value)),
        ValueRef::Real(value) => Some(Kind::Real(value)),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| SqlError::invalid(format!("column `{column}` holds text that is not UTF-8")))?;
            Some(Kind::Text(text.to_owned()))
        }
        ValueRef::Blob(bytes) => Some(Kind::Blob(bytes.to_vec().into())),
    };
    Ok(Value { kind })
}
