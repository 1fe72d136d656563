-- Nonces that were used, until they end. What is open is kept nowhere: a nonce tells itself whether it
-- is ours. `challenges` is left to runs of the version before, which may go on beside this one.
CREATE TABLE used_nonces (
    nonce         TEXT   NOT NULL PRIMARY KEY,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX used_nonces_by_end ON used_nonces (expires_at_ms);
