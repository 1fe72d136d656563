-- The session or API key that a grant was given by: `session:` or `key:` and an id. Empty: nobody was
-- signed in, or an earlier version gave it; those of somebody are then not taken for good any more.
ALTER TABLE grants ADD COLUMN credential TEXT NOT NULL DEFAULT '';
