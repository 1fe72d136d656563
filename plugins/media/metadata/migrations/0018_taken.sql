-- The position of the last change that took a share of a content back, or a block on it changed: who had the share and comes
-- back with a later position was told. Of earlier shares it is not known when, so it is the last change.
ALTER TABLE contents ADD COLUMN taken_position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tombstones ADD COLUMN taken_position BIGINT NOT NULL DEFAULT 0;
UPDATE contents SET taken_position = position WHERE shares IS NOT NULL;
UPDATE tombstones SET taken_position = position WHERE shares IS NOT NULL;
