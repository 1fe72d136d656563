-- One row is one tus upload. `received` is what the client may rely on: bytes before it
-- are on disk, and verified if a checksum came with them.
CREATE TABLE uploads (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL, -- whole, partial, final
    state         TEXT   NOT NULL, -- creating, receiving, joining, finishing, done, ending, gone
    length        BIGINT,          -- NULL while deferred
    received      BIGINT NOT NULL,
    metadata      TEXT   NOT NULL, -- the Upload-Metadata header as it came
    filename      TEXT   NOT NULL,
    filetype      TEXT   NOT NULL,
    title         TEXT   NOT NULL,
    concat        TEXT   NOT NULL, -- the Upload-Concat header as it came
    parts         TEXT   NOT NULL, -- JSON array of the ids of a final upload's parts
    used_by       TEXT,            -- the final upload that a partial one belongs to
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX uploads_by_state ON uploads (state, id);
CREATE INDEX uploads_by_expiry ON uploads (expires_at_ms);
CREATE INDEX uploads_by_use ON uploads (used_by);
