-- What an owner's uploads take that are done, but not in the catalogue's count yet. See quota.rs.
CREATE INDEX uploads_done ON uploads (owner, kind, updated_at_ms) WHERE state = 'done';
