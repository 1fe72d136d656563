-- The last blocks of each watched chain, as they were told of.
CREATE TABLE block (
    chain TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (chain, number)
);

-- Transfers in blocks that may still be undone: what was told, to be told again as removed.
CREATE TABLE transfer (
    chain TEXT NOT NULL,
    block_hash TEXT NOT NULL,
    log_index BIGINT NOT NULL,
    -- Several tokens may move in one log.
    part BIGINT NOT NULL,
    number BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (chain, block_hash, log_index, part)
);

CREATE INDEX transfer_number ON transfer (chain, number);

-- Contracts that somebody watches, and until when (Unix time, milliseconds).
CREATE TABLE watched (
    chain TEXT NOT NULL,
    contract TEXT NOT NULL,
    kind TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (chain, contract)
);
