-- Texts and chapters: streamgate.catalogue.v1.Content with `texts`, `chapters` and `texts_read` alone; none: it has
-- neither. A name of a text is random or its file's, and never given again: see texts.rs.
ALTER TABLE contents ADD COLUMN texts BYTEA;
