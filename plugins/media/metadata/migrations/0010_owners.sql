-- Whose a content is: a principal's id; empty: nobody's. See rights.rs.
ALTER TABLE contents ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX contents_by_owner ON contents (owner, created_at_ms, id);
CREATE INDEX contents_by_owner_title ON contents (owner, title_key, id);
CREATE INDEX contents_by_listing_title ON contents (listed, title_key, id);
-- streamgate.access.v1.Openness, as `access` said it last; 0: it has not been asked yet.
ALTER TABLE contents ADD COLUMN openness BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN owner TEXT NOT NULL DEFAULT '';
