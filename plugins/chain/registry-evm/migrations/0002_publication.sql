-- What the registry was told about each content by itself, or is to be told. Nothing is here of
-- contents that need nothing.
CREATE TABLE publication (
    chain TEXT NOT NULL,
    registry TEXT NOT NULL,
    content TEXT NOT NULL,
    -- How often something was queued about it, and the key of the last transaction; 0 and '' before
    -- the first.
    attempt BIGINT NOT NULL,
    key TEXT NOT NULL,
    -- What that one does ('register' or 'update') and says; hexadecimal with 0x.
    action TEXT NOT NULL,
    cid TEXT NOT NULL,
    policy TEXT NOT NULL,
    -- 1: somebody asked for it, and nobody has looked at it since.
    asked BIGINT NOT NULL,
    -- Why nothing can be queued.
    trouble TEXT NOT NULL,
    -- When this last changed. Unix time, milliseconds.
    at BIGINT NOT NULL,
    PRIMARY KEY (chain, registry, content)
);

CREATE INDEX publication_asked ON publication (chain, registry, asked, content);
