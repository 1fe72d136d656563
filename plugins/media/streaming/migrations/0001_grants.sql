-- Who holds a grant, for a run that does not have it in memory. Lists are separated by commas.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    roles TEXT NOT NULL,
    scopes TEXT NOT NULL,
    wallets TEXT NOT NULL,
    issued_at BIGINT NOT NULL
);

CREATE INDEX grants_by_age ON grants (issued_at);
