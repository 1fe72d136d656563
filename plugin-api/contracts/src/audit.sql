-- Entries for the audit log that nobody has taken yet, written with the change that they tell of.
CREATE TABLE audit (
    id    TEXT NOT NULL PRIMARY KEY, -- UUIDv7
    entry TEXT NOT NULL              -- JSON
);
