CREATE TABLE job (
    id TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    payload BYTEA NOT NULL,
    dedupe_key TEXT,
    priority BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    -- How often an attempt was lost with its worker: a lease ran out, a process ended.
    interruptions BIGINT NOT NULL,
    progress DOUBLE PRECISION NOT NULL,
    error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- The lease in force, or the last one.
    lease TEXT,
    lease_ms BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    worker TEXT NOT NULL,
    -- Node and process of a worker that lives and dies with this plugin's process.
    node TEXT,
    process TEXT,
    result BYTEA NOT NULL,
    traceparent TEXT NOT NULL
);

CREATE UNIQUE INDEX job_dedupe ON job (queue, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND state IN ('queued', 'running');

CREATE INDEX job_queued ON job (queue, priority DESC, id) WHERE state = 'queued';

CREATE INDEX job_due ON job (queue, due_at) WHERE state = 'queued';

CREATE INDEX job_running ON job (lease_until) WHERE state = 'running';

CREATE INDEX job_ended ON job (state, ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX job_listing ON job (queue, state, id);

CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    next_at BIGINT NOT NULL,
    last_at BIGINT
);
