-- One row from the first start on: a catalogue that is empty and has none is a new one.
CREATE TABLE begun (
    at_ms BIGINT NOT NULL
);
