-- The one-time address that `streamgate admin link` made last, which lets the first admin in again.
CREATE TABLE admin_link (
    id            BIGINT NOT NULL PRIMARY KEY, -- 1
    code_hash     BYTEA  NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
