-- The largest fence of a job that has written the content; 0: none did.
ALTER TABLE contents ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
