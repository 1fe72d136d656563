-- What the server asked a wallet to sign. A row is taken by deleting it, which only one can do.
CREATE TABLE challenges (
    nonce         TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL, -- ethereum, solana
    message       TEXT   NOT NULL, -- solana: the text to be signed, as the server wrote it
    address       TEXT   NOT NULL, -- solana: whose signature is awaited
    principal     TEXT   NOT NULL, -- who links a wallet with it; empty: a sign-in
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX challenges_by_end ON challenges (expires_at_ms);

CREATE TABLE principals (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL, -- for people; empty unless the server made it
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE wallets (
    kind         TEXT   NOT NULL,
    address      TEXT   NOT NULL, -- ethereum: with its EIP-55 checksum; solana: base58
    principal    TEXT   NOT NULL,
    linked_at_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, address)
);
CREATE INDEX wallets_by_principal ON wallets (principal);

CREATE TABLE roles (
    principal     TEXT   NOT NULL,
    role          TEXT   NOT NULL, -- creator, admin; everyone is a viewer
    granted_at_ms BIGINT NOT NULL,
    granted_by    TEXT   NOT NULL,
    PRIMARY KEY (principal, role)
);

-- A row is a session that goes on; ending it deletes the row.
CREATE TABLE sessions (
    id              TEXT   NOT NULL PRIMARY KEY,
    principal       TEXT   NOT NULL,
    wallet          TEXT   NOT NULL, -- what it was signed in with
    family_hash     BYTEA  NOT NULL, -- SHA-256 of what all refresh tokens of the session share
    refresh_hash    BYTEA  NOT NULL, -- SHA-256 of the one refresh token that is good
    user_agent      TEXT   NOT NULL,
    address         TEXT   NOT NULL,
    created_at_ms   BIGINT NOT NULL,
    refreshed_at_ms BIGINT NOT NULL,
    expires_at_ms   BIGINT NOT NULL, -- unless it is refreshed before
    ends_at_ms      BIGINT NOT NULL  -- however often it is refreshed
);
CREATE INDEX sessions_by_principal ON sessions (principal, created_at_ms);
CREATE INDEX sessions_by_end ON sessions (expires_at_ms);

CREATE TABLE api_keys (
    id              TEXT   NOT NULL PRIMARY KEY,
    principal       TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    prefix          TEXT   NOT NULL, -- the key's first characters, to know it again
    hash            BYTEA  NOT NULL, -- SHA-256 of the whole key
    scopes          TEXT   NOT NULL, -- separated by spaces
    created_at_ms   BIGINT NOT NULL,
    expires_at_ms   BIGINT,
    last_used_at_ms BIGINT           -- to the minute
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys (hash);
CREATE INDEX api_keys_by_principal ON api_keys (principal);

-- The one-time code of the console; one row, none once it was used.
CREATE TABLE setup (
    id            BIGINT NOT NULL PRIMARY KEY, -- 1
    principal     TEXT   NOT NULL,
    code_hash     BYTEA  NOT NULL, -- empty: used
    expires_at_ms BIGINT NOT NULL
);

-- Appended to, and shortened at its old end by `audit_retention`; never changed.
CREATE TABLE audit (
    id        TEXT   NOT NULL PRIMARY KEY, -- UUIDv7: the order of the log
    at_ms     BIGINT NOT NULL,
    action    TEXT   NOT NULL,
    outcome   TEXT   NOT NULL, -- granted, refused, changed
    principal TEXT   NOT NULL, -- who did it; empty: nobody that is known
    subject   TEXT   NOT NULL, -- what it was done to
    detail    TEXT   NOT NULL,
    address   TEXT   NOT NULL  -- where the request came from
);
CREATE INDEX audit_by_time ON audit (at_ms);
