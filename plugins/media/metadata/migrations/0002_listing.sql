-- 1: its policy, as `access` said it last, lets others than those who may change contents know of it.
-- It narrows lists and searches down; what is shown is looked at again. See policies.rs.
ALTER TABLE contents ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;
-- When it was last 1, Unix milliseconds; 0: never.
ALTER TABLE contents ADD COLUMN unlisted_at_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX contents_by_listing ON contents (listed, created_at_ms, id);
CREATE INDEX contents_by_unlisting ON contents (unlisted_at_ms);
ALTER TABLE tombstones ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;
