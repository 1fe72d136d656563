-- Transactions, each once for its key. They are kept: a key stands for one transaction for ever.
CREATE TABLE transaction_queue (
    chain TEXT NOT NULL,
    key TEXT NOT NULL,
    -- Its place; those of one account are sent in this order.
    place BIGINT NOT NULL,
    recipient TEXT NOT NULL,
    data TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Whose number, and which; given together with the first signature and never changed.
    signer TEXT,
    nonce BIGINT,
    -- The block that it is in, while it is in one.
    block_number BIGINT,
    block_hash TEXT,
    detail TEXT NOT NULL,
    PRIMARY KEY (chain, key)
);

CREATE UNIQUE INDEX transaction_queue_place ON transaction_queue (chain, place);
CREATE UNIQUE INDEX transaction_queue_nonce ON transaction_queue (chain, signer, nonce);
CREATE INDEX transaction_queue_state ON transaction_queue (chain, state, place);

-- What was signed for a transaction: all with its number, each with a higher fee than the one before.
CREATE TABLE transaction_signed (
    chain TEXT NOT NULL,
    key TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    hash TEXT NOT NULL,
    raw TEXT NOT NULL,
    gas BIGINT NOT NULL,
    -- In wei for a unit of gas.
    max_fee TEXT NOT NULL,
    priority_fee TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (chain, key, attempt)
);

-- Every state that a transaction was in.
CREATE TABLE transaction_change (
    chain TEXT NOT NULL,
    key TEXT NOT NULL,
    change BIGINT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (chain, key, change)
);

-- How far a registry was read for good: nothing up to this block is ever undone.
CREATE TABLE registry_place (
    chain TEXT NOT NULL,
    registry TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain, registry)
);

-- What a registry said. For each content and kind the last one holds; older ones that are never
-- undone are not kept.
CREATE TABLE registry_log (
    chain TEXT NOT NULL,
    registry TEXT NOT NULL,
    block_hash TEXT NOT NULL,
    log_index BIGINT NOT NULL,
    number BIGINT NOT NULL,
    content TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (chain, registry, block_hash, log_index)
);

CREATE INDEX registry_log_number ON registry_log (chain, registry, number);
CREATE INDEX registry_log_content ON registry_log (chain, registry, content, kind, number);
