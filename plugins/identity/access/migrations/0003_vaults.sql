-- Wallets that principals have named, whose tokens count for them once they are delegated.
CREATE TABLE vaults (
    principal TEXT NOT NULL,
    vault     TEXT NOT NULL, -- eip155:0x…, or eip155:1:0x… of a contract, in lower case
    PRIMARY KEY (principal, vault)
);
