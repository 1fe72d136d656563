-- Credentials of one principal may have different rights (an API key has fewer than its maker), and are
-- decided about each by itself. `grants` keeps what is of the principal: the generation and the bar; its
-- other columns are no longer read.
CREATE TABLE viewers (
    content        TEXT   NOT NULL,
    principal      TEXT   NOT NULL,
    rights         TEXT   NOT NULL, -- roles and scopes, in order
    viewer         TEXT   NOT NULL, -- JSON: roles, scopes and wallets, as they were last told
    decision       TEXT   NOT NULL, -- id of the last one
    outcome        TEXT   NOT NULL, -- of the last decision: verdict, type and revision of the policy
    live           BIGINT NOT NULL, -- 1: granted, and not taken back
    valid_until_ms BIGINT NOT NULL,
    seen_at_ms     BIGINT NOT NULL,
    PRIMARY KEY (content, principal, rights)
);
CREATE INDEX viewers_by_end ON viewers (live, valid_until_ms);
CREATE INDEX viewers_by_principal ON viewers (principal);
CREATE INDEX viewers_by_sight ON viewers (seen_at_ms);
DROP INDEX grants_by_end;
DROP INDEX grants_by_principal;
CREATE INDEX grants_barred ON grants (content, principal) WHERE bar <> '';
