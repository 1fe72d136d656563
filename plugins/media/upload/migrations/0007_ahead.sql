-- Up to where an upload without a length may go on by what its owner may store: more than `received` only while
-- bytes are under way. See quota.rs.
ALTER TABLE uploads ADD COLUMN ahead BIGINT NOT NULL DEFAULT 0;
