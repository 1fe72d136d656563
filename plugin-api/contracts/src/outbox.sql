-- Events that are still to be told, each written with the change that it tells of.
CREATE TABLE outbox (
    id              TEXT   NOT NULL PRIMARY KEY, -- CloudEvents `id`
    place           BIGINT NOT NULL,             -- in the order of the commits
    subject         TEXT   NOT NULL,
    kind            TEXT   NOT NULL,             -- CloudEvents `type`
    at              TEXT   NOT NULL,             -- CloudEvents `time`, RFC 3339
    datacontenttype TEXT   NOT NULL,
    traceparent     TEXT   NOT NULL,             -- empty: none
    data            TEXT   NOT NULL
);
CREATE INDEX outbox_by_place ON outbox (place, id);

-- The last place that was given. Whoever writes an event holds this row until its commit, so that a
-- place that can be read has none before it that is still to come.
CREATE TABLE outbox_place (last BIGINT NOT NULL);
INSERT INTO outbox_place (last) VALUES (0);
