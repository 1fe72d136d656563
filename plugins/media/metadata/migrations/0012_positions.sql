-- Changes are numbered in the order of their commits: see positions.rs. One row.
CREATE TABLE positions (
    last      BIGINT NOT NULL, -- of the last change that was committed
    forgotten BIGINT NOT NULL  -- the highest of a deletion whose tombstone is gone: what came before is not known whole
);
INSERT INTO positions (last, forgotten) VALUES (0, 0);
-- Of the last change; 0: none since there are positions.
ALTER TABLE contents ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
-- Of the last time that `listed` went from 1 to 0; 0: it never did. `unlisted_at_ms` was this before and is not read.
ALTER TABLE contents ADD COLUMN unlisted_position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN unlisted_position BIGINT NOT NULL DEFAULT 0;
CREATE INDEX contents_by_position ON contents (position);
CREATE INDEX contents_by_unlisting_position ON contents (listed, unlisted_position);
CREATE INDEX tombstones_by_position ON tombstones (position);
CREATE INDEX tombstones_by_unlisting_position ON tombstones (listed, unlisted_position);
DROP INDEX contents_by_change;
DROP INDEX contents_by_unlisting;
DROP INDEX tombstones_by_age;
