-- Whose the job is, a principal; empty: nobody's. See turns.rs.
ALTER TABLE job ADD COLUMN owner TEXT NOT NULL DEFAULT '';

DROP INDEX job_queued;

CREATE INDEX job_waiting ON job (queue, owner, priority DESC, place, id) WHERE state = 'queued';

CREATE INDEX job_at_work ON job (queue, owner) WHERE state = 'running';
