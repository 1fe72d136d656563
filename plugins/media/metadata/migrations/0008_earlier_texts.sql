-- When the first of its texts' earlier versions goes, Unix milliseconds; none: there is none. See texts.rs.
ALTER TABLE contents ADD COLUMN texts_due_at_ms BIGINT;
CREATE INDEX contents_by_texts_due ON contents (texts_due_at_ms);
