-- What a content takes of the storage: its file, once it is uploaded, and its renditions. None: not counted
-- yet. See usage.rs.
ALTER TABLE contents ADD COLUMN bytes BIGINT;
-- The part of it that is the file.
ALTER TABLE contents ADD COLUMN source_bytes BIGINT;
CREATE INDEX contents_by_usage ON contents (owner, bytes);
