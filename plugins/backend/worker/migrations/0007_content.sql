-- The content that the job is for; empty: none. While the job waits it belongs to the content's owner.
ALTER TABLE job ADD COLUMN content TEXT NOT NULL DEFAULT '';

-- Jobs from before: those of the queue `transcode` are for the content that their key names.
UPDATE job SET content = dedupe_key WHERE queue = 'transcode' AND dedupe_key IS NOT NULL;

CREATE INDEX job_content ON job (content, id) WHERE state = 'queued' AND content <> '';
