-- What the job's lease has worked on so far, milliseconds of what is counted a day.
ALTER TABLE job ADD COLUMN worked_ms BIGINT NOT NULL DEFAULT 0;

-- What all jobs of an owner worked on in a day (UTC, days since 1970), milliseconds.
CREATE TABLE spent (
    owner TEXT NOT NULL,
    day BIGINT NOT NULL,
    ms BIGINT NOT NULL,
    PRIMARY KEY (owner, day)
);

CREATE INDEX spent_by_day ON spent (day);
