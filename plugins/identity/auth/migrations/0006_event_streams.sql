-- Open event streams, as the other limits.
ALTER TABLE quotas ADD COLUMN event_streams BIGINT;
