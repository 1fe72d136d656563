-- What a content asks of its viewers. A row stays when the policy is taken back, so that its
-- revision goes on.
CREATE TABLE policies (
    content       TEXT   NOT NULL PRIMARY KEY,
    openness      TEXT   NOT NULL, -- public, gated, private; default: as the settings say
    rule          TEXT   NOT NULL, -- JSON of a gated one, else empty
    revision      BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    changed_by    TEXT   NOT NULL
);

-- What is known of a viewer and a content; an empty principal is everybody who is not signed in.
CREATE TABLE grants (
    content        TEXT   NOT NULL,
    principal      TEXT   NOT NULL,
    generation     BIGINT NOT NULL, -- the millisecond in which it began, or one more than the last
    bar            TEXT   NOT NULL, -- why an admin keeps them out; empty: nobody does
    viewer         TEXT   NOT NULL, -- JSON: roles, scopes and wallets, as they were last told
    decision       TEXT   NOT NULL, -- id of the last one
    outcome        TEXT   NOT NULL, -- of the last decision: verdict, type and revision of the policy
    live           BIGINT NOT NULL, -- 1: granted, and not taken back
    valid_until_ms BIGINT NOT NULL,
    seen_at_ms     BIGINT NOT NULL,
    PRIMARY KEY (content, principal)
);
CREATE INDEX grants_by_end ON grants (live, valid_until_ms);
CREATE INDEX grants_by_principal ON grants (principal);
CREATE INDEX grants_by_sight ON grants (seen_at_ms);

-- Why somebody was let in, or not, and at which block. The same outcome again is the same row, with
-- what it rests on by then.
CREATE TABLE decisions (
    id              TEXT   NOT NULL PRIMARY KEY, -- UUIDv7
    content         TEXT   NOT NULL,
    principal       TEXT   NOT NULL,
    verdict         TEXT   NOT NULL, -- allowed, denied, unknown
    type            TEXT   NOT NULL,
    reason          TEXT   NOT NULL,
    revision        BIGINT NOT NULL, -- of the policy
    generation      BIGINT NOT NULL,
    finding         TEXT   NOT NULL, -- JSON: the rule with what was found
    evidence        TEXT   NOT NULL, -- JSON: what was read on chains
    decided_at_ms   BIGINT NOT NULL,
    confirmed_at_ms BIGINT NOT NULL,
    valid_until_ms  BIGINT NOT NULL
);
CREATE INDEX decisions_by_content ON decisions (content, id);
CREATE INDEX decisions_by_principal ON decisions (principal, id);
CREATE INDEX decisions_by_time ON decisions (confirmed_at_ms);

CREATE TABLE subscriptions (
    principal  TEXT   NOT NULL,
    plan       TEXT   NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    PRIMARY KEY (principal, plan)
);

-- Entries for the audit log that nobody has taken yet.
CREATE TABLE audit (
    id    TEXT NOT NULL PRIMARY KEY, -- UUIDv7
    entry TEXT NOT NULL              -- JSON
);
