-- A row is a generation of a rendition, and `name` here and in `segments` is its folder: `720p`, then `720p.1`.
-- 1: it is not played yet. See generations.rs.
ALTER TABLE renditions ADD COLUMN coming BIGINT NOT NULL DEFAULT 0;
-- When it goes because another one took its place, Unix milliseconds; none: it stays.
ALTER TABLE renditions ADD COLUMN until_ms BIGINT;
CREATE INDEX renditions_by_until ON renditions (until_ms);
