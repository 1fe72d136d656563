-- What lists are sorted by: the title in lower case. `lower` of some databases leaves letters beyond ASCII as
-- they are; such a title gets its place with the next change of its content.
ALTER TABLE contents ADD COLUMN title_key TEXT NOT NULL DEFAULT '';
UPDATE contents SET title_key = lower(title);
CREATE INDEX contents_by_title ON contents (title_key, id);
