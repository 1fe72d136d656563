-- How often the job took its worker's process down while it ran there alone.
ALTER TABLE job ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
-- 1: it is worked on by a process that has no other job, since one was lost with it.
ALTER TABLE job ADD COLUMN alone BIGINT NOT NULL DEFAULT 0;
-- Its place among those of the same priority: its id, or another one when it was sent back.
ALTER TABLE job ADD COLUMN place TEXT NOT NULL DEFAULT '';
-- The process that works on it.
ALTER TABLE job ADD COLUMN worker_process TEXT;

UPDATE job SET place = id;

DROP INDEX job_queued;

CREATE INDEX job_queued ON job (queue, priority DESC, place, id) WHERE state = 'queued';

CREATE INDEX job_process ON job (worker_process) WHERE state = 'running' AND worker_process IS NOT NULL;
