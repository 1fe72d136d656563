-- What an admin set for a principal instead of what its roles have. NULL: as the roles have it; -1: no
-- limit.
CREATE TABLE quotas (
    principal          TEXT   NOT NULL PRIMARY KEY,
    stored             BIGINT, -- bytes
    encodes            BIGINT, -- at a time
    encode_minutes     BIGINT, -- a day
    unfinished_uploads BIGINT,
    api_keys           BIGINT,
    set_by             TEXT   NOT NULL,
    set_at_ms          BIGINT NOT NULL
);
