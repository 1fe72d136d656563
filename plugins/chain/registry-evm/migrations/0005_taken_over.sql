-- One row from when everything was copied that `chain-evm` kept of registries before this plugin did.
CREATE TABLE taken_over (
    -- Unix time, milliseconds.
    at BIGINT NOT NULL PRIMARY KEY
);
