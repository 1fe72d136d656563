-- Whose upload it is: `principal:` and an id, else `address:` and a network, else nothing.
-- Uploads from before belong to nobody.
ALTER TABLE uploads ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX uploads_unfinished ON uploads (owner)
    WHERE state IN ('creating', 'receiving', 'joining', 'finishing');
