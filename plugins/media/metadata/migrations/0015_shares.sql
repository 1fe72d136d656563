-- With whom a content is shared: streamgate.catalogue.v1.Content with `shares` alone; none: with nobody.
ALTER TABLE contents ADD COLUMN shares BYTEA;
ALTER TABLE tombstones ADD COLUMN shares BYTEA;
-- The same by whom, for lists, with what those are sorted by. Written with every change of either.
CREATE TABLE shared (
    name        TEXT   NOT NULL, -- principal:ID, role:creator
    content     TEXT   NOT NULL,
    began_at_ms BIGINT NOT NULL, -- the content's created_at_ms
    sort_title  TEXT   NOT NULL, -- the content's title_key
    PRIMARY KEY (name, content)
);
CREATE INDEX shared_by_content ON shared (content);
CREATE INDEX shared_by_age ON shared (name, began_at_ms, content);
CREATE INDEX shared_by_title ON shared (name, sort_title, content);
