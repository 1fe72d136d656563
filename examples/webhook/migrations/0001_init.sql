-- What is told to whom, and how it stands.
CREATE TABLE delivery (
    -- A UUIDv7; receivers see it as `webhook-id`, the same in every attempt.
    id TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    -- waiting, delivered or dead.
    state TEXT NOT NULL,
    -- The event, as CloudEvents calls its attributes.
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    time TEXT NOT NULL,
    datacontenttype TEXT NOT NULL,
    traceparent TEXT,
    data BYTEA NOT NULL,
    -- Attempts in all, and since somebody last asked for it by hand.
    attempts BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    -- Not before; while it is being sent: when that attempt counts as lost.
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Why the last attempt failed, or why it is dead.
    reason TEXT NOT NULL
);

-- The same event is told once, however many subjects of the endpoint it matches.
CREATE UNIQUE INDEX delivery_event ON delivery (endpoint, source, event_id);

CREATE INDEX delivery_due ON delivery (endpoint, due_at) WHERE state = 'waiting';

CREATE INDEX delivery_of_endpoint ON delivery (endpoint, state, id);

CREATE INDEX delivery_in_state ON delivery (state, id);

CREATE INDEX delivery_ended ON delivery (state, ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempt (
    delivery TEXT NOT NULL,
    number BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    -- NULL when there was no answer.
    status BIGINT,
    error TEXT NOT NULL,
    -- How the answer of a refusal begins.
    response TEXT NOT NULL,
    PRIMARY KEY (delivery, number)
);

-- What lasts of an endpoint beside its settings.
CREATE TABLE endpoint (
    name TEXT PRIMARY KEY,
    -- SHA-256 of its address, which may hold a token itself.
    address TEXT NOT NULL,
    -- Since when it answers 410 Gone.
    gone_at BIGINT,
    succeeded_at BIGINT,
    failed_at BIGINT,
    -- How many attempts have failed since the last that did not.
    failures BIGINT NOT NULL,
    error TEXT NOT NULL
);
