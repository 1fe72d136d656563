-- One row is one content. `revision` guards every write: see store.rs.
CREATE TABLE contents (
    id             TEXT             NOT NULL PRIMARY KEY,
    title          TEXT             NOT NULL,
    description    TEXT             NOT NULL,
    tags           TEXT             NOT NULL, -- JSON array of strings
    state          BIGINT           NOT NULL, -- streamgate.catalogue.v1.ContentState
    reason         TEXT             NOT NULL,
    progress       DOUBLE PRECISION NOT NULL,
    duration_ms    BIGINT           NOT NULL,
    source         BYTEA            NOT NULL, -- streamgate.catalogue.v1.Source
    has_poster     BIGINT           NOT NULL,
    has_thumbnails BIGINT           NOT NULL,
    search         TEXT             NOT NULL, -- lower-case title, description, tags and file name
    created_at_ms  BIGINT           NOT NULL,
    updated_at_ms  BIGINT           NOT NULL,
    revision       BIGINT           NOT NULL
);
CREATE INDEX contents_by_age ON contents (created_at_ms, id);
CREATE INDEX contents_by_state ON contents (state, created_at_ms, id);
CREATE INDEX contents_by_change ON contents (updated_at_ms);

CREATE TABLE renditions (
    content  TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    position BIGINT NOT NULL, -- order in which they were first put
    spec     BYTEA  NOT NULL, -- streamgate.catalogue.v1.Rendition
    segments BIGINT NOT NULL, -- sums over its segments, so that lists need not read them
    bytes    BIGINT NOT NULL,
    ticks    BIGINT NOT NULL,
    PRIMARY KEY (content, name)
);

-- 64 segments to a row: an hour of five renditions is 150 rows instead of 9,000.
CREATE TABLE segments (
    content   TEXT   NOT NULL,
    rendition TEXT   NOT NULL,
    chunk     BIGINT NOT NULL, -- number / 64
    data      BYTEA  NOT NULL, -- streamgate.catalogue.v1.RenditionSegments
    PRIMARY KEY (content, rendition, chunk)
);

-- Deleted contents whose objects may not all be gone yet.
CREATE TABLE tombstones (
    id            TEXT   NOT NULL PRIMARY KEY,
    deleted_at_ms BIGINT NOT NULL,
    due_at_ms     BIGINT NOT NULL, -- of the next sweep, or of forgetting the row once it is clean
    sweeps        BIGINT NOT NULL, -- that succeeded
    failures      BIGINT NOT NULL, -- in a row
    clean         BIGINT NOT NULL  -- 1: nothing was found after the period of grace
);
CREATE INDEX tombstones_by_due ON tombstones (due_at_ms);
CREATE INDEX tombstones_by_age ON tombstones (deleted_at_ms);

-- Contents that a person wants encoded again and whose job is not enqueued yet.
CREATE TABLE retries (
    id              TEXT   NOT NULL PRIMARY KEY,
    requested_at_ms BIGINT NOT NULL
);
