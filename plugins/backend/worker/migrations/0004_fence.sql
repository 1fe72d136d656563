-- The fence of the last lease that was given out, of any job.
CREATE TABLE fencing (last BIGINT NOT NULL);

INSERT INTO fencing (last) VALUES (0);

-- Of the job's last lease; 0: it was never leased.
ALTER TABLE job ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
